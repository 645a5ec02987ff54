//! The finished text of a message on each channel.

use super::*;

const HASH: &str = "FA+9qCX9VSu";

fn finished(written: &str, channel: Channel, hash: Option<&str>) -> String {
    let (hash, life) = (hash.and_then(AppHash::parse), Duration::from_secs(90));
    Text::new(written, "Acme").0.finish(channel, hash.as_ref(), Some("example.com"), "012345", life)
}

#[test]
fn a_text_message_ends_in_the_line_for_browsers_or_in_the_hash_of_an_app() {
    for (hash, end) in [(None, "\n\n@example.com #012345"), (Some(HASH), "\nFA+9qCX9VSu")] {
        let text = finished("Your code is {code}.", Channel::Sms, hash);
        assert_eq!(text, format!("Your code is 012345.{end}"));
    }
}

#[test]
fn each_place_is_filled_and_all_else_stays_as_it_is_written() {
    for (written, text) in [
        ("_CODE_ or {code}: {code}", "012345 or 012345: 012345"),
        ("数字 {code} für dich", "数字 012345 für dich"),
        ("{Code} _code_ {{code}} {code", "{Code} _code_ {{code}} {code"),
        ("_CODE_CODE_", "012345CODE_"),
        ("{brand}{brand}: {minutes} min", "AcmeAcme: 2 min"),
        ("", ""),
    ] {
        assert_eq!(finished(written, Channel::WhatsApp, Some(HASH)), text);
    }
}

#[test]
fn for_a_voice_the_digits_are_set_apart() {
    let digits = "0. 1. 2. 3. 4. 5.";
    for (written, text) in [
        ("Your code is {code}", format!("Your code is {digits}")),
        ("Code {code}. Again: {code}.", format!("Code {digits} Again: {digits}")),
        ("{code}{code}!", format!("{digits}{digits}!")),
    ] {
        assert_eq!(finished(written, Channel::Call, Some(HASH)), text);
    }
}

//! The finished text of a message on each channel.

use super::*;

const HASH: &str = "FA+9qCX9VSu";

fn finished(written: &str, channel: Channel, hash: Option<&str>) -> String {
    let (hash, life) = (hash.and_then(AppHash::parse), Duration::from_secs(90));
    Text::new(written, "Acme").0.finish(channel, hash.as_ref(), Some("example.com"), "012345", life)
}

#[test]
fn a_browser_or_an_app_reads_the_code_from_a_text_message_as_published() {
    let table = include_str!("../../../../../tests/facts/sms-formats.tsv");
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let &[reader, code, message] = &*line.split('\t').collect::<Vec<_>>() else { panic!("{line}") };
        let message = message.replace("\\n", "\n").replace(code, "012345");
        let (above, last) = message.split_once("\n\n").expect("a last line");
        let (hash, space) = if reader == "app" { (Some(last), "\n") } else { (None, "\n\n") };
        let text = finished(&above.replace("012345", "{code}"), Channel::Sms, hash);
        assert_eq!(text, format!("{above}{space}{last}"));
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

//! The finished text of a message on each channel.

use super::*;

const LIFE: Duration = Duration::from_secs(60);

fn finished(written: &str, domain: Option<&str>, channel: Channel, hash: Option<&str>) -> String {
    let hash = hash.and_then(AppHash::parse);
    Text::new(written, "").0.finish(channel, hash.as_ref(), domain, "123456", LIFE)
}

#[test]
fn a_text_message_ends_in_the_line_for_browsers() {
    let ends = "Your code is 123456.\n\n@example.com #123456";
    assert_eq!(finished("Your code is {code}.", Some("example.com"), Channel::Sms, None), ends);
}

#[test]
fn with_an_app_hash_that_comes_last_instead() {
    for domain in [None, Some("example.com")] {
        let text = finished("Your code is {code}.", domain, Channel::Sms, Some("FA+9qCX9VSu"));
        assert_eq!(text, "Your code is 123456.\nFA+9qCX9VSu");
    }
}

#[test]
fn calls_and_whatsapp_messages_end_with_the_text() {
    let written = "Your code is {code}.";
    let hash = Some("FA+9qCX9VSu");
    let message = finished(written, Some("example.com"), Channel::WhatsApp, hash);
    assert_eq!(message, "Your code is 123456.");
    let call = finished(written, Some("example.com"), Channel::Call, hash);
    assert_eq!(call, "Your code is 1. 2. 3. 4. 5. 6.");
}

fn filled(template: &str, channel: Channel) -> String {
    Text::new(template, "Acme").0.finish(channel, None, None, "012345", Duration::from_secs(90))
}

#[test]
fn what_is_filled_in_goes_where_the_text_says() {
    for (template, text) in [
        ("OTP message is {code}", "OTP message is 012345"),
        ("OTP message is _CODE_", "OTP message is 012345"),
        ("{code}", "012345"),
        ("_CODE_ or {code}: {code}", "012345 or 012345: 012345"),
        ("数字 {code} für dich", "数字 012345 für dich"),
        ("{code", "{code"),
        ("{Code} _code_ {{code}}", "{Code} _code_ {{code}}"),
        ("_CODE_CODE_", "012345CODE_"),
        ("{brand}: {code}, {minutes} min{brand}", "Acme: 012345, 2 minAcme"),
        ("{brand}{brand}", "AcmeAcme"),
        ("no place", "no place"),
        ("", ""),
    ] {
        assert_eq!(filled(template, Channel::Sms), text, "{template:?}");
    }
}

#[test]
fn for_a_voice_the_digits_are_set_apart() {
    let digits = "0. 1. 2. 3. 4. 5.";
    assert_eq!(filled("Your code is {code}", Channel::Call), format!("Your code is {digits}"));
    assert_eq!(
        filled("Code {code}. Again: {code}.", Channel::Call),
        format!("Code {digits} Again: {digits}")
    );
    assert_eq!(filled("{code}{code}!", Channel::Call), format!("{digits}{digits}!"));
}

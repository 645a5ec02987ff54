//! A call says its text in the markup of Twilio.

use super::*;

#[test]
fn a_code_is_read_twice_with_a_pause_in_its_language() {
    let expected = concat!(
        r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
        r#"<Say language="de-DE">Ihr Code ist 0. 1. 2. 3.</Say><Pause length="1"/>"#,
        r#"<Say language="de-DE">Ihr Code ist 0. 1. 2. 3.</Say></Response>"#
    );
    assert_eq!(reading("Ihr Code ist 0. 1. 2. 3.", Locale::parse("de-AT")), expected);
    assert!(!reading("1. 2. 3. 4.", Locale::parse("el")).contains("language"), "no voice");
}

#[test]
fn nothing_in_a_text_becomes_markup_or_breaks_it() {
    let twiml = reading("a<Dial>+1</Dial>&amp;\"'\u{0}\u{7}\u{1b}\n\u{85}\u{FFFF}ü 数", None);
    let said = "<Say>a&lt;Dial&gt;+1&lt;/Dial&gt;&amp;amp;&quot;&apos;      ü 数</Say>";
    assert!(twiml.ends_with(&format!(r#"{said}<Pause length="1"/>{said}</Response>"#)), "{twiml}");
}

#[test]
fn the_gate_asks_for_a_key_and_tells_our_address() {
    let twiml = gate("https://example.com/a?attempt=1-2-3&x=\"", Locale::parse("fr"));
    assert!(twiml.contains(r#"action="https://example.com/a?attempt=1-2-3&amp;x=&quot;""#), "{twiml}");
    assert!(twiml.contains(r#"numDigits="1""#) && twiml.contains(r#"finishOnKey="""#), "{twiml}");
    assert_eq!(twiml.matches(">Appuyez sur une touche pour entendre votre code.<").count(), 2, "{twiml}");
    assert!(twiml.ends_with("</Gather><Hangup/></Response>"));
}

#[test]
fn a_call_is_held_in_the_nearest_language_that_twilio_speaks() {
    for (locale, expected) in [
        ("de", Some("de-DE")),
        ("de-AT", Some("de-DE")),
        ("en", Some("en-US")),
        ("en-GB", Some("en-GB")),
        ("en-NZ", Some("en-US")),
        ("es-419", Some("es-ES")),
        ("es-MX", Some("es-MX")),
        ("pt-BR", Some("pt-BR")),
        ("pt", Some("pt-PT")),
        ("no", Some("nb-NO")),
        ("nb", Some("nb-NO")),
        ("zh", Some("zh-CN")),
        ("zh-Hans-SG", Some("zh-CN")),
        ("zh-Hant", Some("zh-TW")),
        ("zh-TW", Some("zh-TW")),
        ("zh-Hant-HK", Some("zh-HK")),
        ("el", None),
        ("tlh", None),
    ] {
        assert_eq!(spoken(parsed(locale)), expected, "{locale}");
    }
}

fn parsed(tag: &str) -> Locale {
    Locale::parse(tag).expect("a language")
}

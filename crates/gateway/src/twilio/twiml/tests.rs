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
    let text = "a<Dial>+1</Dial>&amp;\"'\u{0}\u{7}\u{1b}\n\u{85}\u{FFFF}ü 数";
    let twiml = reading(text, None);
    let (said, pauses) = parts(&twiml);
    let words = "a<Dial>+1</Dial>&amp;\"'      ü 数";
    assert_eq!(said, [words, words]);
    assert_eq!(pauses, 1);
}

#[test]
fn the_gate_asks_for_a_key_and_tells_our_address() {
    let twiml = gate("https://example.com/a?attempt=1-2-3&x=\"", Locale::parse("fr"));
    assert!(twiml.contains(r#"action="https://example.com/a?attempt=1-2-3&amp;x=&quot;""#), "{twiml}");
    assert!(twiml.contains(r#"numDigits="1""#) && twiml.contains(r#"finishOnKey="""#), "{twiml}");
    let (said, _) = parts(&twiml);
    assert_eq!(said, ["Appuyez sur une touche pour entendre votre code."; 2]);
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

#[test]
fn the_question_is_asked_in_a_language_that_has_a_voice() {
    assert_eq!(SPOKEN.len(), include_str!("../spoken.txt").lines().count());
    for (tag, words) in SPOKEN.iter() {
        assert_eq!(question(Some(parsed(tag))), (*tag, *words));
    }
    assert_eq!(question(None), ("en-US", ENGLISH));
    assert_eq!(question(Some(parsed("el"))), ("en-US", ENGLISH));
    assert_eq!(question(Some(parsed("de-AT"))).0, "de-DE");
    assert!(question(Some(parsed("de-AT"))).1.contains("Taste"));
}

/// The spoken text and the number of pauses, as an XML parser sees them.
fn parts(twiml: &str) -> (Vec<String>, usize) {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(twiml);
    let (mut said, mut pauses) = (Vec::new(), 0);
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(start) if start.name().as_ref() == "Say" => {
                let inside = reader.read_text(start.name()).expect("an end");
                said.push(quick_xml::escape::unescape(&inside).expect("known entities").into_owned());
            }
            Event::Empty(empty) if empty.name().as_ref() == "Pause" => pauses += 1,
            Event::Eof => return (said, pauses),
            _ => {}
        }
    }
}

fn parsed(tag: &str) -> Locale {
    Locale::parse(tag).expect("a language")
}

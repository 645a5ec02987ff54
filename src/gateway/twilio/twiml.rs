//! What is said in calls, in Twilio's markup (`TwiML`).
//!
//! Source: <https://www.twilio.com/docs/voice/twiml>.

use std::borrow::Cow;

use quick_xml::escape::escape;

use super::language::{question, spoken};
use crate::domain::Locale;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// Reads a text out twice, with a pause of a second between, and ends the call. The answer to a
/// pressed key, and the whole of a call without a gate.
///
/// `text` is that of a message for [`Channel::Call`](crate::domain::Channel::Call), with its digits
/// set apart. It may contain anything: what XML or a voice cannot take is left out. `locale` is the
/// language it is in; one that Twilio does not speak is not named, and read as if it were that of
/// the account's voice.
pub fn reading(text: &str, locale: Option<Locale>) -> String {
    let text = speakable(text);
    let words = escape(&*text);
    let language = match locale.and_then(spoken) {
        Some(tag) => format!(r#" language="{tag}""#),
        None => String::new(),
    };
    let say = format!("<Say{language}>{words}</Say>");
    format!(r#"{HEAD}<Response>{say}<Pause length="1"/>{say}</Response>"#)
}

/// Ends the call without a word: no key was pressed, or the code cannot be used any more.
pub fn hang_up() -> String {
    format!("{HEAD}<Response><Hangup/></Response>")
}

/// Asks for a key, twice, and has Twilio tell `action` (an address) of it; ends the call when none
/// is pressed. Says no code, for nobody knows yet who listens.
///
/// `#` would end an input without counting as a key, so it is made a key like the others.
pub(super) fn gate(action: &str, locale: Option<Locale>) -> String {
    let (language, words) = question(locale);
    let (action, words) = (escape(action), escape(words));
    let say = format!(r#"<Say language="{language}">{words}</Say>"#);
    format!(
        r#"{HEAD}<Response><Gather numDigits="1" finishOnKey="" timeout="5" method="POST" action="{action}">{say}<Pause length="2"/>{say}</Gather><Hangup/></Response>"#
    )
}

/// Without what XML 1.0 does not allow: a control character would make the whole call fail. Each
/// becomes a space, so that words stay apart.
fn speakable(text: &str) -> Cow<'_, str> {
    let unsayable = |c: char| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    if text.contains(unsayable) { Cow::Owned(text.replace(unsayable, " ")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_twice_with_a_pause_in_its_language() {
        let expected = concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
            r#"<Say language="de-DE">Ihr Code ist 0. 1. 2. 3.</Say><Pause length="1"/>"#,
            r#"<Say language="de-DE">Ihr Code ist 0. 1. 2. 3.</Say></Response>"#
        );
        assert_eq!(reading("Ihr Code ist 0. 1. 2. 3.", Locale::parse("de-AT")), expected);
    }

    #[test]
    fn a_language_without_a_voice_is_not_named() {
        for locale in [None, Locale::parse("el")] {
            assert!(!reading("1. 2. 3. 4.", locale).contains("language"));
        }
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
    fn hanging_up_says_nothing() {
        assert_eq!(parts(&hang_up()), (Vec::new(), 0));
        assert!(hang_up().contains("<Hangup/>"));
    }

    /// What is said, and how many pauses there are, as an XML parser sees it.
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
}

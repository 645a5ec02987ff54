//! What is said in calls, in Twilio's markup (`TwiML`).
//!
//! Source: <https://www.twilio.com/docs/voice/twiml>.

use std::borrow::Cow;

use quick_xml::escape::escape;

use super::language::{question, spoken};
use crate::domain::Locale;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// Reads a text out twice, with a pause of a second between, and ends the call. The answer to a pressed key, and the
/// whole of a call without a gate.
///
/// `text` is that of a message for [`Channel::Call`](crate::domain::Channel::Call), with its digits set apart. It may
/// contain anything: what XML or a voice cannot take is left out. `locale` is the language it is in; one that Twilio
/// does not speak is not named, and read as if it were that of the account's voice.
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

/// Asks for a key, twice, and has Twilio tell `action` (an address) of it; ends the call when none is pressed. Says
/// no code, for it is unknown who listens.
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

/// Without what XML 1.0 does not allow: a control character would make the whole call fail. Each becomes a space, so
/// that words stay apart.
fn speakable(text: &str) -> Cow<'_, str> {
    let unsayable = |c: char| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    if text.contains(unsayable) { Cow::Owned(text.replace(unsayable, " ")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests;

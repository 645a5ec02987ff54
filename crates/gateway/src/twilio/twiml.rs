//! The spoken text of calls in Twilio's markup (`TwiML`), and the choice among Twilio's languages.
//!
//! Twilio answers a language that it does not know with an error in place of the message. Therefore only languages of
//! its lists are named, and the nearest is taken: `de-AT` is read out as `de-DE`. Without a name Twilio decides by
//! itself, and the code still arrives.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml>.

use std::sync::LazyLock;

use quick_xml::escape::escape;

use crate::domain::Locale;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// Reads a text out twice, with a pause of a second between, and ends the call. The answer to a pressed key, and the
/// whole of a call without a gate.
///
/// `text` is that of a message for [`Channel::Call`](crate::domain::Channel::Call), with its digits separated. It may
/// contain anything: characters that XML or a voice cannot express are left out. `locale` is its language; a language
/// that Twilio does not speak is not named, and the account's default voice reads it.
pub fn reading(text: &str, locale: Option<Locale>) -> String {
    // A control character would make the whole call fail. Each becomes a space, so that words stay apart.
    let text = text.replace(|c: char| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}'), " ");
    let words = escape(&text);
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

/// Asks for a key, twice, and makes Twilio report it to `action` (an address); ends the call if no key is pressed. Says
/// no code, because the listener is unknown.
///
/// `#` would end an input without counting as a key; an empty `finishOnKey` makes it a key like the others.
pub(super) fn gate(action: &str, locale: Option<Locale>) -> String {
    let (language, words) = question(locale);
    let (action, words) = (escape(action), escape(words));
    let say = format!(r#"<Say language="{language}">{words}</Say>"#);
    format!(
        r#"{HEAD}<Response><Gather numDigits="1" finishOnKey="" timeout="5" method="POST" action="{action}">{say}<Pause length="2"/>{say}</Gather><Hangup/></Response>"#
    )
}

/// Languages of `<Say>` in `spoken.txt`, with the question of the gate in each. The first entry of a language also serves its unlisted
/// regions.
///
/// Source: <https://www.twilio.com/docs/voice/twiml/say>, the languages that every account has.
static SPOKEN: LazyLock<Vec<(&str, &str)>> =
    LazyLock::new(|| include_str!("spoken.txt").lines().filter_map(|line| line.split_once(' ')).collect());

const ENGLISH: &str = "Press any key to hear your code.";

/// The value of `<Say language="...">`, if calls can be held in the language.
pub(super) fn spoken(locale: Locale) -> Option<&'static str> {
    nearest(locale, SPOKEN.iter().map(|(tag, _)| *tag))
}

/// The question of a call before it reads a code out, and the question's language: English for a language that has no
/// voice.
fn question(locale: Option<Locale>) -> (&'static str, &'static str) {
    let tag = locale.and_then(spoken).unwrap_or("en-US");
    let words = SPOKEN.iter().find(|(known, _)| *known == tag).map_or(ENGLISH, |(_, words)| words);
    (tag, words)
}

/// The same language and region, else the first of the same language.
pub(super) fn nearest(
    locale: Locale,
    mut known: impl Iterator<Item = &'static str> + Clone,
) -> Option<&'static str> {
    let full = locale.to_string();
    let mut subtags = full.split('-');
    let language = match subtags.next()? {
        // Norwegian is spoken of by its macrolanguage, and written in one of two forms.
        "no" | "nn" => "nb",
        // Filipino is the standard form of Tagalog.
        "fil" => "tl",
        language => language,
    };
    // Four letters are a script, two letters or three digits a region.
    let (scripts, regions): (Vec<&str>, Vec<&str>) = subtags.partition(|subtag| subtag.len() == 4);
    let region = regions.first().copied().or(match (language, scripts.first()) {
        // Twilio's lists distinguish the scripts of Chinese by regions.
        ("zh", Some(&"Hant")) => Some("TW"),
        _ => None,
    });
    let with_region = region.map(|region| format!("{language}-{region}"));
    let exact = known.clone().find(|tag| Some(*tag) == with_region.as_deref());
    if exact.is_some() || (language, region) == ("zh", Some("TW")) {
        // Traditional characters are not to be replaced by simplified ones.
        return exact;
    }
    known.find(|tag| tag.split('-').next() == Some(language))
}

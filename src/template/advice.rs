//! What is worth knowing about a text that can be sent as it is.

use std::time::Duration;

use super::gsm7::{self, Alphabet};
use super::text::Text;
use super::{AppHash, DEFAULT_MESSAGE};
use crate::domain::{Channel, CodeLength, Locale};

/// The longest message that Android's SMS Retriever reads, in bytes.
const ANDROID_LONGEST: usize = 140;

/// More foreign characters than this are another script, in which nobody can do without them.
const REPLACEABLE: usize = 5;

/// Advice on a text that can become a text message: what it costs, and whether phones offer to fill its
/// code in.
pub(super) fn on(text: &Text, locale: Option<Locale>, length: CodeLength, life: Duration) -> Vec<String> {
    let digits = "0".repeat(usize::from(length.get()));
    let message = text.finish(Channel::Sms, None, &digits, life);
    let for_android = text.finish(Channel::Sms, Some(&AppHash::SAMPLE), &digits, life);
    [alphabet(&message), segments(&message), word(text, locale), android(&for_android)]
        .into_iter()
        .flatten()
        .collect()
}

fn alphabet(message: &str) -> Option<String> {
    let foreign = gsm7::foreign(message);
    if foreign.is_empty() || foreign.len() > REPLACEABLE {
        return None;
    }
    let shown: Vec<_> = foreign.iter().map(|c| format!("{c:?}")).collect();
    let ((plain, _), (wide, _)) = (Alphabet::Gsm7.room(), Alphabet::Ucs2.room());
    Some(format!(
        "it contains {}, which the alphabet of text messages (GSM-7) lacks. So it is sent as UCS-2, of which {wide} \
         characters fit one message instead of {plain}",
        shown.join(", ")
    ))
}

fn segments(message: &str) -> Option<String> {
    let size = gsm7::size(message);
    let (room, _) = size.alphabet.room();
    let alphabet = match size.alphabet {
        Alphabet::Gsm7 => "GSM-7",
        Alphabet::Ucs2 => "UCS-2",
    };
    (size.segments > 1).then(|| {
        format!(
            "it is paid for as {} text messages: it has {} characters of {alphabet}, of which {room} fit one",
            size.segments, size.units
        )
    })
}

/// Apple does not list the words that it looks for, so other languages are left alone; so is our own
/// text, which is that of the Redis version and was chosen by nobody.
fn word(text: &Text, locale: Option<Locale>) -> Option<String> {
    let is_looked_for = locale.is_none_or(Locale::is_english) && &*text.source != DEFAULT_MESSAGE;
    let is_there = || text.words().any(|words| words.to_lowercase().contains("code"));
    (is_looked_for && !is_there()).then(|| {
        "the word \"code\" is missing. By that word (or its translation) iPhones know that there is a code to fill in"
            .to_owned()
    })
}

fn android(message: &str) -> Option<String> {
    (message.len() > ANDROID_LONGEST).then(|| {
        format!(
            "with the hash of an Android app (appHash) it has {} bytes, and Android hands apps at most \
             {ANDROID_LONGEST}",
            message.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(written: &str, tag: Option<&str>) -> Vec<String> {
        let locale = tag.and_then(Locale::parse);
        on(&Text::new(written, "Acme", None, |_| {}), locale, CodeLength::SIX, Duration::from_secs(600))
    }

    #[track_caller]
    fn is_one(advice: &[String], words: &str) {
        assert!(matches!(advice, [one] if one.contains(words)), "{words}: {advice:?}");
    }

    #[test]
    fn a_short_text_with_the_word_needs_none() {
        for text in
            ["Your {brand} code is {code}", "Code: _CODE_", "Ihr Anmeldecode: {code}", DEFAULT_MESSAGE]
        {
            assert_eq!(advice(text, None), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_few_foreign_characters_are_named() {
        is_one(&advice("Code – {code} –", None), "'–', which");
        is_one(&advice("Code „{code}“", None), "'„', '“', which");
    }

    #[test]
    fn another_script_is_no_mistake_unless_it_takes_two_messages() {
        assert_eq!(advice("Ваш код для входа: {code}", Some("ru")), [""; 0]);
        let long = format!("Ваш код {}{{code}}", "x".repeat(60));
        is_one(&advice(&long, Some("ru")), "as 2 text messages: it has 74 characters of UCS-2, of which 70");
    }

    #[test]
    fn a_text_in_several_parts_says_what_it_costs_and_that_android_stops() {
        let [segments, android] = &advice(&format!("code {}{{code}}", "x".repeat(150)), None)[..] else {
            panic!("two pieces of advice");
        };
        assert!(
            segments.contains("2 text messages: it has 161 characters of GSM-7, of which 160"),
            "{segments}"
        );
        assert!(android.contains("173 bytes"), "{android}");
    }

    #[test]
    fn android_reads_140_bytes_with_the_hash() {
        let text = |characters| format!("code {}{{code}}", "x".repeat(characters));
        assert_eq!(advice(&text(140 - 5 - 6 - 12), None), [""; 0]);
        is_one(&advice(&text(141 - 5 - 6 - 12), None), "141 bytes");
    }

    #[test]
    fn the_word_is_looked_for_in_english_and_where_no_language_is_said() {
        for tag in [None, Some("en"), Some("en-GB")] {
            is_one(&advice("Log in with {code}", tag), "\"code\" is missing");
            is_one(&advice("Log in with _CODE_", tag), "\"code\" is missing");
        }
        assert_eq!(advice("Su clave es {code}", Some("es")), [""; 0]);
    }
}

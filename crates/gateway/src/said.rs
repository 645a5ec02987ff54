//! What a provider says, as text that may stand in a log and in a record.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use crate::domain::{Code, meant};

/// The most that is kept of it, in characters.
const MOST: usize = 200;

const MASK: &str = "***";

/// A run of this many digits may be a number or a code.
const DIGITS: usize = 5;

/// So may digits with separators between them, as people write numbers.
const SPACED_DIGITS: usize = 7;

/// The shortest code, for a text whose code is not known.
const SHORTEST_CODE: usize = 4;

/// A body as text: without a byte order mark, with U+FFFD for what is not UTF-8, and with a space for each control
/// character, which JSON forbids within a string.
pub(crate) fn clean_text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.strip_prefix('\u{feff}').unwrap_or(&text).replace(char::is_control, " ")
}

/// The secrets of a gateway.
#[derive(Clone, Default)]
pub struct Masks(Vec<SecretString>);

impl Masks {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter().map(str::trim).filter(|secret| !secret.is_empty());
        let encoded = |secret: &str| byte_serialize(secret.as_bytes()).collect::<String>();
        let mut masked: Vec<String> = secrets
            .flat_map(|secret| [secret.to_owned(), encoded(secret), STANDARD.encode(secret)])
            .collect();
        // One may be a part of another.
        masked.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        masked.dedup();
        Self(masked.into_iter().map(SecretString::from).collect())
    }

    /// The beginning of a body, masked; `None` for an empty one. `code` is that of the message.
    pub fn said_in(&self, body: &[u8], code: Option<&Code>) -> Option<Box<str>> {
        let text = clean_text(body);
        // An escape may hide a part of a secret.
        let read = serde_json::from_str::<Value>(&text).ok().map(|json| self.masked(json, code));
        self.said(&read.map_or(Cow::Borrowed(text.as_str()), |json| Cow::Owned(json.to_string())), code)
    }

    /// The beginning of a text, masked; `None` for an empty one.
    pub fn said(&self, text: &str, code: Option<&Code>) -> Option<Box<str>> {
        let text = self.without_secrets(text, code);
        let words: Vec<&str> = text.split_whitespace().collect();
        let kept: String = words.join(" ").chars().take(MOST).collect();
        (!kept.is_empty()).then(|| kept.into())
    }

    /// JSON with every text and number of it masked. It is nested as deep as JSON may be.
    fn masked(&self, json: Value, code: Option<&Code>) -> Value {
        match json {
            Value::String(text) => self.without_secrets(&text, code).into(),
            Value::Number(number) => {
                let masked = self.without_secrets(&number.to_string(), code);
                if masked == number.to_string() { Value::Number(number) } else { masked.into() }
            }
            Value::Array(items) => items.into_iter().map(|item| self.masked(item, code)).collect(),
            Value::Object(members) => {
                let masked = |(name, value): (String, Value)| {
                    (self.without_secrets(&name, code), self.masked(value, code))
                };
                Value::Object(members.into_iter().map(masked).collect())
            }
            other => other,
        }
    }

    fn without_secrets(&self, text: &str, code: Option<&Code>) -> String {
        // Signs that cannot be seen may stand within a secret.
        let mut text: String =
            text.chars().filter_map(meant).map(|c| if c.is_control() { ' ' } else { c }).collect();
        for secret in self.0.iter().map(ExposeSecret::expose_secret).chain(code.map(Code::expose)) {
            text = text.replace(secret, MASK);
        }
        // As a number it has no zeros in front.
        without_digits(&text, code.map(|code| code.expose().trim_start_matches('0')))
    }
}

/// The text with [`MASK`] in the place of digits that may be a number or a code.
fn without_digits(text: &str, code: Option<&str>) -> String {
    let mut made = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(spaced) = spaced_digits(text, done) {
        made.push_str(&text[done..spaced.start]);
        let found = &text[spaced.clone()];
        let digits: String = found.chars().filter(char::is_ascii_digit).collect();
        if digits.len() >= SPACED_DIGITS || code.is_some_and(|code| !code.is_empty() && digits.contains(code))
        {
            made.push_str(MASK);
        } else {
            let shortest = if code.is_some() { DIGITS } else { SHORTEST_CODE };
            let mut from = 0;
            for run in found.split(|c: char| !c.is_ascii_digit()) {
                made.push_str(if run.len() >= shortest { MASK } else { run });
                from += run.len();
                let separator = found[from..].chars().next();
                made.extend(separator);
                from += separator.map_or(0, char::len_utf8);
            }
        }
        done = spaced.end;
    }
    made + &text[done..]
}

/// The next digits from a place on, with what people write between them: at most two separators.
fn spaced_digits(text: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].find(|c: char| c.is_ascii_digit())?;
    let (mut end, mut separators) = (start, 0);
    for (at, sign) in text[start..].char_indices() {
        if sign.is_ascii_digit() {
            (end, separators) = (start + at + 1, 0);
        } else if separators < 2 && " -.()/".contains(sign) {
            separators += 1;
        } else {
            break;
        }
    }
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_words_are_kept_without_what_is_secret_or_personal() {
        let masks = Masks::new(["s3cr3t", "s3cr3t/long+", "dTpw"]);
        let code = Code::parse("4711").expect("a code");
        let long = format!("{} s3cr3t", "a".repeat(196));
        let cut = format!("{} ***", "a".repeat(196));
        for (body, said) in [
            (
                r#"{"error":"Sender ID ACME is not registered"}"#,
                r#"{"error":"Sender ID ACME is not registered"}"#,
            ),
            (
                "\u{feff}no\r\n\tsuch \u{1b}[31mkey s3cr3t/long+ or s3cr3t%2Flong%2B",
                "no such [31mkey *** or ***",
            ),
            (r#"{"e":"s3\u0063r3t","n":12345,"s":1234}"#, r#"{"e":"***","n":"***","s":1234}"#),
            ("+14155552671, (415) 555-2671, ٤١٥٥٥", "+***, (***, ***"),
            ("4711, 4 7 1 1, 4. 7. 1. 1 and 4712", "***, ***, *** and 4712"),
            ("ref a4711b, 12345 and 1234", "ref a***b, *** and 1234"),
            (long.as_str(), cut.as_str()),
        ] {
            let found = masks.said_in(body.as_bytes(), Some(&code)).expect("words");
            assert_eq!(&*found, said, "{body}");
        }
        assert_eq!(masks.said_in(b" \r\n", Some(&code)), None);
        assert_eq!(
            masks.said_in(b"caf\xe9 1234", None).as_deref(),
            Some("caf\u{fffd} ***"),
            "of an unknown code"
        );
    }
}

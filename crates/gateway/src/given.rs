//! How a recipe may be written: a number for a text, one value for a list of it; and where values are in an answer.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A text, or a number or a truth value as JSON writes it.
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A list of texts or numbers, or one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Texts(#[serde(deserialize_with = "texts")] pub Vec<String>);

impl Texts {
    pub(super) fn has(&self, text: &str) -> bool {
        self.0.iter().any(|known| known == text)
    }
}

/// A text is one item, whatever commas it has.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let items = match Value::deserialize(from)? {
        Value::Array(items) => items,
        one => vec![one],
    };
    let texts: Option<_> = items.iter().map(as_text).collect();
    texts.ok_or_else(|| D::Error::custom("must be a list of texts or numbers, or one of them"))
}

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pointer(String);

impl Pointer {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, number or truth value that it leads to.
    pub(super) fn text_in(&self, value: &Value) -> Option<String> {
        as_text(value.pointer(&self.0)?)
    }
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    /// RFC 6901, 3: empty, or parts that each begin with `/`, with `~` only as `~0` and `~1`.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let escapes_are_right = text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
        if escapes_are_right && (text.is_empty() || text.starts_with('/')) {
            return Ok(Self(text));
        }
        Err("must be a JSON pointer (RFC 6901) such as /messages/0/status")
    }
}

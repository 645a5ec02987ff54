//! Keys that a call presses once it is answered: an extension, mostly.

use serde::{Deserialize, Serialize};

/// At most 32 of them: digits, `*`, `#`, and `w` or `W` for a wait of half a second or a second, as Twilio's calls know
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SendDigits(std::sync::Arc<str>);

impl SendDigits {
    /// The most keys.
    pub const MOST: usize = 32;

    /// Reads them. `None` when there are none, too many, or others.
    pub fn parse(text: &str) -> Option<Self> {
        let is_key = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#' | b'w' | b'W');
        let fits = !text.is_empty() && text.len() <= Self::MOST && text.bytes().all(is_key);
        fits.then(|| Self(text.into()))
    }

    /// The keys.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<SendDigits> for String {
    fn from(digits: SendDigits) -> Self {
        digits.as_str().to_owned()
    }
}

impl TryFrom<String> for SendDigits {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not keys to press")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_and_waits_are_read() {
        let longest = "1".repeat(32);
        for text in ["1", "ww1234#", "*0W9", &longest] {
            assert_eq!(SendDigits::parse(text).as_ref().map(SendDigits::as_str), Some(text));
        }
        let longer = "1".repeat(33);
        for text in ["", "1 2", "12a", "+1", "1,2", &longer] {
            assert_eq!(SendDigits::parse(text), None, "{text:?}");
        }
    }
}

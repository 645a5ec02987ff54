//! What a request says about the form of its message.

use serde::{Deserialize, Serialize};

use crate::domain::Locale;

/// The template, language and format of one verification's messages. Small: it is kept with every message that may have
/// to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageStyle {
    pub wording: Wording,
    /// In which language; `None` for the one of the number's country.
    pub locale: Option<Locale>,
    /// The Android app that is to read the message by itself: its hash comes at the end, in place of the line for
    /// browsers.
    pub app_hash: Option<AppHash>,
    /// The keys that a call presses when it is answered.
    pub send_digits: Option<SendDigits>,
    /// The sender's name, for a gateway that words the message itself. A text of ours has it already.
    pub sender_name: Option<Box<str>>,
}

/// Which texts a message has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Wording {
    /// The texts of `/api/send-otp`.
    #[default]
    Api,
    /// The texts of the tutorial's `/send-code`.
    Tutorial,
    /// This one, with `{code}` or `_CODE_` where the code goes, in the same form as the texts of the settings:
    /// [`Templates::check_custom`].
    Custom(Box<str>),
}

/// The hash by which Android's SMS Retriever finds the app that a message is for: 11 characters of base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppHash(Box<str>);

impl AppHash {
    /// Reads a hash. `None` when it is not 11 characters of A-Z, a-z, 0-9, `+` and `/`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        (text.len() == 11 && text.bytes().all(is_base64)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keys that a call presses once it is answered, an extension mostly: at most 32 digits, `*`, `#`, and `w` or `W` for
/// a wait of half a second or a second, as Twilio's calls know them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendDigits(Box<str>);

impl SendDigits {
    pub const MOST: usize = 32;

    pub fn parse(text: &str) -> Option<Self> {
        let is_key = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#' | b'w' | b'W');
        let fits = !text.is_empty() && text.len() <= Self::MOST && text.bytes().all(is_key);
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

//! Texts of messages: which one, in which language, with what filled in.

mod advice;
mod check;
mod choose;
mod gsm7;
mod pieces;
pub mod placeholder;
mod send_digits;
mod settings;
mod start;
#[cfg(test)]
mod tests;
mod text;
mod webotp;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, Code, Locale, PhoneNumber};
use check::Surroundings;
use choose::Texts;
use text::Text;

pub use send_digits::SendDigits;
pub use settings::{Finding, LocalText, TemplateSettings, TextSource};

/// The longest message that Twilio accepts, in characters.
pub const LONGEST: usize = 1_600;

/// Where the code goes. The second spelling is that of the Go framework.
pub const CODE_PLACES: [&str; 2] = ["{code}", "_CODE_"];

/// The text of `/api/send-otp` where nobody sets one: that of the Redis version. Nothing is said about
/// it at the start.
pub const DEFAULT_MESSAGE: &str = "OTP message is {code}";

/// How the messages of one verification are worded. Small: it is kept with every message that may
/// have to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageStyle {
    /// Which texts.
    pub wording: Wording,
    /// In which language; `None` for the one of the number's country.
    pub locale: Option<Locale>,
    /// The Android app that is to read the message by itself: its hash comes at the end, in place
    /// of the line for browsers.
    pub app_hash: Option<AppHash>,
    /// What a call presses when it is answered.
    pub send_digits: Option<SendDigits>,
}

/// Which texts a message has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Wording {
    /// Those of `/api/send-otp`.
    #[default]
    Api,
    /// Those of the tutorial's `/send-code`.
    Tutorial,
    /// This one, with `{code}` or `_CODE_` where the code goes, in the same form as the texts of the
    /// settings: [`Templates::check_custom`].
    Custom(#[serde(with = "shared_text")] Arc<str>),
}

mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

/// The hash by which Android's SMS Retriever finds the app that a message is for: 11 characters
/// of base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AppHash([u8; 11]);

impl AppHash {
    /// One like another, to measure with.
    const SAMPLE: Self = Self([b'A'; 11]);

    /// Reads a hash. `None` when it is not 11 characters of A-Z, a-z, 0-9, `+` and `/`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 11] = text.as_bytes().try_into().ok()?;
        let fits = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
        fits.then_some(Self(bytes))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<AppHash> for String {
    fn from(hash: AppHash) -> Self {
        hash.as_str().to_owned()
    }
}

impl TryFrom<String> for AppHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not the hash of an app")
    }
}

/// A finished message.
pub struct Rendered {
    /// The text, code included.
    pub text: String,
    /// The language that it is in: the one that its text is kept under, else the default one. `None` when
    /// the settings say neither.
    pub locale: Option<Locale>,
}

/// Every text, checked.
#[derive(Debug, Clone)]
pub struct Templates {
    api: Texts,
    tutorial: Text,
    around: Surroundings,
}

impl Templates {
    /// One text for each wording, unchecked, without a brand.
    pub fn new(api: &str, tutorial: &str) -> Self {
        let around = Surroundings { brand: "".into(), domain: None, life: Duration::ZERO };
        let text = |written| Text::new(written, "", None, |_| {});
        let api = Texts { message: text(api), local: Arc::default(), default_locale: None };
        Self { api, tutorial: text(tutorial), around }
    }

    /// Checks a text that a caller brings along: [`Wording::Custom`]. The error is a sentence that says
    /// what to mend. A text that is sent unchecked is filled in as far as it can be.
    pub fn check_custom(&self, text: &str) -> Result<(), String> {
        check::text(text, &self.around).map(|_| ())
    }

    /// The message as it is to leave now.
    pub fn render(
        &self,
        style: &MessageStyle,
        channel: Channel,
        to: PhoneNumber,
        code: &Code,
        valid_for: Duration,
    ) -> Rendered {
        let brought;
        let (text, locale) = match &style.wording {
            Wording::Api => self.api.choose(channel, style.locale, to),
            Wording::Tutorial => (&self.tutorial, self.api.default_locale),
            Wording::Custom(written) => {
                brought = Text::new(written, &self.around.brand, self.around.domain.as_ref(), |_| {});
                (&brought, style.locale.or(self.api.default_locale))
            }
        };
        let text = text.finish(channel, style.app_hash.as_ref(), code.expose(), valid_for);
        Rendered { text, locale }
    }

    /// The text where no other fits, before anything but the brand is filled in.
    pub fn text<'a>(&'a self, wording: &'a Wording) -> &'a str {
        match wording {
            Wording::Api => &self.api.message.source,
            Wording::Tutorial => &self.tutorial.source,
            Wording::Custom(text) => text,
        }
    }
}

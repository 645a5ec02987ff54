//! Texts of messages: which one, in which language, with what filled in.

mod check;
mod render;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Channel, Code, Locale, PhoneNumber};

pub use settings::{Finding, LocalText, TemplateSettings, TextSource};

/// The longest message that Twilio accepts, in characters.
pub const LONGEST: usize = 1_600;

/// Where the code goes. The second spelling is that of the Go framework.
pub const CODE_PLACES: [&str; 2] = ["{code}", "_CODE_"];

/// How the messages of one verification are worded. Small: it is kept with every message that may
/// have to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageStyle {
    /// Which texts.
    pub wording: Wording,
    /// In which language; `None` for the one of the number's country.
    pub locale: Option<Locale>,
    /// The Android app that is to read the message by itself: its hash comes at the end, in place
    /// of the line for browsers.
    pub app_hash: Option<AppHash>,
}

/// Which texts a message has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wording {
    /// Those of `/api/send-otp`.
    #[default]
    Api,
    /// Those of the tutorial's `/send-code`.
    Tutorial,
    /// This one, with `{code}` or `_CODE_` where the code goes.
    Custom(Arc<str>),
}

/// The hash by which Android's SMS Retriever finds the app that a message is for: 11 characters
/// of base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppHash([u8; 11]);

impl AppHash {
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

/// A finished message.
pub struct Rendered {
    /// The text, code included.
    pub text: String,
    /// The language that it is in, if the texts say so.
    pub locale: Option<Locale>,
}

/// Every text, checked.
#[derive(Debug, Clone)]
pub struct Templates {
    api: Arc<str>,
    tutorial: Arc<str>,
}

impl Templates {
    /// One text for each wording.
    pub fn new(api: &str, tutorial: &str) -> Self {
        Self { api: api.into(), tutorial: tutorial.into() }
    }

    /// Checks every text. The findings of `Ok` are warnings, those of `Err` are errors.
    pub fn check(settings: &TemplateSettings) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let mut errors = Vec::new();
        let mut checked = |text: &str, source| {
            check::with_brand(text, &settings.brand).unwrap_or_else(|words| {
                errors.push(Finding { source, words });
                String::new()
            })
        };
        let api = checked(&settings.message, TextSource::Message);
        let tutorial = checked(&settings.tutorial_message, TextSource::TutorialMessage);
        if errors.is_empty() { Ok((Self::new(&api, &tutorial), Vec::new())) } else { Err(errors) }
    }

    /// The message as it is to leave now.
    pub fn render(
        &self,
        style: &MessageStyle,
        _channel: Channel,
        _to: PhoneNumber,
        code: &Code,
        _valid_for: Duration,
    ) -> Rendered {
        Rendered { text: render::render(self.text(&style.wording), code), locale: None }
    }

    /// The text before anything is filled in.
    pub fn text<'a>(&'a self, wording: &'a Wording) -> &'a str {
        match wording {
            Wording::Api => &self.api,
            Wording::Tutorial => &self.tutorial,
            Wording::Custom(text) => text,
        }
    }
}

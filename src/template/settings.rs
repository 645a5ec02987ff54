//! The texts as they are configured, and what is said about them at the start.

use std::time::Duration;

use crate::domain::{Channel, CodeLength, Locale};

/// Every text of a service, before it is checked.
#[derive(Debug, Clone)]
pub struct TemplateSettings {
    /// What `{brand}` stands for.
    pub brand: String,
    /// How many digits a code has.
    pub code_length: CodeLength,
    /// How long a code lives: `{minutes}`, rounded up.
    pub life: Duration,
    /// The text of `/api/send-otp` where `messages` has none that fits better.
    pub message: String,
    /// The text of the tutorial's `/send-code`.
    pub tutorial_message: String,
    /// Texts of single channels and languages.
    pub messages: Vec<LocalText>,
    /// The language where neither the request nor the number's country leads to one of the texts.
    pub default_locale: Option<Locale>,
    /// The web site whose form the browser is to fill in by itself: the last line of a text message is
    /// then `@domain #code` (`WebOTP`).
    pub webotp_domain: Option<String>,
}

/// The text of one channel in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalText {
    /// `None` for every channel.
    pub channel: Option<Channel>,
    /// `None` for every language.
    pub locale: Option<Locale>,
    /// The text.
    pub text: String,
}

/// Which setting a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextSource {
    /// [`TemplateSettings::message`].
    Message,
    /// [`TemplateSettings::tutorial_message`].
    TutorialMessage,
    /// The text at this place of [`TemplateSettings::messages`].
    Local(usize),
    /// [`TemplateSettings::webotp_domain`].
    WebOtpDomain,
}

/// Something to say about one setting, as the end of a sentence or a whole one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub source: TextSource,
    /// What.
    pub words: String,
}

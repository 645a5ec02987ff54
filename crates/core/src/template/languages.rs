//! The standard message in each language of Twilio's list for Verify.

use std::sync::LazyLock;

use crate::domain::Locale;

#[derive(Debug, PartialEq, Eq)]
pub struct StandardMessage {
    pub locale: Locale,
    /// Has `{brand}` and `{code}`.
    pub text: &'static str,
    /// The sentence that asks not to share the code.
    pub warning: &'static str,
}

static ALL: LazyLock<Vec<StandardMessage>> =
    LazyLock::new(|| include_str!("languages.txt").lines().filter_map(StandardMessage::read).collect());

/// Languages that the voices of Twilio speak.
const SPOKEN: [&str; 16] =
    ["ca", "da", "de", "en", "es", "fi", "fr", "it", "ja", "ko", "nl", "no", "pl", "pt", "ru", "sv"];

impl StandardMessage {
    /// Whether a call can be in the language; else it is in English. Chinese is spoken in each of its forms.
    pub fn is_spoken(&self) -> bool {
        let language = self.locale.language().to_string();
        language == "zh" || SPOKEN.contains(&language.as_str())
    }

    /// All of them, by their tags.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// Finds the nearest language: `de` for `de-AT`.
    pub fn nearest(locale: Locale) -> Option<&'static Self> {
        locale.lookup().find_map(|tag| ALL.iter().find(|message| message.locale == tag))
    }

    fn read(line: &'static str) -> Option<Self> {
        let (tag, texts) = line.split_once(' ').filter(|(tag, _)| *tag != "#")?;
        let (text, warning) = texts.split_once('|')?;
        Some(Self { locale: Locale::parse(tag)?, text: text.trim(), warning: warning.trim() })
    }
}

//! Texts that services choose by id: Twilio's templates.

mod fill;
mod shelf;

use crate::domain::{Channel, Locale, Sid, Timestamp};

pub use fill::{TextError, TextWish};
pub(super) use shelf::Shelf;

/// A text for some channels, in one or more languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// `HJ`.
    pub sid: Sid,
    /// What people call it.
    pub friendly_name: String,
    /// The channels that it is for.
    pub channels: Vec<Channel>,
    /// Its texts, one for each language.
    pub translations: Vec<Translation>,
    /// The language where no other fits: one of the above.
    pub default_locale: Locale,
    /// Since when this program knows it.
    pub created: Timestamp,
}

/// A text in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// The language.
    pub locale: Locale,
    /// The text, with its places.
    pub text: String,
}

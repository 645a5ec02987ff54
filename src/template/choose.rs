//! Which of several texts a message has.

use std::cell::LazyCell;
use std::sync::Arc;

use super::text::Text;
use crate::domain::{Channel, Locale, PhoneNumber};

/// The texts of one kind of message.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    /// Where nothing else fits.
    pub(super) message: Text,
    /// Of single channels and languages.
    pub(super) local: Arc<[Local]>,
    /// Where neither the request nor the country leads to a text.
    pub(super) default_locale: Option<Locale>,
}

/// The text of a channel in a language; `None` is any.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) channel: Option<Channel>,
    pub(super) locale: Option<Locale>,
    pub(super) text: Text,
}

impl Texts {
    /// The text for this channel: in the `wanted` language, in that of the number's country, in the
    /// default one, in none; then the same among the texts for any channel; then the message. With it the
    /// language that it is in, as far as anybody said.
    ///
    /// The country is worked out only where there is a choice: it costs microseconds.
    pub(super) fn choose(
        &self,
        channel: Channel,
        wanted: Option<Locale>,
        to: PhoneNumber,
    ) -> (&Text, Option<Locale>) {
        if self.local.is_empty() {
            return (&self.message, self.default_locale);
        }
        let of_country = LazyCell::new(|| to.region().and_then(Locale::of_region));
        for channel in [Some(channel), None] {
            let find = |locale| self.local.iter().find(|l| l.channel == channel && l.locale == locale);
            let find_nearest = |locale: Locale| locale.lookup().find_map(|tag| find(Some(tag)));
            let has_languages = self.local.iter().any(|l| l.channel == channel && l.locale.is_some());
            let in_language = has_languages.then(|| {
                wanted
                    .and_then(find_nearest)
                    .or_else(|| of_country.and_then(find_nearest))
                    .or_else(|| self.default_locale.and_then(find_nearest))
            });
            if let Some(local) = in_language.flatten().or_else(|| find(None)) {
                return (&local.text, local.locale.or(self.default_locale));
            }
        }
        (&self.message, self.default_locale)
    }
}

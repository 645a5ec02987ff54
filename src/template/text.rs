//! One text, ready to be filled in.

use std::sync::Arc;
use std::time::Duration;

use super::pieces::{self, Piece, Spelling};
use super::{AppHash, webotp};
use crate::domain::Channel;

/// A text with the brand in it.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// As it was written, for those who show it.
    pub(super) source: Arc<str>,
    pieces: Arc<[Piece]>,
    /// The web site that text messages name in their last line.
    domain: Option<Arc<str>>,
}

impl Text {
    /// Reads a text, whatever is wrong with it. `domain` is named where the text names none itself.
    /// `between` is shown what is written between the placeholders.
    pub(super) fn new<'a>(
        written: &'a str,
        brand: &str,
        domain: Option<&Arc<str>>,
        between: impl FnMut(&'a str),
    ) -> Self {
        let (body, own) = webotp::split(written).map_or((written, None), |split| (split.text, split.domain));
        Self {
            source: written.replace("{brand}", brand).into(),
            pieces: pieces::cut(body, brand, between).into(),
            domain: own.map(Arc::from).or_else(|| domain.cloned()),
        }
    }

    /// Whether it has a place for the code, beside the line for browsers.
    pub(super) fn has_a_place_for_the_code(&self) -> bool {
        self.pieces.contains(&Piece::Code)
    }

    /// What it says without what is filled in and without the line for browsers.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(&**text),
            Piece::Code | Piece::Minutes => None,
        })
    }

    /// The message, with these `digits` as the code. An `app_hash` comes in place of the line for
    /// browsers, for both want to be the last.
    pub(super) fn finish(
        &self,
        channel: Channel,
        app_hash: Option<&AppHash>,
        digits: &str,
        valid_for: Duration,
    ) -> String {
        let spelling = if channel == Channel::Call { Spelling::Apart } else { Spelling::Whole };
        let mut text = pieces::join(&self.pieces, digits, spelling, valid_for);
        if channel == Channel::Sms {
            match (app_hash, &self.domain) {
                (Some(hash), _) => text.extend(["\n", hash.as_str()]),
                (None, Some(domain)) => text.extend(["\n\n@", domain, " #", digits]),
                (None, None) => {}
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn finished(written: &str, domain: Option<&str>, channel: Channel, hash: Option<&str>) -> String {
        let domain = domain.map(Arc::from);
        let hash = hash.and_then(AppHash::parse);
        Text::new(written, "", domain.as_ref(), |_| {}).finish(channel, hash.as_ref(), "123456", LIFE)
    }

    #[test]
    fn a_text_message_ends_in_the_line_for_browsers() {
        let ends = "Your code is 123456.\n\n@example.com #123456";
        assert_eq!(finished("Your code is {code}.", Some("example.com"), Channel::Sms, None), ends);
        let by_hand = "Your code is {code}.\n@example.com #{code}\n";
        for domain in [None, Some("other.example")] {
            assert_eq!(finished(by_hand, domain, Channel::Sms, None), ends, "what the text says holds");
        }
    }

    #[test]
    fn with_an_app_hash_that_comes_last_instead() {
        for domain in [None, Some("example.com")] {
            let text = finished("Your code is {code}.", domain, Channel::Sms, Some("FA+9qCX9VSu"));
            assert_eq!(text, "Your code is 123456.\nFA+9qCX9VSu");
        }
    }

    #[test]
    fn calls_and_whatsapp_messages_end_with_the_text() {
        let written = "Your code is {code}.\n@example.com #{code}";
        let hash = Some("FA+9qCX9VSu");
        let message = finished(written, Some("example.com"), Channel::WhatsApp, hash);
        assert_eq!(message, "Your code is 123456.");
        let call = finished(written, Some("example.com"), Channel::Call, hash);
        assert_eq!(call, "Your code is 1. 2. 3. 4. 5. 6.");
    }
}

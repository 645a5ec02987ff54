//! Exports: the whole state as lines of JSON, and back.
//!
//! The types of the lines are their own, as those of records are, so that neither the engine's nor the
//! tracker's change the format. `docs/backup.md` describes it field by field. Here is no I/O but reading and
//! writing lines, and nothing that knows where a store is.

mod check;
mod line;
mod moment;
mod number;
mod other;
mod read;
mod sends;
#[cfg(test)]
mod tests;
mod write;

pub use check::{check, name};
pub use line::Header;
pub use moment::rfc3339;
pub use other::{Other, OtherError};
pub use read::{ImportError, Reader};
pub use write::{ExportError, Writer};

use crate::delivery::tracker::{self, Track, TrackRecordError};
use crate::domain::{PhoneNumber, ServiceId, Timestamp, TrackKey};
use crate::engine::{NumberState, Verification};
use crate::numbers::record;
use crate::shard::RecordError;
use crate::store::{Entry, Kind};

/// The format that is written. An older one is read, a newer one is refused.
pub const FORMAT: u32 = 2;

/// One record, read and understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// From when on it no longer matters.
    pub gc_after: Timestamp,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The state of a number in a service.
    Number(ServiceId, PhoneNumber, NumberState),
    /// The sends of a verification.
    Sends(TrackKey, Track),
    /// Anything else.
    Other(Other),
}

/// Why a stored record is not one.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It is that of no number.
    #[error("it is kept under {0}, which is no number")]
    Number(u64),
    /// A number's state.
    #[error(transparent)]
    State(#[from] RecordError),
    /// The sends of a verification.
    #[error(transparent)]
    Track(#[from] TrackRecordError),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] OtherError),
}

impl Item {
    /// Reads a stored record.
    ///
    /// # Errors
    /// [`ContentError`] when it is damaged or of a newer program.
    pub fn decode(entry: &Entry) -> Result<Self, ContentError> {
        let (key, record) = (entry.key, &entry.record);
        let content = match key.kind {
            Kind::Number => {
                let digits = key.subject.0;
                let number = PhoneNumber::from_u64(digits).ok_or(ContentError::Number(digits))?;
                Content::Number(key.service, number, record::decode(record)?)
            }
            Kind::Track => Content::Sends(tracker::track_of(key), tracker::decode(record)?),
            Kind::Service
            | Kind::Credential
            | Kind::Counter
            | Kind::Event
            | Kind::Answered
            | Kind::SafeNumber => Content::Other(Other::decode(key, record)?),
        };
        Ok(Self { gc_after: entry.gc_after, content })
    }

    /// The record to store; `None` if there is nothing to keep.
    ///
    /// # Errors
    /// [`ContentError`], which no export leads to.
    pub fn encode(&self) -> Result<Option<Entry>, ContentError> {
        let (key, record) = match &self.content {
            Content::Number(service, number, state) => {
                (record::key_of(*service, *number), record::encode(state))
            }
            Content::Sends(key, track) => (tracker::key_of(*key), Some(tracker::encode(track)?)),
            Content::Other(other) => (other.key, Some(other.encode()?)),
        };
        Ok(record.map(|record| Entry { key, gc_after: self.gc_after, record }))
    }

    /// Whether it no longer matters at `now`.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        let ended = match &self.content {
            Content::Number(_, _, state) => state.ends().is_none_or(|end| now >= end),
            Content::Sends(..) | Content::Other(_) => false,
        };
        ended || now >= self.gc_after
    }

    /// The same for a server with another key, which cannot check the codes: without them, and without
    /// what is still to be sent. Says as well whether there was such a code or message. Counts and lockouts
    /// stay.
    #[must_use]
    pub fn without_codes(mut self) -> (Self, bool) {
        let dropped = match &mut self.content {
            Content::Number(_, _, NumberState::Open { failures, verification, .. }) => {
                let had_one = verification.is_some();
                *verification = verification.filter(|v| v.checking_until != Timestamp::EPOCH).map(|v| {
                    // The attempt that was being asked about is counted, and may lock the number when its
                    // time ends; so what carries that time stays, as a code that has expired.
                    Verification { expires: Timestamp::EPOCH, held: None, ..v }
                });
                if *failures == 0 && verification.is_none() {
                    self.content = match self.content {
                        Content::Number(service, number, _) => {
                            Content::Number(service, number, NumberState::Fresh)
                        }
                        other @ (Content::Sends(..) | Content::Other(_)) => other,
                    };
                }
                had_one
            }
            Content::Number(..) | Content::Other(_) => false,
            Content::Sends(_, track) => track.plan.take().is_some(),
        };
        (self, dropped)
    }
}

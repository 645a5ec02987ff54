//! A number's state as it is kept in the store: the engine's own type by serde, behind a version.

use bytes::Bytes;

use crate::domain::{PhoneNumber, ServiceId};
use crate::engine::NumberState;
use crate::store::record as envelope;
use crate::store::{Key, Kind, RecordError, Subject};

/// The most bytes that a state takes.
const LARGEST: usize = 113;

/// The layout written today. A change of the serialised form of [`NumberState`] or of a part of it needs a new one.
const VERSION: u8 = 1;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateRecordError {
    /// The envelope is damaged.
    #[error(transparent)]
    Envelope(#[from] RecordError),
    /// Written by a newer program.
    #[error("a number's record has version {0}, this program reads up to {VERSION}")]
    Version(u8),
    /// The checksum holds but the contents make no sense.
    #[error("a number's record does not say what it should: {0}")]
    Contents(#[from] postcard::Error),
}

/// The key that a number's record is kept under.
pub fn key_of(service: ServiceId, number: PhoneNumber) -> Key {
    Key { kind: Kind::Number, service, subject: Subject(number.as_u64()) }
}

/// Encodes a state; `None` when there is nothing to keep.
pub fn encode(state: &NumberState) -> Option<Bytes> {
    if *state == NumberState::Fresh {
        return None;
    }
    let mut buffer = [0; LARGEST];
    #[expect(clippy::expect_used, reason = "no state takes more; a test encodes the largest")]
    let body = postcard::to_slice(state, &mut buffer).expect("a state fits the buffer");
    Some(envelope::seal(VERSION, body))
}

/// Reads a record back.
pub fn decode(record: &[u8]) -> Result<NumberState, StateRecordError> {
    match envelope::open(record)? {
        (VERSION, body) => match postcard::from_bytes(body)? {
            // A fresh number has no record.
            NumberState::Fresh => Err(postcard::Error::SerdeDeCustom.into()),
            state => Ok(state),
        },
        (other, _) => Err(StateRecordError::Version(other)),
    }
}

#[cfg(test)]
pub(super) mod tests;

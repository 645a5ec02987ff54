//! A number's state as it is kept in the store.
//!
//! The record is a type of its own, so that the engine may change its mind about its state
//! without changing what is on disk. A new layout gets a new version; old ones stay readable.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{CodeLength, PhoneNumber, ServiceId, Timestamp};
use crate::engine::{NumberState, Salt, Verification};
use crate::store::record as envelope;
use crate::store::{Key, Kind, RecordError, Subject};

/// The layout written today.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
enum StateV1 {
    Open { failures: u8, keep_until: u64, verification: Option<VerificationV1> },
    Locked { until: u64 },
}

#[derive(Serialize, Deserialize)]
struct VerificationV1 {
    salt: [u8; 16],
    length: u8,
    expires: u64,
    sending: u8,
    sending_until: u64,
    sent: bool,
}

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
    Contents(String),
}

/// The key that a number's record is kept under.
pub fn key_of(service: ServiceId, number: PhoneNumber) -> Key {
    Key { kind: Kind::Number, service, subject: Subject(number.as_u64()) }
}

/// Encodes a state; `None` when there is nothing to keep.
pub fn encode(state: &NumberState) -> Option<Bytes> {
    let state = match *state {
        NumberState::Fresh => return None,
        NumberState::Locked { until } => StateV1::Locked { until: until.as_millis() },
        NumberState::Open { failures, keep_until, verification } => StateV1::Open {
            failures,
            keep_until: keep_until.as_millis(),
            verification: verification.map(|v| VerificationV1 {
                salt: v.salt.0,
                length: v.length.get(),
                expires: v.expires.as_millis(),
                sending: v.sending,
                sending_until: v.sending_until.as_millis(),
                sent: v.sent,
            }),
        },
    };
    let mut buffer = [0; 64];
    #[expect(clippy::expect_used, reason = "the largest state takes 52 bytes; a test encodes it")]
    let body = postcard::to_slice(&state, &mut buffer).expect("a state fits the buffer");
    Some(envelope::seal(VERSION, body))
}

/// Reads a record back.
pub fn decode(record: &[u8]) -> Result<NumberState, StateRecordError> {
    let (version, body) = envelope::open(record)?;
    if version != VERSION {
        return Err(StateRecordError::Version(version));
    }
    let contents = |why: &str| StateRecordError::Contents(why.to_owned());
    let state: StateV1 = postcard::from_bytes(body).map_err(|e| StateRecordError::Contents(e.to_string()))?;
    Ok(match state {
        StateV1::Locked { until } => NumberState::Locked { until: Timestamp::from_millis(until) },
        StateV1::Open { failures, keep_until, verification } => NumberState::Open {
            failures,
            keep_until: Timestamp::from_millis(keep_until),
            verification: match verification {
                None => None,
                Some(v) => Some(Verification {
                    salt: Salt(v.salt),
                    length: CodeLength::new(v.length).ok_or_else(|| contents("impossible code length"))?,
                    expires: Timestamp::from_millis(v.expires),
                    sending: v.sending,
                    sending_until: Timestamp::from_millis(v.sending_until),
                    sent: v.sent,
                }),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verification() -> impl Strategy<Value = Verification> {
        (any::<[u8; 16]>(), 4_u8..=10, any::<u64>(), any::<u8>(), any::<u64>(), any::<bool>()).prop_map(
            |(salt, length, expires, sending, sending_until, sent)| Verification {
                salt: Salt(salt),
                length: CodeLength::new(length).expect("a length"),
                expires: Timestamp::from_millis(expires),
                sending,
                sending_until: Timestamp::from_millis(sending_until),
                sent,
            },
        )
    }

    fn kept_state() -> impl Strategy<Value = NumberState> {
        let time = any::<u64>().prop_map(Timestamp::from_millis);
        prop_oneof![
            time.clone().prop_map(|until| NumberState::Locked { until }),
            (any::<u8>(), time, proptest::option::of(verification())).prop_map(
                |(failures, keep_until, verification)| NumberState::Open {
                    failures,
                    keep_until,
                    verification
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_what_is_read(state in kept_state()) {
            let record = encode(&state).expect("something to keep");
            prop_assert_eq!(decode(&record).expect("a record"), state);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
            let _ = decode(&envelope::seal(VERSION, &bytes));
        }
    }

    #[test]
    fn a_fresh_number_leaves_no_record() {
        assert!(encode(&NumberState::Fresh).is_none());
    }

    #[test]
    fn a_record_of_a_newer_program_is_refused_and_says_so() {
        let error = decode(&envelope::seal(9, b"from the future")).expect_err("a newer version");
        assert!(matches!(error, StateRecordError::Version(9)), "{error}");
    }
}

//! A number's state as it is kept in the store.
//!
//! The record is a type of its own, so that the engine may change its mind about its state
//! without changing what is on disk. A new layout gets a new version; old ones stay readable.

mod v1;
mod v2;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{Channel, CodeLength, GatewayName, Held, PhoneNumber, ServiceId, Timestamp};
use crate::engine::{Counted, NumberState, Salt, Tally, Verification};
use crate::store::record as envelope;
use crate::store::{Key, Kind, RecordError, Subject};

/// The most bytes that a state takes.
const LARGEST: usize = 114;

/// The layout written today.
const VERSION: u8 = 3;

#[derive(Serialize, Deserialize)]
enum State {
    Open { failures: u8, keep_until: u64, verification: Option<Kept>, tally: Option<KeptTally> },
    Locked { until: u64 },
}

/// A verification. Times are milliseconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct Kept {
    salt: [u8; 16],
    length: u8,
    expires: u64,
    sending: u8,
    sending_until: u64,
    sent: bool,
    postponed: bool,
    held: Option<KeptHeld>,
    checking_until: u64,
    counted: Option<KeptCounted>,
}

/// What is counted of a verification by itself.
#[derive(Serialize, Deserialize)]
struct KeptCounted {
    begun: u64,
    last_send: u64,
    channel: u8,
    sends: u8,
    wrong: u8,
    unnamed: u8,
    spent: bool,
    offset: u64,
}

/// What is counted of a number whose lockout grows.
#[derive(Serialize, Deserialize)]
struct KeptTally {
    named: u8,
    slow_until: u64,
}

/// Both by the numbers that they have in records.
#[derive(Serialize, Deserialize)]
struct KeptHeld {
    by: u8,
    channel: u8,
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
        NumberState::Locked { until } => State::Locked { until: until.as_millis() },
        NumberState::Open { failures, keep_until, tally, verification } => State::Open {
            failures,
            keep_until: keep_until.as_millis(),
            verification: verification.map(keep),
            tally: (tally != Tally::NONE)
                .then_some(KeptTally { named: tally.named, slow_until: tally.slow_until.as_millis() }),
        },
    };
    let mut buffer = [0; LARGEST];
    #[expect(clippy::expect_used, reason = "no state takes more; a test encodes the largest")]
    let body = postcard::to_slice(&state, &mut buffer).expect("a state fits the buffer");
    Some(envelope::seal(VERSION, body))
}

fn keep(v: Verification) -> Kept {
    Kept {
        salt: v.salt.0,
        length: v.length.get(),
        expires: v.expires.as_millis(),
        sending: v.sending,
        sending_until: v.sending_until.as_millis(),
        sent: v.sent,
        postponed: v.postponed,
        held: v.held.map(|held| KeptHeld { by: held.by.number(), channel: held.channel.number() }),
        checking_until: v.checking_until.as_millis(),
        counted: v.counted.map(|counted| KeptCounted {
            begun: counted.begun.as_millis(),
            last_send: counted.last_send.as_millis(),
            channel: counted.channel.number(),
            sends: counted.sends,
            wrong: counted.wrong,
            unnamed: counted.unnamed,
            spent: counted.spent,
            offset: counted.offset,
        }),
    }
}

/// Reads a record back, of this version or an older one.
pub fn decode(record: &[u8]) -> Result<NumberState, StateRecordError> {
    let (version, body) = envelope::open(record)?;
    let contents = |e: postcard::Error| StateRecordError::Contents(e.to_string());
    let state = match version {
        VERSION => postcard::from_bytes(body).map_err(contents)?,
        v2::VERSION => postcard::from_bytes::<v2::State>(body).map_err(contents)?.upgrade(),
        v1::VERSION => postcard::from_bytes::<v1::State>(body).map_err(contents)?.upgrade(),
        newer => return Err(StateRecordError::Version(newer)),
    };
    Ok(match state {
        State::Locked { until } => NumberState::Locked { until: Timestamp::from_millis(until) },
        State::Open { failures, keep_until, verification, tally } => NumberState::Open {
            failures,
            keep_until: Timestamp::from_millis(keep_until),
            tally: tally.map_or(Tally::NONE, |tally| Tally {
                named: tally.named,
                slow_until: Timestamp::from_millis(tally.slow_until),
            }),
            verification: verification.map(Kept::read).transpose()?,
        },
    })
}

impl Kept {
    fn read(self) -> Result<Verification, StateRecordError> {
        Ok(Verification {
            salt: Salt(self.salt),
            length: CodeLength::new(self.length).ok_or_else(|| nonsense("impossible code length"))?,
            expires: Timestamp::from_millis(self.expires),
            sending: self.sending,
            sending_until: Timestamp::from_millis(self.sending_until),
            sent: self.sent,
            postponed: self.postponed,
            held: self.held.map(KeptHeld::read).transpose()?,
            checking_until: Timestamp::from_millis(self.checking_until),
            counted: self.counted.map(KeptCounted::read).transpose()?,
        })
    }
}

impl KeptCounted {
    fn read(self) -> Result<Counted, StateRecordError> {
        Ok(Counted {
            begun: Timestamp::from_millis(self.begun),
            last_send: Timestamp::from_millis(self.last_send),
            channel: Channel::from_number(self.channel).ok_or_else(|| nonsense("unknown channel"))?,
            sends: self.sends,
            wrong: self.wrong,
            unnamed: self.unnamed,
            spent: self.spent,
            offset: self.offset,
        })
    }
}

impl KeptHeld {
    fn read(self) -> Result<Held, StateRecordError> {
        let by = GatewayName::from_number(self.by).ok_or_else(|| nonsense("unknown gateway"))?;
        let channel = Channel::from_number(self.channel).ok_or_else(|| nonsense("unknown channel"))?;
        Ok(Held { by, channel })
    }
}

fn nonsense(why: &str) -> StateRecordError {
    StateRecordError::Contents(why.to_owned())
}

#[cfg(test)]
pub(super) mod tests;

//! The state of a number in 64 bytes: one line of a processor's cache.
//!
//! The engine's form of a state takes twice as much, most of it the upper bytes of moments that are thousands of years
//! away. Here moments have six bytes. A state that does not fit is kept whole in an overflow map: nothing is rounded.

use crate::domain::NumberKey;
use crate::domain::{CodeLength, Held, PhoneNumber, ServiceId, Timestamp};
use crate::engine::{FailureCount, NumberState, OpenNumber, Salt, Verification};

/// One number. Aligned, so that reading it never takes two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Packed {
    number: PhoneNumber,
    service: ServiceId,
    slot: u8,
    shape: u8,
    /// When the record ends.
    ends: PackedTime,
    failures: u8,
    salt: Salt,
    length: CodeLength,
    /// The end of the code; without one the time of the last wrong code.
    expires: PackedTime,
    sending: u8,
    sending_until: PackedTime,
    held: Option<Held>,
    checking_until: PackedTime,
}

/// Shape: the state is in the overflow map.
const OVERFLOW: u8 = 0;
/// The number is locked.
const LOCKED: u8 = 1;
/// The number is open and has no code.
const OPEN: u8 = 2;
/// The number is open and has a code. Only this shape is combined with the next two flags.
const WITH_CODE: u8 = 4;
/// A flag: [`Verification::sent`].
const SENT: u8 = 8;
/// A flag: [`Verification::postponed`].
const POSTPONED: u8 = 16;
/// A flag of every shape: [`NumberKey::is_test`].
const TEST: u8 = 32;

/// A moment below 2^48 milliseconds, which is in the year 10889.
#[derive(Clone, Copy)]
struct PackedTime([u8; 6]);

impl PackedTime {
    const ZERO: Self = Self([0; 6]);

    /// `None` when it is too large.
    fn of(moment: Timestamp) -> Option<Self> {
        let bytes = moment.as_millis().to_le_bytes();
        let (low, high) = bytes.split_first_chunk()?;
        (high == [0, 0]).then_some(Self(*low))
    }

    fn get(self) -> Timestamp {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.0);
        Timestamp::from_millis(u64::from_le_bytes(bytes))
    }
}

impl std::fmt::Debug for PackedTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

impl Packed {
    /// An entry whose state is in the overflow map.
    pub(super) const fn overflow(slot: u8, key: NumberKey) -> Self {
        Self {
            number: key.number,
            service: key.service,
            slot,
            shape: OVERFLOW | if key.is_test { TEST } else { 0 },
            ends: PackedTime::ZERO,
            failures: 0,
            salt: Salt([0; 16]),
            length: CodeLength::SIX,
            expires: PackedTime::ZERO,
            sending: 0,
            sending_until: PackedTime::ZERO,
            held: None,
            checking_until: PackedTime::ZERO,
        }
    }

    /// The state of `key`; `None` when it does not fit.
    pub(super) fn of(slot: u8, key: NumberKey, state: &NumberState) -> Option<Self> {
        let empty = Self::overflow(slot, key);
        match *state {
            NumberState::Fresh => None,
            NumberState::Locked { until } => {
                Some(Self { shape: LOCKED | empty.shape, ends: PackedTime::of(until)?, ..empty })
            }
            NumberState::Open(OpenNumber { failures, keep_until, verification }) => {
                let FailureCount { in_a_row, last } = failures;
                let open = Self {
                    shape: OPEN | empty.shape,
                    ends: PackedTime::of(keep_until)?,
                    failures: in_a_row,
                    ..empty
                };
                match verification {
                    None => Some(Self { expires: PackedTime::of(last)?, ..open }),
                    Some(verification) if last == Timestamp::EPOCH => open.with(&verification),
                    Some(_) => None,
                }
            }
        }
    }

    fn with(self, v: &Verification) -> Option<Self> {
        let Verification {
            salt,
            length,
            expires,
            sending,
            sending_until,
            sent,
            postponed,
            held,
            checking_until,
            counted,
        } = *v;
        if counted.is_some() {
            return None;
        }
        let flags = if sent { SENT } else { 0 } | if postponed { POSTPONED } else { 0 };
        Some(Self {
            shape: WITH_CODE | flags | self.shape & TEST,
            salt,
            length,
            expires: PackedTime::of(expires)?,
            sending,
            sending_until: PackedTime::of(sending_until)?,
            held,
            checking_until: PackedTime::of(checking_until)?,
            ..self
        })
    }

    pub(super) const fn slot(&self) -> u8 {
        self.slot
    }

    pub(super) const fn key(&self) -> NumberKey {
        NumberKey { service: self.service, number: self.number, is_test: self.shape & TEST != 0 }
    }

    /// `None` if the state is in the overflow map.
    pub(super) fn state(&self) -> Option<NumberState> {
        let ends = self.ends.get();
        let open = |last, verification| {
            let failures = FailureCount { in_a_row: self.failures, last };
            NumberState::Open(OpenNumber { failures, keep_until: ends, verification })
        };
        Some(match self.shape & !TEST {
            OVERFLOW => return None,
            LOCKED => NumberState::Locked { until: ends },
            OPEN => open(self.expires.get(), None),
            _ => open(Timestamp::EPOCH, Some(self.verification())),
        })
    }

    fn verification(&self) -> Verification {
        Verification {
            salt: self.salt,
            length: self.length,
            expires: self.expires.get(),
            sending: self.sending,
            sending_until: self.sending_until.get(),
            sent: self.shape & SENT != 0,
            postponed: self.shape & POSTPONED != 0,
            held: self.held,
            checking_until: self.checking_until.get(),
            counted: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_number_takes_64_bytes() {
        assert_eq!((size_of::<Packed>(), align_of::<Packed>()), (64, 64));
    }

    #[test]
    fn a_packed_time_holds_every_moment_below_two_to_the_48_and_no_other() {
        for value in [0, 1, 0x0102_0304_0506, (1 << 48) - 1] {
            let moment = Timestamp::from_millis(value);
            assert_eq!(PackedTime::of(moment).map(PackedTime::get), Some(moment));
        }
        for value in [1 << 48, 1 << 63, u64::MAX] {
            assert!(PackedTime::of(Timestamp::from_millis(value)).is_none());
        }
    }
}

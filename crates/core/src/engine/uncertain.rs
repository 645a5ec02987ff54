//! States after a failed commit.

use super::{FailureCount, NumberState, OpenNumber, Verification, VerificationDetails};
use crate::domain::Timestamp;

/// Merges two states of one number when the store did not say whether the change from `before` to `after` is durable.
/// The result keeps each count and each lockout, and voids a code that may be used up. The caller does not carry out
/// the effects of the change. `now` is the time of the merge.
pub fn merge_pessimistic(before: NumberState, after: NumberState, now: Timestamp) -> NumberState {
    match (before, after) {
        (NumberState::Locked { until: a }, NumberState::Locked { until: b }) => {
            NumberState::Locked { until: a.max(b) }
        }
        (locked @ NumberState::Locked { .. }, _) | (_, locked @ NumberState::Locked { .. }) => locked,
        (NumberState::Fresh, NumberState::Fresh) => NumberState::Fresh,
        // The message with the number's first code was not sent, or the code may be used up. The count that a success would
        // clear stays, and so does that of a check of a number whose state before has ended meanwhile.
        (NumberState::Fresh, NumberState::Open(open)) | (NumberState::Open(open), NumberState::Fresh) => {
            let verification = open.verification.and_then(|v| used_up(v, now));
            NumberState::Open(OpenNumber { verification, ..open })
        }
        (NumberState::Open(old), NumberState::Open(new)) => NumberState::Open(OpenNumber {
            failures: old.failures.merge_pessimistic(new.failures, now),
            keep_until: old.keep_until.max(new.keep_until),
            // A new code whose send was not committed was not sent: the old code stays valid.
            verification: match (old.verification, new.verification) {
                (Some(old), Some(new)) if old.salt == new.salt => Some(same_code(old, new, now)),
                // A check of the new one is over and counts, as in `same_code`: it may have been the last.
                (Some(old), Some(new)) => {
                    let checking_until = old.checking_until.max(new.checking_until.min(now));
                    Some(Verification { checking_until, ..old })
                }
                (None, Some(new)) => used_up(new, now),
                (_, None) => None,
            },
        }),
    }
}

/// Merges two states of one code. The results of its messages are kept.
fn same_code(old: Verification, new: Verification, now: Timestamp) -> Verification {
    Verification {
        // Its life was not prolonged if a further send of it was not committed.
        expires: old.expires.min(new.expires),
        // A further message that was not committed was not sent; a settled one has its result.
        sending: old.sending.min(new.sending),
        postponed: old.postponed || new.postponed,
        // A check whose commit failed never reached the gateway: it is over, and its attempt counts. An earlier check
        // goes on.
        checking_until: if old.checking_until == new.checking_until {
            old.checking_until
        } else {
            new.checking_until.min(now)
        },
        counted: match (old.counted, new.counted) {
            (Some(old), Some(new)) => Some(old.merge_pessimistic(new)),
            (old, new) => new.or(old),
        },
        ..new
    }
}

/// Voids a code. If a gateway is checking it, the result keeps the end of that check: the attempt may have been the
/// last, and then locks the number.
fn used_up(code: Verification, now: Timestamp) -> Option<Verification> {
    let (expires, checking_until) = (code.expires.min(now), code.checking_until.min(now));
    (checking_until != Timestamp::EPOCH).then_some(Verification { expires, checking_until, ..code })
}

impl FailureCount {
    /// The larger count and the later time, both as they are at `now`: a hard stop that has ended must not hide the
    /// wrong codes that were counted after it.
    #[must_use]
    fn merge_pessimistic(self, other: Self, now: Timestamp) -> Self {
        let (Self { in_a_row, last, forgotten }, other) = (self.at(now), other.at(now));
        Self {
            in_a_row: in_a_row.max(other.in_a_row),
            last: last.max(other.last),
            forgotten: forgotten.max(other.forgotten),
        }
    }
}

impl VerificationDetails {
    /// Both are about one verification.
    #[must_use]
    pub(super) fn merge_pessimistic(self, other: Self) -> Self {
        Self {
            last_send: self.last_send.max(other.last_send),
            sends: self.sends.max(other.sends),
            wrong: self.wrong.max(other.wrong),
            spent: self.spent || other.spent,
            canceled: self.canceled || other.canceled,
            ..other
        }
    }
}

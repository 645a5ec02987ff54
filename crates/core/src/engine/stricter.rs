//! What memory keeps when a commit fails.

use super::{NumberState, Verification};
use crate::domain::Timestamp;

/// The stricter of two states of one number: what to assume when nobody knows whether the step
/// from `before` to `after` became durable. A count once made stays, a lockout stays, and a code
/// that may be used up is void. What a command was to do outside once it was durable, a message or a
/// question to the gateway that holds the code, is not done; `now` is when that is decided.
pub fn stricter(before: NumberState, after: NumberState, now: Timestamp) -> NumberState {
    match (before, after) {
        (NumberState::Locked { until: a }, NumberState::Locked { until: b }) => {
            NumberState::Locked { until: a.max(b) }
        }
        (locked @ NumberState::Locked { .. }, _) | (_, locked @ NumberState::Locked { .. }) => locked,
        // The message with the number's first code never left: nobody has it. Its record may be on the disk, and
        // ends with this one.
        (NumberState::Fresh, NumberState::Open { failures, keep_until, tally, .. }) => {
            NumberState::Open { failures, keep_until, tally, verification: None }
        }
        (NumberState::Fresh, NumberState::Fresh) => NumberState::Fresh,
        // The code may be used up; the count that a success would clear stays.
        (NumberState::Open { failures, keep_until, tally, verification }, NumberState::Fresh) => {
            let verification = verification.and_then(|v| used_up(v, now));
            NumberState::Open { failures, keep_until, tally, verification }
        }
        (
            NumberState::Open { failures: a, keep_until: kept_a, tally: tally_a, verification: old },
            NumberState::Open { failures: b, keep_until: kept_b, tally: tally_b, verification: new },
        ) => {
            // A new code whose send was not committed never left: the old one stays good.
            let verification = match (old, new) {
                (Some(old), Some(new)) if old.salt == new.salt => Some(same_code(old, new, now)),
                (old, Some(_)) => old,
                (_, None) => None,
            };
            let (failures, keep_until) = (a.max(b), kept_a.max(kept_b));
            NumberState::Open { failures, keep_until, tally: tally_a.stricter(tally_b), verification }
        }
    }
}

/// Both are about one code: what is known of its fate stays known.
fn same_code(old: Verification, new: Verification, now: Timestamp) -> Verification {
    Verification {
        // Its life was not prolonged if a further send of it was not committed.
        expires: old.expires.min(new.expires),
        // A further message that was not committed never left; one that was settled has its answer.
        sending: old.sending.min(new.sending),
        postponed: old.postponed || new.postponed,
        // Nor was a gateway asked about a check that was not committed: it is over, and counts. One that
        // was committed before goes on.
        checking_until: if old.checking_until == new.checking_until {
            old.checking_until
        } else {
            new.checking_until.min(now)
        },
        counted: match (old.counted, new.counted) {
            (Some(old), Some(new)) => Some(old.stricter(new)),
            (old, new) => new.or(old),
        },
        ..new
    }
}

/// A code that nobody may use any more. Of one that a gateway was asked about it stays known that its
/// attempt was not settled: it may have been the last one, which locks.
fn used_up(code: Verification, now: Timestamp) -> Option<Verification> {
    let (expires, checking_until) = (code.expires.min(now), code.checking_until.min(now));
    (checking_until != Timestamp::EPOCH).then_some(Verification { expires, checking_until, ..code })
}

//! States that rest on something unknown: a commit that failed, or a clock that was ahead.

use super::{Counted, NumberState, Policy, Tally, Verification};
use crate::domain::Timestamp;

/// The more pessimistic of two states of one number: what to assume when it is unknown whether the step
/// from `before` to `after` became durable. A count once made stays, a lockout stays, and a code
/// that may be used up is void. The effects of the command, a message or a question to the gateway that holds
/// the code, do not happen; `now` is when that is decided.
pub fn merge_pessimistic(before: NumberState, after: NumberState, now: Timestamp) -> NumberState {
    match (before, after) {
        (NumberState::Locked { until: a }, NumberState::Locked { until: b }) => {
            NumberState::Locked { until: a.max(b) }
        }
        (locked @ NumberState::Locked { .. }, _) | (_, locked @ NumberState::Locked { .. }) => locked,
        // The message with the number's first code never left. Its record may be on the disk, and ends with this one.
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
            NumberState::Open {
                failures,
                keep_until,
                tally: tally_a.merge_pessimistic(tally_b),
                verification,
            }
        }
    }
}

/// Both are about one code: what is known about its messages stays known.
fn same_code(old: Verification, new: Verification, now: Timestamp) -> Verification {
    Verification {
        // Its life was not prolonged if a further send of it was not committed.
        expires: old.expires.min(new.expires),
        // A further message that was not committed never left; one that was settled has its result.
        sending: old.sending.min(new.sending),
        postponed: old.postponed || new.postponed,
        // A check that was not committed did not reach the gateway: it is over, and counts. One that was committed
        // before goes on.
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

/// A code that must not be used any more. If a gateway was being asked about it, that attempt stays known as not
/// settled: it may have been the last one, which locks.
fn used_up(code: Verification, now: Timestamp) -> Option<Verification> {
    let (expires, checking_until) = (code.expires.min(now), code.checking_until.min(now));
    (checking_until != Timestamp::EPOCH).then_some(Verification { expires, checking_until, ..code })
}

impl Tally {
    #[must_use]
    fn merge_pessimistic(self, other: Self) -> Self {
        Self { named: self.named.max(other.named), slow_until: self.slow_until.max(other.slow_until) }
    }
}

impl Counted {
    /// Both are about one verification.
    #[must_use]
    pub(super) fn merge_pessimistic(self, other: Self) -> Self {
        Self {
            last_send: self.last_send.max(other.last_send),
            sends: self.sends.max(other.sends),
            wrong: self.wrong.max(other.wrong),
            unnamed: self.unnamed.max(other.unnamed),
            spent: self.spent || other.spent,
            ..other
        }
    }
}

impl NumberState {
    /// The same state with no time further ahead than what begins at `now` could be: a lockout lasts at
    /// most a whole term more, a code a whole life. For records that an unknown clock wrote.
    #[must_use]
    pub fn clamp_deadlines(self, policy: &Policy, now: Timestamp) -> Self {
        let code_ends = now.plus(policy.code.life);
        match self {
            Self::Fresh => Self::Fresh,
            Self::Locked { until } => Self::Locked { until: until.min(now.plus(policy.lockout)) },
            Self::Open { failures, keep_until, tally, verification } => Self::Open {
                failures,
                keep_until: if keep_until == Timestamp::MAX {
                    keep_until
                } else {
                    keep_until.min(code_ends.plus(policy.lockout))
                },
                tally: Tally { slow_until: tally.slow_until.min(now.plus(Policy::LONGEST_WAIT)), ..tally },
                verification: verification.map(|v| Verification {
                    expires: v.expires.min(code_ends),
                    // While its code lives the message may still come.
                    sending_until: v.sending_until.min(code_ends),
                    // The gateway's answer will not arrive any more. The attempt is counted.
                    checking_until: v.checking_until.min(now),
                    counted: v.counted.map(|counted| Counted {
                        begun: counted.begun.min(now),
                        last_send: counted.last_send.min(now),
                        ..counted
                    }),
                    ..v
                }),
            },
        }
    }
}

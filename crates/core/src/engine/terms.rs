//! What to make of a state whose times were written by a clock that was ahead.

use super::counted::LONGEST_WAIT;
use super::{Counted, FOR_EVER, NumberState, Policy, Tally, Verification};
use crate::domain::Timestamp;

impl NumberState {
    /// The same state with no time further ahead than what begins at `now` could be: a lockout lasts at
    /// most a whole term more, a code a whole life. For records of which nobody knows by which clock they
    /// were written.
    #[must_use]
    pub fn within_terms(self, policy: &Policy, now: Timestamp) -> Self {
        let code_ends = now.plus(policy.code.life);
        match self {
            Self::Fresh => Self::Fresh,
            Self::Locked { until } => Self::Locked { until: until.min(now.plus(policy.lockout)) },
            Self::Open { failures, keep_until, tally, verification } => Self::Open {
                failures,
                keep_until: if keep_until == FOR_EVER {
                    keep_until
                } else {
                    keep_until.min(code_ends.plus(policy.lockout))
                },
                tally: Tally { slow_until: tally.slow_until.min(now.plus(LONGEST_WAIT)), ..tally },
                verification: verification.map(|v| Verification {
                    expires: v.expires.min(code_ends),
                    // While its code lives the message may still come.
                    sending_until: v.sending_until.min(code_ends),
                    // Whoever was asked will not be heard any more. The attempt is counted.
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

//! What memory keeps when a commit fails.

use super::NumberState;

/// The stricter of two states of one number: what to assume when nobody knows whether the step
/// from `before` to `after` became durable. A count once made stays, a lockout stays, and a code
/// that may be used up is void.
pub fn stricter(before: NumberState, after: NumberState) -> NumberState {
    match (before, after) {
        (NumberState::Locked { until: a }, NumberState::Locked { until: b }) => {
            NumberState::Locked { until: a.max(b) }
        }
        (locked @ NumberState::Locked { .. }, _) | (_, locked @ NumberState::Locked { .. }) => locked,
        (NumberState::Fresh, other) => other,
        // The code may be used up; the count that a success would clear stays.
        (NumberState::Open { failures, keep_until, .. }, NumberState::Fresh) => {
            NumberState::Open { failures, keep_until, verification: None }
        }
        (
            NumberState::Open { failures: a, keep_until: kept_a, verification: old },
            NumberState::Open { failures: b, keep_until: kept_b, verification: new },
        ) => {
            // A new code whose send was not committed never left: the old one stays good.
            let verification = match (old, new) {
                (Some(old), Some(new)) if old.salt == new.salt => Some(new),
                (old, Some(_)) => old,
                (_, None) => None,
            };
            NumberState::Open { failures: a.max(b), keep_until: kept_a.max(kept_b), verification }
        }
    }
}

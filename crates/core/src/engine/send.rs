//! May a code be sent, and which?

use std::time::Duration;

use super::{Counted, NumberState, Policy, Salt, SendOptions, Tally, Verification};
use crate::domain::{CodeLength, Held, Timestamp};

/// What a send may do next. No message leaves before the state it comes with is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// Hand a message to the gateway, then [`settle`](fn@super::settle) the permit.
    Permitted(SendPermit),
    /// The number is locked out.
    Locked {
        /// When it may ask again.
        until: Timestamp,
    },
    /// A gateway is being asked about a submitted code: decide again when that is settled.
    Busy {
        /// When it is over, settled or not.
        until: Timestamp,
    },
}

/// The right to send one message with one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendPermit {
    /// What the code is derived from.
    pub salt: Salt,
    /// How many digits it has.
    pub length: CodeLength,
    /// When it ends: the message must not leave after that.
    pub expires: Timestamp,
    /// Who keeps this verification's code because an earlier message was a gateway's own: no other can
    /// repeat it.
    pub held: Option<Held>,
    /// The code that this one replaced, as it was then; it comes back if this one surely reached nobody.
    /// A repetition does not say it.
    pub replaced: Option<Verification>,
    /// What is counted of the verification, if anything is.
    pub counted: Option<Counted>,
}

impl SendPermit {
    /// What its code has more than the derived one.
    pub fn offset(&self) -> u64 {
        self.counted.map_or(0, |counted| counted.offset)
    }
}

/// The right to send the code of this verification.
pub(super) const fn permit_for(verification: &Verification, replaced: Option<Verification>) -> SendPermit {
    let Verification { salt, length, expires, held, counted, .. } = *verification;
    SendPermit { salt, length, expires, held, replaced, counted }
}

/// Decides a send.
///
/// A send replaces the outstanding code and restarts its life, and keeps the count of wrong
/// codes. One exception: while a message with the present code may be on its way, a further send
/// repeats that code, for a message must never carry a code that can no longer be used. That holds for
/// its length too, whatever length is asked for.
///
/// `salt` is fresh randomness; `send_budget` is how long the gateway may take to answer.
pub fn send(
    state: NumberState,
    policy: &Policy,
    options: SendOptions,
    salt: Salt,
    send_budget: Duration,
    now: Timestamp,
) -> (NumberState, SendOutcome) {
    let state = state.present(policy, now);
    let (failures, kept, tally, current) = match state {
        NumberState::Locked { until } => return (state, SendOutcome::Locked { until }),
        NumberState::Fresh => (0, Timestamp::EPOCH, Tally::NONE, None),
        NumberState::Open { failures, keep_until, tally, verification } => {
            (failures, keep_until, tally, verification)
        }
    };
    if let Some(asked) = current.filter(|v| v.is_checking(now)) {
        return (state, SendOutcome::Busy { until: asked.checking_until });
    }
    let on_its_way = current.filter(|v| v.is_sending(now) && v.is_live(now));
    let verification = Verification {
        salt: on_its_way.map_or(salt, |v| v.salt),
        length: on_its_way.map_or(options.length, |v| v.length),
        // A message on its way says how long its code is good: a further send never shortens that.
        expires: on_its_way.map_or(Timestamp::EPOCH, |v| v.expires).max(now.plus(options.life)),
        sending: on_its_way.map_or(0, |v| v.sending).saturating_add(1),
        sending_until: now.plus(send_budget),
        sent: on_its_way.is_some_and(|v| v.sent),
        postponed: on_its_way.is_some_and(|v| v.postponed),
        held: on_its_way.and_then(|v| v.held),
        checking_until: Timestamp::EPOCH,
        counted: on_its_way.and_then(|v| v.counted),
    };
    let next = NumberState::Open {
        failures,
        keep_until: kept.max(verification.expires.plus(policy.lockout)),
        tally,
        verification: Some(verification),
    };
    let replaced = if on_its_way.is_some() { None } else { current };
    (next, SendOutcome::Permitted(permit_for(&verification, replaced)))
}

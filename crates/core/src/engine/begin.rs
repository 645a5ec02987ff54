//! May a verification begin now, or a further message of it be sent?

use std::time::Duration;

use super::counted::cooling_down;
use super::send::permit_for;
use super::{Counted, NumberState, Policy, Salt, SendOptions, SendPermit, Tally, Verification, offset_of};
use crate::domain::{Channel, Code, PhoneNumber, ServerKey, ServiceId, Timestamp};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    /// What a new code is like.
    pub options: SendOptions,
    /// How it is delivered.
    pub channel: Channel,
    /// The code, where the caller brings one.
    pub brought: Option<&'a Code>,
    /// Whether nobody is sent anything: the caller knows the code.
    pub silent: bool,
    /// Whose it is.
    pub number: PhoneNumber,
    /// The namespace.
    pub service: ServiceId,
    /// What codes are derived with.
    pub key: &'a ServerKey,
}

/// What may happen next. No message leaves before the state it comes with is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginOutcome {
    /// Hand a message to the gateway, then [`settle`](fn@super::settle) the permit.
    Permitted(SendPermit),
    /// The number is locked out.
    Locked {
        /// When it may ask again.
        until: Timestamp,
    },
    /// Nobody may try a code of this number, so none is sent.
    NoChecksLeft {
        /// When somebody may; `None` until an operator says so.
        until: Option<Timestamp>,
    },
    /// The verification has had all its messages.
    NoSendsLeft {
        /// When it ends.
        until: Timestamp,
    },
    /// The next message has to wait.
    CoolingDown {
        /// When it may be sent.
        until: Timestamp,
    },
    /// A message with another code than the one brought along is still on its way.
    StillSending {
        /// When it is over, answered or not.
        until: Timestamp,
    },
    /// A gateway is being asked about a submitted code: decide again when that is settled.
    Busy {
        /// When it is over, settled or not.
        until: Timestamp,
    },
}

/// Decides the beginning of a verification, or a further message of the one that is under way.
///
/// There is one verification for a number at a time: it keeps its name until it is verified, ended or over, and its
/// counts. `salt` is fresh randomness; `send_budget` is how long the gateway may take to answer.
pub fn begin(
    state: NumberState,
    policy: &Policy,
    asked: Begin<'_>,
    salt: Salt,
    send_budget: Duration,
    now: Timestamp,
) -> (NumberState, BeginOutcome) {
    let state = state.present(policy, now);
    let (failures, kept, tally, current) = match state {
        NumberState::Locked { until } => return (state, BeginOutcome::Locked { until }),
        NumberState::Fresh => (0, Timestamp::EPOCH, Tally::NONE, None),
        NumberState::Open { failures, keep_until, tally, verification } => {
            (failures, keep_until, tally, verification)
        }
    };
    if let Some(asked) = current.filter(|v| v.is_checking(now)) {
        return (state, BeginOutcome::Busy { until: asked.checking_until });
    }
    let under_way = current.filter(|v| now < v.expires);
    if let Some(refusal) = refusal(policy, tally, under_way, now) {
        return (state, refusal);
    }
    let on_its_way = under_way.filter(|v| v.is_sending(now));
    let offset = |salt: &Salt| {
        let Begin { brought, key, number, service, .. } = asked;
        brought.map_or(0, |code| offset_of(key, salt, number, service, code))
    };
    let length = asked.brought.map_or(asked.options.length, Code::length);
    // One that the caller brought may be another than the last.
    let same =
        |v: &Verification| asked.brought.is_none() || (v.length == length && offset(&v.salt) == v.offset());
    if let Some(v) = on_its_way.filter(|v| !same(v)) {
        return (state, BeginOutcome::StillSending { until: v.sending_until });
    }
    let again = under_way.filter(|v| same(v) && (on_its_way.is_some() || policy.sends.keeps_code));
    let counted = under_way.and_then(|v| v.counted).unwrap_or(Counted::beginning(now, asked.channel));
    let named = under_way.filter(|v| v.counted.is_some());
    // A new code of the same verification keeps the half of the salt that is its name.
    let salt = again.map_or_else(|| named.map_or(salt, |v| v.salt.renewed(&salt)), |v| v.salt);
    let offset = again.map_or_else(|| offset(&salt), |v| v.offset());
    let expires = match again {
        Some(v) if policy.sends.keeps_code => v.expires,
        // A message on its way says how long its code is good: a further send never shortens that.
        Some(v) => v.expires.max(now.plus(asked.options.life)),
        None => now.plus(asked.options.life),
    };
    let verification = Verification {
        salt,
        length: again.map_or(length, |v| v.length),
        expires,
        sending: again.map_or(0, |v| v.sending).saturating_add(u8::from(!asked.silent)),
        sending_until: now.plus(send_budget),
        sent: asked.silent || again.is_some_and(|v| v.sent),
        postponed: again.is_some_and(|v| v.postponed),
        held: again.and_then(|v| v.held),
        checking_until: Timestamp::EPOCH,
        counted: Some(Counted {
            last_send: now,
            channel: asked.channel,
            sends: counted.sends.saturating_add(1),
            offset,
            ..counted
        }),
    };
    let next = NumberState::Open {
        failures,
        keep_until: kept.max(verification.expires.plus(policy.lockout)),
        tally,
        verification: Some(verification),
    };
    let replaced = if again.is_some() { None } else { current };
    (next, BeginOutcome::Permitted(permit_for(&verification, replaced)))
}

/// Why no message is sent now.
fn refusal(
    policy: &Policy,
    tally: Tally,
    under_way: Option<Verification>,
    now: Timestamp,
) -> Option<BeginOutcome> {
    if tally.named >= Policy::HARD_STOP && policy.max_attempts != Policy::NO_LIMIT {
        return Some(BeginOutcome::NoChecksLeft { until: None });
    }
    let v = under_way?;
    if v.is_spent() {
        return Some(BeginOutcome::NoChecksLeft { until: Some(v.expires) });
    }
    let counted = v.counted?;
    if policy.sends.max.is_some_and(|max| counted.sends >= max) {
        return Some(BeginOutcome::NoSendsLeft { until: v.expires });
    }
    let until = counted.last_send.plus(cooling_down(counted.sends));
    (policy.sends.cools_down && now < until).then_some(BeginOutcome::CoolingDown { until })
}

//! Decides whether a message may be sent now and which code it carries, also a planned one, and ends a verification by
//! request.

use super::{
    NumberState, OpenNumber, Policy, Rules, Salt, SendOptions, Verification, VerificationDetails,
    VerificationName,
};
use crate::domain::{Channel, Code, Held, PhoneNumber, ServiceId, Timestamp};

/// A request for a message.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    /// The service that the number is counted in.
    pub service: ServiceId,
    pub number: PhoneNumber,
    /// Properties of a new code.
    pub options: SendOptions,
    /// Carries the message.
    pub channel: Channel,
    /// Options of a verification with limits and an id. `None` for the compatible routes: each of their messages
    /// replaces the code, without limits.
    pub verification: Option<VerificationOptions<'a>>,
}

/// The options of a verification with limits and an id.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerificationOptions<'a> {
    /// The code that the caller supplies.
    pub supplied_code: Option<&'a Code>,
    /// No message is sent because the caller knows the code: a test number.
    pub is_test: bool,
    /// The code is another system's, which limits its messages itself: each begins a verification without limits.
    pub is_carried: bool,
}

/// The decision about a message. The caller must make the new state durable before it sends the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginOutcome {
    /// Hand a message to the gateway, then [`settle`](fn@super::settle) the permit.
    Permitted(SendPermit),
    /// The number is locked out until then.
    Locked { until: Timestamp },
    /// A rule of the verification forbids the message now.
    Limited(SendLimit),
    /// A gateway is being asked about a submitted code.
    Busy,
}

/// The rule that forbids a message of a verification with limits and an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendLimit {
    /// No check would be allowed until then, therefore no code is sent.
    NoChecksLeft { until: Timestamp },
    /// The verification has used its messages, or has lived too long for a further one. It ends then.
    NoSendsLeft { until: Timestamp },
    /// The wait after the last message ends then.
    CoolingDown { until: Timestamp },
    /// A message with another code than the one the caller supplies is on its way, until then at the latest.
    StillSending { until: Timestamp },
}

impl SendLimit {
    /// When it ends.
    pub const fn until(self) -> Timestamp {
        let (Self::NoChecksLeft { until }
        | Self::NoSendsLeft { until }
        | Self::CoolingDown { until }
        | Self::StillSending { until }) = self;
        until
    }
}

/// The decision about a planned repetition of the live code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is returned and matched at once")]
pub enum ResumeOutcome {
    /// Hand a message to the gateway, then [`settle`](fn@super::settle) the permit.
    Permitted(SendPermit),
    /// The code was used, replaced or locked, or it has expired or would soon.
    NotUsable,
    /// A gateway is being asked about a submitted code.
    Busy,
}

/// The right to send one message with one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendPermit {
    /// The verification that the message is for. The message must not be sent after it expires.
    pub verification: Verification,
    /// The replaced code in its state at that time. [`settle`](fn@super::settle) restores it if this message was
    /// certainly not sent. `None` for a repetition.
    pub replaced: Option<Verification>,
    /// The counts without this message, which are restored too. `None` if it is not counted.
    pub before: Option<VerificationDetails>,
}

impl SendPermit {
    /// Returns `true` if the permit is for this verification and its present code.
    pub fn is_for(&self, verification: &Verification) -> bool {
        verification.salt == self.verification.salt
    }
}

/// Decides a message: the first of a verification, or a further one.
///
/// By the compatible routes each message replaces the code and restarts its life. A verification with an id keeps it
/// and its counts until it is approved, ended or expired; whether a further message repeats its code is in
/// [`SendRules::keeps_code`](super::SendRules). A message that repeats a code prolongs its life, so that enough of it is left.
///
/// One exception holds for both: while a message with the present code may be on its way, a further message repeats
/// that code and its length, because a message must never carry a code that can no longer be used.
///
/// Wrong codes stay counted. `salt` is fresh randomness.
pub fn begin(
    state: NumberState,
    rules: &Rules<'_>,
    request: Begin<'_>,
    salt: Salt,
    now: Timestamp,
) -> (NumberState, BeginOutcome) {
    let policy = &rules.policy;
    let (state, open) = match state.opened(policy, now) {
        Ok(opened) => opened,
        Err((locked, until)) => return (locked, BeginOutcome::Locked { until }),
    };
    let current = open.verification;
    if current.is_some_and(|v| v.is_checking(now)) {
        return (state, BeginOutcome::Busy);
    }
    let is_carried = request.verification.is_some_and(|options| options.is_carried);
    // A test number gets no message: how many a suite of tests asks for does not matter.
    let is_test = request.verification.is_some_and(|options| options.is_test);
    if request.verification.is_some()
        && !is_carried
        && let Some(limit) = send_limit(policy, &open, now)
        && (!is_test || matches!(limit, SendLimit::NoChecksLeft { .. }))
    {
        return (state, BeginOutcome::Limited(limit));
    }
    let fresh = Verification::beginning(salt, &request.options, now);
    let live = current.filter(|v| v.is_live(now) && !is_carried);
    let (carried, before) = match request.verification {
        // A message states the life of its code. Therefore a further message never shortens that life.
        None => (live.filter(|v| v.is_sending(now)).map_or(fresh, |v| v.prolonged(fresh.expires)), None),
        Some(_) => match named_verification(rules, &request, fresh, live, now) {
            Ok((verification, before)) => (verification, Some(before)),
            Err(limit) => return (state, BeginOutcome::Limited(limit)),
        },
    };
    let verification = if is_test {
        carried.sent_with(None)
    } else {
        let (sending, sending_until) = (carried.sending.saturating_add(1), now.plus(rules.send_budget));
        Verification { sending, sending_until, ..carried }
    };
    let next = open.with(Some(verification)).with_end_by(policy);
    let replaced = current.filter(|v| v.salt != verification.salt);
    (next, BeginOutcome::Permitted(SendPermit { verification, replaced, before }))
}

/// The verification whose code a further message carries, or `fresh` with the name and the counts of the `live` one; and
/// its counts without this message.
///
/// # Errors
/// A message with another code than the one that the caller supplies is on its way, or the code cannot live long enough.
fn named_verification(
    rules: &Rules<'_>,
    request: &Begin<'_>,
    fresh: Verification,
    live: Option<Verification>,
    now: Timestamp,
) -> Result<(Verification, VerificationDetails), SendLimit> {
    let supplied = request.verification.and_then(|options| options.supplied_code);
    let length = supplied.map_or(fresh.length, Code::length);
    let offset = |v: &Verification| {
        supplied.map_or(0, |code| v.code_seed(request.service, request.number).offset_of(code, rules.key))
    };
    // The caller may supply another code than the last.
    let is_same = |v: &Verification| supplied.is_none() || (v.length == length && offset(v) == v.offset());
    let on_its_way = live.filter(|v| v.is_sending(now));
    if let Some(v) = on_its_way.filter(|v| !is_same(v)) {
        return Err(SendLimit::StillSending { until: v.sending_until });
    }
    let counted = live.and_then(|v| Some((v.salt, v.counted?)));
    let before = counted.map_or(VerificationDetails::beginning(now, request.channel), |(_, counted)| counted);
    let repeated = match live.filter(is_same) {
        Some(v) if rules.policy.sends.keeps_code => {
            let prolonged = v.for_message(before.begun, rules, now);
            let is_test = request.verification.is_some_and(|options| options.is_test);
            if prolonged.is_none() && !is_test {
                return Err(SendLimit::NoSendsLeft { until: v.expires });
            }
            prolonged
        }
        _ => on_its_way.map(|v| v.prolonged(fresh.expires)),
    };
    let carried = repeated.unwrap_or_else(|| {
        // A new code of the same verification keeps the half of the salt that is its name.
        let salt = counted.map_or(fresh.salt, |(salt, _)| salt.renewed(&fresh.salt));
        Verification { salt, length, ..fresh }
    });
    let offset = repeated.map_or_else(|| offset(&carried), |v| v.offset());
    let (channel, sends) = (request.channel, before.sends.saturating_add(1));
    let counted = VerificationDetails { last_send: now, channel, sends, offset, ..before };
    Ok((Verification { counted: Some(counted), ..carried }, before))
}

/// Returns the rule that forbids a further message, if there is one.
fn send_limit(policy: &Policy, open: &OpenNumber, now: Timestamp) -> Option<SendLimit> {
    // A send is refused when checks are.
    if let Some(until) = open.refused_until(policy, now) {
        return Some(SendLimit::NoChecksLeft { until });
    }
    let v = open.verification.filter(|v| v.is_active(now))?;
    let counted = v.counted?;
    if policy.sends.max.is_some_and(|max| counted.sends >= max) {
        return Some(SendLimit::NoSendsLeft { until: v.expires });
    }
    let until = counted.last_send.plus(Policy::wait_between_sends(counted.sends));
    (policy.sends.cools_down && now < until).then_some(SendLimit::CoolingDown { until })
}

/// Decides a planned repetition. It is permitted only while the code of `salt` is the number's live code, and can live long
/// enough; it prolongs that life as a requested message does. If the client requests a message meanwhile, that message
/// repeats the code, as during any other send.
pub fn resume(
    state: NumberState,
    rules: &Rules<'_>,
    salt: Salt,
    now: Timestamp,
) -> (NumberState, ResumeOutcome) {
    let (state, open) = match state.opened(&rules.policy, now) {
        Ok(opened) => opened,
        Err((locked, _)) => return (locked, ResumeOutcome::NotUsable),
    };
    let Some(current) = open.verification.filter(|v| v.salt == salt && v.is_live(now)) else {
        return (state, ResumeOutcome::NotUsable);
    };
    if current.is_checking(now) {
        return (state, ResumeOutcome::Busy);
    }
    // By the compatible routes it began with the last requested message, which its end does not tell any more.
    let counted = current.details(&rules.policy);
    let Some(prolonged) = current.for_message(counted.begun, rules, now) else {
        return (state, ResumeOutcome::NotUsable);
    };
    let verification = Verification {
        sending: current.sending.saturating_add(1),
        sending_until: current.sending_until.max(now.plus(rules.send_budget)),
        postponed: false,
        counted: Some(counted),
        ..prolonged
    };
    let permit = SendPermit { verification, replaced: None, before: None };
    let next = open.with(Some(verification)).with_end_by(&rules.policy);
    (next, ResumeOutcome::Permitted(permit))
}

/// A request other than a check that ends a verification or clears the counts of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The verification ends without success, and can be fetched until it expires. The number's counts stay.
    Canceled,
    /// The caller verified the person in another way. The effect is that of a right code.
    Approved,
    /// An operator clears all counts and lockouts of the number.
    Cleared,
    /// An operator erases the number. Only a lockout that is in force stays, until its end.
    Erased,
}

/// The decision about an ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOutcome {
    Ended(Option<Verification>),
    /// No such verification is active.
    NotFound,
    /// A gateway is being asked about a submitted code.
    Busy,
}

/// Ends the active verification if `named` is its name or `None`. [`Ending::Cleared`] and [`Ending::Erased`] also work
/// without one.
pub fn end(
    state: NumberState,
    rules: &Rules<'_>,
    ending: Ending,
    named: Option<VerificationName>,
    now: Timestamp,
) -> (NumberState, EndOutcome) {
    let policy = &rules.policy;
    let (state, open) = match (state.opened(policy, now), ending) {
        (Ok(opened), _) => opened,
        (Err(_), Ending::Cleared) => return (NumberState::Fresh, EndOutcome::Ended(None)),
        (Err((_, until)), Ending::Erased) => return (NumberState::Locked { until }, EndOutcome::Ended(None)),
        (Err((locked, _)), Ending::Canceled | Ending::Approved) => return (locked, EndOutcome::NotFound),
    };
    if open.verification.is_some_and(|v| v.is_checking(now)) {
        return (state, EndOutcome::Busy);
    }
    let is_meant = |v: &Verification| v.is_active(now) && v.matches_name(named);
    let under_way = open.verification.filter(is_meant);
    let next = match (ending, under_way) {
        (Ending::Cleared, _) => NumberState::Fresh,
        (Ending::Erased, _) => open.erased(policy, now),
        (_, None) => return (state, EndOutcome::NotFound),
        (Ending::Canceled, Some(v)) => open.with(Some(v.canceled(policy))).with_end_by(policy),
        (Ending::Approved, Some(_)) => open.succeeded(policy),
    };
    (next, EndOutcome::Ended(under_way))
}

// The result of a send, and its effect on the number.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendResult {
    /// A gateway that carries our code, or one that makes and holds its own (`held`), accepted the message. The provider's id
    /// of it.
    Accepted { message_id: String, held: Option<Held> },
    /// No gateway accepted the message yet; a later attempt is planned, and the request counts as accepted. The id that the
    /// client is given for it; and `None` if certainly no message was sent.
    Postponed { message_id: String, may_have_been_sent: Option<PossiblySent> },
    /// No gateway accepted the message, whatever the reason. `None` if certainly no message was sent.
    Failed { may_have_been_sent: Option<PossiblySent> },
}

impl SendResult {
    /// Returns `false` if certainly no message was sent and none will be.
    pub const fn may_still_arrive(&self) -> bool {
        matches!(
            self,
            Self::Accepted { .. } | Self::Postponed { .. } | Self::Failed { may_have_been_sent: Some(_) }
        )
    }
}

/// A message that may have been sent although no gateway accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PossiblySent {
    /// The gateway that holds its code; `None` if the code is ours.
    pub held: Option<Held>,
}

/// The state of the number in the reply to an accepted send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// Codes may be checked, and so many wrong ones are allowed.
    Open { attempts_left: u8 },
    /// Wrong codes locked the number while the message was on its way, until then.
    Locked { until: Timestamp },
}

/// Settles a send permit.
///
/// The count of wrong codes never changes. If no message with the code was sent, the code is withdrawn. The code that
/// it replaced becomes valid again, in its state at the replacement and until its own expiry. A code that may arrive
/// stays valid until another gateway accepts a message with its own code. A message that was certainly not sent does not
/// count. A result about a replaced or used code changes nothing. A check at a gateway continues.
pub fn settle(
    state: NumberState,
    rules: &Rules<'_>,
    permit: &SendPermit,
    result: &SendResult,
    now: Timestamp,
) -> (NumberState, SettleOutcome) {
    let policy = &rules.policy;
    let (state, open) = match state.opened(policy, now) {
        Ok(opened) => opened,
        Err((locked, until)) => return (locked, SettleOutcome::Locked { until }),
    };
    let outcome = SettleOutcome::Open { attempts_left: policy.attempts_left(open.failures.in_a_row) };
    let Some(sent) = open.verification.filter(|v| permit.is_for(v) && !v.is_canceled()) else {
        return (state, outcome);
    };
    let mut settled = after(sent, result);
    if !result.may_still_arrive() {
        settled.counted = settled.counted.map(|counted| without_message(counted, permit));
    }
    let verification = if settled.can_arrive() {
        Some(settled)
    } else {
        permit.replaced.filter(Verification::can_arrive).map(|earlier| with_guesses_of(earlier, &settled))
    };
    (open.with(verification).with_end_by(policy), outcome)
}

/// The verification after one of its sends ended. The code of an accepted message is the only right one from then on. A
/// message that may have been sent changes nothing if an earlier message was or may have been sent.
const fn after(sent: Verification, result: &SendResult) -> Verification {
    let postponed = sent.postponed || matches!(result, SendResult::Postponed { .. });
    let next = Verification { sending: sent.sending.saturating_sub(1), postponed, ..sent };
    match *result {
        SendResult::Accepted { held, .. } => next.sent_with(held),
        SendResult::Postponed { may_have_been_sent: Some(PossiblySent { held }), .. }
        | SendResult::Failed { may_have_been_sent: Some(PossiblySent { held }) }
            if !sent.was_perhaps_sent() =>
        {
            next.sent_with(held)
        }
        _ => next,
    }
}

/// The counts without a message that was certainly not sent: it uses none of the verification's messages, and starts no
/// wait. Of a later message the wait stays.
fn without_message(counted: VerificationDetails, permit: &SendPermit) -> VerificationDetails {
    let (Some(before), Some(requested)) = (permit.before, permit.verification.counted) else {
        return counted;
    };
    let sends = counted.sends.saturating_sub(1);
    if counted.last_send != requested.last_send {
        return VerificationDetails { sends, ..counted };
    }
    VerificationDetails { sends, last_send: before.last_send, channel: before.channel, ..counted }
}

/// Restores the `earlier` code. If both belong to one verification, the guesses counted since then stay: otherwise each
/// failed message would grant another guess.
fn with_guesses_of(earlier: Verification, failed: &Verification) -> Verification {
    let counted = match (failed.counted, earlier.counted) {
        (Some(since), Some(then)) if earlier.salt.id() == failed.salt.id() => Some(VerificationDetails {
            wrong: since.wrong.max(then.wrong),
            spent: since.spent || then.spent,
            ..then
        }),
        (_, then) => then,
    };
    Verification { counted, ..earlier }
}

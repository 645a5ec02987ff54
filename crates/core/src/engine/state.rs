//! The state of one number in one service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CodeSeed, FailureCount, LockoutRule, Policy, Rules, Salt, SendOptions, VerificationName};
use crate::domain::{Channel, CodeLength, Held, PhoneNumber, ServiceId, Timestamp};

/// The state of one number in one service. A number without a record, a verified number and a number whose record has
/// expired are all [`NumberState::Fresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberState {
    /// The number has no record.
    Fresh,
    /// Codes may be sent and checked.
    Open(OpenNumber),
    /// No code is sent or checked until then. Then the number is fresh again.
    Locked { until: Timestamp },
}

/// The record of a number that is not locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenNumber {
    /// Wrong codes. Neither a resend nor a new verification resets them (NIST SP 800-63B-4, 3.2.2); success resets those in a
    /// row, and the end of a lockout all.
    pub failures: FailureCount,
    /// When this record ends and the number is fresh again.
    pub keep_until: Timestamp,
    /// The outstanding code, if there is one. It may have expired.
    pub verification: Option<Verification>,
}

/// The lockout of a number, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LockoutState {
    /// Consecutive wrong codes.
    pub wrong_codes: u8,
    /// Until when checks are refused; `None` while they are allowed.
    pub until: Option<Timestamp>,
}

/// The most of its life that a further message must leave to a code.
const MOST_LEFT: Duration = Duration::from_secs(300);

/// One outstanding code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The random input of the code.
    pub salt: Salt,
    /// Number of characters.
    pub length: CodeLength,
    /// From this moment on the code cannot succeed.
    pub expires: Timestamp,
    /// Sends of this code that have not been settled yet.
    pub sending: u8,
    /// Latest end of those sends.
    pub sending_until: Timestamp,
    /// A gateway that carries our code accepted, or may have accepted, a message with it, and no other code replaced
    /// it.
    pub sent: bool,
    /// A message will be tried again later: the code stays although no gateway accepted it yet.
    pub postponed: bool,
    /// The gateway that made and holds the code of the last accepted message; `None` if the code is ours, and can be right.
    pub held: Option<Held>,
    /// Latest end of that gateway's check of a submitted code; [`Timestamp::EPOCH`] if none is in progress. After a
    /// crash it stays on the disk: the attempt counts, and no result arrives.
    pub checking_until: Timestamp,
    /// The details of a verification with an id; `None` for the compatible routes.
    pub counted: Option<VerificationDetails>,
}

/// The counts and properties of a verification that clients address by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationDetails {
    pub begun: Timestamp,
    /// When its last message was requested.
    pub last_send: Timestamp,
    pub channel: Channel,
    /// Requested messages.
    pub sends: u8,
    pub wrong: u8,
    /// No check is left.
    pub spent: bool,
    /// The caller has canceled it. It stays until it expires, because clients can fetch it.
    pub canceled: bool,
    /// The difference between the code that the caller supplied and the derived one; 0 for none. It says
    /// nothing without the server key.
    pub offset: u64,
}

impl Verification {
    /// A verification without a message yet.
    pub fn beginning(salt: Salt, options: &SendOptions, now: Timestamp) -> Self {
        Self {
            salt,
            length: options.length,
            expires: now.plus(options.life),
            sending: 0,
            sending_until: now,
            sent: false,
            postponed: false,
            held: None,
            checking_until: Timestamp::EPOCH,
            counted: None,
        }
    }

    /// The same with a life that ends at `expires` at the earliest.
    pub(super) fn prolonged(self, expires: Timestamp) -> Self {
        Self { expires: self.expires.max(expires), ..self }
    }

    /// The verification for a further message with its code, which then lives for half of the service's code life, at most
    /// [`MOST_LEFT`], when the message leaves; its end is at most twice that life after it has `begun`. `None` if too little is
    /// left.
    pub(super) fn for_message(self, begun: Timestamp, rules: &Rules<'_>, now: Timestamp) -> Option<Self> {
        let life = rules.policy.code.life;
        let needed = (life / 2).min(MOST_LEFT);
        // A gateway that is asked last may get the message when the time of the send is nearly over.
        let wanted = now.plus(needed + rules.send_budget);
        let prolonged = self.prolonged(wanted.min(begun.plus(2 * life)));
        (now.plus(needed) <= prolonged.expires).then_some(prolonged)
    }

    /// Returns `true` until the verification expires or is canceled, even if its attempts are used up.
    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.expires && !self.is_canceled()
    }

    /// Returns `true` if the code can still succeed.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.is_active(now) && !self.is_spent()
    }

    /// See [`VerificationDetails::offset`].
    pub fn offset(&self) -> u64 {
        self.counted.map_or(0, |counted| counted.offset)
    }

    /// The inputs of its code.
    pub fn code_seed(&self, service: ServiceId, number: PhoneNumber) -> CodeSeed {
        CodeSeed { service, number, salt: self.salt, length: self.length, offset: self.offset() }
    }

    /// Returns `true` if its attempts are used up, although its time is not over.
    pub fn is_spent(&self) -> bool {
        self.counted.is_some_and(|counted| counted.spent)
    }

    /// The details. A verification of the compatible routes stores none: it began with its code, and had one message.
    pub fn details(&self, policy: &Policy) -> VerificationDetails {
        self.counted.unwrap_or_else(|| VerificationDetails {
            sends: 1,
            ..VerificationDetails::beginning(self.expires.minus(policy.code.life), Channel::Sms)
        })
    }

    /// The verification after the caller has canceled it.
    pub(super) fn canceled(self, policy: &Policy) -> Self {
        Self { counted: Some(VerificationDetails { canceled: true, ..self.details(policy) }), ..self }
    }

    /// Returns `true` if the caller has canceled it.
    pub fn is_canceled(&self) -> bool {
        self.counted.is_some_and(|counted| counted.canceled)
    }

    /// Returns `true` if a message with a code of this verification was sent, or may still be sent.
    pub(super) const fn can_arrive(&self) -> bool {
        self.was_perhaps_sent() || self.postponed || self.sending > 0
    }

    /// Returns `true` if a message with the code was accepted, or may have been.
    pub(super) const fn was_perhaps_sent(&self) -> bool {
        self.held.is_some() || self.sent
    }

    /// The verification after a message with the code of `held`, or with ours.
    pub(super) const fn sent_with(self, held: Option<Held>) -> Self {
        Self { sent: held.is_none(), held, ..self }
    }

    pub fn name(&self) -> VerificationName {
        VerificationName::of(self.salt.id())
    }

    /// Returns `true` if it is the verification that the caller named, or the caller named none.
    pub(super) fn matches_name(&self, named: Option<VerificationName>) -> bool {
        named.is_none_or(|name| name == self.name())
    }

    /// Returns `true` while the gateway that holds the code is being asked.
    pub fn is_checking(&self, now: Timestamp) -> bool {
        now < self.checking_until
    }

    /// Returns `true` while a message with this code may be on its way to the gateway.
    pub fn is_sending(&self, now: Timestamp) -> bool {
        self.sending > 0 && now < self.sending_until
    }
}

impl VerificationDetails {
    /// The details of a verification that begins, before its first message.
    pub const fn beginning(at: Timestamp, channel: Channel) -> Self {
        Self {
            begun: at,
            last_send: at,
            channel,
            sends: 0,
            wrong: 0,
            spent: false,
            canceled: false,
            offset: 0,
        }
    }
}

impl OpenNumber {
    /// Neither a wrong code nor a verification.
    pub(super) const EMPTY: Self =
        Self { failures: FailureCount::NONE, keep_until: Timestamp::EPOCH, verification: None };

    /// The state of the number with this verification: [`NumberState::Fresh`] if neither a code nor a count is left.
    pub fn with(self, verification: Option<Verification>) -> NumberState {
        match verification {
            None if self.failures == FailureCount::NONE => NumberState::Fresh,
            verification => NumberState::Open(Self { verification, ..self }),
        }
    }

    /// What an erasure leaves: the count with a hard stop in force, until it ends. A used-up verification refuses no
    /// check once it is erased.
    pub(super) fn erased(self, policy: &Policy, now: Timestamp) -> NumberState {
        let counts = Self { verification: None, ..self };
        match counts.refused_until(policy, now) {
            Some(keep_until) => NumberState::Open(Self { keep_until, ..counts }),
            None => NumberState::Fresh,
        }
    }

    /// The time until which checks are refused, without a fixed lockout: the end of a hard stop, or of a used-up
    /// verification.
    pub(super) fn refused_until(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let used_up = self.verification.filter(|v| v.is_active(now) && v.is_spent());
        self.stopped_until(policy).max(used_up.map(|v| v.expires)).filter(|until| now < *until)
    }

    /// The end of the hard stop, if one has begun. It refuses messages and all checks.
    fn stopped_until(&self, policy: &Policy) -> Option<Timestamp> {
        if policy.is_fixed() { None } else { self.failures.stopped_until() }
    }

    /// Counts a wrong code; without a fixed lockout it counts for the verification, too.
    pub(super) fn failed(mut self, policy: &Policy, now: Timestamp) -> Self {
        self.failures = self.failures.counted();
        if policy.is_fixed() {
            return self;
        }
        self.failures = self.failures.remembered(now);
        let is_stopped = self.stopped_until(policy).is_some();
        self.with_details(policy, |counted| {
            counted.wrong = counted.wrong.saturating_add(1);
            counted.spent = policy.is_spent(counted.wrong) || is_stopped;
        })
    }

    /// Uncounts an attempt, because the gateway certainly did not compare the code.
    pub(super) fn given_back(mut self, policy: &Policy) -> Self {
        if policy.is_fixed() {
            return Self { failures: self.failures.given_back(), ..self };
        }
        self.failures = self.failures.unremembered().given_back();
        self.with_details(policy, |counted| {
            counted.wrong = counted.wrong.saturating_sub(1);
            counted.spent = false;
        })
    }

    fn with_details(mut self, policy: &Policy, change: impl FnOnce(&mut VerificationDetails)) -> Self {
        if let Some(verification) = &mut self.verification {
            let mut details = verification.details(policy);
            change(&mut details);
            verification.counted = Some(details);
        }
        self
    }

    /// The wrong codes that are still allowed: of the number, or without a fixed lockout of the verification.
    pub(super) fn attempts_left(&self, policy: &Policy) -> u8 {
        match self.verification.filter(|_| !policy.is_fixed()).map(|v| v.details(policy)) {
            None => policy.attempts_left(self.failures.in_a_row),
            Some(details) if details.spent => 0,
            Some(details) => policy.attempts_left(details.wrong),
        }
    }

    /// After a success.
    pub(super) fn succeeded(self, policy: &Policy) -> NumberState {
        Self { failures: self.failures.cleared(), ..Self::EMPTY }.with(None).with_end_by(policy)
    }

    /// Returns `true` if no wrong code in a row and nothing but a canceled verification is left.
    pub(super) fn is_canceled(&self) -> bool {
        self.failures.in_a_row == 0 && self.verification.is_some_and(|v| v.is_canceled())
    }
}

impl NumberState {
    /// The count of consecutive wrong codes, and the time until which checks are refused, at `now`.
    pub fn lockout(self, policy: &Policy, now: Timestamp) -> LockoutState {
        let (wrong_codes, until) = match self.at(policy, now) {
            Self::Fresh => (0, None),
            Self::Locked { until } => (policy.max_attempts, Some(until)),
            Self::Open(open) => (open.failures.in_a_row, open.refused_until(policy, now)),
        };
        LockoutState { wrong_codes, until }
    }

    /// The end of a fixed lockout or of a hard stop, if one has begun. While a gateway is asked about a code, its attempt
    /// begins none: the gateway's answer may take it back.
    pub fn locked_until(&self) -> Option<Timestamp> {
        match self {
            Self::Fresh => None,
            Self::Locked { until } => Some(*until),
            Self::Open(OpenNumber { failures, verification, .. }) => {
                let is_asked = verification.is_some_and(|v| v.checking_until != Timestamp::EPOCH);
                failures.stopped_until().filter(|_| !is_asked)
            }
        }
    }

    /// The state at `now`. Every decision starts with it, therefore no answer depends on the sweep. An expired record
    /// is fresh. An unsettled check whose time has passed is over: its attempt counts, and the last attempt locks the number
    /// from the end of that time.
    #[must_use]
    pub fn at(self, policy: &Policy, now: Timestamp) -> Self {
        let state = match self.unless_expired(now) {
            Self::Open(open) => {
                OpenNumber { failures: open.failures.at(now), ..open }.with(open.verification)
            }
            other => other,
        };
        let Self::Open(open @ OpenNumber { verification: Some(v), .. }) = state else { return state };
        if v.checking_until == Timestamp::EPOCH || v.is_checking(now) {
            return state;
        }
        if let Some(until) = policy.lockout_end(open.failures, v.checking_until) {
            return Self::Locked { until }.unless_expired(now);
        }
        open.with(Some(Verification { checking_until: Timestamp::EPOCH, ..v }))
    }

    /// The state at `now` with its open record, which a decision begins with.
    ///
    /// # Errors
    /// The number is locked: the state to store, and the end of the lockout.
    #[expect(clippy::result_large_err, reason = "it is matched at once")]
    pub(super) fn opened(
        self,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Self, OpenNumber), (Self, Timestamp)> {
        match self.at(policy, now) {
            locked @ Self::Locked { until } => Err((locked, until)),
            Self::Fresh => Ok((Self::Fresh, OpenNumber::EMPTY)),
            Self::Open(open) => Ok((Self::Open(open), open)),
        }
    }

    /// Sets the end of the record: that of its code, or of its counts. With a fixed lockout a record outlives its code
    /// by the length of a lockout, and its end never moves back.
    #[must_use]
    pub(super) fn with_end_by(self, policy: &Policy) -> Self {
        let Self::Open(open) = self else { return self };
        let code = open.verification.map_or(Timestamp::EPOCH, |v| v.expires.max(v.checking_until));
        let keep_until = match policy.lockout {
            LockoutRule::Fixed(_) if open.is_canceled() => code,
            LockoutRule::Fixed(time) => open.keep_until.max(code.plus(time)),
            LockoutRule::Verification => code.max(open.failures.kept_until()),
        };
        Self::Open(OpenNumber { keep_until, ..open })
    }

    /// The state at `now`: an expired record is fresh, even before a sweep removes it.
    fn unless_expired(self, now: Timestamp) -> Self {
        match self.ends() {
            Some(end) if now >= end => Self::Fresh,
            _ => self,
        }
    }

    /// When the number becomes fresh by itself; `None` if it is already.
    pub const fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Fresh => None,
            Self::Open(open) => Some(open.keep_until),
            Self::Locked { until } => Some(*until),
        }
    }

    /// The outstanding code. It may have expired.
    pub const fn verification(&self) -> Option<Verification> {
        match self {
            Self::Open(open) => open.verification,
            Self::Fresh | Self::Locked { .. } => None,
        }
    }
}

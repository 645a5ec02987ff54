//! Decides whether a submitted code is right.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{NumberState, OpenNumber, Rules, Salt, Verification, VerificationName};
use crate::domain::{Code, Held, PhoneNumber, ServiceId, Timestamp};

#[derive(Debug, Clone, Copy)]
pub struct Submitted<'a> {
    /// `None` for a text that holds no code: it is wrong, and does not count.
    pub code: Option<&'a Code>,
    /// The number that the code was sent to.
    pub number: PhoneNumber,
    /// The service that the number is counted in.
    pub service: ServiceId,
    /// The verification that the caller named; `None` for the one that is under way.
    pub named: Option<VerificationName>,
}

impl Submitted<'_> {
    fn is_our_code_of(&self, verification: &Verification, rules: &Rules<'_>) -> bool {
        let Self { code, number, service, named: _ } = *self;
        verification.held.is_none()
            && code.is_some_and(|code| code.matches(&verification.code_seed(service, number).code(rules.key)))
    }
}

/// The result of a check. The caller must make the new state durable before it answers the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum CheckOutcome {
    /// The code is right. It cannot be used again.
    Approved,
    /// Wrong, late, or no code was outstanding: then there was no `live` one to compare with. So many wrong codes are still
    /// allowed after this one.
    Wrong { attempts_left: u8, live: bool },
    /// Wrong, and the last one allowed: locked until then.
    LockedNow { until: Timestamp, live: bool },
    /// The number was locked before, until then. The code was not compared.
    Locked { until: Timestamp },
    /// No attempt is left until then. The code was not compared.
    #[strum(serialize = "limited")]
    NoChecksLeft { until: Timestamp },
    /// The verification that the caller named is not under way, or none is.
    #[strum(serialize = "limited")]
    NotFound,
    /// The gateway that holds the code did not answer, or answered too late. The attempt counts unless the gateway
    /// certainly did not compare the code.
    GatewayFailed,
}

/// The decision about a submitted code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStep {
    Decided(CheckOutcome),
    /// The attempt is counted. Ask the gateway that holds the code, then [`settle_check`] the permit.
    AskGateway(CheckPermit),
    /// A gateway is being asked about an earlier code.
    Busy,
}

/// The right to ask a gateway about one submitted code, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPermit {
    /// Names the verification.
    pub salt: Salt,
    /// The gateway to ask.
    pub held: Held,
    /// When the permit ends, which also tells it from an earlier permit of the same verification. A later
    /// answer of the gateway is ignored.
    pub until: Timestamp,
}

/// The result of asking the gateway that holds a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// The code is right, and the gateway accepts it no second time.
    Approved,
    Wrong,
    /// The gateway has no code to compare with.
    NotLive,
    /// The gateway certainly did not compare the code.
    NotAsked,
    /// It is unknown whether the gateway looked at the code.
    Unknown,
}

/// Decides a check.
///
/// A right code works once, and clears the count of wrong codes in a row. A late code counts as a wrong one. A check of
/// a number without a record reveals nothing and stores nothing.
///
/// The engine counts the attempt before it asks the gateway that holds the code, also the last attempt. Therefore each
/// guess costs an attempt, even if the answer is lost.
pub fn check(
    state: NumberState,
    rules: &Rules<'_>,
    submitted: Submitted<'_>,
    now: Timestamp,
) -> (NumberState, CheckStep) {
    let policy = &rules.policy;
    let decided = |state, outcome| (state, CheckStep::Decided(outcome));
    let (state, open) = match state.opened(policy, now) {
        Ok(opened) => opened,
        Err((locked, until)) => return decided(locked, CheckOutcome::Locked { until }),
    };
    let is_about_the_number = policy.is_fixed() && submitted.named.is_none();
    if state == NumberState::Fresh || open.is_canceled() {
        let unknown = CheckOutcome::Wrong { attempts_left: policy.max_attempts, live: false };
        return decided(state, if is_about_the_number { unknown } else { CheckOutcome::NotFound });
    }
    if open.verification.is_some_and(|v| v.is_checking(now)) {
        return (state, CheckStep::Busy);
    }
    // A fixed lockout counts a late code, too.
    let is_meant = |v: &Verification| v.is_active(now) && v.matches_name(submitted.named);
    let meant = open.verification.filter(is_meant).filter(|v| !policy.is_fixed() || v.is_live(now));
    if meant.is_none() && !is_about_the_number {
        return decided(state, CheckOutcome::NotFound);
    }
    if let Some(until) = open.refused_until(policy, now).filter(|_| !policy.is_fixed()) {
        return decided(state, CheckOutcome::NoChecksLeft { until });
    }
    if meant.is_some_and(|v| submitted.is_our_code_of(&v, rules)) {
        return decided(open.succeeded(policy), CheckOutcome::Approved);
    }
    let live = meant.is_some();
    if submitted.code.is_none() {
        return decided(state, CheckOutcome::Wrong { attempts_left: open.attempts_left(policy), live });
    }
    let open = open.failed(policy, now);
    // No gateway makes a code with letters.
    if let Some(held) = meant.and_then(|v| v.held).filter(|_| submitted.code.is_some_and(Code::is_decimal))
        && let Some(v) = open.verification
    {
        let until = now.plus(rules.send_budget);
        // The record must outlive the gateway's check and a lockout after it.
        let next = open.with(Some(Verification { checking_until: until, ..v })).with_end_by(policy);
        return (next, CheckStep::AskGateway(CheckPermit { salt: v.salt, held, until }));
    }
    if let Some(until) = policy.lockout_end(open.failures, now) {
        return decided(NumberState::Locked { until }, CheckOutcome::LockedNow { until, live });
    }
    let attempts_left = open.attempts_left(policy);
    decided(NumberState::Open(open).with_end_by(policy), CheckOutcome::Wrong { attempts_left, live })
}

/// Settles a check permit.
///
/// The attempt was counted with the permit. It is uncounted only if the gateway certainly did not compare the code. An
/// approval counts only while the permit is open, that is for the verification that it was given for, before its time
/// has ended, and once: the first settlement closes it.
pub fn settle_check(
    state: NumberState,
    rules: &Rules<'_>,
    permit: &CheckPermit,
    result: CheckResult,
    now: Timestamp,
) -> (NumberState, CheckOutcome) {
    let policy = &rules.policy;
    let (state, open) = match state.opened(policy, now) {
        Ok(opened) => opened,
        Err((locked, until)) => return (locked, CheckOutcome::Locked { until }),
    };
    let is_asked = |v: &Verification| v.salt == permit.salt && v.checking_until == permit.until;
    let Some(checked) = open.verification.filter(is_asked) else {
        return (state, too_late(result, policy.attempts_left(open.failures.in_a_row)));
    };
    let checked = Verification { checking_until: Timestamp::EPOCH, ..checked };
    let open = OpenNumber { verification: Some(checked), ..open };
    // Sinch also reports "no code" for a wrong code. Therefore the verification stays live until it expires: each check
    // costs an attempt, and a right code after a typing error works.
    let live = match result {
        // The attempt was counted when the gateway was asked, and was no guess.
        CheckResult::Approved => {
            return (open.given_back(policy).succeeded(policy), CheckOutcome::Approved);
        }
        CheckResult::NotAsked => {
            let next = NumberState::Open(open.given_back(policy));
            return (next.with_end_by(policy), CheckOutcome::GatewayFailed);
        }
        CheckResult::Wrong | CheckResult::Unknown => true,
        // Another code may be right meanwhile.
        CheckResult::NotLive => checked.held.is_none(),
    };
    if let Some(until) = policy.lockout_end(open.failures, now) {
        return (NumberState::Locked { until }, CheckOutcome::LockedNow { until, live });
    }
    let outcome = match result {
        CheckResult::Unknown => CheckOutcome::GatewayFailed,
        _ => CheckOutcome::Wrong { attempts_left: open.attempts_left(policy), live },
    };
    (NumberState::Open(open).with_end_by(policy), outcome)
}

/// The permit is not open any more: the state stays as it is, and no code is approved.
const fn too_late(result: CheckResult, attempts_left: u8) -> CheckOutcome {
    match result {
        CheckResult::Wrong | CheckResult::NotLive => CheckOutcome::Wrong { attempts_left, live: false },
        CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown => CheckOutcome::GatewayFailed,
    }
}

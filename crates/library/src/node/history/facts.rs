//! What a fact counts.

use super::record::{Counts, Delays, Failures, Group, RefusedBy};
use crate::config::Pricing;
use crate::domain::{Channel, GatewayName, ServiceId};
use crate::engine::CheckOutcome;
use crate::gateway::ErrorClass;
use crate::limits::guard::Rule;
use crate::observe::metrics::{Fact, SendEnd, SendFacts, VerificationStep};

/// The counts of a fact, with its cost, and the service and the group in which they count. Facts about test numbers do not
/// count.
pub(super) fn counts_of(fact: &Fact, pricing: &Pricing) -> Option<(ServiceId, Group, Counts)> {
    let none = Counts::default();
    let (recipient, channel, gateway, counts) = match fact {
        Fact::Verification { recipient, channel, gateway, step } => {
            (*recipient, *channel, *gateway, counts_of_step(*step)?)
        }
        Fact::Send(of) => (of.recipient, of.channel, of.gateway, counts_of_send(of)?),
        Fact::Check { recipient, channel, outcome } => {
            (*recipient, channel.unwrap_or(Channel::Sms), None, counts_of_check(*outcome)?)
        }
        Fact::Refused(recipient, channel, rule) => {
            (*recipient, *channel, None, Counts { refused: refusal(*rule), ..none })
        }
        Fact::Delivered { recipient, channel, gateway, took } => {
            (*recipient, *channel, Some(*gateway), Counts { delivery: Delays::of(*took), ..none })
        }
        Fact::FailedAttempt { recipient, channel, gateway, error } => {
            let failed_attempts = failure(Some(*error));
            (*recipient, *channel, Some(*gateway), Counts { failed_attempts, ..none })
        }
    };
    let (mut counts, country) = (counts, recipient.number.region());
    let parts = std::mem::take(&mut counts.cost_micros);
    if gateway != Some(GatewayName::Simulator) && parts + counts.refused.guard > 0 {
        let price = pricing.list().of(country, channel);
        counts.cost_micros = price.saturating_mul(parts);
        counts.saved_micros = price.saturating_mul(counts.refused.guard);
    }
    (!recipient.is_test).then_some((recipient.service, Group { country, channel, gateway }, counts))
}

/// What a step of a verification counts, if it counts.
fn counts_of_step(step: VerificationStep) -> Option<Counts> {
    match step {
        VerificationStep::Begun => Some(Counts { begun: 1, ..Counts::default() }),
        VerificationStep::Tried => Some(Counts { tried: 1, ..Counts::default() }),
        VerificationStep::Approved => Some(Counts { verified: 1, ..Counts::default() }),
        VerificationStep::Canceled => None,
    }
}

fn counts_of_check(outcome: CheckOutcome) -> Option<Counts> {
    let lockouts = match outcome {
        // Without a lockout of the service, the number waits for the end of its verification.
        CheckOutcome::LockedNow { .. } | CheckOutcome::Wrong { attempts_left: 0, live: true } => 1,
        CheckOutcome::Wrong { .. } => 0,
        _ => return None,
    };
    Some(Counts { wrong_codes: 1, lockouts, ..Counts::default() })
}

fn counts_of_send(facts: &SendFacts) -> Option<Counts> {
    let failed = |failed| Some(Counts { failed, ..Counts::default() });
    match facts.outcome {
        // So many parts: [`counts_of`] makes money of them.
        SendEnd::Accepted => {
            Some(Counts { accepted: 1, cost_micros: facts.parts.into(), ..Counts::default() })
        }
        SendEnd::NumberRefused => failed(Failures { number: 1, ..Failures::default() }),
        SendEnd::Unknown => failed(Failures { unknown: 1, ..Failures::default() }),
        SendEnd::Failed => failed(failure(facts.error)),
        SendEnd::Overloaded => failed(failure(None)),
        // A retry follows, or no gateway was asked.
        SendEnd::Postponed
        | SendEnd::Obsolete
        | SendEnd::Joined
        | SendEnd::Test
        | SendEnd::Locked
        | SendEnd::Limited => None,
    }
}

fn refusal(rule: Rule) -> RefusedBy {
    let none = RefusedBy::default();
    match rule {
        Rule::Budget => RefusedBy { budget: 1, ..none },
        Rule::RateLimit => RefusedBy { rate_limit: 1, ..none },
        Rule::Lockout => RefusedBy { lockout: 1, ..none },
        Rule::Verification => RefusedBy { verification: 1, ..none },
        _ => RefusedBy { guard: 1, ..none },
    }
}

fn failure(error: Option<ErrorClass>) -> Failures {
    let none = Failures::default();
    match error {
        Some(ErrorClass::BadNumber | ErrorClass::NotReachableHere | ErrorClass::OptedOut) => {
            Failures { number: 1, ..none }
        }
        Some(ErrorClass::Configuration) => Failures { configuration: 1, ..none },
        Some(ErrorClass::Fraud | ErrorClass::Refused) => Failures { refused: 1, ..none },
        Some(ErrorClass::Retry { .. }) | None => Failures { unavailable: 1, ..none },
        Some(ErrorClass::Ambiguous) => Failures { unknown: 1, ..none },
    }
}

//! What a fact counts.

use super::record::{Counts, Delays, Failures, Group, RefusedBy};
use crate::config::Pricing;
use crate::domain::{Channel, GatewayName, ServiceId};
use crate::engine::CheckOutcome;
use crate::gateway::ErrorClass;
use crate::limits::guard::Rule;
use crate::observe::metrics::{Fact, SendEnd, VerificationStep};

/// The counts of a fact, with its cost, and the service and the group in which they count. Facts about test numbers do not
/// count.
pub(super) fn counts_of(fact: &Fact, pricing: &Pricing) -> Option<(ServiceId, Group, Counts)> {
    let (mut counts, mut parts) = (Counts::default(), 0);
    let (recipient, channel, gateway) = match *fact {
        Fact::Left { recipient, channel, gateway, .. } => {
            counts.left = u64::from(!recipient.is_carried);
            (recipient, channel, Some(gateway))
        }
        Fact::Verification { recipient, channel, gateway, step, took } => {
            *match step {
                VerificationStep::Begun => &mut counts.begun,
                VerificationStep::Tried => &mut counts.tried,
                VerificationStep::Approved => &mut counts.verified,
                VerificationStep::Canceled => return None,
            } = 1;
            let took = took.filter(|_| counts.verified > 0 && !recipient.is_carried);
            counts.entered = took.map(Delays::of).unwrap_or_default();
            (recipient, channel, gateway)
        }
        Fact::Send(send) => {
            *match send.outcome {
                SendEnd::Accepted => &mut counts.accepted,
                SendEnd::NumberRefused => &mut counts.failed.number,
                SendEnd::Unknown => &mut counts.failed.unknown,
                SendEnd::Failed => counts.failed.of(send.error),
                SendEnd::Overloaded => counts.failed.of(None),
                // A retry follows, or no gateway was asked.
                SendEnd::Postponed
                | SendEnd::Obsolete
                | SendEnd::Joined
                | SendEnd::Test
                | SendEnd::Locked
                | SendEnd::Limited => return None,
            } = 1;
            parts = counts.accepted * u64::from(send.parts);
            (send.recipient, send.channel, send.gateway)
        }
        Fact::Check { recipient, channel, outcome } => {
            counts.wrong_codes = 1;
            counts.lockouts = match outcome {
                // Without a lockout of the service, the number waits for the end of its verification.
                CheckOutcome::LockedNow { .. } | CheckOutcome::Wrong { attempts_left: 0, live: true } => 1,
                CheckOutcome::Wrong { .. } => 0,
                _ => return None,
            };
            (recipient, channel.unwrap_or(Channel::Sms), None)
        }
        Fact::Refused(recipient, channel, rule) => {
            *counts.refused.by(rule) = 1;
            (recipient, channel, None)
        }
        Fact::Delivered { recipient, channel, gateway, took } => {
            counts.delivery = Delays::of(took);
            (recipient, channel, Some(gateway))
        }
        Fact::FailedAttempt { recipient, channel, gateway, error } => {
            *counts.failed_attempts.of(Some(error)) = 1;
            (recipient, channel, Some(gateway))
        }
    };
    let country = recipient.number.region();
    if gateway != Some(GatewayName::Simulator) && parts + counts.refused.guard > 0 {
        let price = pricing.list().of_gateway(gateway, country, channel);
        counts.cost_micros = price.saturating_mul(parts);
        counts.saved_micros = price.saturating_mul(counts.refused.guard);
    }
    (!recipient.is_test).then_some((recipient.service, Group { country, channel, gateway }, counts))
}

impl RefusedBy {
    const fn by(&mut self, rule: Rule) -> &mut u64 {
        match rule {
            Rule::Budget => &mut self.budget,
            Rule::RateLimit => &mut self.rate_limit,
            Rule::Lockout => &mut self.lockout,
            Rule::Verification => &mut self.verification,
            _ => &mut self.guard,
        }
    }
}

impl Failures {
    const fn of(&mut self, error: Option<ErrorClass>) -> &mut u64 {
        match error {
            Some(ErrorClass::BadNumber | ErrorClass::NotReachableHere | ErrorClass::OptedOut) => {
                &mut self.number
            }
            Some(ErrorClass::Configuration) => &mut self.configuration,
            Some(ErrorClass::Fraud | ErrorClass::Refused) => &mut self.refused,
            Some(ErrorClass::Retry { .. }) | None => &mut self.unavailable,
            Some(ErrorClass::Ambiguous) => &mut self.unknown,
        }
    }
}

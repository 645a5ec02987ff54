//! Facts that are not in the records yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::record::{Counts, Delays, Failures, Group, RefusedBy, Resolution, Series};
use crate::clock::Clock;
use crate::config::Pricing;
use crate::domain::{Channel, GatewayName};
use crate::engine::CheckOutcome;
use crate::gateway::ErrorClass;
use crate::limits::guard::Rule;
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::{Fact, SendEnd, SendFacts, VerificationStep};

/// Series that wait. Facts of further ones are not counted.
const MOST: usize = 65_536;

/// Counts facts until they are added to the records.
pub(super) struct Accumulator {
    clock: Arc<dyn Clock>,
    pub(super) pricing: Pricing,
    pending: Mutex<Pending>,
    /// The number of facts since the start.
    facts: AtomicU64,
    uncounted: OncePerSecond,
}

pub(super) type Pending = hashbrown::HashMap<Series, Counts>;

impl Accumulator {
    pub(super) fn new(clock: Arc<dyn Clock>, pricing: Pricing) -> Self {
        let (pending, facts) = (Mutex::default(), AtomicU64::new(0));
        Self { clock, pricing, pending, facts, uncounted: OncePerSecond::default() }
    }

    /// Counts a fact, with its cost, in its series of this hour and this day. Facts about test numbers do not count.
    pub(super) fn count(&self, fact: &Fact) {
        let none = Counts::default();
        let (recipient, channel, gateway, counts) = match fact {
            Fact::Verification { recipient, channel, gateway, step } => {
                (*recipient, *channel, *gateway, counts_of_step(*step))
            }
            Fact::Send(of) => (of.recipient, of.channel, of.gateway, counts_of_send(of)),
            Fact::Check { recipient, channel, outcome } => {
                (*recipient, channel.unwrap_or(Channel::Sms), None, counts_of_check(*outcome))
            }
            Fact::Refused(recipient, channel, rule) => {
                (*recipient, *channel, None, Some(Counts { refused: refusal(*rule), ..none }))
            }
            Fact::Delivered { recipient, channel, gateway, took } => {
                let counts = Counts { delivery: Delays::of(*took), ..none };
                (*recipient, *channel, Some(*gateway), Some(counts))
            }
            Fact::FailedAttempt { recipient, channel, gateway, error } => {
                let counts = Counts { failed_attempts: failure(Some(*error)), ..none };
                (*recipient, *channel, Some(*gateway), Some(counts))
            }
        };
        let Some(mut counts) = counts.filter(|_| !recipient.is_test) else { return };
        self.facts.fetch_add(1, Ordering::Relaxed);
        let (service, country) = (recipient.service, recipient.number.region());
        let parts = std::mem::take(&mut counts.cost_micros);
        if gateway != Some(GatewayName::Simulator) && parts + counts.refused.guard > 0 {
            let price = self.pricing.list().of(country, channel);
            counts.cost_micros = price.saturating_mul(parts);
            counts.saved_micros = price.saturating_mul(counts.refused.guard);
        }
        let (group, now) = (Group { country, channel, gateway }, self.clock.now());
        let mut pending = self.pending.lock();
        for resolution in Resolution::ALL {
            let series = Series { resolution, start: resolution.bucket(now), service, group };
            if pending.len() < MOST || pending.contains_key(&series) {
                *pending.entry(series).or_default() += counts;
            } else {
                self.uncounted
                    .note(|count| tracing::warn!(count, "history incomplete; too many series wait"));
            }
        }
    }

    pub(super) fn facts(&self) -> u64 {
        self.facts.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut self.pending.lock())
    }
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
        // So many parts: [`Accumulator::count`] makes money of them.
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

//! The records: one for each series, that is, for a bucket of time, a service, a country, a channel and a gateway. What a
//! fact counts in them.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Pricing;
use crate::domain::{Channel, GatewayName, Region, ServiceId, Timestamp, record_id};
use crate::engine::CheckOutcome;
use crate::gateway::ErrorClass;
use crate::limits::guard::Rule;
use crate::observe::metrics::{Fact, SendEnd, VerificationStep};
use crate::shard::{Id, LogRecord, Places, Record, name_digest};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

crate::named! {
    /// The length of a bucket. Records contain the position in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Resolution {
        Hour = "hour",
        /// A day of UTC.
        Day = "day",
    }
}

impl Resolution {
    pub const fn length(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }

    /// The time from the start of a bucket until it is forgotten. Days: thirty-one whole ones, and today.
    pub const fn kept_for(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(3 * DAY.as_secs()),
            Self::Day => Duration::from_secs(32 * DAY.as_secs()),
        }
    }

    /// The start of the bucket that contains `at`.
    pub fn bucket(self, at: Timestamp) -> Timestamp {
        let length = self.length().as_secs() * 1_000;
        Timestamp::from_millis(at.as_millis() / length * length)
    }
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    pub resolution: Resolution,
    /// The start of its bucket.
    pub start: Timestamp,
    pub service: ServiceId,
    pub group: Group,
}

impl Series {
    /// The service, and a digest of the rest.
    pub(super) fn id(&self) -> Id {
        record_id(self.service, name_digest(self))
    }
}

/// A country, a channel and a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    /// `None` for numbers of no country.
    pub country: Option<Region>,
    pub channel: Channel,
    /// The gateway that accepted or refused the message. `None` if none is known, as for a verification that begins.
    pub gateway: Option<GatewayName>,
}

/// The counts of a series. Test numbers are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Verifications whose first message was permitted.
    pub begun: u64,
    /// Verifications of which a code was checked, or which were approved without one.
    pub tried: u64,
    /// Verifications that were approved.
    pub verified: u64,
    /// Verifications that were approved, by the time from the message to the code, without codes that other systems check.
    pub entered: Delays,
    /// Messages that a gateway accepted.
    pub accepted: u64,
    /// Messages that arrived, by the time that they took.
    pub delivery: Delays,
    /// Messages that no gateway accepted.
    pub failed: Failures,
    /// Attempts that the gateway did not accept, whether another gateway accepted the message or not.
    pub failed_attempts: Failures,
    /// Estimated price of the accepted messages, in millionths of the currency.
    pub cost_micros: u64,
    /// Messages that were refused, by what refused them; and the estimated price of those that the guard refused.
    pub refused: RefusedBy,
    pub saved_micros: u64,
    /// Wrong codes, and the lockouts that began with one.
    pub wrong_codes: u64,
    pub lockouts: u64,
}

/// Refused messages, by what refused them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefusedBy {
    /// A rule of the pumping guard.
    pub guard: u64,
    pub budget: u64,
    /// A rate limit of the service.
    pub rate_limit: u64,
    pub lockout: u64,
    /// The messages, the checks or the pauses of the verification.
    pub verification: u64,
}

/// Bounds of times, in seconds. Longer ones are in a last class.
const BOUNDS: [u64; 7] = [2, 4, 8, 16, 32, 64, 128];

/// Counts of messages by a time: from the gateway's answer until the provider's report, or until the code was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delays([u32; BOUNDS.len() + 1]);

impl Delays {
    pub fn of(took: Duration) -> Self {
        let mut counts = Self::default();
        let class = BOUNDS.partition_point(|bound| Duration::from_secs(*bound) < took);
        counts.0[class] = 1;
        counts
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// The bound in seconds that so many percent of the messages keep; `None` for a longer time than the last bound.
    pub fn within(&self, percent: u64) -> Option<u64> {
        let wanted = (self.total() * percent).div_ceil(100);
        let mut so_far = 0;
        let mut classes = self.0.iter().zip(BOUNDS);
        classes.find_map(|(count, bound)| {
            so_far += u64::from(*count);
            (so_far >= wanted).then_some(bound)
        })
    }
}

impl AddAssign for Delays {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }
}

/// Failures by the class of the error; those of messages by the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    /// The number does not exist, is not reachable or does not accept messages.
    pub number: u64,
    /// Credentials, sender, permission or account: an operator must act.
    pub configuration: u64,
    /// The provider refused the message or suspects fraud.
    pub refused: u64,
    /// No gateway was available, or it had too much to do.
    pub unavailable: u64,
    /// The gateway did not say whether it accepted the message.
    pub unknown: u64,
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

    pub const fn total(&self) -> u64 {
        self.guard + self.budget + self.rate_limit + self.lockout + self.verification
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
            Some(ErrorClass::Retry) | None => &mut self.unavailable,
            Some(ErrorClass::Ambiguous) => &mut self.unknown,
        }
    }

    pub const fn total(&self) -> u64 {
        self.number + self.configuration + self.refused + self.unavailable + self.unknown
    }
}

/// Sums, member by member.
macro_rules! sums {
    ($($counts:ident: $($member:ident)+;)+) => {$(
        impl AddAssign for $counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$member += other.$member;)+
            }
        }
    )+};
}

sums! {
    Counts: begun tried verified entered accepted delivery failed failed_attempts cost_micros refused saved_micros wrong_codes lockouts;
    RefusedBy: guard budget rate_limit lockout verification;
    Failures: number configuration refused unavailable unknown;
}

/// The record of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub series: Series,
    pub counts: Counts,
}

impl Record for Row {
    const KIND: u8 = 9;
    const PLURAL: &'static str = "history";

    fn expires(&self) -> Timestamp {
        let Series { resolution, start, .. } = self.series;
        start.plus(resolution.kept_for())
    }
}

impl LogRecord for Row {
    fn places(&self) -> Places {
        Places { at: self.series.start, ..Places::default() }
    }
}

/// The counts of a fact, with its cost, and the service and the group in which they count. Facts about test numbers do not
/// count.
pub(super) fn counts_of(fact: &Fact, pricing: &Pricing) -> Option<(ServiceId, Group, Counts)> {
    let (mut counts, mut parts) = (Counts::default(), 0);
    let (recipient, channel, gateway) = match *fact {
        Fact::Left { .. } => return None,
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

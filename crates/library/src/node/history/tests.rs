//! History over shards with a store in memory and a stopped clock.

use serde_json::json;

use super::*;
use crate::domain::{Channel, GatewayName, NumberKey, PhoneNumber, Region, ServiceId};
use crate::engine::CheckOutcome;
use crate::gateway::ErrorClass;
use crate::limits::guard::Rule;
use crate::observe::metrics::{Fact, SendEnd, SendFacts, VerificationStep};
use crate::testing::{HOUR, MINUTE, SECOND, World, secs};

const DAY: Duration = secs(24 * 60 * 60);
/// 2023-11-15T22:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_700_085_600_000);
const GERMANY: &str = "+491711234567";

#[tokio::test]
async fn facts_on_both_sides_of_an_hour_are_in_two_hours_and_one_day() {
    let world = world().await;
    world.advance(59 * MINUTE + 59 * SECOND);
    world.accepted();
    world.advance(SECOND);
    world.accepted();
    world.accepted();
    let starts = async |resolution| {
        let rows = world.rows(resolution).await;
        rows.into_iter().map(|row| (row.series.start, row.counts.accepted)).collect::<Vec<_>>()
    };
    let border = START.plus(HOUR);
    assert_eq!(starts(Resolution::Hour).await, [(START, 1), (border, 2)]);
    assert_eq!(starts(Resolution::Day).await, [(border.minus(23 * HOUR), 3)]);
    let later = world.history.between(Resolution::Hour, border, Timestamp::MAX).await.expect("rows");
    assert_eq!(later.iter().map(|row| row.counts.accepted).collect::<Vec<_>>(), [2]);
    assert_eq!(world.history.between(Resolution::Hour, START, START).await.expect("rows"), []);
}

#[tokio::test]
async fn each_fact_is_counted_in_the_series_of_its_group() {
    let world = world().await;
    let [german, french, american] = [GERMANY, "+33612345678", "+14155552671"].map(recipient);
    let (twilio, channel) = (Some(GatewayName::TwilioMessages), Channel::Sms);
    world.step(german, None, VerificationStep::Begun);
    world.step(NumberKey { is_test: true, ..german }, None, VerificationStep::Begun);
    world.sent(german, twilio, SendEnd::Accepted, None);
    world.step(german, twilio, VerificationStep::Approved);
    world.step(german, None, VerificationStep::Canceled);
    world.sent(german, Some(GatewayName::Simulator), SendEnd::Accepted, None);
    for (outcome, error) in [
        (SendEnd::NumberRefused, Some(ErrorClass::BadNumber)),
        (SendEnd::Failed, Some(ErrorClass::Configuration)),
        (SendEnd::Failed, Some(ErrorClass::Fraud)),
        (SendEnd::Failed, Some(ErrorClass::Retry)),
        (SendEnd::Overloaded, None),
        (SendEnd::Unknown, Some(ErrorClass::Ambiguous)),
        (SendEnd::Postponed, None),
        (SendEnd::Locked, None),
    ] {
        world.sent(american, twilio, outcome, error);
    }
    let (gateway, error) = (GatewayName::Sinch, ErrorClass::Configuration);
    world.counts(&Fact::FailedAttempt { recipient: american, channel, gateway, error });
    for rule in
        [Rule::Prefix, Rule::Landline, Rule::Budget, Rule::RateLimit, Rule::Lockout, Rule::Verification]
    {
        world.counts(&Fact::Refused(french, channel, rule));
    }
    let until = START;
    for outcome in [
        CheckOutcome::Wrong { attempts_left: 1, live: true },
        CheckOutcome::Wrong { attempts_left: 0, live: true },
        CheckOutcome::LockedNow { until, live: true },
        CheckOutcome::Locked { until },
    ] {
        world.counts(&Fact::Check { recipient: french, channel: None, outcome });
    }
    let none = Counts::default();
    let failed = Failures { number: 1, configuration: 1, refused: 1, unavailable: 2, unknown: 1 };
    let failed_attempts = Failures { configuration: 1, ..Failures::default() };
    let refused = RefusedBy { guard: 2, budget: 1, rate_limit: 1, lockout: 1, verification: 1 };
    assert_eq!((failed.total(), refused.total()), (6, 6));
    let [germany, france, states] = ["DE", "FR", "US"].map(Region::parse);
    let of_france = Counts { refused, saved_micros: 160_000, wrong_codes: 3, lockouts: 2, ..none };
    let expected = BTreeMap::from([
        ((germany, None), Counts { begun: 1, ..none }),
        ((germany, twilio), Counts { verified: 1, accepted: 1, cost_micros: 80_000, ..none }),
        ((germany, Some(GatewayName::Simulator)), Counts { accepted: 1, ..none }),
        ((states, twilio), Counts { failed, ..none }),
        ((states, Some(GatewayName::Sinch)), Counts { failed_attempts, ..none }),
        ((france, None), of_france),
    ]);
    let rows = world.rows(Resolution::Day).await;
    assert_eq!(totals(&rows, |series| (series.group.country, series.group.gateway)), expected);
    assert_eq!(totals(&rows, |series| series.group.country)[&germany].accepted, 2);
}

#[tokio::test]
async fn counts_that_were_added_survive_a_crash_and_go_on() {
    let world = world().await;
    world.accepted();
    world.history.flush().await;
    world.shards.flush().await;
    world.accepted();
    // The program dies: changes that no commit carried are lost.
    let world = world.crashes().await;
    world.accepted();
    let rows = world.rows(Resolution::Hour).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].counts.accepted, 2, "the second one was not added before the crash");
}

#[tokio::test]
async fn each_resolution_is_forgotten_after_its_time() {
    let world = world().await;
    world.accepted();
    world.history.flush().await;
    // The day began 22 hours before the start.
    let day_ends = START.plus(31 * DAY + 2 * HOUR);
    for (at, kept) in [
        (START.plus(3 * DAY).minus(SECOND), [1, 1]),
        (START.plus(3 * DAY), [0, 1]),
        (day_ends.minus(SECOND), [0, 1]),
        (day_ends, [0, 0]),
    ] {
        world.clock.set(at);
        for (resolution, kept) in Resolution::ALL.into_iter().zip(kept) {
            assert_eq!(world.rows(resolution).await.len(), kept, "{resolution:?} at {at:?}");
        }
    }
}

async fn world() -> World {
    let prices = serde_json::from_value(json!({ "prices": { "DE": { "sms": 0.08 } } })).expect("prices");
    let world = World::set_up(|settings| settings.history = prices).await;
    world.clock.set(START);
    world
}

impl World {
    /// A message to Germany was accepted.
    fn accepted(&self) {
        self.sent(recipient(GERMANY), Some(GatewayName::TwilioMessages), SendEnd::Accepted, None);
    }

    fn sent(
        &self,
        recipient: NumberKey,
        gateway: Option<GatewayName>,
        outcome: SendEnd,
        error: Option<ErrorClass>,
    ) {
        let channel = Channel::Sms;
        self.counts(&Fact::Send(SendFacts { recipient, channel, gateway, outcome, error, parts: 1 }));
    }

    fn step(&self, recipient: NumberKey, gateway: Option<GatewayName>, step: VerificationStep) {
        let channel = Channel::Sms;
        self.counts(&Fact::Verification { recipient, channel, gateway, step, took: None });
    }

    fn counts(&self, fact: &Fact) {
        self.shards.metrics().count(fact);
    }

    async fn rows(&self, resolution: Resolution) -> Vec<Row> {
        self.history.between(resolution, Timestamp::EPOCH, Timestamp::MAX).await.expect("rows")
    }
}

fn recipient(number: &str) -> NumberKey {
    let number = PhoneNumber::from_e164(number).expect("a number");
    NumberKey::new(ServiceId::DEFAULT, number)
}

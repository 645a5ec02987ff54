//! Random requests, time, faults and crashes, compared with a list of the answers.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{World, bucket, charge_of};
use crate::domain::Timestamp;
use crate::limits::rate::{BucketRule, Charged, LimitRefusal};
use crate::shard::Refusal;
use crate::shard::tests::StoreFault;

/// The limits of the model: one bucket, two buckets, and a large one.
const LIMITS: [&[BucketRule]; 3] =
    [&[bucket(1, 2, 20)], &[bucket(2, 3, 10), bucket(3, 5, 60)], &[bucket(4, 20, 30)]];

#[derive(Debug, Clone)]
enum Step {
    /// A request with these values, each as a limit and the index of one of its three values.
    Take(Vec<(u8, u8)>),
    /// Gives back the n-th last request that passed.
    GiveBack(usize),
    Wait(u64),
    Fail(StoreFault),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let charge = (0_u8..3, 0_u8..3);
    let fault = prop_oneof![
        Just(StoreFault::Unavailable),
        Just(StoreFault::UnknownApplied),
        Just(StoreFault::UnknownNotApplied),
        any::<u64>().prop_map(StoreFault::Torn),
    ];
    prop_oneof![
        20 => prop::collection::vec(charge, 1..4).prop_map(Step::Take),
        2 => (0_usize..4).prop_map(Step::GiveBack),
        6 => (1_u64..15_000).prop_map(Step::Wait),
        2 => fault.prop_map(Step::Fail),
        1 => Just(Step::Crash),
    ]
}

/// One request that passed, or may have been counted.
#[derive(Clone)]
struct Counted {
    at: Timestamp,
    /// Whether its caller learned that it passed, and it was not given back.
    told: bool,
}

/// The known state of each value.
#[derive(Default)]
struct Model {
    by_value: HashMap<(u8, u8), Vec<Counted>>,
    passed: Vec<Passed>,
}

/// A request that passed.
struct Passed {
    taken: Charged,
    /// Its values, and its position in the list of each.
    places: Vec<((u8, u8), usize)>,
}

impl Model {
    fn count(&mut self, charges: &[(u8, u8)], at: Timestamp, told: bool) -> Vec<((u8, u8), usize)> {
        let note = |charge: &(u8, u8)| {
            let list = self.by_value.entry(*charge).or_default();
            list.push(Counted { at, told });
            (*charge, list.len() - 1)
        };
        charges.iter().map(note).collect()
    }

    /// Whether `counts` fill so many windows of a bucket of one of the charges at `now`.
    fn is_full(
        &self,
        charges: &[(u8, u8)],
        now: Timestamp,
        windows: usize,
        counts: impl Fn(&Counted, &BucketRule) -> bool,
    ) -> bool {
        charges.iter().any(|charge| {
            let list = self.by_value.get(charge).map_or(&[][..], Vec::as_slice);
            let full = |rule: &BucketRule| {
                let counted = list.iter().filter(|c| counts(c, rule) && now >= c.at).count();
                counted >= rule.max as usize * windows
            };
            LIMITS[usize::from(charge.0)].iter().any(full)
        })
    }
}

fn interval(rule: &BucketRule) -> std::time::Duration {
    super::secs(u64::from(rule.interval))
}

async fn replay(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    let mut limits = world.limits().await;
    let mut model = Model::default();
    for step in steps {
        let now = crate::clock::Clock::now(&*world.clock);
        match step {
            Step::Take(mut charges) => {
                charges.sort_unstable();
                charges.dedup();
                let named = |(limit, value): &(u8, u8)| {
                    charge_of(*limit, &value.to_string(), LIMITS[usize::from(*limit)])
                };
                match limits.take(charges.iter().map(named).collect()).await {
                    Ok(taken) => {
                        let told = |c: &Counted, rule: &BucketRule| c.told && now < c.at.plus(interval(rule));
                        prop_assert!(
                            !model.is_full(&charges, now, 2, told),
                            "more passed than in two windows"
                        );
                        let places = model.count(&charges, now, true);
                        model.passed.push(Passed { taken, places });
                    }
                    Err(LimitRefusal::Reached { until, .. }) => {
                        let any = |c: &Counted, rule: &BucketRule| now < c.at.plus(interval(rule));
                        prop_assert!(model.is_full(&charges, now, 1, any), "it had room");
                        prop_assert!(now < until);
                    }
                    Err(LimitRefusal::Refused(Refusal::StoreUnavailable)) => {
                        model.count(&charges, now, false);
                    }
                    // Nothing more is answered.
                    Err(LimitRefusal::Refused(Refusal::OutcomeUnknown)) => {
                        model.count(&charges, now, false);
                        world.crashes();
                        limits = world.limits().await;
                    }
                    Err(other) => prop_assert!(false, "{other}"),
                }
            }
            Step::GiveBack(back) => {
                if let Some(index) = model.passed.len().checked_sub(back + 1) {
                    let Passed { taken, places } = model.passed.remove(index);
                    limits.give_back(taken);
                    for (charge, index) in places {
                        model.by_value.entry(charge).or_default()[index].told = false;
                    }
                }
            }
            Step::Wait(millis) => world.clock.advance(std::time::Duration::from_millis(millis)),
            Step::Fail(fault) => world.store.fail_next([fault]),
            Step::Crash => {
                world.crashes();
                limits = world.limits().await;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    #[test]
    fn after_any_failure_no_more_requests_pass_than_allowed(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(replay(steps))?;
    }
}

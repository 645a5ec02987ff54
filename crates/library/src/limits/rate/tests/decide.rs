//! The rules of one value, without a task: when a request passes.

use std::time::Duration;

use proptest::prelude::*;

use super::{START, bucket, secs};
use crate::domain::Timestamp;
use crate::limits::rate::decide::{BucketRule, Counted, ValueCounts, give_back, take};

/// A value's counts at a time.
struct Value {
    counts: ValueCounts,
    now: Timestamp,
}

impl Value {
    fn fresh() -> Self {
        Self { counts: ValueCounts::default(), now: START }
    }

    fn advance(&mut self, by: Duration) -> &mut Self {
        self.now = self.now.plus(by);
        self
    }

    fn take(&mut self, rules: &[BucketRule]) -> Result<Vec<Counted>, Timestamp> {
        let (counts, places) = take(&self.counts, rules, self.now)?;
        self.counts = counts;
        Ok(places)
    }

    fn passes(&mut self, rules: &[BucketRule], times: usize) -> &mut Self {
        for time in 0..times {
            assert!(self.take(rules).is_ok(), "the {time}th");
        }
        self
    }

    fn give_back(&mut self, places: &[Counted]) {
        self.counts = give_back(&self.counts, places, self.now);
    }
}

#[test]
fn each_bucket_counts_on_its_own_and_the_longest_wait_is_told() {
    let rules = [bucket(1, 2, 10), bucket(2, 4, 3600)];
    let mut value = Value::fresh();
    value.passes(&rules, 2);
    assert_eq!(value.take(&rules), Err(START.plus(secs(10))));
    value.advance(secs(10)).passes(&rules, 2);
    assert_eq!(value.take(&rules), Err(START.plus(secs(3600))), "both are full");
}

#[test]
fn a_bucket_that_lets_nothing_pass_refuses_for_an_interval() {
    let mut value = Value::fresh();
    assert_eq!(value.take(&[bucket(1, 0, 60)]), Err(START.plus(secs(60))));
}

#[test]
fn what_is_given_back_makes_room_once_and_only_while_it_counts() {
    let rule = [bucket(1, 2, 60)];
    let mut value = Value::fresh();
    let first = value.take(&rule).expect("room");
    value.advance(secs(1)).passes(&rule, 1);
    value.give_back(&first);
    value.passes(&rule, 1);
    assert_eq!(value.take(&rule), Err(START.plus(secs(60))));
    let mut late = Value::fresh();
    let first = late.take(&rule).expect("room");
    late.advance(secs(60)).passes(&rule, 2).give_back(&first);
    assert!(late.take(&rule).is_err(), "it had ended, and no other permit was given away");
}

#[test]
fn a_lower_max_counts_earlier_requests_and_a_higher_max_makes_room() {
    let mut value = Value::fresh();
    value.passes(&[bucket(1, 5, 60)], 1).advance(secs(10)).passes(&[bucket(1, 5, 60)], 4);
    assert_eq!(value.take(&[bucket(1, 2, 60)]), Err(START.plus(secs(60))));
    value.passes(&[bucket(1, 7, 60)], 2);
    assert!(value.take(&[bucket(1, 7, 60)]).is_err());
}

#[test]
fn when_the_interval_is_shortened_it_holds_at_once() {
    let mut value = Value::fresh();
    value.passes(&[bucket(1, 1, 3600)], 1).advance(secs(30));
    assert_eq!(value.take(&[bucket(1, 1, 60)]), Err(START.plus(secs(60))));
    value.advance(secs(30)).passes(&[bucket(1, 1, 60)], 1);
}

#[test]
fn when_the_interval_is_prolonged_what_has_ended_does_not_come_back() {
    let mut value = Value::fresh();
    value.passes(&[bucket(1, 1, 60)], 1).advance(secs(30));
    assert_eq!(value.take(&[bucket(1, 1, 3600)]), Err(START.plus(secs(60))), "nor what would have");
    value.advance(secs(30)).passes(&[bucket(1, 1, 3600)], 1);
    assert_eq!(value.take(&[bucket(1, 1, 3600)]), Err(START.plus(secs(3660))));
}

#[test]
fn when_time_goes_on_from_a_little_earlier_what_passed_still_counts() {
    let rule = [bucket(1, 2, 60)];
    let mut value = Value::fresh();
    value.passes(&rule, 1);
    value.now = START.minus(secs(5));
    value.passes(&rule, 1);
    assert_eq!(value.take(&rule), Err(START.plus(secs(60))));
}

#[test]
fn when_time_jumps_far_ahead_every_window_has_ended() {
    let rule = [bucket(1, 1, u32::MAX)];
    let mut value = Value::fresh();
    value.passes(&rule, 1).advance(secs(u64::from(u32::MAX))).passes(&rule, 1);
    value.now = Timestamp::from_millis(u64::MAX);
    assert!(value.take(&rule).is_ok(), "even at the end of time nothing overflows");
    assert!(value.take(&rule).is_ok(), "where nothing can last any longer");
}

proptest! {
    /// Compared with a list of the requests of the present window.
    #[test]
    fn exactly_max_requests_pass_in_a_window(
        max in 1_u32..40,
        interval in 1_u32..100,
        steps in prop::collection::vec((0_u64..4_000, any::<bool>()), 1..300),
    ) {
        let rule = bucket(1, max, interval);
        let mut value = Value::fresh();
        let (mut end, mut passed) = (START, Vec::<Vec<Counted>>::new());
        for (wait, gives_back) in steps {
            let now = value.advance(Duration::from_millis(wait)).now;
            if now >= end || passed.is_empty() {
                (end, passed) = (now.plus(secs(u64::from(interval))), Vec::new());
            }
            match value.take(&[rule]) {
                Ok(places) => passed.push(places),
                Err(until) => {
                    prop_assert_eq!((until, passed.len()), (end, max as usize));
                }
            }
            prop_assert!(passed.len() <= max as usize);
            if gives_back && let Some(places) = passed.pop() {
                value.give_back(&places);
            }
        }
    }
}

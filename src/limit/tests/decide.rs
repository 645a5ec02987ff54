//! The rules of one value, without a task: when a request passes.

use std::time::Duration;

use proptest::prelude::*;

use super::{START, bucket, secs};
use crate::domain::Timestamp;
use crate::limit::decide::{BucketRule, Counted, RateDecision, ValueCounts, give_back, take};

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
        match take(&self.counts, rules, self.now) {
            RateDecision::Granted { counts, places } => {
                self.counts = counts;
                Ok(places)
            }
            RateDecision::Refused { until } => Err(until),
        }
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
fn a_full_bucket_refuses_with_the_time_of_the_next_free_place() {
    let rule = [bucket(1, 3, 60)];
    let mut value = Value::fresh();
    value.passes(&rule, 1).advance(secs(10)).passes(&rule, 2).advance(secs(49));
    assert_eq!(value.take(&rule), Err(START.plus(secs(60))));
    assert!(value.advance(secs(1)).take(&rule).is_ok(), "the first has ended");
    assert_eq!(value.take(&rule), Err(START.plus(secs(70))), "the next two end together");
}

#[test]
fn around_the_end_of_a_window_no_more_pass_than_in_any_other() {
    let rule = [bucket(1, 5, 60)];
    let mut value = Value::fresh();
    value.advance(secs(59)).passes(&rule, 5).advance(secs(2));
    assert_eq!(value.take(&rule), Err(START.plus(secs(119))), "no window begins anew by the clock");
}

#[test]
fn a_refused_request_is_not_counted_and_prolongs_nothing() {
    let rules = [bucket(1, 1, 60), bucket(2, 10, 3600)];
    let mut value = Value::fresh();
    value.passes(&rules, 1);
    let before = value.counts.clone();
    for _ in 0..50 {
        assert_eq!(value.take(&rules), Err(START.plus(secs(60))));
    }
    assert_eq!(value.counts, before);
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
    assert_eq!(value.take(&rule), Err(START.plus(secs(61))));
    let mut late = Value::fresh();
    let first = late.take(&rule).expect("room");
    late.advance(secs(60)).passes(&rule, 2).give_back(&first);
    assert!(late.take(&rule).is_err(), "it had ended, and no other permit was given away");
}

#[test]
fn giving_back_a_replaced_request_frees_no_other_place() {
    let rule = [bucket(1, 2, 60)];
    let mut value = Value::fresh();
    let first = value.take(&rule).expect("room");
    value.advance(secs(30)).passes(&rule, 1);
    value.advance(secs(31)).passes(&rule, 1).give_back(&first);
    assert_eq!(value.take(&rule), Err(START.plus(secs(90))));
}

#[test]
fn when_all_is_given_back_nothing_is_remembered() {
    let rules = [bucket(1, 2, 60), bucket(2, 100, 3600)];
    let mut value = Value::fresh();
    let places = value.take(&rules).expect("room");
    value.give_back(&places);
    assert_eq!(value.counts, ValueCounts::default());
}

#[test]
fn a_busy_value_takes_little_memory_and_errs_by_a_sixteenth_at_most() {
    let rule = [bucket(1, 10_000, 3600)];
    let mut value = Value::fresh();
    for _ in 0..10_000 {
        value.advance(Duration::from_millis(300)).passes(&rule, 1);
    }
    assert!(value.counts.tallies[0].marks.len() <= 18, "{}", value.counts.tallies[0].marks.len());
    let until = value.take(&rule).expect_err("full");
    let first_ends = START.plus(Duration::from_millis(300)).plus(secs(3600));
    assert!(first_ends <= until && until <= first_ends.plus(secs(3600 / 16)), "{until:?}");
}

#[test]
fn a_lower_max_counts_earlier_requests_and_a_higher_max_makes_room() {
    let mut value = Value::fresh();
    value.passes(&[bucket(1, 5, 60)], 1).advance(secs(10)).passes(&[bucket(1, 5, 60)], 4);
    assert_eq!(value.take(&[bucket(1, 2, 60)]), Err(START.plus(secs(70))));
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
    /// Compared with a list of all passed requests: no window has more than `max`, and no request below the limit is
    /// refused, except within the sixteenth of an interval that a large bucket may err by.
    #[test]
    fn in_no_window_pass_more_than_max(
        max in 1_u32..40,
        interval in 1_u32..100,
        steps in prop::collection::vec((0_u64..4_000, any::<bool>()), 1..300),
    ) {
        let rule = bucket(1, max, interval);
        let length = secs(u64::from(interval));
        let mut value = Value::fresh();
        let mut passed: Vec<(Timestamp, Vec<Counted>)> = Vec::new();
        for (wait, gives_back) in steps {
            value.advance(Duration::from_millis(wait));
            let now = value.now;
            let alive = |length: Duration| passed.iter().filter(|(at, _)| now < at.plus(length)).count();
            let max = max as usize;
            match take(&value.counts, &[rule], now) {
                RateDecision::Granted { counts, places } => {
                    prop_assert!(alive(length) < max);
                    value.counts = counts;
                    passed.push((now, places));
                }
                RateDecision::Refused { until } => {
                    let slack = if max > 16 { length / 16 + Duration::from_millis(1) } else { Duration::ZERO };
                    prop_assert!(alive(length + slack) >= max);
                    prop_assert!(now < until && until <= now.plus(length));
                    let at_last = take(&value.counts, &[rule], until);
                    let is_granted = matches!(at_last, RateDecision::Granted { .. });
                    prop_assert!(is_granted);
                }
            }
            if gives_back && let Some((_, places)) = passed.pop() {
                value.give_back(&places);
            }
        }
        prop_assert!(value.counts.tallies.iter().all(|tally| tally.marks.len() <= 18));
    }
}

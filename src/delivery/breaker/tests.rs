use super::*;
use crate::domain::GatewayName;

const SETTINGS: BreakerSettings =
    BreakerSettings { failures: 3, open_for: Duration::from_secs(10), longest: Duration::from_secs(60) };

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1_000)
}

fn breaker() -> Breaker {
    Breaker::new(SETTINGS)
}

/// Lets one message in at `now` and records its result at once.
fn ask(breaker: &mut Breaker, now: Timestamp, health: Health) -> Option<CircuitChange> {
    let entry = breaker.enter(now).expect("let in");
    breaker.record(entry, health, now)
}

fn opened_at(now: Timestamp) -> Breaker {
    let mut breaker = breaker();
    for _ in 0..SETTINGS.failures {
        ask(&mut breaker, now, Health::Failed);
    }
    assert_eq!(breaker.shown(now).0, Circuit::Open);
    breaker
}

#[test]
fn failures_in_a_row_open_the_circuit() {
    let mut breaker = breaker();
    assert_eq!(ask(&mut breaker, at(1), Health::Failed), None);
    assert_eq!(ask(&mut breaker, at(2), Health::Failed), None);
    assert_eq!(breaker.shown(at(2)), (Circuit::Closed, None));
    assert_eq!(ask(&mut breaker, at(3), Health::Failed), Some(CircuitChange::Opened(secs(10))));
    assert_eq!(breaker.shown(at(3)), (Circuit::Open, Some(at(13))));
    assert!(breaker.keeps_out(at(12)));
    assert_eq!(breaker.enter(at(12)), None);
}

#[test]
fn an_answer_between_failures_starts_the_count_again() {
    let mut breaker = breaker();
    for _ in 0..10 {
        assert_eq!(ask(&mut breaker, at(1), Health::Failed), None);
        assert_eq!(ask(&mut breaker, at(1), Health::Failed), None);
        assert_eq!(ask(&mut breaker, at(1), Health::Lives), None);
    }
    assert_eq!(breaker.shown(at(1)), (Circuit::Closed, None));
}

#[test]
fn after_its_time_one_probe_is_let_through_and_closes_the_circuit() {
    let mut breaker = opened_at(at(0));
    assert!(!breaker.keeps_out(at(10)));
    assert_eq!(breaker.shown(at(10)), (Circuit::HalfOpen, None));
    assert_eq!(breaker.enter(at(10)), Some(BreakerPermit::Probe));
    assert!(breaker.keeps_out(at(10)));
    assert_eq!(breaker.enter(at(11)), None, "one at a time");
    assert_eq!(breaker.record(BreakerPermit::Probe, Health::Lives, at(12)), Some(CircuitChange::Closed));
    assert_eq!(breaker.shown(at(12)), (Circuit::Closed, None));
    assert_eq!(breaker.enter(at(12)), Some(BreakerPermit::Regular));
    assert_eq!(ask(&mut breaker, at(13), Health::Failed), None, "the count began anew");
}

#[test]
fn each_failed_probe_doubles_the_time_up_to_the_longest() {
    let mut breaker = opened_at(at(0));
    let mut now = 10;
    for span in [20, 40, 60, 60] {
        let change = ask(&mut breaker, at(now), Health::Failed);
        assert_eq!(change, Some(CircuitChange::StillOpen(secs(span))));
        assert!(breaker.keeps_out(at(now + span - 1)));
        now += span;
        assert!(!breaker.keeps_out(at(now)));
    }
    ask(&mut breaker, at(now), Health::Lives);
    for _ in 0..2 {
        ask(&mut breaker, at(now), Health::Failed);
    }
    let change = ask(&mut breaker, at(now), Health::Failed);
    assert_eq!(change, Some(CircuitChange::Opened(secs(10))), "it begins short again");
}

#[test]
fn a_longest_time_below_the_first_one_does_not_shorten_it() {
    let mut breaker = Breaker::new(BreakerSettings { longest: secs(1), ..SETTINGS });
    ask(&mut breaker, at(0), Health::OutFor(secs(10)));
    assert_eq!(ask(&mut breaker, at(10), Health::Failed), Some(CircuitChange::StillOpen(secs(10))));
}

#[test]
fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
    let mut breaker = opened_at(at(0));
    assert_eq!(breaker.enter(at(10)), Some(BreakerPermit::Probe));
    breaker.release(BreakerPermit::Regular);
    assert_eq!(breaker.enter(at(10)), None, "a regular right is not the probe's");
    breaker.release(BreakerPermit::Probe);
    assert!(!breaker.keeps_out(at(10)));
    assert_eq!(breaker.enter(at(10)), Some(BreakerPermit::Probe));
}

#[test]
fn a_provider_that_asks_for_a_pause_gets_it_at_once() {
    for pause in [15, 60, 10] {
        let mut breaker = breaker();
        let change = ask(&mut breaker, at(0), Health::OutFor(secs(pause)));
        assert_eq!(change, Some(CircuitChange::Opened(secs(pause))));
        assert!(breaker.keeps_out(at(pause - 1)));
        assert_eq!(breaker.enter(at(pause)), Some(BreakerPermit::Probe));
        // A retry-after time does not determine the wait after a probe that fails without one.
        assert_eq!(
            breaker.record(BreakerPermit::Probe, Health::Failed, at(pause)),
            Some(CircuitChange::StillOpen(secs(20)))
        );
    }
    let mut breaker = opened_at(at(0));
    assert_eq!(ask(&mut breaker, at(10), Health::OutFor(secs(60))), Some(CircuitChange::StillOpen(secs(60))));
}

#[test]
fn answers_to_those_who_asked_before_it_opened_change_nothing() {
    for health in [Health::Lives, Health::Failed, Health::OutFor(secs(60))] {
        let mut open = opened_at(at(0));
        assert_eq!(open.record(BreakerPermit::Regular, health, at(5)), None);
        assert_eq!(open.shown(at(5)), (Circuit::Open, Some(at(10))), "{health:?}");
        assert_eq!(open.enter(at(10)), Some(BreakerPermit::Probe));
        assert_eq!(open.record(BreakerPermit::Regular, health, at(11)), None);
        assert_eq!(open.shown(at(11)), (Circuit::HalfOpen, None), "{health:?}");
        assert_eq!(open.enter(at(11)), None);
    }
}

#[test]
fn only_errors_that_every_message_would_have_met_count() {
    let soon = ErrorClass::Retry { after: None };
    let in_9_s = ErrorClass::Retry { after: Some(secs(9)) };
    let in_10_s = ErrorClass::Retry { after: Some(secs(10)) };
    for (class, whole_gateway, health) in [
        (soon, true, Health::Failed),
        (soon, false, Health::Lives),
        (in_9_s, true, Health::Failed),
        (in_10_s, true, Health::OutFor(secs(10))),
        (in_10_s, false, Health::Lives),
        (ErrorClass::Ambiguous, true, Health::Failed),
        (ErrorClass::Ambiguous, false, Health::Lives),
        (ErrorClass::Configuration, true, Health::Failed),
        (ErrorClass::Configuration, false, Health::Lives),
        (ErrorClass::BadNumber, false, Health::Lives),
        (ErrorClass::Fraud, false, Health::Lives),
        (ErrorClass::Refused, false, Health::Lives),
    ] {
        let gateway = GatewayName::Mada;
        let error = GatewayError { gateway, class, code: None, detail: String::new(), whole_gateway };
        assert_eq!(Health::of(&error, SETTINGS.open_for), health, "{class:?} {whole_gateway}");
    }
}

#[test]
fn a_circuit_has_the_name_that_lists_show() {
    let names = [Circuit::Closed, Circuit::Open, Circuit::HalfOpen].map(Circuit::as_str);
    assert_eq!(names, ["closed", "open", "half-open"]);
}

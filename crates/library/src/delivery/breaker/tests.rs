//! The rule of the circuit breaker.

use super::*;
use crate::gateway::ErrorClass;
use crate::testing::secs;

const SETTINGS: BreakerSettings =
    BreakerSettings { failures: 3, open_for: Duration::from_secs(10), longest: Duration::from_secs(60) };

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1_000)
}

fn circuit() -> CircuitBreaker {
    CircuitBreaker::new(GatewayName::Mada, SETTINGS)
}

/// Any message would have failed.
fn error(class: ErrorClass, wait: Option<Duration>) -> Result<(), GatewayError> {
    let (gateway, detail, whole_country) = (GatewayName::Mada, String::new(), false);
    Err(GatewayError {
        gateway,
        class,
        wait,
        code: None,
        detail,
        said: None,
        whole_gateway: true,
        whole_country,
    })
}

fn fails(circuit: &CircuitBreaker, now: Timestamp) {
    circuit.answered(Some(error(ErrorClass::Ambiguous, None)), now);
}

fn opened_at(now: Timestamp) -> CircuitBreaker {
    let circuit = circuit();
    for _ in 0..SETTINGS.failures {
        assert_eq!(circuit.shown(now).0, Circuit::Closed);
        fails(&circuit, now);
    }
    assert_eq!(circuit.shown(now).0, Circuit::Open);
    circuit
}

#[test]
fn after_its_time_one_message_in_each_span_asks_until_one_is_answered() {
    let circuit = opened_at(at(0));
    for span in [10, 20, 30] {
        assert_eq!(circuit.shown(at(span)), (Circuit::HalfOpen, None));
        assert!(circuit.enter(at(span)));
        assert!(!circuit.enter(at(span)) && circuit.keeps_out(at(span + 9)), "one at a time");
    }
    fails(&circuit, at(31));
    assert_eq!(circuit.shown(at(31)), (Circuit::Open, Some(at(41))));
    assert!(circuit.enter(at(41)));
    circuit.answered(Some(Ok(())), at(42));
    assert_eq!(circuit.shown(at(42)), (Circuit::Closed, None));
    fails(&circuit, at(43));
    assert_eq!(circuit.shown(at(43)), (Circuit::Closed, None), "the count began anew");
}

#[test]
fn refusals_of_one_message_open_no_circuit_and_end_the_count() {
    let circuit = circuit();
    (1..SETTINGS.failures).for_each(|_| fails(&circuit, at(0)));
    for _ in 0..SETTINGS.failures {
        let any = error(ErrorClass::Refused, None);
        let of_one = any.map_err(|error| GatewayError { whole_gateway: false, ..error });
        circuit.answered(Some(of_one), at(1));
    }
    fails(&circuit, at(2));
    assert_eq!(circuit.shown(at(2)), (Circuit::Closed, None));
}

#[test]
fn a_provider_that_asks_for_a_long_pause_gets_it_at_once() {
    let asks = |circuit: &CircuitBreaker, pause, now| {
        circuit.answered(Some(error(ErrorClass::Retry, Some(secs(pause)))), at(now))
    };
    for (pause, given) in [(9, None), (10, Some(10)), (15, Some(15)), (100_000, Some(60))] {
        let circuit = circuit();
        let Some(Err(error)) = asks(&circuit, pause, 0) else { panic!("an error") };
        assert_eq!(error.wait, Some(secs(pause.min(60))));
        assert_eq!(circuit.shown(at(0)).1, given.map(at), "{pause}");
    }
    let circuit = opened_at(at(0));
    assert!(circuit.enter(at(10)));
    asks(&circuit, 60, 10);
    fails(&circuit, at(11));
    assert_eq!(circuit.shown(at(11)).1, Some(at(70)), "an earlier message does not end the pause");
}

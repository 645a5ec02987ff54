//! Checks of codes that a gateway holds.

use super::*;
use crate::engine::CheckResult;
use crate::gateway::Verdict;

fn world() -> World {
    Setup::routing("TwilioVerify;Mada").with_breaker(1).build()
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_the_routing_no_longer_names_is_still_asked() {
    let world = Setup { beside: vec![Sinch], ..Setup::routing("Mada") }.build();
    world.provider.says(Sinch, 0, Ok(Verdict::Approved));
    assert_eq!(world.checks(Sinch).await, CheckResult::Approved);
    // A missing gateway, and one without codes of its own.
    for by in [TwilioVerify, Mada] {
        assert_eq!(world.checks(by).await, CheckResult::NotAsked);
    }
}

#[tokio::test(start_paused = true)]
async fn the_holder_says_whether_a_code_is_right_or_may_have_been_looked_at() {
    let fails = |class| Err((class, false));
    for (answer, result) in [
        (Ok(Verdict::Approved), CheckResult::Approved),
        (Ok(Verdict::Wrong), CheckResult::Wrong),
        (Ok(Verdict::NotLive), CheckResult::NotLive),
        (fails(ErrorClass::Ambiguous), CheckResult::Unknown),
        (fails(ErrorClass::Retry), CheckResult::NotAsked),
        (fails(ErrorClass::Configuration), CheckResult::NotAsked),
        (fails(ErrorClass::Refused), CheckResult::NotAsked),
    ] {
        let world = world();
        world.provider.says(TwilioVerify, 100, answer);
        assert_eq!(world.checks(TwilioVerify).await, result, "{answer:?}");
    }
    let world = world();
    // A gateway without an answer to give panics.
    assert_eq!(world.checks(TwilioVerify).await, CheckResult::Unknown);
    let world = self::world();
    world.provider.says(TwilioVerify, 3_600_000, Ok(Verdict::Approved));
    assert_eq!(world.checks(TwilioVerify).await, CheckResult::Unknown);
    assert_eq!(world.elapsed_ms(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_circuit_is_open_is_surely_not_asked() {
    let world = world();
    world.provider.says(TwilioVerify, 0, Err((ErrorClass::Ambiguous, true)));
    assert_eq!(world.checks(TwilioVerify).await, CheckResult::Unknown);
    assert_eq!(world.delivery.states()[0].circuit, Circuit::Open);
    assert_eq!(world.checks(TwilioVerify).await, CheckResult::NotAsked);
    // A check can be the probe, and then closes the circuit for sends too.
    sleep(secs(10)).await;
    world.provider.says(TwilioVerify, 0, Ok(Verdict::Wrong));
    assert_eq!(world.checks(TwilioVerify).await, CheckResult::Wrong);
    assert_eq!(world.delivery.states()[0].circuit, Circuit::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_gets_no_place_is_surely_not_asked() {
    for (sends_waiting, at) in [(0, 0), (1, 5_000)] {
        let world = Setup::routing("TwilioVerify").with_places(1, sends_waiting).build();
        let world = world.and(TwilioVerify, [hanging()]);
        let check = async { (world.checks(TwilioVerify).await, world.elapsed_ms()) };
        let (_, (answer, when)) = tokio::join!(world.requests(), check);
        assert_eq!((answer, when), (CheckResult::NotAsked, at));
    }
}

//! Dead gateways: their cost, their recovery, and their display.

use std::time::Duration;

use super::RETRY;
use super::gateways::{TokioClock, accepted, down, hanging};
use super::log_capture::LogCapture;
use super::world::{Setup, World, failed, failure, secs, taken};
use crate::delivery::Circuit;
use crate::delivery::error::Failure;
use crate::domain::GatewayName::{Http, Mada, TwilioMessages, TwilioVoice};
use crate::gateway::ErrorClass;

const DOWN: ErrorClass = ErrorClass::Ambiguous;

fn pair() -> World {
    Setup::routing("Mada;Http").with_breaker(2).build()
}

fn circuits(world: &World) -> Vec<(Circuit, Option<Duration>)> {
    world.delivery.states().into_iter().map(|state| (state.circuit, state.tries_again_in)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_dead_gateway_costs_its_callers_nothing() {
    let world = pair().and(Mada, [hanging(), hanging()]).and(Http, vec![accepted("H"); 4]);
    for _ in 0..2 {
        assert_eq!(world.requests().await, taken("H"));
    }
    assert_eq!(circuits(&world)[0], (Circuit::Open, Some(secs(10))));
    assert_eq!(world.requests().await, taken("H"));
    assert_eq!(world.requests().await, taken("H"));
    assert_eq!(world.sent_at(), [0, 5_000, 5_000, 10_000, 10_000, 10_000]);
    assert_eq!(world.times_asked(), 2, "nothing was waited for once the circuit was open");
}

#[tokio::test(start_paused = true)]
async fn one_message_tries_whether_it_works_again() {
    let world = pair().and(Mada, [down(DOWN), down(DOWN), accepted("M3").after_ms(100), accepted("M4")]);
    let world = world.and(Http, vec![accepted("H1"); 3]);
    world.requests().await;
    world.requests().await;
    world.waits(secs(10)).await;
    assert_eq!(circuits(&world)[0], (Circuit::HalfOpen, None));
    let (probe, other) = tokio::join!(world.requests(), world.requests());
    assert_eq!((probe.result, other.result), (taken("M3"), taken("H1")));
    assert_eq!(circuits(&world)[0], (Circuit::Closed, None));
    assert_eq!(world.requests().await, taken("M4"));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_circuit_its_own_answer_opened_gets_no_second_try() {
    let world = Setup::routing("Mada").with_breaker(1).build().and(Mada, [down(RETRY)]);
    assert_eq!(failure(world.requests().await).class, Some(RETRY));
    assert_eq!((world.sent_at(), world.elapsed_ms()), (vec![0], 0));
}

#[tokio::test(start_paused = true)]
async fn messages_that_waited_do_not_ask_a_gateway_that_died_meanwhile() {
    let bounds = crate::config::Bounds { sends: 1, sends_waiting: 10, ..Default::default() };
    let setup = Setup { bounds, ..Setup::routing("Mada").with_breaker(1) };
    let world = setup.build().and(Mada, [down(DOWN).after_ms(3_000)]);
    let (first, second) = tokio::join!(world.requests(), world.requests());
    assert_eq!(failure(first).class, Some(DOWN));
    let until = TokioClock::EPOCH.plus(secs(13));
    assert_eq!(failure(second), failed(Failure::OutOfService { until }));
    assert_eq!(world.sent_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_each_change_once() {
    let log = LogCapture::default();
    let world = async || {
        let world = pair().and(Mada, vec![down(DOWN); 3]).and(Mada, [accepted("M4"), accepted("M5")]);
        let world = world.and(Http, vec![accepted("H"); 6]);
        for _ in 0..5 {
            world.requests().await;
        }
        for _ in 0..2 {
            world.waits(secs(10)).await;
            world.requests().await;
        }
        world.requests().await;
        assert!(world.is_played_out());
    };
    let _capturing = log.start(&world).await;
    world().await;
    let text = log.take();
    let lines = |level: &str, words: &str| {
        text.lines().filter(|line| line.contains(level) && line.contains(words)).count()
    };
    assert_eq!(lines("WARN", "gateway unavailable"), 1, "{text}");
    assert_eq!(lines("INFO", "gateway available again"), 1, "{text}");
    assert_eq!(lines("gateway=\"Mada\"", "unavailable"), 2, "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_server_is_ready_while_one_gateway_for_any_number_works() {
    let setup = Setup::routing("Mada:+49;Twilio;Http").with_voice().with_breaker(1);
    let world = setup.build().and(TwilioMessages, [down(DOWN)]).and(Http, [accepted("H1")]);
    assert_eq!(world.delivery.readiness(), Ok(()));
    *world.gateway(Http).unready.lock().expect("the reason") = Some("Http has no credit".to_owned());
    assert_eq!(world.delivery.readiness(), Ok(()));
    world.requests().await;
    // Mada serves only some numbers, and no verification begins with a call.
    let reasons = vec![
        "TwilioMessages has not worked for 0 s: was told to fail; it is tried again in 10 s".to_owned(),
        "Http has no credit".to_owned(),
    ];
    assert_eq!(world.delivery.readiness(), Err(reasons));
    let states = world.delivery.states();
    assert_eq!(
        states.iter().map(|state| state.name).collect::<Vec<_>>(),
        [Mada, TwilioMessages, Http, TwilioVoice]
    );
    assert_eq!(states[2].problem.as_deref(), Some("Http has no credit"));
    // The remaining time is rounded up, as in the details next to it.
    world.waits(Duration::from_millis(9_500)).await;
    let reasons = world.delivery.readiness().expect_err("not ready");
    let reason = "TwilioMessages has not worked for 9 s: was told to fail; it is tried again in 1 s";
    assert_eq!(reasons[0], reason);
    // Ready before the probe: without a message the probe would never run.
    world.waits(Duration::from_millis(500)).await;
    assert_eq!(world.delivery.readiness(), Ok(()));
}

//! Dead gateways: their cost, their recovery, and their display. More messages than a gateway can take: some wait, others
//! are refused at once.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;

fn pair() -> World {
    Setup::routing("Mada;Http").with_breaker(2).build()
}

fn circuits(world: &World) -> Vec<(Circuit, Option<Duration>)> {
    world.delivery.states().into_iter().map(|state| (state.circuit, state.tries_again_in)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_dead_gateway_costs_its_callers_nothing() {
    let world = pair().and(Mada, [hanging(), hanging()]).and(Http, vec![accepted("H"); 4]);
    for _ in 0..4 {
        assert_eq!(world.requests().await, "H");
    }
    assert_eq!(circuits(&world)[0], (Circuit::Open, Some(secs(10))));
    assert_eq!(world.sent_at(), [0, 5_000, 5_000, 10_000, 10_000, 10_000]);
    assert_eq!(world.times_asked(), 2, "nothing was waited for once the circuit was open");
}

#[tokio::test(start_paused = true)]
async fn messages_that_waited_do_not_ask_a_gateway_that_died_meanwhile() {
    let world = Setup::routing("Mada").with_breaker(1).with_places(1, 10).build();
    let world = world.and(Mada, [down(DOUBT).after_ms(3_000)]);
    let (first, second) = tokio::join!(world.requests(), world.requests());
    assert_eq!((&*first, &*second), ("Gateway, maybe sent", "OutOfService for 13s"));
}

#[tokio::test(start_paused = true)]
async fn the_server_is_ready_while_one_gateway_works() {
    let setup = Setup::routing("Twilio;Http").with_breaker(1);
    let world = setup.build().and(TwilioMessages, [down(DOUBT)]).and(Http, [accepted("H1")]);
    assert_eq!(world.delivery.readiness(), Ok(()));
    world.provider.is_ready_if(|name| match name {
        Http => Err("Http has no credit".to_owned()),
        _ => Ok(()),
    });
    assert_eq!(world.delivery.readiness(), Ok(()));
    world.requests().await;
    let reasons = vec![
        "TwilioMessages does not work: was told to fail; it is tried again in 10 s".to_owned(),
        "Http has no credit".to_owned(),
    ];
    assert_eq!(world.delivery.readiness(), Err(reasons));
    // Ready before the probe: without a message the probe would never run.
    sleep(secs(10)).await;
    assert_eq!(world.delivery.readiness(), Ok(()));
}

/// What is told about each of `messages` that are sent at once, and when.
async fn at_once(world: &World, messages: usize) -> Vec<String> {
    let message = async || format!("{} at {}", world.requests().await, world.elapsed_ms());
    join_all((0..messages).map(|_| message())).await
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_a_permit_for_half_of_its_time() {
    let world = World::with_places(1, 100, vec![accepted("SM").after_ms(3_000); 2]);
    let late = "Overloaded at 5000";
    assert_eq!(at_once(&world, 6).await, ["SM at 3000", "SM at 6000", late, late, late, late]);
    assert_eq!(world.sent_at(), [0, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_places_messages_are_refused_at_once() {
    let world = World::with_places(1, 2, vec![accepted("SM").after_ms(1_000); 3]);
    let refused = "Overloaded at 0";
    assert_eq!(at_once(&world, 5).await, ["SM at 1000", "SM at 2000", "SM at 3000", refused, refused]);
}

//! Dead gateways: what they cost their callers, and when the server is ready.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dead_gateway_costs_its_callers_nothing() {
    let world = Setup::routing(BOTH).with_breaker(2).build();
    let world = world.and(Mada, [hanging(), hanging()]).and(Http, vec![accepted("H"); 4]);
    for _ in 0..4 {
        assert_eq!(world.requests().await, "H");
    }
    let mada = world.delivery.states().remove(0);
    assert_eq!((mada.circuit, mada.tries_again_in), (Circuit::Open, Some(secs(10))));
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

//! More load than the machine or its limits can take (`docs/reference/configuration.md`): the server refuses it by name
//! and soon, serves others, and keeps what it accepted. `docs/operate/sizing.md` says what it refuses when.

mod connections;

use tokio::task::JoinSet;

use crate::support::prelude::*;

async fn numbers_with_codes(world: &World, numbers: usize) -> Vec<(String, String)> {
    let mut known = Vec::new();
    for _ in 0..numbers {
        known.push(world.number_with_code().await);
    }
    known
}

#[track_caller]
fn is_unavailable(answer: &HttpResponse, message: &str) {
    assert_eq!(answer.expects_refusal(503).json()["message"], message);
}

const FULL: &str = "Too many numbers are being verified. Try again shortly.";

#[tokio::test]
async fn a_flood_of_new_numbers_is_refused_by_name_and_known_ones_are_served() {
    let world = World::with([("max-numbers", json!(20))]).await;
    let known = numbers_with_codes(&world, 20).await;
    for _ in 0..50 {
        is_unavailable(&world.send(&world.number()).await, FULL);
    }
    // The server answers a check of an unknown number without using room.
    assert_eq!(world.verify(&world.number(), "123456").await.status(), 401);
    let (first, _) = &known[0];
    world.send(first).await.expects(sent(first, 5));
    world.server.readiness().await.expects_status(200);
    assert_eq!(world.twilio().received().len(), 21, "nothing was sent to those who were refused");

    let (number, code) = &known[1];
    world.verify(number, code).await.expects(verified(number));
    let new = world.number();
    world.send(&new).await.expects(sent(&new, 5));
    is_unavailable(&world.send(number).await, FULL);

    assert!(world.server.line("requests refused").await["count"].as_u64() >= Some(1));
}

#[tokio::test]
async fn a_flood_at_a_silent_gateway_gets_a_reason_and_delays_no_check() {
    // A hanging request lasts until it is released, also on a slow machine.
    let setup = Setup::new().config("bounds.sends", 4).config("bounds.sends-waiting", 8);
    let world = World::of(setup.config("send-budget", "60s")).await;
    let known = numbers_with_codes(&world, 5).await;
    let mut flood = JoinSet::new();
    for _ in 0..100 {
        let (client, number) = (world.server.client.clone(), world.number_with([Reply::Hang]));
        flood.spawn(async move { client.send(&number).await });
    }
    // 12 are at the gateway or wait; the server refuses all others at once.
    for _ in 0..88 {
        let answer = flood.join_next().await.expect("more answers").expect("an answer");
        is_unavailable(&answer, "Too many messages are waiting to be sent. Try again shortly.");
    }
    world.twilio().arrived(5 + 4).await;
    for (number, code) in &known {
        world.verify(number, code).await.expects(verified(number));
    }
    assert_eq!(world.twilio().received().len(), 9, "no more are at the gateway than there are places");
    assert_eq!(world.send(&world.number()).await.status(), 503);
    assert_eq!(world.get("/readyz").await.status(), 200);

    world.twilio().release();
    let served = flood.join_all().await.iter().filter(|answer| answer.status() == 200).count();
    assert!((4..=12).contains(&served), "{served} of the 4 at the gateway and the 8 who wait");
    world.number_with_message().await;
}

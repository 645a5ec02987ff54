//! More requests, new numbers and sends than the limits or the gateway can take (`docs/reference/configuration.md`): each
//! refusal has a name.

use super::{is_unavailable, numbers_with_codes, send_to_many};
use crate::support::prelude::*;

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
    assert_eq!(numbers(&world).await, json!({"held": 20, "limit": 20}));
    assert_eq!(world.twilio().received().len(), 21, "nothing was sent to those who were refused");

    let (number, code) = &known[1];
    world.verify(number, code).await.expects(verified(number));
    let new = world.number();
    world.send(&new).await.expects(sent(&new, 5));
    is_unavailable(&world.send(number).await, FULL);

    assert_eq!(world.server.lines("number capacity low").len(), 1);
    assert_eq!(world.server.lines("number capacity used up").len(), 1);
    assert!(world.server.lines("requests refused")[0]["count"].as_u64() >= Some(1));
}

/// The numbers in `/readyz`; the server is always ready.
async fn numbers(world: &World) -> Value {
    let answer = world.server.readiness().await.expects_status(200);
    answer.json()["data"]["numbers"].clone()
}

#[tokio::test]
async fn sends_to_a_silent_gateway_end_in_a_named_refusal_and_checks_go_on() {
    let settings = [("bounds.sends", json!(4)), ("bounds.sends-waiting", json!(8)), patient()];
    let world = World::with(settings).await;
    let known = numbers_with_codes(&world, 5).await;
    world.twilio().otherwise(Reply::Hang);
    let mut crowd = send_to_many(&world, 100);
    world.twilio().arrived(9).await;
    // 12 sends are at the gateway or wait; the server refuses all others at once.
    for _ in 0..88 {
        let answer = crowd.join_next().await.expect("more answers").expect("an answer");
        is_unavailable(&answer, "Too many messages are waiting to be sent. Try again shortly.");
    }
    for (number, code) in &known {
        world.verify(number, code).await.expects(verified(number));
    }
    assert_eq!(world.twilio().received().len(), 9, "no more are at the gateway than there are places");

    world.twilio().release();
    let served = crowd.join_all().await.iter().filter(|answer| answer.status() == 200).count();
    assert!((4..=12).contains(&served), "{served} of the 4 at the gateway and the 8 who wait");
    assert_eq!(world.server.lines("gateway overloaded").len(), 1, "once, not for each message");
    assert_eq!(world.get("/readyz").await.status(), 200);
    world.number_with_message().await;
}

/// A hanging request lasts until it is released, also on a slow machine.
fn patient() -> (&'static str, Value) {
    ("send-budget", json!("60s"))
}

//! A flood of new numbers.

use serde_json::{Value, json};

use super::{numbers_with_codes, refused};
use crate::support::documented::{sent, verified};
use crate::support::{World, until};

const FULL: &str = "Too many numbers are being verified. Try again shortly.";

#[tokio::test]
async fn a_flood_of_new_numbers_is_refused_by_name_and_known_ones_are_served() {
    let world = World::with([("max-numbers", json!(20))]).await;
    let known = numbers_with_codes(&world, 20).await;
    for _ in 0..50 {
        refused(&world.send(&world.number()).await, FULL);
    }
    // The server answers a check of an unknown number without using room.
    assert_eq!(world.verify(&world.number(), "123456").await.status(), 401);
    let (first, _) = &known[0];
    world.send(first).await.expects(sent(first, 5));
    assert_eq!(numbers(&world).await, json!({"held": 20, "limit": 20}));
    assert_eq!(world.twilio.received().len(), 21, "nothing was sent to those who were refused");

    let (number, code) = &known[1];
    world.verify(number, code).await.expects(verified(number));
    let new = world.number();
    world.send(&new).await.expects(sent(&new, 5));
    refused(&world.send(number).await, FULL);

    assert_eq!(world.server.lines("number capacity low").len(), 1);
    assert_eq!(world.server.lines("number capacity used up").len(), 1);
    let told: u64 = world.server.lines("requests refused").iter().filter_map(|e| e["count"].as_u64()).sum();
    assert!(told >= 1, "the refusals are counted in the log");
}

#[tokio::test]
async fn numbers_beyond_a_new_limit_survive_a_restart_and_new_ones_are_refused() {
    let mut world = World::new().await;
    let known = numbers_with_codes(&world, 10).await;
    world.setup = world.setup.config("max-numbers", 3);
    let world = world.restart_after_kill().await;
    assert_eq!(numbers(&world).await, json!({"held": 10, "limit": 3}));
    let new = world.number();
    for (number, code) in &known[..7] {
        refused(&world.send(&new).await, FULL);
        world.verify(number, code).await.expects(verified(number));
    }
    refused(&world.send(&new).await, FULL);
    let (number, code) = &known[7];
    world.verify(number, code).await.expects(verified(number));
    world.send(&new).await.expects(sent(&new, 5));
}

#[tokio::test]
async fn after_a_flood_the_room_comes_back_by_itself() {
    let settings =
        [("max-numbers", json!(30)), ("otp-timeout", json!("1s")), ("otp-lock-timeout", json!("5s"))];
    let world = World::with(settings).await;
    for _ in 0..100 {
        world.send(&world.number()).await;
    }
    let empty = |data: &Value| data["held"] == 0;
    until("every number forgotten", || numbers(&world), empty).await;
    world.server.line("number capacity available again").await;
    world.number_with_message().await;
}

/// The numbers in `/readyz`; the server is always ready.
async fn numbers(world: &World) -> Value {
    let answer = world.get("/readyz").await.expects_status(200);
    answer.json()["data"]["numbers"].clone()
}

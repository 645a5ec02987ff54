//! More sends than the gateway or the limits can take.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{numbers_with_codes, refused, send_to_many};
use crate::support::documented::{incorrect, verified};
use crate::support::{Reply, World, until};

#[tokio::test]
async fn sends_that_hang_cannot_take_the_places_that_are_kept_for_checks() {
    let world = World::with([("max-commands", json!(8)), patient()]).await;
    let (known, code) = world.number_with_code().await;
    world.twilio.otherwise(Reply::Hang);
    let hanging = send_to_many(&world, 6);
    world.twilio.arrived(7).await;

    refused(&world.send(&world.number()).await, "Too many requests are in progress. Try again shortly.");
    world.verify(&known, "none").await.expects(incorrect(&known, 4));
    world.verify(&known, &code).await.expects(verified(&known));

    world.twilio.release();
    for answer in hanging.join_all().await {
        assert_eq!(answer.status(), 200);
    }
    world.number_with_message().await;
}

#[tokio::test]
async fn sends_to_a_silent_gateway_end_in_a_named_refusal_and_checks_go_on() {
    let settings = [("max-sends", json!(4)), ("max-sends-waiting", json!(8)), patient()];
    let world = World::with(settings).await;
    let known = numbers_with_codes(&world, 5).await;
    world.twilio.otherwise(Reply::Hang);
    let mut crowd = send_to_many(&world, 100);
    world.twilio.arrived(9).await;
    // 12 sends are at the gateway or wait; the server refuses all others at once.
    for _ in 0..88 {
        let answer = crowd.join_next().await.expect("more answers").expect("an answer");
        refused(&answer, "Too many messages are waiting to be sent. Try again shortly.");
    }
    for (number, code) in &known {
        world.verify(number, code).await.expects(verified(number));
    }
    assert_eq!(world.twilio.received().len(), 9, "no more are at the gateway than there are places");

    world.twilio.release();
    let served = crowd.join_all().await.iter().filter(|answer| answer.status() == 200).count();
    assert!((4..=12).contains(&served), "{served} of the 4 at the gateway and the 8 who wait");
    assert_eq!(world.server.lines("gateway overloaded").len(), 1, "once, not for each message");
    assert_eq!(world.get("/readyz").await.status(), 200);
    world.number_with_message().await;
}

#[tokio::test]
async fn excess_requests_are_answered_or_refused_and_every_place_is_free_again() {
    let world = World::with([("max-commands", json!(16)), patient()]).await;
    let mut crowd = JoinSet::new();
    for _ in 0..160 {
        let (client, number) = (world.server.client.clone(), world.number());
        crowd.spawn(async move {
            let sent = client.send(&number).await;
            let checked = client.verify(&number, "none").await;
            (sent, checked)
        });
    }
    for (sent, checked) in crowd.join_all().await {
        assert!(matches!(sent.status(), 200 | 503), "{}", sent.text());
        assert!(matches!(checked.status(), 401 | 503), "{}", checked.text());
        for answer in [sent, checked] {
            if answer.status() == 503 {
                answer.expects_retry_after();
            }
        }
    }
    // Every place is free again: the gateway gets as many concurrent sends as allowed.
    world.twilio.otherwise(Reply::Hang);
    let before = world.twilio.received().len();
    let all = send_to_many(&world, 12);
    world.twilio.arrived(before + 12).await;
    world.twilio.release();
    assert!(all.join_all().await.iter().all(|answer| answer.status() == 200));
    until("ready", || world.get("/readyz"), |answer| answer.status() == 200).await;
}

/// A hanging request lasts until it is released, also on a slow machine.
fn patient() -> (&'static str, Value) {
    ("send-budget", json!("60s"))
}

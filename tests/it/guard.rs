//! The pumping guard refuses messages that an attacker earns money with.

use serde_json::json;

use crate::support::{Expectation, Setup, V2, World};

const PREMIUM: &str = "+19002341234";
const LANDLINE: &str = "+493012345678";

#[tokio::test]
async fn premium_numbers_get_no_message_by_any_route() {
    let world = World::of(V2::account(Setup::new())).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[]).await;
    for number in [PREMIUM, "+881612345678"] {
        let refused = v2.begins(&service, number).await;
        assert_eq!((refused.status(), refused.json()["code"].as_u64()), (403, Some(60_410)));
        let body = r#"{"code":403,"message":"Sending a code to this phone number is not permitted."}"#;
        let refused = world.send(number).await;
        assert_eq!((refused.status(), refused.text()), (403, body.to_owned()));
    }
    let disabled = [("To", PREMIUM), ("Channel", "sms"), ("RiskCheck", "disable")];
    assert_eq!(v2.post(&format!("{service}/Verifications"), &disabled).await.status(), 201);
    assert_eq!(world.twilio.received().len(), 1);
}

#[tokio::test]
async fn a_number_gets_at_most_twenty_messages_a_day_across_a_kill() {
    let mut world = World::new().await;
    let number = world.number();
    for round in 0..2 {
        for _ in 0..10 {
            assert_eq!(world.send(&number).await.status(), 200, "round {round}");
        }
        if round == 0 {
            world = world.restart().await.0;
        }
    }
    assert_eq!(world.send(&number).await.status(), 403);
    assert_eq!(world.send(&world.number()).await.status(), 200);
}

#[tokio::test]
async fn a_landline_gets_no_text_message() {
    let world = World::of(V2::account(Setup::new())).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[]).await;
    assert_eq!(v2.begins(&service, LANDLINE).await.json()["code"], 60_205);
    assert_eq!(world.send(LANDLINE).await.status(), 400);
    assert_eq!(world.twilio.received().len(), 0);
}

#[tokio::test]
async fn a_budget_holds_across_kills_and_restarts() {
    let budget = json!({ "messages-per-day": 128, "messages-per-hour": "off" });
    let mut world = World::with([("guard", budget)]).await;
    let mut sent = 0;
    for restart in 0..4 {
        for _ in 0..25 {
            assert_eq!(world.send(&world.number()).await.status(), 200);
            sent += 1;
        }
        world = if restart % 2 == 0 { world.restart_after_kill().await } else { world.restart().await.0 };
    }
    let refused = loop {
        let answer = world.send(&world.number()).await;
        if answer.status() != 200 {
            break answer;
        }
        sent += 1;
    };
    refused.expects(Expectation::plain(429, "Too many messages were sent. Try again later."));
    refused.expects_retry_after();
    // An allowance has two messages: each stop loses at most one.
    assert!((124..=128).contains(&sent), "{sent}");
    assert_eq!(world.twilio.received().len(), sent);
    let world = world.restart_after_kill().await;
    assert_eq!(world.send(&world.number()).await.status(), 429);
}

#[tokio::test]
async fn a_new_data_directory_has_a_default_budget_with_a_real_gateway() {
    let world = World::new().await;
    world.send(&world.number()).await;
    let (world, finished) = world.restart().await;
    assert!(finished.output.contains("default budget of a new data directory"), "{}", finished.output);
    let (_, finished) = world.restart().await;
    assert!(finished.output.contains("default budget of a new data directory"), "{}", finished.output);
}

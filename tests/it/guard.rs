//! The pumping guard refuses messages that an attacker earns money with.

use crate::support::{Setup, V2, World};

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

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

#[tokio::test]
async fn the_operator_blocks_explains_and_removes_at_the_command_line() {
    let world = World::new().await;
    let number = world.number();
    let guard = async |arguments: &[&str]| {
        let data = ["--data-dir", "data"];
        world.setup.command(["guard"].iter().chain(arguments).chain(&data).copied()).await
    };
    let explained = guard(&["explain", PREMIUM]).await;
    for part in ["messages: refused", "The rule number_type refuses", "onceward guard allow '+19002341234'"] {
        assert!(explained.output.contains(part), "no {part:?} in:\n{}", explained.output);
    }
    assert_eq!(world.send(&number).await.status(), 200);
    let counted = guard(&["explain", &number]).await;
    assert!(counted.output.contains("messages: pass"), "{}", counted.output);
    assert!(counted.output.contains("all services  hour    1"), "{}", counted.output);

    let blocked = guard(&["block", &number, "--for", "2h"]).await;
    assert!(blocked.output.contains("are refused until"), "{}", blocked.output);
    assert_eq!(world.send(&number).await.status(), 403);
    let json = guard(&["explain", &number, "--json"]).await.output;
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!((&json["refused"], &json["counters"][1]["entry"]["action"]), (&true.into(), &"block".into()));
    let listed = guard(&["list"]).await;
    assert!(listed.output.contains("entry: block") && !listed.output.contains(&number), "{}", listed.output);
    assert!(guard(&["remove", &number]).await.output.contains("is removed"));
    assert!(guard(&["remove", &number]).await.output.contains("nothing was changed"));
    assert_eq!(world.send(&number).await.status(), 200);

    let audit = world.setup.command(["audit", "--data-dir", "data"]).await;
    for action in ["guard.blocked", "guard.entry_removed"] {
        assert!(audit.output.contains(action), "no {action} in:\n{}", audit.output);
    }
    let wrong = guard(&["block", "nobody"]).await;
    assert_eq!(wrong.status.code(), Some(64), "{}", wrong.output);
}

#[tokio::test]
async fn a_manual_block_of_a_country_survives_a_kill() {
    let world = World::new().await;
    let number = world.number();
    let country = ["guard", "block", "US", "--data-dir", "data"];
    assert!(world.setup.command(country).await.status.success());
    let world = world.restart().await.0;
    assert_eq!(world.send(&number).await.status(), 403);
}

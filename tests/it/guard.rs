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
    for number in [PREMIUM, "+881612345678", "+447012345678"] {
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
async fn a_number_gets_at_most_twenty_messages_a_day_across_a_restart() {
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
    let refused = world.send(LANDLINE).await;
    assert_eq!(refused.status(), 400);
    let reason = refused.header("x-onceward-reason");
    assert_eq!(reason, "the number is a landline, and landlines get no text messages");
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
    for part in [
        "messages: refused",
        "The rule number_type refuses",
        "set number-types of the key",
        "record only until",
    ] {
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
    let explained = guard(&["explain", &number]).await.output;
    assert!(explained.contains(&format!("onceward guard remove '{number}' ends that")), "{explained}");
    assert!(guard(&["remove", &number]).await.output.contains("is removed"));
    assert!(guard(&["remove", &number]).await.output.contains("nothing was changed"));
    assert_eq!(world.send(&number).await.status(), 200);

    let audit = world.setup.command(["audit", "--data-dir", "data"]).await;
    for action in ["guard.blocked", "guard.entry_removed"] {
        assert!(audit.output.contains(action), "no {action} in:\n{}", audit.output);
    }
    let wrong = guard(&["block", "no-subject"]).await;
    assert_eq!(wrong.status.code(), Some(64), "{}", wrong.output);
}

#[tokio::test]
async fn the_list_names_services_and_the_currency_of_budgets() {
    let shop = json!({"shop": {"friendly-name": "Acme Shop", "guard": {"money-per-day": 50}}});
    let setup = Setup::new().config("services", shop).config("currency", "EUR");
    let world = World::of(setup).await;
    let listed = world.setup.command(["guard", "list", "--data-dir", "data"]).await.output;
    let line = listed.lines().find(|line| line.contains("money-per-day")).unwrap_or_default();
    assert!(line.contains("Acme Shop") && line.contains("0.00 of 50.00 EUR spent"), "{listed}");
    let json = world.setup.command(["guard", "list", "--json", "--data-dir", "data"]).await.output;
    let json: serde_json::Value = serde_json::from_str(&json).expect("an object");
    let only = |list: &str, field: &str, value: &str| {
        json[list]
            .as_array()
            .and_then(|list| list.iter().find(|entry| entry[field] == value))
            .expect("one")
            .clone()
    };
    let (shop, budget) = (only("services", "name", "Acme Shop"), only("budgets", "name", "money-per-day"));
    assert_eq!(shop["sid"], budget["service_sid"]);
}

#[tokio::test]
async fn a_manual_block_of_a_country_survives_a_kill() {
    let world = World::new().await;
    let number = world.number();
    let country = ["guard", "block", "US", "--data-dir", "data"];
    assert!(world.setup.command(country).await.status.success());
    let world = world.restart_after_kill().await;
    assert_eq!(world.send(&number).await.status(), 403);
}

#[tokio::test]
async fn a_key_of_one_service_changes_the_guard_of_that_service_only() {
    let world = World::of(V2::account(Setup::new())).await;
    let account = V2::of(&world);
    let (service, other) = (account.service(&[]).await, account.service(&[]).await);
    let (sid, others) = (sid_of(&service), sid_of(&other));
    let create = ["keys", "create", "--service", sid, "--scope", "admin", "--json", "--data-dir", "data"];
    let key: serde_json::Value =
        serde_json::from_str(&world.setup.command(create).await.output).expect("a key");
    let text = |name: &str| key[name].as_str().expect("a text");
    let owner = V2::with_key(&world, text("sid"), text("secret"));
    let number = world.number();

    let entry = [("Subject", number.as_str()), ("Action", "block")];
    let made = owner.post("/Guard/Entries", &entry).await;
    assert_eq!((made.status(), made.json()["service_sid"].as_str()), (201, Some(sid)), "{}", made.text());
    let elsewhere = [entry[0], entry[1], ("ServiceSid", others)];
    assert_eq!(owner.post("/Guard/Entries", &elsewhere).await.status(), 404);
    assert_eq!(account.begins(&service, &number).await.json()["code"], 60_410);
    assert_eq!(account.begins(&other, &number).await.status(), 201);

    let path = format!("/Guard/Explanations/{number}");
    let own = owner.get(&path).await.json();
    assert_eq!(own["refused"], true, "{own}");
    assert!(own["reasons"][1].as_str().is_some_and(|reason| reason.contains("manual entry")), "{own}");
    let counters = own["counters"].as_array().expect("counters");
    assert!(counters.iter().all(|counter| counter["service_sid"] == sid), "{own}");
    assert_eq!(owner.get(&format!("{path}?ServiceSid={others}")).await.status(), 404);
    let all = account.get(&format!("{path}?ServiceSid={sid}")).await.json();
    assert_eq!(all["counters"].as_array().map(Vec::len), Some(2 * counters.len()), "{all}");

    let listed = owner.get("/Guard/Entries").await.json();
    assert!(!listed["entries"][0]["subject"].as_str().expect("a subject").contains(&number), "{listed}");
    assert_eq!(owner.delete(&format!("/Guard/Entries/{number}")).await.status(), 204);
    assert_eq!(owner.delete(&format!("/Guard/Entries/{number}")).await.status(), 404);
    let blocks = owner.get("/Guard/Blocks").await.json();
    assert_eq!(blocks["blocks"], serde_json::json!([]));
}

fn sid_of(path: &str) -> &str {
    path.rsplit('/').next().expect("a sid")
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
    let explain = ["guard", "explain", "US", "--data-dir", "data"];
    let explained = world.setup.command(explain).await.output;
    for part in ["messages: refused", "The budget messages-per-day of all services has too little left"] {
        assert!(explained.contains(part), "no {part:?} in:\n{explained}");
    }
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

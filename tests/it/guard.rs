//! The pumping guard refuses messages that an attacker earns money with.

use serde_json::json;

use crate::support::{Expectation, Says, Setup, V2, World};

const PREMIUM: &str = "+19002341234";
const LANDLINE: &str = "+493012345678";

#[tokio::test]
async fn premium_numbers_get_no_message_by_any_route() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    for number in [PREMIUM, "+881612345678", "+447012345678"] {
        let refused = v2.begins(&service, number).await;
        assert_eq!((refused.status(), refused.json()["code"].as_u64()), (403, Some(60_410)));
        let refused = world.send(number).await;
        let data = json!({ "user": { "phoneNumber": number }, "ttl": 1_440, "lockout_duration": 1_440 });
        let message = "Sending a code to this phone number is not permitted.";
        let body = json!({ "code": 403, "message": message, "data": data });
        assert_eq!((refused.status(), refused.json()), (403, body));
    }
    let disabled = [("To", PREMIUM), ("Channel", "sms"), ("RiskCheck", "disable")];
    assert_eq!(v2.post(&format!("{service}/Verifications"), &disabled).await.status(), 201);
    assert_eq!(world.twilio.received().len(), 1);
}

#[tokio::test]
async fn the_tutorials_route_names_the_rule_in_a_header() {
    let world = World::new().await;
    let refused = world.post("/send-code", json!({ "phoneNumber": PREMIUM }).to_string()).await;
    let body = json!({ "message": "Sending a code to this phone number is not permitted." });
    assert_eq!((refused.status(), refused.json()), (403, body));
    let reason = refused.header("x-onceward-reason");
    assert_eq!(reason, "the pumping guard refuses the message by its rule number_type");
}

#[tokio::test]
async fn answers_as_built_have_the_data_of_a_lockout_too() {
    let world = World::with([("redis-version-answers", json!("as-built"))]).await;
    let refused = world.send(PREMIUM).await;
    let data = json!({ "user": { "phoneNumber": PREMIUM }, "ttl": 1_440, "lockout_duration": 1_440 });
    assert_eq!((refused.status(), &refused.json()["data"]), (403, &data));
    assert!(refused.header("x-onceward-reason").ends_with("by its rule number_type"));
}

/// A server whose guard refuses, as by default.
async fn guarded(settings: serde_json::Value) -> World {
    World::with([("guard", settings)]).await
}

#[tokio::test]
async fn a_number_gets_its_unverified_messages_across_a_restart_until_unlock() {
    let mut world = guarded(json!({ "prefix": 1_000, "country": 1_000, "unproven": 1_000 })).await;
    let number = world.number();
    for round in 0..2 {
        for _ in 0..10 {
            assert_eq!(world.send(&number).await.status(), 200, "round {round}");
        }
        if round == 0 {
            world = world.restart().await.0;
        }
    }
    let refused = world.send(&number).await.expects_status(403);
    assert!(refused.header("x-onceward-reason").starts_with("the pumping guard refuses the message"));
    let data = &refused.json()["data"];
    // One of twenty messages comes back in 72 minutes.
    assert!(data["ttl"].as_u64().is_some_and(|minutes| (70..=72).contains(&minutes)), "{data}");
    assert_eq!(
        (&data["lockout_duration"], &data["user"]["phoneNumber"]),
        (&data["ttl"], &number.as_str().into())
    );
    assert_eq!(world.send(&world.number()).await.status(), 200);
    let unlock = ["unlock", number.as_str()];
    assert!(world.setup.command(unlock).await.status.success());
    assert_eq!(world.send(&number).await.status(), 200);
}

#[tokio::test]
async fn deleting_a_lockout_ends_the_refusals_of_a_number_without_one() {
    let setup = V2::account(Setup::new()).config("guard", json!({ "sends-per-number": 1 }));
    let world = World::of(setup).await;
    let v2 = V2::of(&world);
    let (service, number) = (v2.service(&[]).await, world.number());
    let path = format!("{service}/Lockouts/{number}");
    assert_eq!(v2.delete(&path).await.status(), 404, "a number of which nothing is known");
    assert_eq!(v2.begins(&service, &number).await.status(), 201);
    assert_eq!(v2.begins(&service, &number).await.status(), 403);
    assert_eq!(v2.delete(&path).await.status(), 204);
    assert_eq!(v2.delete(&path).await.status(), 404);
    assert_eq!(v2.begins(&service, &number).await.status(), 201);
}

#[tokio::test]
async fn an_explanation_says_how_many_services_it_leaves_out() {
    let rules = json!({ "guard": { "country": 100 } });
    let services: serde_json::Map<_, _> = (0..12).map(|n| (format!("s{n}"), rules.clone())).collect();
    let world = World::with([("services", services.into())]).await;
    for json in [&["--json"][..], &[]] {
        let explain = ["guard", "explain", "US"].iter().chain(json).copied();
        let explained = world.setup.command(explain).await.output;
        assert!(explained.contains("3 more services are left out"), "{json:?}: {explained}");
    }
}

#[tokio::test]
async fn a_prefix_without_asterisks_is_not_allowed_as_a_number() {
    for (numbers, status) in [("valid", 400), ("possible", 201)] {
        let world = World::of(V2::account(Setup::new()).config("numbers", numbers)).await;
        let entry = [("Subject", "+491511234"), ("Action", "allow")];
        let made = V2::of(&world).post("/Guard/Entries", &entry).await;
        assert_eq!(made.status(), status, "{numbers}: {}", made.text());
        let allow = ["guard", "allow", "+491511234"];
        let allowed = world.setup.command(allow).await;
        assert_eq!(allowed.status.success(), status == 201, "{numbers}: {}", allowed.output);
        let says_how = allowed.output.contains("for a prefix, write '+491511234****'");
        assert_eq!(says_how, status == 400, "{numbers}: {}", allowed.output);
    }
}

#[tokio::test]
async fn with_the_simulator_alone_the_explanation_says_why_all_pass() {
    let setup = Setup::new().config("guard", json!({ "mode": "block" }));
    let _server = setup.start().await;
    let explained = setup.command(["guard", "explain", "US"]).await.output;
    assert!(explained.contains("The simulator is the only gateway: allowances are off"), "{explained}");
    assert!(!explained.contains("The mode of the guard"), "{explained}");
}

#[tokio::test]
async fn a_kept_reserve_is_named_where_messages_are_left_and_refused() {
    let (world, v2, service) = World::with_service(Setup::new().config("guard", json!({}))).await;
    for (n, status) in (0..8).map(|n| (n, if n < 7 { 201 } else { 403 })) {
        let (to, address) = (format!("+99290000010{n}"), format!("198.51.{n}.7"));
        let fields = [("To", to.as_str()), ("Channel", "sms"), ("DeviceIp", &address)];
        assert_eq!(v2.post(&format!("{service}/Verifications"), &fields).await.status(), status, "{n}");
    }
    let kept = "3 of 10 messages left, kept for addresses and networks with verified numbers";
    for command in [&["list"][..], &["explain", "+992900000107"]] {
        let command = ["guard"].iter().chain(command).chain(&["--data-dir", "data"]).copied();
        let shown = world.setup.command(command).await.output;
        assert!(shown.contains(kept), "{shown}");
    }
}

#[tokio::test]
async fn a_prefix_gets_ten_messages_and_the_operator_sees_why_no_more() {
    let world = guarded(json!({})).await;
    let numbers: Vec<_> = (0..30).map(|last| format!("+9929000001{last:02}")).collect();
    let mut sent = 0;
    for number in &numbers {
        sent += usize::from(world.send(number).await.status() == 200);
    }
    assert_eq!((sent, world.twilio.received().len()), (10, 10));
    let of = async |arguments: &[&str]| {
        world.setup.command(arguments.iter().chain(&["--data-dir", "data"]).copied()).await.output
    };
    let explained = of(&["guard", "explain", &numbers[29]]).await;
    explained.says([
        "messages: refused",
        "1 message was refused on ",
        "onceward guard allow '+99290000****'",
    ]);
    let listed = of(&["guard", "list"]).await;
    listed.says(["allowance  +99290000****", "0 of 10 messages left", "20 messages by the rule prefix"]);
    of(&["guard", "allow", "TJ"]).await;
    assert_eq!(world.send(&numbers[29]).await.status(), 200);
}

#[tokio::test]
async fn a_trusted_proxy_vouches_for_a_person_by_a_header() {
    for (proxies, status) in [("127.0.0.1", 200), ("192.0.2.1", 403)] {
        let setup = Setup::new()
            .config("guard", json!({ "prefix": 1 }))
            .config("trusted-proxies", proxies)
            .config("risk-check-header", "X-Risk-Check");
        let world = World::of(setup).await;
        let (first, second) = (world.number(), world.number());
        assert_eq!(world.send(&first).await.status(), 200);
        assert_eq!(world.send(&second).await.status(), 403);
        let body = json!({ "phoneNumber": second }).to_string();
        for (value, expected) in [("enable", 403), ("disable", status)] {
            let answer = world.post_with("/api/send-otp", &[("X-Risk-Check", value)], body.clone()).await;
            assert_eq!(answer.status(), expected, "{proxies} {value}");
        }
    }
}

#[tokio::test]
async fn a_list_of_many_services_is_complete() {
    let services: serde_json::Map<_, _> = (0..990)
        .map(|n| (format!("service-{n}"), json!({ "guard": { "messages-per-day": 1_000 } })))
        .collect();
    // The start writes them in one commit, which a debug build under load makes slowly.
    let setup = Setup::new().config("services", services).config("commit-timeout", "1m");
    let world = World::of(setup).await;
    let list = ["guard", "list", "--limit", "5000", "--json"];
    let listed = world.setup.command(list).await;
    assert!(listed.status.success(), "{}", listed.output);
    let budgets = listed.output.lines().filter(|line| line.contains("messages-per-day")).count();
    assert_eq!(budgets, 990);
}

#[tokio::test]
async fn a_landline_gets_no_text_message() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    assert_eq!(v2.begins(&service, LANDLINE).await.json()["code"], 60_205);
    let refused = world.send(LANDLINE).await.expects_status(400);
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
    explained.says(["messages: refused", "The rule number_type refuses", "set number-types of the key"]);
    assert_eq!(world.send(&number).await.status(), 200);
    let counted = guard(&["explain", &number]).await;
    assert!(counted.output.contains("messages: pass"), "{}", counted.output);
    let left = counted.output.lines().find(|line| line.starts_with(&number) && line.ends_with("now"));
    let left: Vec<_> = left.unwrap_or_default().split_whitespace().collect();
    assert_eq!(left.get(1..3), Some(&["19", "20"][..]), "one of twenty is gone:\n{}", counted.output);

    let blocked = guard(&["block", &number, "--for", "2h"]).await;
    assert!(blocked.output.contains("are refused until"), "{}", blocked.output);
    assert_eq!(world.send(&number).await.status(), 403);
    let json = guard(&["explain", &number, "--json"]).await.output;
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(json["refused"], true);
    let listed = guard(&["list"]).await;
    assert!(listed.output.contains("entry: block") && !listed.output.contains(&number), "{}", listed.output);
    let explained = guard(&["explain", &number]).await.output;
    assert!(explained.contains(&format!("To end it: onceward guard remove '{number}'")), "{explained}");
    assert!(guard(&["remove", &number]).await.output.contains("is removed"));
    assert!(guard(&["unblock", &number]).await.output.contains("nothing was changed"));
    assert_eq!(world.send(&number).await.status(), 200);

    let audit = world.setup.command(["audit"]).await;
    audit.says(["guard.entry_blocked", "guard.entry_removed"]);
    guard(&["block", "no-subject"]).await.exits(64);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the server runs on the clock of the machine")]
async fn a_manual_entry_lasts_as_long_as_the_command_says() {
    let world = World::new().await;
    for (length, seconds) in [("90s", 120), ("90m", 5_400), ("2d", 172_800)] {
        let block = ["guard", "block", "US", "--for", length, "--json"];
        let entry = world.setup.command(block).await.output;
        let entry: serde_json::Value = serde_json::from_str(&entry).expect("an entry");
        let until = humantime::parse_rfc3339(entry["date_until"].as_str().expect("a time")).expect("a time");
        let left = until.duration_since(std::time::SystemTime::now()).expect("it is ahead").as_secs();
        assert!((seconds - 60..=seconds).contains(&left), "{length}: {entry}");
    }
}

#[tokio::test]
async fn the_list_names_services_and_the_currency_of_budgets() {
    let shop = json!({"shop": {"friendly-name": "Acme Shop", "guard": {"money-per-day": 50}}});
    let setup = Setup::new().config("services", shop).config("currency", "EUR");
    let world = World::of(setup).await;
    let listed = world.setup.command(["guard", "list"]).await.output;
    let line = listed.lines().find(|line| line.contains("money-per-day")).unwrap_or_default();
    assert!(line.contains("Acme Shop") && line.contains("0.00 of 50.00 EUR spent"), "{listed}");
    let json = world.setup.command(["guard", "list", "--json"]).await.output;
    let budget: serde_json::Value = serde_json::from_str(json.trim()).expect("one object");
    assert_eq!((&budget["type"], &budget["service"]), (&"budget".into(), &"Acme Shop".into()), "{budget}");
    assert!(budget["service_sid"].as_str().is_some_and(|sid| sid.starts_with("VA")), "{budget}");
}

#[tokio::test]
async fn a_manual_block_of_a_country_survives_a_kill() {
    let world = World::new().await;
    let number = world.number();
    let country = ["guard", "block", "US"];
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
    let create = ["keys", "create", "--service", sid, "--scope", "admin", "--json"];
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
    let services = own["services"].as_array().expect("services");
    assert_eq!((services.len(), &services[0]["service_sid"]), (1, &sid.into()), "{own}");
    assert_eq!(services[0]["refused"], true, "{own}");
    let reasons = services[0]["reasons"].to_string();
    assert!(reasons.contains("manual entry"), "{own}");
    assert_eq!(owner.get(&format!("{path}?ServiceSid={others}")).await.status(), 404);
    let all = account.get(&path).await.json();
    assert_eq!(all["services"][0]["service_sid"], sid, "the worst comes first: {all}");
    assert!(all["services"].as_array().is_some_and(|services| services.len() > 1), "{all}");

    let listed = owner.get("/Guard/Entries").await.json();
    assert!(!listed["entries"][0]["subject"].as_str().expect("a subject").contains(&number), "{listed}");
    assert_eq!(owner.delete(&format!("/Guard/Entries/{number}")).await.status(), 204);
    assert_eq!(owner.delete(&format!("/Guard/Entries/{number}")).await.status(), 404);
    let low = owner.get("/Guard/Allowances").await.json();
    assert_eq!(low["allowances"], serde_json::json!([]));
}

fn sid_of(path: &str) -> &str {
    path.rsplit('/').next().expect("a sid")
}

#[tokio::test]
async fn a_budget_holds_across_kills_and_restarts() {
    let budget = json!({ "messages-per-day": 128, "mode": "off" });
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
    refused.expects(Expectation::plain(
        429,
        "The operator's budget of messages for this hour or day is spent. Try again when it has ended.",
    ));
    refused.expects_retry_after();
    // A share has two messages: each stop loses at most one.
    assert!((124..=128).contains(&sent), "{sent}");
    assert_eq!(world.twilio.received().len(), sent);
    let explain = ["guard", "explain", "US"];
    let explained = world.setup.command(explain).await.output;
    explained.says(["messages: refused", "The budget messages-per-day of all services has too little left"]);
    let world = world.restart_after_kill().await;
    assert_eq!(world.send(&world.number()).await.status(), 429);
}

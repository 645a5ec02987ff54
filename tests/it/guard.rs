//! The pumping guard refuses messages that an attacker earns money with.

use crate::support::prelude::*;

const PREMIUM: &str = "+19002341234";
const LANDLINE: &str = "+493012345678";

#[tokio::test]
async fn premium_numbers_get_no_message_by_any_route() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let message = "Sending a code to this phone number is not permitted.";
    for number in [PREMIUM, "+881612345678", "+447012345678"] {
        v2.begins(&service, number).await.tells(403, "60410");
        let data = json!({ "user": { "phoneNumber": number }, "ttl": 1_440, "lockout_duration": 1_440 });
        world.send(number).await.expects(Expectation::with_data(403, message, data));
    }
    let refused = world.send_code(PREMIUM).await;
    refused.expects_message(403, message);
    assert!(refused.header("x-onceward-reason").ends_with("by its rule number_type"));
    v2.begins_with(&service, PREMIUM, &[("RiskCheck", "disable")]).await.tells(403, "60410");
    assert_eq!(world.twilio().received().len(), 0);
}

#[tokio::test]
async fn a_numbers_own_allowance_survives_a_restart_until_an_unlock() {
    let settings = [("guard", json!({})), ("bounds.guard-sends-per-number", json!(4))];
    let mut world = World::with(settings).await;
    let number = world.number();
    for _ in 0..2 {
        for _ in 0..2 {
            world.send(&number).await.expects_status(200);
        }
        world = world.restart().await.0;
    }
    world.send(&number).await.expects_status(403);
    world.send(&world.number()).await.expects_status(200);
    world.setup.command(["unlock", &number]).await.exits(0);
    world.send(&number).await.expects_status(200);
}

#[tokio::test]
async fn answers_as_built_have_the_data_of_a_lockout_too() {
    let world = World::with([("redis-version-answers", json!("as-built"))]).await;
    let refused = world.send(PREMIUM).await;
    let data = json!({ "user": { "phoneNumber": PREMIUM }, "ttl": 1_440, "lockout_duration": 1_440 });
    assert_eq!((refused.status(), &refused.json()["data"]), (403, &data));
}

#[tokio::test]
async fn a_kill_gives_back_nothing_that_was_sent() {
    let mut world = World::with([("guard", json!({}))]).await;
    let mut sent = 0;
    for round in 0..3 {
        for last in 0..14 {
            let number = format!("+9929000001{:02}", round * 14 + last);
            sent += usize::from(world.send(&number).await.status() == 200);
        }
        world = world.restart_after_kill().await;
    }
    assert_eq!(sent, 10, "the prefix has ten");
    let setup = Setup::new().config("guard", json!({}));
    let (mut world, _, service) = World::with_service(setup).await;
    let number = world.number();
    let mut exempt = 0;
    for _ in 0..2 {
        let v2 = V2::of(&world);
        for _ in 0..24 {
            let begun = v2.begins_with(&service, &number, &[("RiskCheck", "disable")]).await;
            exempt += usize::from(begun.status() == 201);
            if begun.status() == 201 {
                let path = format!("{service}/Verifications/{number}");
                v2.post(&path, &[("Status", "canceled")]).await.expects_status(200);
            }
        }
        world = world.restart_after_kill().await;
    }
    assert_eq!(exempt, 20, "RiskCheck=disable lifts no limit of the number");
}

#[tokio::test]
async fn known_numbers_only_lets_the_known_pass_until_it_is_off() {
    let setup = Setup::new().config("guard", json!({}));
    let (world, v2, service) = World::with_service(setup).await;
    let [known, new] = [world.number(), world.number()];
    v2.begins(&service, &known).await.expects_status(201);
    let code = world.twilio().code_for(&known);
    v2.checks_number(&service, &known, &code).await.expects_status(200);
    guard(&world, &["known-only", "on", "--for", "2h"])
        .await
        .says(["only numbers verified in the last 30 days"]);
    let (world, _) = world.restart().await;
    let v2 = V2::of(&world);
    assert_eq!(v2.begins(&service, &known).await.status(), 201);
    for fields in [&[][..], &[("RiskCheck", "disable")]] {
        v2.begins_with(&service, &new, fields).await.tells(403, "60410");
    }
    assert_eq!(world.send(&new).await.status(), 403);
    guard(&world, &["explain", &new]).await.says(["messages: refused", "guard known-only off"]);
    guard(&world, &["known-only", "off"]).await.says(["is removed"]);
    assert_eq!(v2.begins(&service, &new).await.status(), 201);
    let entry = [("Subject", "all"), ("Action", "block")];
    assert_eq!(v2.post("/Guard/Entries", &entry).await.status(), 400);
}

#[tokio::test]
async fn a_message_above_the_highest_price_is_refused_with_each_part_counted() {
    let prices = json!({ "US": { "sms": 0.01 }, "DE": { "sms": 0.2 } });
    let long = format!("{{code}} is your code. {}", "Tell it to no one. ".repeat(8));
    let setup = Setup::new().config("guard", json!({ "max-price": "0.015" })).config("prices", prices);
    let setup = setup.config("otp-message", long);
    let (world, v2, service) = World::with_service(setup).await;
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 201);
    for number in ["+4915112345678", "+447400123456"] {
        v2.begins_with(&service, number, &[("RiskCheck", "disable")]).await.tells(403, "60410");
        assert_eq!(world.send(number).await.status(), 403, "a country above it, and one without a price");
    }
    assert_eq!(world.send(&world.number()).await.status(), 403, "its text takes two messages");
}

async fn guard(world: &World, arguments: &[&str]) -> Finished {
    world.setup.command(["guard"].iter().chain(arguments).copied()).await
}

#[tokio::test]
async fn deleting_a_lockout_ends_the_refusals_of_a_number_without_one() {
    let setup = Setup::new().config("guard", json!({})).config("bounds.guard-sends-per-number", 1);
    let (world, v2, service) = World::with_service(setup).await;
    let number = world.number();
    let path = format!("{service}/Lockouts/{number}");
    assert_eq!(v2.delete(&path).await.status(), 404, "a number of which nothing is known");
    assert_eq!(v2.begins(&service, &number).await.status(), 201);
    assert_eq!(v2.begins(&service, &number).await.status(), 403);
    assert_eq!(v2.delete(&path).await.status(), 204);
    assert_eq!(v2.delete(&path).await.status(), 404);
    assert_eq!(v2.begins(&service, &number).await.status(), 201);
}

#[tokio::test]
async fn an_explanation_says_how_many_services_it_leaves_out_and_a_list_none() {
    let rules = json!({ "guard": { "messages-per-day": 1_000 } });
    let services: serde_json::Map<_, _> = (0..12).map(|n| (format!("s{n}"), rules.clone())).collect();
    let world = World::with([("services", services.into())]).await;
    for json in [&["--json"][..], &[]] {
        let explain = ["guard", "explain", "US"].iter().chain(json).copied();
        world.setup.command(explain).await.says(["3 more services are left out"]);
    }
    let listed = guard(&world, &["list", "--limit", "5000", "--json"]).await.exits(0).output;
    assert_eq!(listed.matches("messages-per-day").count(), 12, "{listed}");
}

#[tokio::test]
async fn a_prefix_without_asterisks_is_not_allowed_as_a_number() {
    for (numbers, status) in [("valid", 400), ("possible", 201)] {
        let (world, v2) = World::with_account(Setup::new().config("numbers", numbers)).await;
        let made = v2.post("/Guard/Entries", &[("Subject", "+491511234"), ("Action", "allow")]).await;
        assert_eq!(made.status(), status, "{numbers}: {}", made.text());
        let allowed = world.setup.command(["guard", "allow", "+491511234"]).await;
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
    explained.says(["US in the service default (", "The simulator is the only gateway: allowances are off"]);
    assert!(!explained.contains("The mode of the guard"), "{explained}");
}

#[tokio::test]
async fn a_new_network_is_refused_the_last_messages_of_a_prefix() {
    let (world, v2, service) = World::with_service(Setup::new().config("guard", json!({}))).await;
    for (n, status) in (0..9).map(|n| (n, if n < 8 { 201 } else { 403 })) {
        let (to, address) = (format!("+99290000010{n}"), format!("198.51.{n}.7"));
        v2.begins_with(&service, &to, &[("DeviceIp", &address)]).await.expects_status(status);
    }
    guard(&world, &["list"]).await.says(["2 of 10 messages left"]);
    let explained = guard(&world, &["explain", "+992900000108"]).await;
    explained.says(["messages: refused", "The last fifth is for networks with verified numbers"]);
}

#[tokio::test]
async fn a_prefix_gets_ten_messages_and_the_operator_sees_why_no_more() {
    let world = World::with([("guard", json!({}))]).await;
    let numbers: Vec<_> = (0..30).map(|last| format!("+9929000001{last:02}")).collect();
    let mut sent = 0;
    for number in &numbers {
        sent += usize::from(world.send(number).await.status() == 200);
    }
    assert_eq!((sent, world.twilio().received().len()), (10, 10));
    let how = "onceward guard allow '+99290000****'";
    let explained = guard(&world, &["explain", &numbers[29]]).await;
    explained.says(["messages: refused", "1 message was refused on ", how]);
    let listed = guard(&world, &["list"]).await;
    listed.says(["allowance  +99290000****", "0 of 10 messages left", "20 messages by the rule prefix"]);
    guard(&world, &["allow", "TJ"]).await.exits(0);
    assert_eq!(world.send(&numbers[29]).await.status(), 200);
}

#[tokio::test]
async fn a_trusted_proxy_vouches_for_a_person_by_a_header() {
    for (proxies, status) in [("127.0.0.1", 200), ("192.0.2.1", 403)] {
        let setup = Setup::new()
            .config("guard", json!({}))
            .config("trusted-proxies", proxies)
            .config("risk-check-header", "X-Risk-Check");
        let world = World::of(setup).await;
        for last in 0..10 {
            world.send(&format!("+99290000010{last}")).await.expects_status(200);
        }
        let body = json!({ "phoneNumber": "+992900000199" }).to_string();
        for (value, expected) in [("enable", 403), ("disable", status)] {
            let answer = world.post_with("/api/send-otp", &[("X-Risk-Check", value)], body.clone()).await;
            assert_eq!(answer.status(), expected, "{proxies} {value}");
        }
    }
}

#[tokio::test]
async fn a_landline_gets_no_text_message() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    assert_eq!(v2.begins(&service, LANDLINE).await.json()["code"], 60_205);
    let refused = world.send(LANDLINE).await.expects_status(400);
    assert!(refused.header("x-onceward-reason").contains("landline"));
    assert_eq!(world.twilio().received().len(), 0);
}

#[tokio::test]
async fn the_operator_blocks_explains_and_removes_at_the_command_line() {
    let world = World::new().await;
    let number = world.number();
    let guard = async |arguments: &[&str]| guard(&world, arguments).await;
    let explained = guard(&["explain", PREMIUM]).await;
    explained.says(["messages: refused", "The rule number_type refuses", "see number-types"]);
    assert_eq!(world.send(&number).await.status(), 200);
    let counted = guard(&["explain", &number]).await;
    counted.says(["messages: pass"]);
    let left = counted.output.lines().find(|line| line.starts_with(&number) && line.ends_with('-'));
    let left: Vec<_> = left.unwrap_or_default().split_whitespace().collect();
    assert_eq!(left.get(1..3), Some(&["19", "20"][..]), "one of twenty is gone:\n{}", counted.output);

    guard(&["block", &number, "--for", "2h"]).await.says(["are refused until"]);
    assert_eq!(world.send(&number).await.status(), 403);
    assert_eq!(guard(&["explain", &number, "--json"]).await.object()["refused"], true);
    let listed = guard(&["list"]).await.output;
    assert!(listed.contains("block") && !listed.contains(&number), "{listed}");
    let remedy = format!("onceward guard remove '{number}' ends it");
    guard(&["explain", &number]).await.says([remedy]);
    guard(&["remove", &number]).await.says(["is removed"]);
    guard(&["unblock", &number]).await.says(["nothing was changed"]);
    assert_eq!(world.send(&number).await.status(), 200);

    world.setup.command(["audit"]).await.says(["guard.entry_blocked", "guard.entry_removed"]);
    guard(&["block", "no-subject"]).await.exits(64);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the server runs on the clock of the machine")]
async fn a_manual_entry_lasts_as_long_as_the_command_says() {
    let world = World::new().await;
    for (length, seconds) in [("90s", 120), ("90m", 5_400), ("2d", 172_800)] {
        let entry = guard(&world, &["block", "US", "--for", length, "--json"]).await.object();
        let until = humantime::parse_rfc3339(text(&entry, "date_until")).expect("a time");
        let left = until.duration_since(std::time::SystemTime::now()).expect("it is ahead").as_secs();
        assert!((seconds - 60..=seconds).contains(&left), "{length}: {entry}");
    }
}

#[tokio::test]
async fn the_list_names_services_and_the_currency_of_budgets() {
    let shop = json!({"shop": {"friendly-name": "Acme Shop", "guard": {"money-per-day": 50}}});
    let world = World::with([("services", shop), ("currency", json!("EUR"))]).await;
    let listed = guard(&world, &["list"]).await.output;
    let line = listed.lines().find(|line| line.contains("money-per-day")).unwrap_or_default();
    assert!(line.contains("Acme Shop") && line.contains("0.00 of 50.00 EUR spent"), "{listed}");
    let budget = guard(&world, &["list", "--json"]).await.object();
    assert_eq!((text(&budget, "type"), text(&budget, "service")), ("budget", "Acme Shop"), "{budget}");
    assert!(text(&budget, "service_sid").starts_with("VA"), "{budget}");
}

#[tokio::test]
async fn a_manual_block_of_a_country_survives_a_kill() {
    let world = World::new().await;
    let number = world.number();
    guard(&world, &["block", "US"]).await.exits(0);
    let world = world.restart_after_kill().await;
    assert_eq!(world.send(&number).await.status(), 403);
}

#[tokio::test]
async fn a_key_of_one_service_changes_the_guard_of_that_service_only() {
    let (world, account, service) = World::with_service(Setup::new()).await;
    let other = account.service(&[]).await;
    let [sid, others] = [&service, &other].map(|path| path.trim_start_matches("/Services/"));
    let owner = world.with_new_key(&["--service", sid, "--scope", "admin"]).await;
    let number = world.number();

    let entry = [("Subject", number.as_str()), ("Action", "block")];
    let made = owner.post("/Guard/Entries", &entry).await;
    assert_eq!((made.status(), text(&made.json(), "service_sid")), (201, sid));
    let elsewhere = [entry[0], entry[1], ("ServiceSid", others)];
    assert_eq!(owner.post("/Guard/Entries", &elsewhere).await.status(), 404);
    assert_eq!(account.begins(&service, &number).await.json()["code"], 60_410);
    assert_eq!(account.begins(&other, &number).await.status(), 201);

    let path = format!("/Guard/Explanations/{number}");
    let own = owner.get(&path).await.json();
    let services = own["services"].as_array().expect("services");
    assert_eq!((services.len(), &services[0]["service_sid"]), (1, &sid.into()), "{own}");
    assert_eq!(services[0]["refused"], true, "{own}");
    assert!(services[0]["reasons"].to_string().contains("manual entry"), "{own}");
    assert_eq!(owner.get(&format!("{path}?ServiceSid={others}")).await.status(), 404);
    let all = account.get(&path).await.json();
    assert_eq!(all["services"][0]["service_sid"], sid, "the worst comes first: {all}");
    assert!(all["services"].as_array().is_some_and(|services| services.len() > 1), "{all}");

    let listed = owner.get("/Guard/Entries").await.json();
    assert!(!text(&listed["entries"][0], "subject").contains(&number), "{listed}");
    for status in [204, 404] {
        assert_eq!(owner.delete(&format!("/Guard/Entries/{number}")).await.status(), status);
    }
    let low = owner.get("/Guard/Allowances").await.json();
    assert_eq!(low["allowances"], json!([]));
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
        world = world.restart_by(restart % 2 == 0).await;
    }
    let refused = loop {
        let answer = world.send(&world.number()).await;
        if answer.status() != 200 {
            break answer;
        }
        sent += 1;
    };
    assert!(refused.status() == 429 && refused.text().contains("budget"), "{}", refused.text());
    refused.expects_retry_after();
    // A share has two messages: each stop loses at most one.
    assert!((124..=128).contains(&sent), "{sent}");
    assert_eq!(world.twilio().received().len(), sent);
    let explained = guard(&world, &["explain", "US"]).await;
    explained.says(["messages: refused", "The budget messages-per-day of all services has too little left"]);
    let world = world.restart_after_kill().await;
    assert_eq!(world.send(&world.number()).await.status(), 429);
}

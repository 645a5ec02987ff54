//! What an operator does beyond Twilio's API: see what became of numbers and messages, unlock numbers, define test
//! numbers, and receive events by webhook.

use crate::support::prelude::*;

#[tokio::test]
async fn status_follows_a_number_from_its_first_code_to_its_approval() {
    let world = World::new().await;
    let number = world.number();
    let status = async || world.setup.command(["status", &number, "--json"]).await.exits(0).object();
    assert_eq!(status().await["known"], false);
    let unknown = world.setup.command(["status", &number]).await.exits(0);
    unknown.says(["is unknown in the service default", "onceward guard explain"]);

    world.send(&number).await;
    let code = world.twilio().code_for(&number);
    world.verify(&number, &wrong(&code)).await;
    let pending = until("the message", &status, |status| status["messages"][0].is_object()).await;
    let verification = &pending["verification"];
    assert_eq!((text(verification, "status"), &verification["sends"]), ("pending", &1.into()), "{pending}");
    assert!(text(verification, "begun") < text(verification, "ends"), "{pending}");
    assert_eq!((&pending["wrong_codes_in_a_row"], &pending["locked_until"]), (&1.into(), &Value::Null));
    let message = &pending["messages"][0];
    assert_eq!((text(message, "gateway"), text(message, "send_status")), ("TwilioMessages", "sent"));

    for _ in 0..4 {
        world.verify(&number, &wrong(&code)).await;
    }
    world.verify(&number, &code).await.expects(locked(&number, 30));
    let stopped = status().await;
    assert_eq!(stopped["verification"]["status"], "max_attempts_reached", "{stopped}");
    assert!(stopped["locked_until"].is_string(), "{stopped}");
    let unlocked = world.setup.command(["unlock", &number, "--json"]).await.object();
    assert_eq!(unlocked["was"], "locked");

    world.send(&number).await;
    world.verify(&number, &world.twilio().code_for(&number)).await;
    let approved =
        until("the approval", &status, |status| status["verification"]["status"] == "approved").await;
    assert_eq!((&approved["wrong_codes_in_a_row"], &approved["locked_until"]), (&0.into(), &Value::Null));
    let shown = world.setup.command(["status", &number]).await;
    shown.says([number.as_str(), "approved VE", "lockout       none", "Twilio", "invalid_code", "success"]);
    assert!(!shown.output.contains(&world.twilio().code_for(&number)), "{}", shown.output);
}

#[tokio::test]
async fn status_is_that_of_the_named_service_and_needs_a_server() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let (service, number) = (v2.service(&[("MaxChecks", "3")]).await, world.number());
    let begun = v2.begins(&service, &number).await;
    v2.checks(&service, &sid(&begun), &wrong(&world.twilio().code_for(&number))).await;
    let arguments = ["status", &number, "--service", "Owl Bank", "--json"];
    let status = world.setup.command(arguments).await.exits(0).object();
    assert_eq!(status["verification"]["sid"], sid(&begun), "{status}");
    assert_eq!(status["verification"]["wrong_codes"], 1, "{status}");
    v2.post(&format!("{service}/Verifications/{}", sid(&begun)), &[("Status", "canceled")]).await;
    let canceled = world.setup.command(arguments).await.exits(0).object();
    assert_eq!(canceled["verification"]["status"], "canceled", "{canceled}");
    let elsewhere = world.setup.command(["status", &number]).await;
    elsewhere.says(["is unknown in the service default", "it has messages in Owl Bank: name the service"]);

    world.server.killed().await;
    world.setup.command(arguments).await.exits(70).says(["start the server first", "data/control.sock"]);
}

#[tokio::test]
async fn a_verification_whose_message_no_gateway_accepted_has_failed_everywhere() {
    let (world, visitor) = signed_in(Setup::new().config("webhook-private-addresses", true)).await;
    let v2 = V2::of(&world);
    let (service, receiver) = (v2.service(&[]).await, Receiver::start());
    let hook = v2.webhook(&service, "*", &receiver.url).await;
    let number = world.number_with([Reply::Refuse { status: 400, code: 21_408 }]);
    v2.begins(&service, &number).await.tells(403, "60605");
    let event = receiver.next(text(&hook, "secret"));
    assert_eq!((text(&event, "type"), text(&event["data"], "status")), ("verification.failed", "failed"));

    let status = async || {
        world.setup.command(["status", &number, "--service", "Owl Bank", "--json"]).await.exits(0).object()
    };
    let failed = until("the message", &status, |status| status["messages"][0].is_object()).await;
    let verification = &failed["verification"];
    assert_eq!(verification["status"], "failed", "{failed}");
    assert_eq!(verification["sid"], event["data"]["verification_sid"], "{failed}");
    let page = visitor.get(&visitor.look_up(&number).await).await.text();
    page.says(["<dd>failed", "TwilioMessages did not take the last message"]);
    let fetched = v2.get(&format!("{service}/Verifications/{}", text(verification, "sid"))).await;
    assert_eq!(fetched.status(), 404);
}

#[tokio::test]
async fn a_verification_whose_retries_were_used_up_has_expired_as_in_its_events() {
    let retries = json!({ "retry": true, "max_retries": 1 });
    let world = World::of(Setup::new().config("sms", retries)).await;
    let number = world.number_with([Reply::Busy, Reply::Busy]);
    world.send(&number).await.expects(sent(&number, 5));
    let status = async || world.setup.command(["status", &number, "--json"]).await.exits(0).object();
    let ended =
        until("the last retry", &status, |status| status["verification"]["status"] != "pending").await;
    assert_eq!(ended["verification"]["status"], "expired", "{ended}");
    assert_eq!(ended["messages"][0]["send_status"], "unsendable", "{ended}");
}

#[tokio::test]
async fn status_says_that_the_guard_refused_messages() {
    let (world, premium) = (World::new().await, "+19002341234");
    assert_eq!(world.send(premium).await.status(), 403);
    let status = world.setup.command(["status", premium]).await;
    status.says(["1 message was refused on ", "rule number_type", "onceward guard explain +19002341234"]);
}

#[tokio::test]
async fn the_tracker_narrows_a_list_by_service_and_time_and_counts_it() {
    let (clock, setup) = Shifted::over(V2::account(Setup::new()));
    let world = World::of(setup).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[]).await;
    let (first, second) = (world.number(), world.number());
    world.send(&first).await;
    v2.begins(&service, &second).await;
    let setup = world.setup.clone();
    let list = async |arguments: &[&str]| {
        let rows = setup.tracked(arguments).await;
        rows.iter().map(|row| text(row, "to").to_owned()).collect::<Vec<_>>()
    };
    until("both messages", || list(&[]), |numbers| numbers.len() == 2).await;
    // From here on, what was sent was sent two hours ago.
    clock.by(2 * 60 * 60);
    assert_eq!(list(&["--service", "default"]).await, [first.as_str()]);
    assert_eq!(list(&["--service", "Owl Bank"]).await, [second.as_str()]);
    assert_eq!(list(&["--service", service.trim_start_matches("/Services/")]).await, [second.as_str()]);
    for (limits, messages) in [
        (&["--since", "3h"][..], 2),
        (&["--since", "1h"], 0),
        (&["--until", "1h"], 2),
        (&["--until", "3h"], 0),
        (&["--since", "2020-01-31", "--until", "2020-02-01T00:00:00Z"], 0),
    ] {
        assert_eq!(list(limits).await.len(), messages, "{limits:?}");
    }
    let totals = setup.command(["tracker", "--totals", "--json", "--limit", "1"]).await;
    for (by, value, messages) in
        [("all", "", 2), ("gateway", "TwilioMessages", 2), ("send", "sent", 2), ("type", "sms", 2)]
    {
        let line = serde_json::json!({"by": by, "value": value, "messages": messages});
        assert!(totals.json().contains(&line), "no {line} in:\n{}", totals.output);
    }
    setup.command(["tracker", "--service", "unknown"]).await.exits(70).says(["no service \"unknown\""]);
    setup.command(["tracker", "--since", "yesterday"]).await.exits(64).says(["such as 2h"]);
}

#[tokio::test]
async fn an_operator_unlocks_a_number_of_the_compatible_routes() {
    let world = World::new().await;
    let (number, code) = world.locked_out().await;
    world.verify(&number, &code).await.expects(locked(&number, 30));
    world.setup.command(["unlock", &number]).await.exits(0).says(["is unlocked"]);
    world.setup.command(["unlock", &number]).await.says(["is unknown in the service default"]);
    world.verify(&number, &code).await.expects(incorrect(&number, 5));
    world.send(&number).await.expects(sent(&number, 5));
    world.verify(&number, &world.twilio().code_for(&number)).await.expects(verified(&number));
    world.send(&number).await.expects(sent(&number, 5));
    world.setup.command(["unlock", &number]).await.says(["was not locked in the service default"]);
    world.setup.command(["unlock", "hello"]).await.exits(64).says(["hello"]);
    let elsewhere = ["unlock", &number, "--service", "unknown"];
    world.setup.command(elsewhere).await.exits(70).says(["no service \"unknown\""]);
}

#[tokio::test]
async fn an_operator_unlocks_a_number_of_one_service_by_the_services_name() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let service = v2.service(&[("MaxChecks", "1")]).await;
    let number = world.number();
    let owners = sid(&v2.begins(&service, &number).await);
    let code = world.twilio().code_for(&number);
    v2.checks(&service, &owners, &wrong(&code)).await;
    v2.begins(&service, &number).await.tells(429, "60202");
    world.setup.command(["unlock", &number, "--service", "Owl Bank"]).await.exits(0);
    v2.begins(&service, &number).await.tells(201, "pending");
}

#[tokio::test]
async fn test_numbers_are_sent_nothing_and_are_ordinary_again_once_deleted() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let numbers = format!("{service}/TestNumbers");
    let made = v2.post(&numbers, &[("Pattern", "+1415555012x"), ("Code", "4711")]).await.expects_status(201);
    let listed = v2.get(&numbers).await.json();
    assert_eq!(listed["test_numbers"][0], made.json());

    let number = "+14155550123";
    for _ in 0..4 {
        v2.begins(&service, number).await.tells(201, "pending");
        v2.checks_number(&service, number, "000000").await.tells(200, "pending");
    }
    v2.checks_number(&service, number, "4711").await.tells(200, "approved");
    assert!(world.twilio().received_for(number).is_empty(), "no message was sent");

    v2.post(&numbers, &[("Pattern", "+1415555267x"), ("Code", "4711")]).await.tells(400, "60200");
    let forced = [("Pattern", "+1415555267x"), ("Code", "4711"), ("Force", "true")];
    v2.post(&numbers, &forced).await.expects_status(201);
    let test = ("Pattern", "+1415555012x");
    for form in [
        &[test, ("Code", "4711"), ("DateExpires", "2020-01-01T00:00:00Z")][..],
        &[test, ("Code", "12a4")],
        &[("Pattern", "+1"), ("Code", "4711")],
    ] {
        v2.post(&numbers, form).await.tells(400, "60200");
    }

    let made = made.json();
    let path = text(&made, "url").split_once("/v2").expect("below /v2").1;
    for status in [204, 404] {
        assert_eq!(v2.delete(path).await.status(), status);
    }
    v2.begins(&service, number).await;
    assert_eq!(world.twilio().received_for(number).len(), 1, "an ordinary number again");
}

#[tokio::test]
async fn webhooks_and_test_numbers_of_default_hold_for_the_compatible_routes() {
    let setup = Setup::new().config("webhook-private-addresses", true);
    let (world, v2) = World::with_account(setup).await;
    let service = v2.default_service().await;
    let receiver = Receiver::start();
    let hook = v2.webhook(&service, "*", &receiver.url).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &code).await.expects(verified(&number));
    for kind in ["verification.created", "verification.sent", "verification.approved"] {
        let event = receiver.next(text(&hook, "secret"));
        assert_eq!((text(&event, "type"), text(&event["data"], "to")), (kind, number.as_str()));
    }

    let (number, form) = ("+14155550123", [("Pattern", "+14155550123"), ("Code", "471100")]);
    v2.post(&format!("{service}/TestNumbers"), &form).await.expects_status(201);
    world.send(number).await.expects(sent(number, 5));
    world.verify(number, "000000").await.expects(incorrect(number, 4));
    world.verify(number, "471100").await.expects(verified(number));
    assert!(world.twilio().received_for(number).is_empty(), "no message was sent");
}

#[tokio::test]
async fn nothing_more_is_sent_for_a_service_that_was_deleted() {
    let (world, v2) = World::with_account(Setup::new().config("voice", true)).await;
    let service = v2.service(&[("Workflow", "sms:10s,call")]).await;
    let other = v2.service(&[("Workflow", "sms:10s,call")]).await;
    let (deleted, lives) = (world.number(), world.number());
    v2.begins(&service, &deleted).await;
    assert_eq!(v2.delete(&service).await.status(), 204);
    v2.begins(&other, &lives).await;
    // The later verification's call has left; the deleted service's call would have been due before it.
    world.twilio().arrived_for(&lives, 2).await;
    assert_eq!(world.twilio().received_for(&deleted).len(), 1, "the text message, and no call");
}

#[tokio::test]
async fn refused_requests_and_failing_webhooks_are_logged_with_their_service() {
    let setup = Setup::new().config("webhook-private-addresses", true);
    let (world, v2, service) = World::with_service(setup).await;
    let name = service.trim_start_matches("/Services/");
    v2.webhook(&service, "verification.created", "http://127.0.0.1:9/hook").await;
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 201);
    let logged = async |message: &str, service: &str| {
        let is_it = |event: &Value| event["message"] == message && event["service"] == service;
        world.server.event(message, is_it).await;
    };
    logged("webhook failing, events are retried", name).await;
    world.server.let_writes_fail();
    assert_eq!(v2.begins(&service, &world.number()).await.status(), 503);
    assert_eq!(world.send(&world.number()).await.status(), 503);
    logged("requests refused", name).await;
    logged("requests refused", "default").await;
}

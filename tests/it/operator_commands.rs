//! Commands that show an operator what became of numbers and messages.

use crate::support::prelude::*;

#[tokio::test]
async fn status_follows_a_number_from_its_first_code_to_its_approval() {
    let world = World::new().await;
    let number = world.number();
    let status = async || world.setup.command(["status", &number, "--json"]).await.exits(0).object();
    assert_eq!(status().await["known"], false);
    let unknown = world.setup.command(["status", &number]).await.exits(0);
    unknown.says(["is unknown in the service default"]);

    world.send(&number).await;
    let code = world.twilio.code_for(&number);
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
    world.verify(&number, &world.twilio.code_for(&number)).await;
    let approved =
        until("the approval", &status, |status| status["verification"]["status"] == "approved").await;
    assert_eq!((&approved["wrong_codes_in_a_row"], &approved["locked_until"]), (&0.into(), &Value::Null));
    let shown = world.setup.command(["status", &number]).await;
    shown.says([number.as_str(), "approved VE", "lockout       none", "Twilio", "invalid_code", "success"]);
    assert!(!shown.output.contains(&world.twilio.code_for(&number)), "{}", shown.output);
}

#[tokio::test]
async fn status_is_that_of_the_named_service_and_needs_a_server() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let (service, number) = (v2.service(&[("MaxChecks", "3")]).await, world.number());
    let begun = v2.begins(&service, &number).await;
    v2.checks(&service, &sid(&begun), &wrong(&world.twilio.code_for(&number))).await;
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

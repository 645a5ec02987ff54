//! What an operator does at the command line: see what became of numbers and messages, and unlock numbers.

use crate::support::prelude::*;

#[tokio::test]
async fn status_follows_a_number_from_its_first_code_to_its_approval() {
    let world = World::new().await;
    let number = world.number();
    let status = async || world.setup.command(["status", &number, "--json"]).await.exits(0).object();
    assert_eq!(status().await["known"], false);
    world.setup.command(["status", &number]).await.says(["is unknown in the service default"]);

    world.send(&number).await;
    let code = world.twilio().code_for(&number);
    world.verify(&number, &wrong(&code)).await;
    let pending = until("the message", &status, |status| status["messages"][0].is_object()).await;
    let verification = &pending["verification"];
    assert_eq!((text(verification, "status"), &verification["sends"]), ("pending", &1.into()), "{pending}");
    assert_eq!((&pending["wrong_codes_in_a_row"], &pending["locked_until"]), (&1.into(), &Value::Null));
    assert_eq!(text(&pending["messages"][0], "gateway"), "TwilioMessages");

    for _ in 0..4 {
        world.verify(&number, &wrong(&code)).await;
    }
    world.verify(&number, &code).await.expects(locked(&number, 30));
    let stopped = status().await;
    assert_eq!(stopped["verification"]["status"], "max_attempts_reached", "{stopped}");
    assert!(stopped["locked_until"].is_string(), "{stopped}");
    world.setup.command(["unlock", &number]).await.exits(0).says(["is unlocked"]);
    let again = world.setup.command(["unlock", &number]).await;
    assert!(
        again
            .output
            .ends_with("is unknown in the service default: it has no lockout, and nothing was changed")
    );

    world.send(&number).await.expects(sent(&number, 5));
    world.verify(&number, &world.twilio().code_for(&number)).await;
    let approved =
        until("the approval", &status, |status| status["verification"]["status"] == "approved").await;
    assert_eq!((&approved["wrong_codes_in_a_row"], &approved["locked_until"]), (&0.into(), &Value::Null));
    let shown = world.setup.command(["status", &number]).await;
    shown.says([number.as_str(), "approved VE", "lockout       none", "Twilio", "invalid_code", "success"]);
    assert!(!shown.output.contains(&world.twilio().code_for(&number)), "{}", shown.output);
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
    setup.command(["unlock", &second]).await.says(["unknown in the service default", "it has messages in"]);
    let list = async |arguments: &[&str]| {
        let rows = setup.tracked(arguments).await;
        rows.iter().map(|row| text(row, "to").to_owned()).collect::<Vec<_>>()
    };
    // From here on, what was sent was sent two hours ago.
    clock.by(2 * 60 * 60);
    assert_eq!(list(&["--service", "default"]).await, [first.as_str()]);
    assert_eq!(list(&["--service", service.trim_start_matches("/Services/")]).await, [second.as_str()]);
    for (limits, messages) in [
        (&["--since", "3h"][..], 2),
        (&["--since", "1h"], 0),
        (&["--until", "1h"], 2),
        (&["--since", "2020-01-31", "--until", "2020-02-01T00:00:00Z"], 0),
    ] {
        assert_eq!(list(limits).await.len(), messages, "{limits:?}");
    }
    setup.command(["tracker", "--service", "unknown"]).await.exits(70).says(["no service \"unknown\""]);
    setup.command(["tracker", "--since", "yesterday"]).await.exits(64).says(["such as 2h"]);
}

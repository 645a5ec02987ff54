//! What an operator does at the command line: see what became of numbers and messages, and unlock numbers.

use crate::support::prelude::*;

#[tokio::test]
async fn status_follows_a_number_from_its_first_code_to_its_approval() {
    let (world, _, _) = World::with_service(Setup::new()).await;
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
    assert_eq!(stopped["verification"], Value::Null, "{stopped}");
    assert!(stopped["locked_until"].is_string(), "{stopped}");
    world.setup.command(["unlock", &number]).await.exits(0).says(["is unlocked"]);
    world.setup.command(["unlock", &number]).await.exits(0).says(["is unknown; nothing was changed"]);

    world.send(&number).await.expects(sent(&number, 5));
    world.verify(&number, &world.twilio().code_for(&number)).await;
    let is_approved = |status: &Value| status["messages"][1]["verify_status"] == "success";
    let approved = until("the approval", &status, is_approved).await;
    assert_eq!((&approved["wrong_codes_in_a_row"], &approved["locked_until"]), (&0.into(), &Value::Null));
    let shown = world.setup.command(["status", &number]).await;
    shown.says([number.as_str(), "none is known", "lockout       none", "Twilio", "invalid_code", "success"]);
    assert!(!shown.output.contains(&world.twilio().code_for(&number)), "{}", shown.output);
    let elsewhere = world.setup.command(["status", &number, "--service", "Owl Bank"]).await;
    elsewhere.says(["is unknown in the service Owl Bank"]);
}

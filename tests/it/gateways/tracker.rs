//! `onceward tracker` lists the outcome of every send.

use super::twilio_refuses;
use crate::support::prelude::*;

#[tokio::test]
async fn each_gateway_that_was_asked_has_a_row() {
    let world = Several::routed("Twilio;Mada;Http").await;
    let number = world.number_with([twilio_refuses(21_408)]);
    world.mada().plan(&number, [Reply::Refuse { status: 200, code: 88 }]);
    world.accepts(&number).await;
    let rows = world.until_tracked(&number, "three rows", |rows| rows.len() == 3).await;
    let row_of = |gateway: &str| rows.iter().find(|row| row["gateway"] == gateway).expect("a row");
    for (gateway, priority, status, error) in [
        ("TwilioMessages", 0, "gateway_error", Some(21_408)),
        ("Mada", 1, "gateway_error", Some(88)),
        ("Http", 2, "sent", None),
    ] {
        let row = row_of(gateway);
        let names =
            ["priority", "send_status", "type", "verify_status", "retry_count", "max_retries_reached"];
        let shown = names.map(|name| row[name].clone());
        assert_eq!(json!(shown), json!([priority, status, "sms", "new", 0, false]), "{row}");
        assert_eq!((row["error_code"].as_u64(), row["time"].is_null()), (error, false), "{row}");
    }
    let row = row_of("Http");
    assert_eq!((text(row, "message_id"), text(row, "to")), ("plain-1", number.as_str()));
    let table = world.setup.command(["tracker"]).await.exits(0);
    table.says(["TwilioMessages", "sent", &number[number.len() - 2..]]);
}

#[tokio::test]
async fn a_row_tells_what_became_of_the_verification() {
    let world = Several::routed("Twilio").await;
    let (right, mistaken) = (world.number(), world.number());
    for number in [&right, &mistaken] {
        world.accepts(number).await;
        until_verify_status(&world, number, "new").await;
        let code = world.twilio().code_for(number);
        world.verify(number, &wrong(&code)).await.expects(incorrect(number, 4));
        until_verify_status(&world, number, "invalid_code").await;
    }
    world.verifies_by_twilio(&right).await;
    until_verify_status(&world, &right, "success").await;
    until_verify_status(&world, &mistaken, "invalid_code").await;
}

#[tokio::test]
async fn a_code_that_comes_too_late_is_told_as_expired() {
    let world = Several::with("Twilio", [("otp-timeout", json!("5s"))]).await;
    let number = world.number_with_message().await;
    let_pass(std::time::Duration::from_secs(5)).await;
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(incorrect(&number, 4));
    until_verify_status(&world, &number, "expired").await;
}

#[tokio::test]
async fn a_gateway_that_could_not_be_asked_about_its_code_is_told() {
    let world = Several::routed("TwilioVerify").await;
    let number = world.number_with_message().await;
    world.twilio().plan_checks(&number, [Reply::ServerError(500)]);
    let code = world.twilio().code_for(&number);
    assert!(world.verify(&number, &code).await.status() >= 500);
    until_verify_status(&world, &number, "gateway_error").await;
    world.verifies_by_twilio(&number).await;
    until_verify_status(&world, &number, "success").await;
}

#[tokio::test]
async fn rows_are_chosen_by_number_by_status_and_by_how_many() {
    let world = Several::routed("Twilio").await;
    let (good, bad) = (world.number_with_message().await, world.number_with([twilio_refuses(21_211)]));
    world.send(&bad).await.expects(bad_request());
    world.until_tracked(&bad, "both rows", |rows| rows.len() == 1).await;
    for (arguments, numbers) in [
        (&["--number", &good][..], &[&good][..]),
        (&["--status", "sent"], &[&good]),
        (&["--status", "gateway_error"], &[&bad]),
        (&["--status", "unsendable"], &[]),
    ] {
        let rows = world.setup.tracked(arguments).await;
        let found: Vec<_> = rows.iter().map(|row| text(row, "to")).collect();
        assert_eq!(found, numbers, "{arguments:?}");
    }
    for (arguments, count) in [(&[][..], 2), (&["--limit", "1"], 1)] {
        assert_eq!(world.setup.tracked(arguments).await.len(), count, "{arguments:?}");
    }
}

#[tokio::test]
async fn only_so_many_verifications_are_kept() {
    let world = Several::with("Twilio", [("bounds.attempts", json!(3))]).await;
    for _ in 0..7 {
        world.number_with_message().await;
    }
    let last = world.number_with_message().await;
    let newest = |rows: &Vec<Value>| rows.len() == 3 && rows.iter().any(|row| row["to"] == last);
    until("the three newest", || world.setup.tracked(&[]), newest).await;
}

async fn until_verify_status(world: &Several, number: &str, status: &str) {
    let so = |rows: &[Value]| rows.iter().any(|row| row["verify_status"] == status);
    world.until_tracked(number, &format!("verify status {status}"), so).await;
}

//! `onceward tracker` lists the outcome of every send.

use rustix::process::Signal;
use serde_json::json;

use crate::support::documented::{bad_request, incorrect, sent, verified};
use crate::support::{Reply, Row, Several, let_pass, tracked, until, wrong};

#[tokio::test]
async fn each_gateway_that_was_asked_has_a_row() {
    let world = Several::routed("Twilio;Mada;Http").await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Refuse { status: 400, code: 21_408 }]);
    world.mada().plan(&number, [Reply::Refuse { status: 200, code: 88 }]);
    world.send(&number).await.expects(sent(&number, 5));
    let rows = world.until_tracked(&number, "three rows", |rows| rows.len() == 3).await;
    let row_of = |gateway: &str| rows.iter().find(|row| row.gateway() == gateway).expect("a row");
    for (gateway, priority, status, error) in [
        ("TwilioMessages", 0, "gateway_error", Some(21_408)),
        ("Mada", 1, "gateway_error", Some(88)),
        ("Http", 2, "sent", None),
    ] {
        let row = row_of(gateway);
        assert_eq!(
            (row.priority(), row.send_status(), row.error_code()),
            (priority, status, error),
            "{row:?}"
        );
        assert_eq!((row.channel(), row.verify_status(), row.retries()), ("sms", "new", 0), "{row:?}");
        assert!(row.has_time() && !row.max_retries_reached(), "{row:?}");
    }
    assert_eq!(row_of("Http").message_id(), "plain-1");
    assert_eq!(row_of("Http").to(), number);
}

#[tokio::test]
async fn a_row_tells_what_became_of_the_verification() {
    let world = Several::routed("Twilio").await;
    let (right, mistaken) = (world.number(), world.number());
    for number in [&right, &mistaken] {
        world.send(number).await.expects(sent(number, 5));
        until_verify_status(&world, number, "new").await;
        let code = world.twilio().code_for(number);
        world.verify(number, &wrong(&code)).await.expects(incorrect(number, 4));
        until_verify_status(&world, number, "invalid_code").await;
    }
    let code = world.twilio().code_for(&right);
    world.verify(&right, &code).await.expects(verified(&right));
    until_verify_status(&world, &right, "success").await;
    until_verify_status(&world, &mistaken, "invalid_code").await;
}

#[tokio::test]
async fn a_code_that_comes_too_late_is_told_as_expired() {
    let world = Several::with("Twilio", [("otp-timeout", json!("1s"))]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let_pass(std::time::Duration::from_secs(1)).await;
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(incorrect(&number, 4));
    until_verify_status(&world, &number, "expired").await;
}

#[tokio::test]
async fn a_gateway_that_could_not_be_asked_about_its_code_is_told() {
    let world = Several::routed("TwilioVerify").await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    world.twilio().plan_checks(&number, [Reply::ServerError(500)]);
    let code = world.twilio().code_for(&number);
    assert!(world.verify(&number, &code).await.status() >= 500);
    until_verify_status(&world, &number, "gateway_error").await;
    world.verify(&number, &code).await.expects(verified(&number));
    until_verify_status(&world, &number, "success").await;
}

#[tokio::test]
async fn rows_are_listed_after_a_stop_and_after_kill_9() {
    let mut world = Several::routed("Twilio").await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let rows = world.until_tracked(&number, "one row", |rows| rows.len() == 1).await;

    world.server.signal(Signal::TERM);
    let Several { doubles, setup, server, numbers } = world;
    server.ended().await;
    let server = setup.start().await;
    world = Several { doubles, setup, server, numbers };
    assert_eq!(world.tracked(&number).await, rows);
    world = world.restart_after_kill().await;
    assert_eq!(world.tracked(&number).await, rows);
}

#[tokio::test]
async fn rows_are_chosen_by_number_by_status_and_by_how_many() {
    let world = Several::routed("Twilio").await;
    let (good, bad) = (world.number(), world.number());
    world.twilio().plan(&bad, [Reply::Refuse { status: 400, code: 21_211 }]);
    world.send(&good).await.expects(sent(&good, 5));
    world.send(&bad).await.expects(bad_request());
    world.until_tracked(&bad, "both rows", |rows| rows.len() == 1).await;

    let numbers = |rows: &[Row]| rows.iter().map(|row| row.to().to_owned()).collect::<Vec<_>>();
    let (all, _) = tracked(&world.setup, &[]).await;
    assert_eq!(all.len(), 2);
    assert_eq!(numbers(&tracked(&world.setup, &["--number", &good]).await.0), [good.as_str()]);
    assert_eq!(numbers(&tracked(&world.setup, &["--status", "sent"]).await.0), [good.as_str()]);
    assert_eq!(numbers(&tracked(&world.setup, &["--status", "gateway_error"]).await.0), [bad.as_str()]);
    assert_eq!(tracked(&world.setup, &["--limit", "1"]).await.0.len(), 1);
    assert!(tracked(&world.setup, &["--status", "unsendable"]).await.0.is_empty());
}

#[tokio::test]
async fn for_people_it_is_a_table() {
    let world = Several::routed("Twilio").await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    world.until_tracked(&number, "one row", |rows| rows.len() == 1).await;
    let finished = world.setup.command(["tracker"]).await.exits(0);
    for word in ["TwilioMessages", "sent", &number[number.len() - 2..]] {
        assert!(finished.output.contains(word), "{word} is missing in:\n{}", finished.output);
    }
}

#[tokio::test]
async fn no_row_has_a_code_in_it() {
    let world = Several::with("Twilio;Http", [("otp-length", json!(10))]).await;
    for _ in 0..4 {
        let number = world.number();
        world.twilio().plan(&number, [Reply::Busy]);
        world.send(&number).await.expects(sent(&number, 5));
        let code = world.plain().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
        until_verify_status(&world, &number, "success").await;
    }
    let (_, json) = tracked(&world.setup, &[]).await;
    let table = world.setup.command(["tracker"]).await;
    for code in world.doubles.codes() {
        assert!(!json.output.contains(&code) && !table.output.contains(&code));
    }
}

#[tokio::test]
async fn only_so_many_verifications_are_kept() {
    let world = Several::with("Twilio", [("tracker-keep-at-most", json!(3))]).await;
    let mut last = String::new();
    for _ in 0..8 {
        last = world.number();
        world.send(&last).await.expects(sent(&last, 5));
    }
    let newest = |(rows, _): &(Vec<Row>, _)| rows.len() == 3 && rows.iter().any(|row| row.to() == last);
    until("the three newest", || tracked(&world.setup, &[]), newest).await;
}

async fn until_verify_status(world: &Several, number: &str, status: &str) {
    let so = |rows: &[Row]| rows.iter().any(|row| row.verify_status() == status);
    world.until_tracked(number, &format!("verify status {status}"), so).await;
}

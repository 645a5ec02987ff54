//! Twilio's reports about messages and calls: `POST /callbacks/twilio/message` and
//! `POST /callbacks/twilio/call`.

use serde_json::{Value, json};

use crate::support::documented::{sent, verified};
use crate::support::{PUBLIC_URL, Reply, Report, Row, Several, sid_of, until};

async fn with_public_url<const N: usize>(settings: [(&str, Value); N]) -> Several {
    Several::of("Twilio;Http", |_, setup| {
        let setup = setup.config("public-url", PUBLIC_URL).config("voice", true);
        settings.into_iter().fold(setup, |setup, (key, value)| setup.config(key, value))
    })
    .await
}

async fn number_with_message(world: &Several) -> String {
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    number
}

/// Waits until the tracker shows this as the last receipt of a number.
async fn until_receipt(world: &Several, number: &str, status: &str) {
    let so = |rows: &[Row]| rows.iter().any(|row| row.receipt() == status);
    world.until_tracked(number, &format!("the receipt {status}"), so).await;
}

#[tokio::test]
async fn twilio_is_told_where_to_report_and_is_believed_when_it_signs() {
    let world = with_public_url([]).await;
    let number = number_with_message(&world).await;
    let message = &world.twilio().messages_for(&number)[0];
    let callback = message.field("StatusCallback");
    assert!(callback.starts_with(&format!("{PUBLIC_URL}/callbacks/twilio/message")), "{callback}");
    assert!(!callback.contains(&number[1..]), "an address is written to logs: {callback}");

    let answer = world.twilio().report(&number, "delivered").send(&world).await;
    assert_eq!((answer.status(), answer.text().as_str()), (204, ""));
    until_receipt(&world, &number, "delivered").await;
    let rows = world.tracked(&number).await;
    assert_eq!(rows[0].message_id(), sid_of(message));
}

#[tokio::test]
async fn a_call_is_reported_at_an_address_of_its_own() {
    let world = with_public_url([]).await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Refuse { status: 400, code: 21_614 }]);
    world.send(&number).await.expects(sent(&number, 5));
    let (call, _) = &world.twilio().calls_for(&number)[0];
    let callback = call.field("StatusCallback");
    assert!(callback.starts_with(&format!("{PUBLIC_URL}/callbacks/twilio/call")), "{callback}");
    Report::about(call, "completed").with("CallDuration", "17").send(&world).await.expects_status(204);
    until_receipt(&world, &number, "delivered").await;
}

#[tokio::test]
async fn a_flood_of_forged_reports_does_not_fill_the_log() {
    let world = with_public_url([]).await;
    let number = number_with_message(&world).await;
    let forged = world.twilio().report(&number, "failed").signed_with("another token");
    for _ in 0..200 {
        assert_eq!(forged.clone().send(&world).await.status(), 403);
    }
    let lines = world.server.output().text().matches("callbacks refused").count();
    assert!((1..100).contains(&lines), "{lines} lines for 200 reports: one a second is enough");
}

#[tokio::test]
async fn the_signature_of_one_address_is_no_good_for_another() {
    let world = with_public_url([]).await;
    let number = number_with_message(&world).await;
    let report = world.twilio().report(&number, "delivered");
    // The client reached the server at another address than the public one.
    let headers = [("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
    world
        .post_with("/callbacks/twilio/message", &headers, "MessageStatus=delivered")
        .await
        .expects_status(403);
    assert_eq!(report.send(&world).await.status(), 204);
}

#[tokio::test]
async fn a_report_that_comes_again_changes_nothing() {
    let world = with_public_url([("workflow", json!(["sms:2m", "call:2m", "sms"]))]).await;
    let number = number_with_message(&world).await;
    let report = world.twilio().report(&number, "undelivered").with("ErrorCode", "30003");
    for _ in 0..5 {
        assert_eq!(report.send(&world).await.status(), 204);
    }
    world.twilio().arrived_for(&number, 2).await;
    for _ in 0..5 {
        assert_eq!(report.send(&world).await.status(), 204);
    }
    // Another number takes the same way, after all of these.
    let other = number_with_message(&world).await;
    world.twilio().report(&other, "undelivered").with("ErrorCode", "30003").send(&world).await;
    world.twilio().arrived_for(&other, 2).await;
    assert_eq!(world.twilio().received_for(&number).len(), 2, "one report, one next step");
}

#[tokio::test]
async fn a_status_never_moves_backwards() {
    let world = with_public_url([]).await;
    let number = number_with_message(&world).await;
    for (reported, known) in [
        ("queued", "queued"),
        ("sent", "sent"),
        ("sending", "sent"),
        ("undelivered", "failed"),
        ("delivered", "delivered"),
        ("sent", "delivered"),
        ("failed", "delivered"),
        ("queued", "delivered"),
        ("read", "read"),
        ("delivered", "read"),
    ] {
        world.twilio().report(&number, reported).send(&world).await.expects_status(204);
        // When the other number's receipt is known, the server has handled this one.
        let other = number_with_message(&world).await;
        world.twilio().report(&other, "delivered").send(&world).await;
        until_receipt(&world, &other, "delivered").await;
        assert_eq!(world.tracked(&number).await[0].receipt(), known, "after {reported}");
    }
}

#[tokio::test]
async fn an_unknown_status_and_an_unknown_message_do_no_harm() {
    let world = with_public_url([]).await;
    let number = number_with_message(&world).await;
    for report in [
        world.twilio().report(&number, "a-status-of-next-year"),
        world.twilio().report(&number, ""),
        world.twilio().report(&number, "delivered").redirected("/callbacks/twilio/message"),
        world.twilio().report(&number, "delivered").redirected("/callbacks/twilio/message?attempt=0-00-0"),
    ] {
        let answer = report.send(&world).await;
        assert!((200..500).contains(&answer.status()), "{report:?}: {}", answer.text());
    }
    assert_eq!(world.tracked(&number).await[0].receipt(), "");
}

#[tokio::test]
async fn a_report_survives_kill_9_or_comes_again() {
    let mut world = with_public_url([]).await;
    let number = number_with_message(&world).await;
    until("the send is in the tracker", || world.tracked(&number), |rows| !rows.is_empty()).await;
    world = world.restart_after_kill().await;
    world.twilio().report(&number, "delivered").send(&world).await.expects_status(204);
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn without_a_public_address_no_callback_path_exists_and_twilio_gets_none() {
    let world = Several::routed("Twilio").await;
    let number = number_with_message(&world).await;
    assert_eq!(world.twilio().messages_for(&number)[0].field("StatusCallback"), "");
    for path in ["/callbacks/twilio/message", "/callbacks/twilio/call"] {
        assert_eq!(world.post(path, "").await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn twilio_learns_which_message_verified_a_number_when_that_is_wanted() {
    for wanted in [true, false] {
        let world = Several::with("Twilio", [("conversion-feedback", json!(wanted))]).await;
        let number = number_with_message(&world).await;
        let message = world.twilio().messages_for(&number).remove(0);
        assert_eq!(message.field("ProvideFeedback") == "true", wanted);
        let code = world.twilio().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
        if wanted {
            world.twilio().arrived(2).await;
            assert_eq!(world.twilio().confirmed(), [sid_of(&message)]);
        } else {
            number_with_message(&world).await;
            assert!(world.twilio().confirmed().is_empty());
        }
    }
}

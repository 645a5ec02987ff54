//! Twilio's reports about messages and calls: `POST /callbacks/twilio/message` and `POST /callbacks/twilio/call`; and
//! the next step when a message does not arrive: `workflow`.

use super::twilio_refuses;
use crate::support::prelude::*;

/// Waits until the tracker shows this as the last receipt of a number.
pub async fn until_receipt(world: &Several, number: &str, status: &str) {
    let so = |rows: &[Value]| rows.iter().any(|row| row["receipt_status"] == status);
    world.until_tracked(number, &format!("the receipt {status}"), so).await;
}

#[tokio::test]
async fn twilio_is_told_where_to_report_and_is_believed_when_it_signs() {
    let world = Several::reachable("Twilio;Http", []).await;
    let (texted, called) = (world.number(), world.number_with([twilio_refuses(21_614)]));
    for (number, path, status) in [(texted, "message", "delivered"), (called, "call", "completed")] {
        world.accepts(&number).await;
        let sent = world.twilio().received_for(&number).pop().expect("a message or a call");
        let callback = sent.field("StatusCallback");
        assert!(callback.starts_with(&format!("{PUBLIC_URL}/callbacks/twilio/{path}")), "{callback}");
        assert!(!callback.contains(&number[1..]), "an address is written to logs: {callback}");

        let report = Report::about(&sent, status).with("CallDuration", "17");
        let answer = report.send(&world).await;
        assert_eq!((answer.status(), answer.text().as_str()), (204, ""));
        until_receipt(&world, &number, "delivered").await;
        let rows = world.tracked(&number).await;
        assert!(rows.iter().any(|row| row["message_id"] == sid_of(&sent)), "{rows:?}");
    }
}

#[tokio::test]
async fn a_flood_of_forged_reports_does_not_fill_the_log() {
    let world = Several::reachable("Twilio;Http", []).await;
    let number = world.number_with_message().await;
    let forged = world.twilio().report(&number, "failed").signed_with("another token");
    for _ in 0..200 {
        forged.send(&world).await.expects_status(403);
    }
    let lines = world.server.output().text().matches("callbacks refused").count();
    assert!((1..100).contains(&lines), "{lines} lines for 200 reports: one a second is enough");
}

#[tokio::test]
async fn a_report_that_comes_again_changes_nothing() {
    let world = Several::reachable("Twilio;Http", [("workflow", json!(["sms:2m", "call:2m", "sms"]))]).await;
    let number = world.number_with_message().await;
    let report = world.twilio().report(&number, "undelivered").with("ErrorCode", "30003");
    for _ in 0..5 {
        report.send(&world).await.expects_status(204);
    }
    world.twilio().arrived_for(&number, 2).await;
    for _ in 0..5 {
        report.send(&world).await.expects_status(204);
    }
    // Another number takes the same way, after all of these.
    let other = world.number_with_message().await;
    world.twilio().report(&other, "undelivered").with("ErrorCode", "30003").send(&world).await;
    world.twilio().arrived_for(&other, 2).await;
    assert_eq!(world.twilio().received_for(&number).len(), 2, "one report, one next step");
}

async fn with_workflow(steps: Value) -> Several {
    Several::reachable("Twilio", [("workflow", steps)]).await
}

fn channel_of(received: &Received) -> &'static str {
    if received.is_for("/Calls.json") {
        "call"
    } else if received.field("To").starts_with("whatsapp:") {
        "whatsapp"
    } else {
        "sms"
    }
}

fn channels(world: &Several, number: &str) -> Vec<&'static str> {
    world.twilio().received_for(number).iter().map(channel_of).collect()
}

/// Waits until another number has this many messages, twice: everything that was due before is done by then.
async fn while_others_get(world: &Several, messages: usize) {
    for _ in 0..2 {
        let other = world.number_with_message().await;
        world.twilio().arrived_for(&other, messages).await;
    }
}

#[tokio::test]
async fn by_a_report_that_it_did_not_arrive_the_next_step_follows_at_once() {
    let world = with_workflow(json!(["sms:10m", "call:10m", "whatsapp:10m"])).await;
    for (text, call) in [("undelivered", "no-answer"), ("failed", "busy"), ("undelivered", "failed")] {
        let number = world.number_with_message().await;
        let first = world.twilio().code_for(&number);
        for (messages, status) in [(2, text), (3, call)] {
            let report = world.twilio().report(&number, status);
            assert_eq!(report.with("ErrorCode", "30003").send(&world).await.status(), 204);
            world.twilio().arrived_for(&number, messages).await;
            assert_eq!(world.twilio().code_for(&number), first);
        }
        assert_eq!(channels(&world, &number), ["sms", "call", "whatsapp"]);
        world.verify(&number, &first).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn nothing_follows_what_arrived_what_is_fraud_and_a_used_or_locked_code() {
    let world = with_workflow(json!(["sms:8s", "call"])).await;
    let [arrived, fraud, used, closed] = [(); 4].map(|()| world.number());
    world.accepts(&arrived).await;
    world.twilio().report(&arrived, "delivered").send(&world).await.expects_status(204);
    world.accepts(&fraud).await;
    let report = world.twilio().report(&fraud, "failed").with("ErrorCode", "30450");
    report.send(&world).await.expects_status(204);
    world.accepts(&used).await;
    world.verifies_by_twilio(&used).await;
    world.accepts(&closed).await;
    world.locks_out(&closed, "no code").await;
    while_others_get(&world, 2).await;
    for (case, number) in [("arrived", arrived), ("fraud", fraud), ("used", used), ("locked", closed)] {
        assert_eq!(channels(&world, &number), ["sms"], "{case}");
    }
}

#[tokio::test]
async fn a_step_that_is_due_is_made_after_kill_9() {
    let world = with_workflow(json!(["sms:8s", "call"])).await;
    let number = world.number_with_message().await;
    let first = world.twilio().code_for(&number);
    let world = world.restart_after_kill().await;
    world.twilio().arrived_for(&number, 2).await;
    assert_eq!(channels(&world, &number), ["sms", "call"]);
    assert_eq!(world.twilio().code_for(&number), first);
    world.verify(&number, &first).await.expects(verified(&number));
}

#[tokio::test]
async fn without_a_workflow_a_report_that_it_did_not_arrive_has_no_consequences() {
    let world = Several::reachable("Twilio", []).await;
    let number = world.number_with_message().await;
    let report = world.twilio().report(&number, "undelivered").with("ErrorCode", "30003");
    report.send(&world).await.expects_status(204);
    until_receipt(&world, &number, "failed").await;
    assert_eq!(channels(&world, &number), ["sms"]);
}

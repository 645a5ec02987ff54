//! The next step when a message does not arrive: `workflow`.

use super::receipts::until_receipt;
use crate::support::prelude::*;

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
async fn by_the_timer_each_step_follows_with_the_same_code() {
    let world = with_workflow(json!(["sms:1s", "call:1s", "whatsapp"])).await;
    let number = world.number_with_message().await;
    let first = world.twilio().code_for(&number);
    for messages in [2, 3] {
        world.twilio().arrived_for(&number, messages).await;
        assert_eq!(world.twilio().code_for(&number), first);
    }
    assert_eq!(channels(&world, &number), ["sms", "call", "whatsapp"]);
    world.verify(&number, &first).await.expects(verified(&number));
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
    let world = with_workflow(json!(["sms:2s", "call"])).await;
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
async fn every_step_counts_towards_one_budget() {
    let steps = json!(["sms:1s", "call:1s", "whatsapp:1s"]);
    let settings = [("workflow", steps), ("workflow-max-sends", json!(2))];
    let world = Several::reachable("Twilio", settings).await;
    let number = world.number_with_message().await;
    world.twilio().arrived_for(&number, 2).await;
    while_others_get(&world, 2).await;
    assert_eq!(channels(&world, &number), ["sms", "call"]);
}

#[tokio::test]
async fn a_step_that_is_due_is_made_after_kill_9() {
    let world = with_workflow(json!(["sms:2s", "call"])).await;
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

//! The next step when a message does not arrive: `workflow`.

use serde_json::{Value, json};

use crate::support::documented::{incorrect, locked, sent, verified};
use crate::support::{PUBLIC_URL, Received, Says, Several, WHATSAPP_SENDER};

async fn with_workflow<const N: usize>(workflow: Value, settings: [(&str, Value); N]) -> Several {
    Several::of("Twilio", |_, setup| {
        let setup = setup
            .config("workflow", workflow)
            .config("voice", true)
            .config("public-url", PUBLIC_URL)
            .env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER);
        settings.into_iter().fold(setup, |setup, (key, value)| setup.config(key, value))
    })
    .await
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
        let other = world.number();
        world.send(&other).await.expects(sent(&other, 5));
        world.twilio().arrived_for(&other, messages).await;
    }
}

#[tokio::test]
async fn by_the_timer_each_step_follows_with_the_same_code() {
    let world = with_workflow(json!(["sms:1s", "call:1s", "whatsapp"]), []).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let first = world.twilio().code_for(&number);
    for messages in [2, 3] {
        world.twilio().arrived_for(&number, messages).await;
        assert_eq!(world.twilio().code_for(&number), first);
    }
    assert_eq!(channels(&world, &number), ["sms", "call", "whatsapp"]);
    world.verify(&number, &first).await.expects(verified(&number));
}

#[tokio::test]
async fn the_workflow_can_be_one_text() {
    let world = with_workflow(json!("sms:1s,call"), []).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    world.twilio().arrived_for(&number, 2).await;
    assert_eq!(channels(&world, &number), ["sms", "call"]);
}

#[tokio::test]
async fn by_a_report_that_it_did_not_arrive_the_next_step_follows_at_once() {
    let world = with_workflow(json!(["sms:10m", "call:10m", "whatsapp:10m"]), []).await;
    for (text, call) in [("undelivered", "no-answer"), ("failed", "busy"), ("undelivered", "failed")] {
        let number = world.number();
        world.send(&number).await.expects(sent(&number, 5));
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
async fn what_has_arrived_is_followed_by_nothing() {
    let world = with_workflow(json!(["sms:1s", "call"]), []).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.twilio().report(&number, "delivered").send(&world).await.status(), 204);
    while_others_get(&world, 2).await;
    assert_eq!(channels(&world, &number), ["sms"]);
}

#[tokio::test]
async fn a_code_that_was_used_or_locked_is_followed_by_nothing() {
    let world = with_workflow(json!(["sms:1s", "call"]), []).await;
    let (used, closed) = (world.number(), world.number());
    for number in [&used, &closed] {
        world.send(number).await.expects(sent(number, 5));
    }
    let code = world.twilio().code_for(&used);
    world.verify(&used, &code).await.expects(verified(&used));
    for trials in [4, 3, 2, 1] {
        world.verify(&closed, "no code").await.expects(incorrect(&closed, trials));
    }
    world.verify(&closed, "no code").await.expects(locked(&closed, 30));
    while_others_get(&world, 2).await;
    assert_eq!(channels(&world, &used), ["sms"]);
    assert_eq!(channels(&world, &closed), ["sms"]);
}

#[tokio::test]
async fn every_step_counts_towards_one_budget() {
    let steps = json!(["sms:1s", "call:1s", "whatsapp:1s"]);
    let world = with_workflow(steps, [("workflow-max-sends", json!(2))]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    world.twilio().arrived_for(&number, 2).await;
    while_others_get(&world, 2).await;
    assert_eq!(channels(&world, &number), ["sms", "call"]);
}

#[tokio::test]
async fn a_step_that_is_due_is_made_after_kill_9() {
    let world = with_workflow(json!(["sms:2s", "call"]), []).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let first = world.twilio().code_for(&number);
    let world = world.restart_after_kill().await;
    world.twilio().arrived_for(&number, 2).await;
    assert_eq!(channels(&world, &number), ["sms", "call"]);
    assert_eq!(world.twilio().code_for(&number), first);
    world.verify(&number, &first).await.expects(verified(&number));
}

#[tokio::test]
async fn a_report_of_fraud_is_followed_by_nothing() {
    let world = with_workflow(json!(["sms:2s", "call"]), []).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let report = world.twilio().report(&number, "failed").with("ErrorCode", "30450");
    assert_eq!(report.send(&world).await.status(), 204);
    while_others_get(&world, 2).await;
    assert_eq!(channels(&world, &number), ["sms"]);
}

#[tokio::test]
async fn without_a_workflow_a_report_that_it_did_not_arrive_has_no_consequences() {
    let world = Several::with("Twilio", [("public-url", json!(PUBLIC_URL)), ("voice", json!(true))]).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let report = world.twilio().report(&number, "undelivered").with("ErrorCode", "30003");
    assert_eq!(report.send(&world).await.status(), 204);
    world
        .until_tracked(&number, "the receipt", |rows| rows.iter().any(|row| row.receipt() == "failed"))
        .await;
    assert_eq!(channels(&world, &number), ["sms"]);
}

#[tokio::test]
async fn a_workflow_that_makes_no_sense_stops_the_start() {
    for (workflow, word) in [(json!(["sms", "pigeon"]), "pigeon"), (json!(["sms:soon"]), "soon")] {
        let setup = Several::routed("Twilio").await.setup.config("workflow", workflow);
        setup.command(["--check"]).await.exits(64).says(["workflow", word]);
    }
}

//! Retries in the background: `sms.retry`.

use super::is_sent;
use crate::support::prelude::*;

/// Twilio is the only gateway.
async fn with_retry() -> Several {
    with_settings(json!({"retry": true})).await
}

async fn with_settings(sms: Value) -> Several {
    Several::with("Twilio", [("sms", sms), ("bounds.breaker-failures", json!(100))]).await
}

/// A refusal that asks for a pause, which is long enough for other steps of a test.
const LATER: Reply = Reply::BusyFor(1);

/// Waits until another number was retried three times. This takes longer than any number's first retry, even after a
/// gateway's pause of one second.
async fn while_another_number_is_retried(world: &Several) {
    let other = world.number_with([Reply::Busy; 3]);
    world.accepts(&other).await;
    world.twilio().arrived_for(&other, 4).await;
}

/// Asserts that no message goes to this number while others get theirs.
async fn is_sent_nothing_more(world: &Several, number: &str) {
    let tries = world.twilio().received_for(number).len();
    is_sent_only(tries, world, number).await;
}

async fn is_sent_only(tries: usize, world: &Several, number: &str) {
    while_another_number_is_retried(world).await;
    assert_eq!(world.twilio().received_for(number).len(), tries);
}

#[tokio::test]
async fn a_request_is_accepted_after_a_failed_try_and_the_code_arrives_later() {
    let world = with_retry().await;
    let number = world.number_with([Reply::Busy; 2]);
    world.accepts(&number).await;
    world.twilio().arrived_for(&number, 3).await;

    let codes = world.twilio().codes();
    assert!(codes.iter().all(|code| *code == codes[0]), "every try carries the same code");
    world.verify(&number, &wrong(&codes[0])).await.expects(incorrect(&number, 4));
    world.verify(&number, &codes[0]).await.expects(verified(&number));
    let rows = world.until_tracked(&number, "it is sent", is_sent).await;
    assert_eq!(rows.iter().map(|row| row["retry_count"].as_u64()).max(), Some(Some(2)), "{rows:?}");
}

#[tokio::test]
async fn a_code_that_was_used_is_not_sent_again_nor_after_kill_9() {
    for is_killed in [false, true] {
        println!("killed: {is_killed}");
        let mut world = with_retry().await;
        let number = world.number_with([LATER; 8]);
        world.accepts(&number).await;
        world.verifies_by_twilio(&number).await;
        let tries = world.twilio().received_for(&number).len();
        if is_killed {
            world = world.restart_after_kill().await;
            world.twilio().reset();
        }
        is_sent_only(tries, &world, &number).await;
    }
}

#[tokio::test]
async fn a_code_that_was_replaced_is_not_sent_again() {
    let world = with_retry().await;
    let number = world.number_with([LATER]);
    world.accepts(&number).await;
    let replaced = world.twilio().code_for(&number);
    world.accepts(&number).await;
    is_sent_nothing_more(&world, &number).await;

    // The new message may repeat the code that never arrived, or replace it.
    if world.twilio().code_for(&number) != replaced {
        world.verify(&number, &replaced).await.expects(incorrect(&number, 4));
    }
    world.verifies_by_twilio(&number).await;
}

#[tokio::test]
async fn a_locked_number_is_not_sent_anything_again() {
    let world = with_retry().await;
    let number = world.number_with([LATER; 8]);
    world.accepts(&number).await;
    world.locks_out(&number, "no code").await;
    is_sent_nothing_more(&world, &number).await;
}

#[tokio::test]
async fn after_as_many_retries_as_allowed_it_is_unsendable() {
    let world = with_settings(json!({"retry": true, "max_retries": 2})).await;
    let number = world.number_with([Reply::Busy; 64]);
    world.accepts(&number).await;
    let is_given_up = |row: &&Value| row["send_status"] == "unsendable";
    let one = |rows: &[Value]| rows.iter().any(|row| is_given_up(&row));
    let rows = world.until_tracked(&number, "it is given up", one).await;
    let row = rows.iter().find(is_given_up).expect("such a row");
    let shown = ["max_retries_reached", "retry_count", "error_code"].map(|name| row[name].clone());
    assert_eq!(shown, [json!(true), json!(2), json!(20_429)], "{row}");
    assert_eq!(world.twilio().received_for(&number).len(), 3, "the first try and two more");
}

#[tokio::test]
async fn a_retry_goes_on_after_a_stop_and_after_kill_9_and_its_code_works() {
    for is_killed in [false, true] {
        let mut world = with_retry().await;
        world.twilio().otherwise(Reply::Busy);
        let number = world.number_with_message().await;
        world = world.restart_by(is_killed).await;
        world.twilio().reset();
        world.until_tracked(&number, "it is sent", is_sent).await;
        world.verifies_by_twilio(&number).await;
    }
}

#[tokio::test]
async fn a_retry_that_the_gateway_had_at_kill_9_is_not_made_again() {
    let world = with_retry().await;
    let number = world.number_with([Reply::Busy, Reply::Hang]);
    world.accepts(&number).await;
    world.twilio().arrived_for(&number, 2).await;
    let world = world.restart_after_kill().await;
    world.twilio().reset();
    while_another_number_is_retried(&world).await;
    assert_eq!(world.twilio().received_for(&number).len(), 2);
    world.verifies_by_twilio(&number).await;
}

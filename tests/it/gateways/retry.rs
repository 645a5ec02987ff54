//! Retries in the background: `sms.retry`.

use serde_json::{Value, json};

use crate::support::documented::{failed, incorrect, locked, sent, verified};
use crate::support::{Reply, Row, Setup, Several, wrong};

/// Twilio is the only gateway, it fails as often as a test needs, and its circuit stays closed.
async fn with_retry(sms: Value) -> Several {
    Several::of("Twilio", |_, setup| retrying(setup, sms)).await
}

fn retrying(setup: Setup, sms: Value) -> Setup {
    setup.config("sms", sms).config("breaker-failures", 100)
}

/// Makes Twilio refuse this many sends to a number with a retryable error.
fn fail(world: &Several, number: &str, sends: usize) {
    world.twilio().plan(number, vec![Reply::Busy; sends]);
}

/// The same, but each refusal asks for a pause that is long enough for other steps of the test.
fn fail_slowly(world: &Several, number: &str, sends: usize) {
    world.twilio().plan(number, vec![Reply::BusyFor(1); sends]);
}

fn is_sent(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.send_status() == "sent")
}

/// Waits until another number was retried three times. This takes longer than any number's first retry, even after a
/// gateway's pause of one second.
async fn while_another_number_is_retried(world: &Several) {
    let (other, retries) = (world.number(), 3);
    fail(world, &other, retries);
    world.send(&other).await.expects(sent(&other, 5));
    world.twilio().arrived_for(&other, retries + 1).await;
}

#[tokio::test]
async fn a_request_is_accepted_after_a_failed_try_and_the_code_arrives_later() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    fail(&world, &number, 2);
    world.send(&number).await.expects(sent(&number, 5));
    world.twilio().arrived_for(&number, 3).await;

    let codes = world.twilio().codes();
    assert!(codes.iter().all(|code| *code == codes[0]), "every try carries the same code");
    world.verify(&number, &wrong(&codes[0])).await.expects(incorrect(&number, 4));
    world.verify(&number, &codes[0]).await.expects(verified(&number));
    let rows = world.until_tracked(&number, "it is sent", is_sent).await;
    assert_eq!(rows.iter().map(Row::retries).max(), Some(2), "{rows:?}");
}

#[tokio::test]
async fn without_retry_a_failed_send_is_a_failure() {
    let world = Several::with("Twilio", [("breaker-failures", json!(100))]).await;
    let number = world.number();
    fail(&world, &number, 64);
    assert_eq!(world.send(&number).await.status(), 500);
}

#[tokio::test]
async fn a_retry_tries_every_gateway_again() {
    let world = Several::of("Twilio;Http", |_, setup| retrying(setup, json!({"retry": true}))).await;
    let number = world.number();
    fail(&world, &number, 2);
    world.plain().plan(&number, [Reply::Refuse { status: 200, code: 8 }]);
    world.send(&number).await.expects(sent(&number, 5));
    world.plain().arrived_for(&number, 2).await;
    assert_eq!(world.doubles.sends_to(&number), [2, 0, 0, 2]);
    let code = world.plain().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_code_that_was_used_is_not_sent_again() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    fail_slowly(&world, &number, 8);
    world.send(&number).await.expects(sent(&number, 5));
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
    let tries = world.twilio().received_for(&number).len();
    while_another_number_is_retried(&world).await;
    assert_eq!(world.twilio().received_for(&number).len(), tries);
}

#[tokio::test]
async fn a_code_that_was_replaced_is_not_sent_again() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    fail_slowly(&world, &number, 1);
    world.send(&number).await.expects(sent(&number, 5));
    let replaced = world.twilio().code_for(&number);
    world.send(&number).await.expects(sent(&number, 5));
    let tries = world.twilio().received_for(&number);
    while_another_number_is_retried(&world).await;
    assert_eq!(world.twilio().received_for(&number).len(), tries.len());

    let code = world.twilio().code_for(&number);
    // The new message may repeat the code that never arrived, or replace it.
    if code != replaced {
        world.verify(&number, &replaced).await.expects(incorrect(&number, 4));
    }
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_locked_number_is_not_sent_anything_again() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    fail_slowly(&world, &number, 8);
    world.send(&number).await.expects(sent(&number, 5));
    for trials in [4, 3, 2, 1] {
        world.verify(&number, "no code").await.expects(incorrect(&number, trials));
    }
    world.verify(&number, "no code").await.expects(locked(&number, 30));
    let tries = world.twilio().received_for(&number).len();
    while_another_number_is_retried(&world).await;
    assert_eq!(world.twilio().received_for(&number).len(), tries);
}

#[tokio::test]
async fn a_retry_that_would_come_too_late_is_not_promised() {
    let world =
        Several::of("Twilio", |_, setup| retrying(setup, json!({"retry": true})).config("otp-timeout", "2s"))
            .await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::BusyFor(5)]);
    world.send(&number).await.expects(failed());
    assert_eq!(world.twilio().received_for(&number).len(), 1);
}

#[tokio::test]
async fn an_answer_after_which_nothing_helps_ends_the_retries() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Busy, Reply::Refuse { status: 400, code: 21_211 }]);
    world.send(&number).await.expects(sent(&number, 5));
    world.twilio().arrived_for(&number, 2).await;
    while_another_number_is_retried(&world).await;
    assert_eq!(world.twilio().received_for(&number).len(), 2);
}

#[tokio::test]
async fn what_a_retry_may_have_sent_is_sent_again_with_the_same_code() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Busy, Reply::CutShort, Reply::ServerError(500)]);
    world.send(&number).await.expects(sent(&number, 5));
    world.until_tracked(&number, "it is sent", is_sent).await;
    assert_eq!(world.twilio().received_for(&number).len(), 4);
    let codes = world.twilio().codes();
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    world.verify(&number, &codes[0]).await.expects(verified(&number));
}

#[tokio::test]
async fn after_as_many_retries_as_allowed_it_is_unsendable() {
    let world = with_retry(json!({"retry": true, "max_retries": 2})).await;
    let number = world.number();
    fail(&world, &number, 64);
    world.send(&number).await.expects(sent(&number, 5));
    let given_up = |rows: &[Row]| rows.iter().any(|row| row.send_status() == "unsendable");
    let rows = world.until_tracked(&number, "it is given up", given_up).await;
    let row = rows.iter().find(|row| row.send_status() == "unsendable").expect("such a row");
    assert!(row.max_retries_reached(), "{row:?}");
    assert_eq!(row.retries(), 2, "{row:?}");
    assert_eq!(row.error_code(), Some(20_429), "{row:?}");
    assert_eq!(world.twilio().received_for(&number).len(), 3, "the first try and two more");
}

#[tokio::test]
async fn a_retry_goes_on_after_kill_9_and_the_code_that_arrives_works() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    world.twilio().otherwise(Reply::Busy);
    world.send(&number).await.expects(sent(&number, 5));
    let world = world.restart_after_kill().await;
    world.twilio().reset();
    world.until_tracked(&number, "it is sent", is_sent).await;
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_retry_that_the_gateway_had_at_kill_9_is_not_made_again() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Busy, Reply::Hang]);
    world.send(&number).await.expects(sent(&number, 5));
    world.twilio().arrived_for(&number, 2).await;
    let world = world.restart_after_kill().await;
    world.twilio().reset();
    while_another_number_is_retried(&world).await;
    assert_eq!(world.twilio().received_for(&number).len(), 2);
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_code_that_was_used_before_kill_9_is_not_sent_after_it() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    fail_slowly(&world, &number, 8);
    world.send(&number).await.expects(sent(&number, 5));
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
    let tries = world.twilio().received_for(&number).len();
    let world = world.restart_after_kill().await;
    world.twilio().reset();
    while_another_number_is_retried(&world).await;
    assert_eq!(world.twilio().received_for(&number).len(), tries);
}

#[tokio::test]
async fn a_retry_goes_on_after_a_stop_in_good_order() {
    let world = with_retry(json!({"retry": true})).await;
    let number = world.number();
    world.twilio().otherwise(Reply::Busy);
    world.send(&number).await.expects(sent(&number, 5));
    let (world, _) = world.restart().await;
    world.twilio().reset();
    world.until_tracked(&number, "it is sent", is_sent).await;
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

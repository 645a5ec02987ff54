//! The contract (`docs/reference/otp-api.md`), the documented answers: every row.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::support::documented::{bad_request, failed, incorrect, locked, sent, verified};
use crate::support::{ACCOUNT_SID, AUTH_TOKEN, Expectation, Reply, SENDER, World, let_pass, until, wrong};

#[tokio::test]
async fn a_code_is_sent_and_verifies_once() {
    let world = World::new().await;
    let number = world.number();

    world.send(&number).await.expects(sent(&number, 5));
    let code = world.twilio.code_for(&number);
    assert_eq!(code.len(), 6);
    world.verify(&number, &code).await.expects(verified(&number));

    world.verify(&number, &code).await.expects(incorrect(&number, 5));
}

#[tokio::test]
async fn the_message_reaches_twilio_as_its_api_wants_it() {
    let world = World::new().await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));

    let received = world.twilio.received();
    let [message] = received.as_slice() else { panic!("one message, not {}", received.len()) };
    assert_eq!(message.target, format!("POST /2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"));
    assert_eq!(message.authorization, basic(ACCOUNT_SID, AUTH_TOKEN));
    assert_eq!(message.field("To"), number);
    assert_eq!(message.field("From"), SENDER);
    let code = world.twilio.code_for(&number);
    assert_eq!(message.field("Body"), format!("onceward: your code is {code}. It is valid for 10 min."));
}

#[tokio::test]
async fn each_wrong_code_costs_a_trial_and_the_last_one_locks() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;

    for trials in [4, 3, 2, 1] {
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, trials));
    }
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));
}

#[tokio::test]
async fn a_locked_number_is_neither_sent_a_code_nor_verified() {
    let world = World::with([("otp-max-attempts", json!(1))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));

    world.send(&number).await.expects(locked(&number, 30));
    world.verify(&number, &code).await.expects(locked(&number, 30));
    assert_eq!(world.twilio.received().len(), 1, "a locked number is not sent a message");
}

#[tokio::test]
async fn minutes_of_a_lockout_are_rounded_up_and_never_zero() {
    let world = World::with([("otp-max-attempts", json!(1)), ("otp-lock-timeout", json!("61s"))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 2));

    let world = World::with([("otp-max-attempts", json!(1)), ("otp-lock-timeout", json!("20s"))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 1));
    world.send(&number).await.expects(locked(&number, 1));
}

#[tokio::test]
async fn a_resend_replaces_the_code_and_keeps_the_count() {
    let world = World::new().await;
    let (number, first) = world.number_with_code().await;
    world.verify(&number, &wrong(&first)).await.expects(incorrect(&number, 4));
    world.verify(&number, &wrong(&first)).await.expects(incorrect(&number, 3));

    world.send(&number).await.expects(sent(&number, 3));
    let second = world.twilio.code_for(&number);
    // Once in a million the new code equals the old one, and there is nothing to test.
    if first != second {
        world.verify(&number, &first).await.expects(incorrect(&number, 2));
    }
    world.verify(&number, &second).await.expects(verified(&number));
}

#[tokio::test]
async fn a_right_code_clears_the_count() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    world.verify(&number, &code).await.expects(verified(&number));

    world.send(&number).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn a_number_that_never_asked_learns_nothing_and_leaves_nothing() {
    let world = World::new().await;
    let number = world.number();
    for _ in 0..10 {
        world.verify(&number, "123456").await.expects(incorrect(&number, 5));
    }
    world.send(&number).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn when_a_code_expires_a_check_counts_but_cannot_succeed() {
    let world = World::with([("otp-timeout", json!("1s")), ("otp-max-attempts", json!(100))]).await;
    let (number, code) = world.number_with_code().await;

    let_pass(Duration::from_secs(1)).await;
    world.verify(&number, &code).await.expects(incorrect(&number, 99));
    world.verify(&number, &code).await.expects(incorrect(&number, 98));
    world.send(&number).await.expects(sent(&number, 98));
}

#[tokio::test]
async fn a_lockout_ends_by_itself_and_the_count_starts_afresh() {
    let world = World::with([("otp-max-attempts", json!(2)), ("otp-lock-timeout", json!("2s"))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 1));
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 1));

    let answer = until("the lockout's end", || world.send(&number), |answer| answer.status() != 403).await;
    answer.expects(sent(&number, 2));
}

#[tokio::test]
async fn a_lockout_voids_the_outstanding_code() {
    let world = World::with([("otp-max-attempts", json!(1)), ("otp-lock-timeout", json!("1s"))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 1));

    let check = || world.verify(&number, &code);
    let answer = until("the lockout's end", check, |answer| answer.status() != 403).await;
    answer.expects(incorrect(&number, 1));
}

#[tokio::test]
async fn a_code_that_cannot_be_one_is_a_wrong_code() {
    let world = World::with([("otp-max-attempts", json!(50))]).await;
    let (number, code) = world.number_with_code().await;
    let shapes =
        ["x", "12345", "1234567", "12345678901", "abcdef", "１２３４５６", "12 456", " ", "-12345", "🙂"];
    for (trials, shape) in (0..50).rev().zip(shapes) {
        world.verify(&number, shape).await.expects(incorrect(&number, trials));
    }
    let padded = format!(" {code} ");
    world.verify(&number, &padded).await.expects(incorrect(&number, 39));
    let long = "1".repeat(4_000);
    world.verify(&number, &long).await.expects(incorrect(&number, 38));
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn an_empty_code_is_a_bad_body_and_costs_nothing() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, "").await.expects(bad_request());
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn a_number_that_the_provider_does_not_know_is_a_bad_request() {
    let world = World::new().await;
    let number = world.number();
    world.twilio.plan(&number, [Reply::Refuse { status: 400, code: 21211 }]);
    world.send(&number).await.expects(bad_request());
    world.send(&number).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn a_provider_that_refuses_is_a_server_error() {
    let world = World::new().await;
    let number = world.number();
    world.twilio.plan(&number, [Reply::Refuse { status: 401, code: 20003 }]);
    world.send(&number).await.expects(failed());
    world.send(&number).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn hello_world_answers_as_it_always_did() {
    let world = World::new().await;
    let hello = Expectation::with_data(200, "Successful Response", json!("Hello world"));
    world.get("/hello-world").await.expects(hello);
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_no_content_type_is_needed() {
    let world = World::new().await;
    let number = world.number();
    let body = json!({"phoneNumber": number, "language": {"locale": ["de"]}, "retry": null});
    world.post("/api/send-otp", body.to_string()).await.expects(sent(&number, 5));

    let code = world.twilio.code_for(&number);
    let user = json!({"phoneNumber": number, "name": "Ada"});
    let body = json!({"trials": 99, "user": user, "code": code, "remember": true});
    world.post("/api/verify-otp", body.to_string()).await.expects(verified(&number));
}

#[tokio::test]
async fn a_body_in_other_than_post_is_not_an_attempt() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    let body = json!({"user": {"phoneNumber": number}, "code": wrong(&code)}).to_string();
    let answer = world.request(Method::PUT, "/api/verify-otp", body).await;
    assert_eq!((answer.status(), answer.header("allow")), (405, "POST"));
    world.send(&number).await.expects(sent(&number, 5));
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {credentials}")
}

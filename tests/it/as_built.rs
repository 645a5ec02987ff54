//! The contract (`docs/reference/otp-api.md`), the answers "as built": every row, byte for byte.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Reply, Setup, World, let_pass, soon, wrong};

#[tokio::test]
async fn as_built_a_code_is_sent_and_verifies_once() {
    let world = as_built([]).await;
    let number = world.number();
    let sent = format!(
        r#"{{"code":200,"message":"Successfully send OTP message","data":{{"user":{{"phoneNumber":"{number}"}},"trials":5}}}}"#
    );
    world.send(&number).await.expects_exactly(200, &sent);

    let code = world.twilio.code_for(&number);
    let verified = format!(r#"{{"code":200,"message":"Successfully verified user","data":"{number}"}}"#);
    world.verify(&number, &code).await.expects_exactly(200, &verified);

    let expired = with_trials(&number, "OTP Expired, Try Again", 5);
    world.verify(&number, &code).await.expects_exactly(500, &expired);
}

#[tokio::test]
async fn as_built_a_wrong_code_is_500_outside_and_401_inside() {
    let world = as_built([]).await;
    let (number, code) = world.number_with_code().await;
    for trials in [4, 3, 2, 1] {
        let incorrect = with_trials(&number, "Incorrect OTP, Try Again", trials);
        world.verify(&number, &wrong(&code)).await.expects_exactly(500, &incorrect);
    }
}

#[tokio::test]
async fn as_built_the_last_wrong_code_is_500_outside_and_403_inside() {
    let world = as_built([("otp-max-attempts", json!(1))]).await;
    let (number, code) = world.number_with_code().await;
    let last = "Incorrect OTP and Max Limit Reached Try after 30 min";
    world.verify(&number, &wrong(&code)).await.expects_exactly(500, &locked_now(&number, last));
}

#[tokio::test]
async fn as_built_no_live_code_has_words_of_its_own() {
    let world = as_built([("otp-timeout", json!("1s")), ("otp-max-attempts", json!(2))]).await;
    let number = world.number();
    let expired = with_trials(&number, "OTP Expired, Try Again", 2);
    world.verify(&number, "123456").await.expects_exactly(500, &expired);

    let (number, code) = world.number_with_code().await;
    let_pass(Duration::from_secs(1)).await;
    let expired = with_trials(&number, "OTP Expired, Try Again", 1);
    world.verify(&number, &code).await.expects_exactly(500, &expired);
    let last = "OTP Expired and Max Limit Reached, Try after 30 min";
    world.verify(&number, &code).await.expects_exactly(500, &locked_now(&number, last));
}

#[tokio::test]
async fn as_built_a_locked_number_is_told_the_minutes_rounded_down() {
    // With the usual 30 minutes, a quick answer would still say 30.
    let world = as_built([("otp-max-attempts", json!(1)), ("otp-lock-timeout", json!("29m30s"))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await;

    let locked = format!(
        r#"{{"code":403,"message":"User is prohibted to make any OTP request, Try after 29 minutes","data":{{"user":{{"phoneNumber":"{number}"}},"ttl":29}}}}"#
    );
    world.send(&number).await.expects_exactly(403, &locked);
    world.verify(&number, &code).await.expects_exactly(403, &locked);
}

#[tokio::test]
async fn as_built_a_lockout_of_less_than_a_minute_has_no_ttl() {
    let world = as_built([("otp-max-attempts", json!(1)), ("otp-lock-timeout", json!("45s"))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await;

    let locked = format!(
        r#"{{"code":403,"message":"User is prohibted to make any OTP request, Try after 0 minutes","data":{{"user":{{"phoneNumber":"{number}"}}}}}}"#
    );
    world.send(&number).await.expects_exactly(403, &locked);
}

#[tokio::test]
async fn as_built_the_first_half_second_of_a_lockout_counts_as_a_whole_minute() {
    let world = as_built([("otp-max-attempts", json!(1)), ("otp-lock-timeout", json!("1m"))]).await;
    // Redis rounds the time to live to the second. A slow machine needs more than one number.
    let answer = soon("an answer within half a second", async {
        loop {
            let (number, code) = world.number_with_code().await;
            let begun = now();
            world.verify(&number, &wrong(&code)).await;
            let answer = world.send(&number).await;
            if begun.elapsed() < Duration::from_millis(500) {
                return (number, answer);
            }
        }
    });
    let (number, answer) = answer.await;
    let locked = format!(
        r#"{{"code":403,"message":"User is prohibted to make any OTP request, Try after 1 minutes","data":{{"user":{{"phoneNumber":"{number}"}},"ttl":1}}}}"#
    );
    answer.expects_exactly(403, &locked);
}

#[tokio::test]
async fn as_built_bad_bodies_and_provider_trouble_keep_their_statuses() {
    let world = as_built([]).await;
    for body in ["", "{", "[]", r#"{"phoneNumber":1}"#] {
        let answer = world.post("/api/send-otp", body).await;
        assert_eq!((answer.status(), &answer.json()["code"]), (400, &json!(400)), "{body:?}");
    }
    let number = world.number();
    world.twilio.plan(&number, [Reply::ServerError(503)]);
    let answer = world.send(&number).await;
    assert_eq!((answer.status(), &answer.json()["code"]), (500, &json!(500)));
}

#[expect(clippy::disallowed_methods, reason = "tells whether the answer came in time")]
fn now() -> Instant {
    Instant::now()
}

async fn as_built<const N: usize>(settings: [(&str, Value); N]) -> World {
    let setup = Setup::new().config("redis-version-answers", "as-built");
    let setup = settings.into_iter().fold(setup, |setup, (key, value)| setup.config(key, value));
    World::of(setup).await
}

fn with_trials(number: &str, message: &str, trials: u32) -> String {
    format!(
        r#"{{"code":401,"message":"{message}","data":{{"user":{{"phoneNumber":"{number}"}},"trials":{trials}}}}}"#
    )
}

fn locked_now(number: &str, message: &str) -> String {
    format!(r#"{{"code":403,"message":"{message}","data":{{"user":{{"phoneNumber":"{number}"}},"ttl":30}}}}"#)
}

//! The contract (`docs/reference/otp-api.md`), the answers "as built", byte for byte. `src/http/tests/contract.rs` has the
//! other rows.

use serde_json::{Value, json};

use crate::support::{Reply, Setup, World, wrong};

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
async fn as_built_the_last_wrong_code_is_500_outside_and_403_inside() {
    let world = as_built([("otp-max-attempts", json!(1))]).await;
    let (number, code) = world.number_with_code().await;
    let last = "Incorrect OTP and Max Limit Reached Try after 30 min";
    world.verify(&number, &wrong(&code)).await.expects_exactly(500, &locked_now(&number, last));
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

//! `Verifications` and `VerificationCheck`: the parameters and the answers. `tests/sdk` has what the packages of Twilio send.

use onceward_testkit::{Reply, Setup, V2World, is_error, json, sid};
use serde_json::json;

const TO: (&str, &str) = ("To", "+14155552671");
const SMS: (&str, &str) = ("Channel", "sms");

#[tokio::test]
async fn digits_to_press_are_for_a_call() {
    let world = V2World::with(Setup::of(json!({ "voice": true }))).await;
    let path = world.below("/Verifications");
    let begin = async |channel: &str| {
        world.post_json(&path, &json!({ "To": TO.1, "Channel": channel, "SendDigits": "www12*#" })).await
    };
    assert_eq!(begin("call").await.status, 201);
    is_error(&begin("sms").await, 400, 60200);
}

#[tokio::test]
async fn an_invalid_parameter_is_60200_and_sends_nothing() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    let long = "x".repeat(129);
    let many = json!((0..11).map(|n| (n.to_string(), "x")).collect::<std::collections::BTreeMap<_, _>>())
        .to_string();
    let long_tag = json!({ "a": long }).to_string();
    for form in [
        vec![SMS],
        vec![TO],
        vec![TO, TO, SMS],
        vec![TO, SMS, ("CustomCode", "12")],
        vec![TO, SMS, ("RateLimits", r#"{"a":{}}"#)],
        vec![TO, SMS, ("RateLimits", r#"{"a":"1","a":"2"}"#)],
        vec![TO, SMS, ("Tags", &many)],
        vec![TO, SMS, ("Tags", &long_tag)],
        vec![TO, SMS, ("EnableSnaClientToken", "true")],
    ] {
        is_error(&world.post(&path, &form).await, 400, 60200);
    }
    for name in ["call 12345 now", "{code}", &long[..31]] {
        let reply = world.post(&path, &[TO, SMS, ("CustomFriendlyName", name)]).await;
        is_error(&reply, 400, 60200);
        assert!(reply.body.contains("CustomFriendlyName") && !reply.body.contains(name), "{}", reply.body);
    }
    assert!(world.world.messages().is_empty());
}

#[tokio::test]
async fn what_is_no_code_is_wrong_and_the_last_check_of_five_is_told() {
    let world = V2World::new().await;
    let begun = world.begin("+14155552672").await;
    world.begin(TO.1).await;
    for code in ["0000", "ABCD", "12 456"] {
        let reply = check(&world, &[("VerificationSid", sid(&begun)), ("Code", code)]).await;
        assert_eq!((reply.status, &json(&reply)["status"]), (200, &json!("pending")), "{code}");
    }
    for form in [
        vec![TO],
        vec![TO, ("Code", "123")],
        vec![TO, ("Code", "12345678901")],
        vec![TO, ("Code", "\u{c4}\u{d6}\u{dc}\u{df}")],
        vec![("VerificationSid", "VE1"), ("Code", "123456")],
        vec![TO, ("Code", "123456"), ("Code", "123456")],
        vec![TO, ("Code", "123456"), ("Amount", "1")],
    ] {
        is_error(&check(&world, &form).await, 400, 60200);
    }
    is_error(&check(&world, &[("Code", "123456")]).await, 400, 60221);
    let mut statuses = Vec::new();
    let wrong = if world.world.code() == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        let reply = check(&world, &[TO, ("Code", wrong)]).await;
        statuses.push(json(&reply)["status"].as_str().expect("a status").to_owned());
    }
    assert_eq!(statuses, ["pending", "pending", "pending", "pending", "max_attempts_reached"]);
}

async fn check(world: &V2World, form: &[(&str, &str)]) -> Reply {
    world.post(&world.below("/VerificationCheck"), form).await
}

//! `VerificationCheck`.

use onceward_testkit::{Reply, V2World, account, is_error, json};
use serde_json::json;

const TO: (&str, &str) = ("To", "+14155552671");

/// A world with a verification, and its id.
async fn begun() -> (V2World, String) {
    let world = V2World::new().await;
    let made = json(&world.post(&world.below("/Verifications"), &[TO, ("Channel", "sms")]).await);
    let sid = made["sid"].as_str().expect("a sid").to_owned();
    (world, sid)
}

async fn check(world: &V2World, form: &[(&str, &str)]) -> Reply {
    world.post(&world.below("/VerificationCheck"), form).await
}

#[tokio::test]
async fn a_right_code_is_approved_and_shown_with_every_field() {
    let (world, sid) = begun().await;
    let reply = check(&world, &[TO, ("Code", &world.world.code())]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        json(&reply),
        json!({
            "sid": sid, "service_sid": world.service.sid.to_string(),
            "account_sid": account().to_string(), "to": "+14155552671", "channel": "sms", "status": "approved",
            "valid": true, "amount": null, "payee": null, "date_created": "2015-07-30T20:00:00Z",
            "date_updated": "2015-07-30T20:00:00Z", "sna_attempts_error_codes": null,
        })
    );
}

#[tokio::test]
async fn a_wrong_code_is_no_error() {
    let (world, sid) = begun().await;
    for code in ["0000", "abcd", "\u{c4}\u{d6}\u{dc}\u{df}", "12 456"] {
        let reply = check(&world, &[("VerificationSid", &sid), ("Code", code)]).await;
        assert_eq!((reply.status, &json(&reply)["status"]), (200, &json!("pending")), "{code}");
    }
}

#[tokio::test]
async fn a_number_that_is_not_that_of_the_id_is_refused_and_not_counted() {
    let (world, sid) = begun().await;
    let code = world.world.code();
    let form = |to| [("VerificationSid", sid.as_str()), ("To", to), ("Code", &*code)];
    for _ in 0..5 {
        is_error(&check(&world, &form("+14155552672")).await, 404, 20404);
    }
    let reply = check(&world, &form("+14155552671")).await;
    assert_eq!((reply.status, &json(&reply)["status"]), (200, &json!("approved")));
}

#[tokio::test]
async fn what_cannot_be_checked_is_60200() {
    let (world, _) = begun().await;
    for form in [
        vec![TO],
        vec![TO, ("Code", "123")],
        vec![TO, ("Code", "12345678901")],
        vec![("VerificationSid", "VE1"), ("Code", "123456")],
        vec![TO, ("Code", "123456"), ("Code", "123456")],
        vec![TO, ("Code", "123456"), ("Amount", "1")],
    ] {
        is_error(&check(&world, &form).await, 400, 60200);
    }
    is_error(&check(&world, &[("Code", "123456")]).await, 400, 60221);
}

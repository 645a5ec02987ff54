//! `VerificationCheck`.

use onceward::verification::verify::{Status, VerificationTarget};
use onceward_testkit::{V2Call as Call, V2World, account, is_error, json, number, ve};
use serde_json::json;

#[tokio::test]
async fn a_right_code_is_approved_and_shown_with_every_field() {
    let world = V2World::new().await;
    world.fake.with_status(Status::Approved);
    let reply =
        world.post(&world.below("/VerificationCheck"), &[("To", "+14155552671"), ("Code", "123456")]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        json(&reply),
        json!({
            "sid": ve().to_string(), "service_sid": world.service.sid.to_string(),
            "account_sid": account().to_string(), "to": "+14155552671", "channel": "sms", "status": "approved",
            "valid": true, "amount": null, "payee": null, "date_created": "2015-07-30T20:00:00Z",
            "date_updated": "2015-07-30T20:00:00Z", "sna_attempts_error_codes": null,
        })
    );
}

#[tokio::test]
async fn a_wrong_code_is_no_error() {
    let world = V2World::new().await;
    let path = world.below("/VerificationCheck");
    let cases = [
        ("0000", "0000"),
        ("0123456789", "0123456789"),
        ("abcd", "abcd"),
        ("ÄÖÜß", "????"),
        ("12 456", "12456"),
    ];
    for (code, read) in cases {
        let reply = world.post(&path, &[("VerificationSid", &ve().to_string()), ("Code", code)]).await;
        assert_eq!((reply.status, &json(&reply)["status"]), (200, &json!("pending")), "{code}");
        let asked = Call::Check { target: VerificationTarget::Sid(ve()), code: Some(read.to_owned()) };
        assert_eq!(world.fake.asked().pop(), Some(asked), "{code}");
    }
}

#[tokio::test]
async fn a_number_that_is_not_that_of_the_id_is_refused_and_not_counted() {
    let world = V2World::new().await;
    let path = world.below("/VerificationCheck");
    let sid = ve().to_string();
    let form = |to| [("VerificationSid", sid.as_str()), ("To", to), ("Code", "123456")];
    assert_eq!(world.post(&path, &form("+14155552671")).await.status, 200);
    let check = Call::Check { target: VerificationTarget::Sid(ve()), code: Some("123456".to_owned()) };
    assert_eq!(world.fake.asked(), [check]);
    is_error(&world.post(&path, &form("+14155552672")).await, 404, 20404);
    assert_eq!(world.fake.asked().len(), 1, "no check was made");
    assert_eq!(number().e164(), "+14155552671");
}

#[tokio::test]
async fn what_cannot_be_checked_is_60200() {
    let world = V2World::new().await;
    let path = world.below("/VerificationCheck");
    let to = ("To", "+14155552671");
    for form in [
        vec![to],
        vec![to, ("Code", "123")],
        vec![to, ("Code", "12345678901")],
        vec![("VerificationSid", "VE1"), ("Code", "123456")],
        vec![to, ("Code", "123456"), ("Code", "123456")],
        vec![to, ("Code", "123456"), ("Amount", "1")],
    ] {
        is_error(&world.post(&path, &form).await, 400, 60200);
    }
    is_error(&world.post(&path, &[("Code", "123456")]).await, 400, 60221);
    assert_eq!(world.fake.asked(), []);
}

//! `Verifications`: the parameters and the answers.

use onceward::domain::{Channel, Sid, SidKind};
use onceward::verification::verify::{Ending, Status, VerificationTarget};
use onceward_testkit::{Begun, V2Call as Call, V2World, account, given, is_error, json, number, root, ve};
use serde_json::json;

const TO: (&str, &str) = ("To", "+14155552671");
const SMS: (&str, &str) = ("Channel", "sms");

#[tokio::test]
async fn a_verification_is_begun_and_shown_with_its_attempts() {
    let world = V2World::new().await;
    let reply = world.post(&world.below("/Verifications"), &[TO, SMS]).await;
    let (sid, service) = (ve().to_string(), world.service.sid.to_string());
    assert_eq!(reply.status, 201);
    assert_eq!(
        json(&reply),
        json!({
            "sid": sid, "service_sid": service, "account_sid": account().to_string(),
            "to": "+14155552671", "channel": "sms", "status": "pending", "valid": false, "lookup": {},
            "amount": null, "payee": null,
            "send_code_attempts": [
                { "time": "2015-07-30T20:00:00Z", "channel": "SMS", "attempt_sid": "VL01010101010101010101010101010101" },
                { "time": "2015-07-30T20:00:00Z", "channel": "CALL", "attempt_sid": "VL02020202020202020202020202020202" },
                { "time": "2015-07-30T20:00:00Z", "channel": "whatsapp", "attempt_sid": "VL03030303030303030303030303030303" },
            ],
            "date_created": "2015-07-30T20:00:00Z", "date_updated": "2015-07-30T20:00:00Z", "sna": null,
            "url": format!("http://codes.example/v2/Services/{service}/Verifications/{sid}"),
        })
    );
}

#[tokio::test]
async fn every_parameter_is_read_from_a_form_and_from_json() {
    let world = V2World::new().await;
    let fields = given(json!({ "custom-code": true }));
    world.registry.update_service(world.service.sid, fields).await.expect("changed");
    let template = Sid::new(SidKind::Template, [7; 16]);
    let path = world.below("/Verifications");
    let pairs = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let wanted = Begun {
        to: "+14155552671".to_owned(),
        channel: Some(Channel::Call),
        locale: Some("pt-BR".to_owned()),
        friendly_name: Some("Owl 4 2 1 0".to_owned()),
        code: Some("123456".to_owned()),
        app_hash: None,
        template: Some(template),
        substitutions: pairs("order", "42"),
        rate_limits: pairs("session", "abc"),
        tags: pairs("campaign", "spring"),
        send_digits: Some("www12*#".to_owned()),
        idempotency_key: None,
        fingerprint: [0; 32],
    };
    let texts = [
        TO,
        ("Channel", "call"),
        ("Locale", "pt-BR"),
        ("CustomFriendlyName", "Owl 4 2 1 0"),
        ("CustomCode", "123456"),
        ("TemplateSid", &template.to_string()),
        ("TemplateCustomSubstitutions", r#"{"order":"42"}"#),
        ("RateLimits", r#"{"session":"abc"}"#),
        ("DeviceIp", "192.0.2.7"),
        ("Tags", r#"{"campaign":"spring"}"#),
        ("SendDigits", "www12*#"),
        ("RiskCheck", "disable"),
        ("SomethingElse", "is passed over"),
        ("SomethingElse", "even twice"),
    ];
    assert_eq!(world.post(&path, &texts).await.status, 201);
    assert_eq!(world.fake.begun(), wanted);

    let mut object = serde_json::Map::new();
    for (name, text) in texts {
        let value = serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object);
        object.insert(name.to_owned(), value.unwrap_or_else(|| text.into()));
    }
    object.insert("SomethingElse".to_owned(), "is passed over".into());
    assert_eq!(world.post_json(&path, &object.into()).await.status, 201);
    assert_eq!(world.fake.begun(), wanted);

    assert_eq!(world.post(&path, &[TO, SMS, ("AppHash", "FA+9qCX9VSu")]).await.status, 201);
    assert_eq!(world.fake.begun().app_hash.as_deref(), Some("FA+9qCX9VSu"));
}

#[tokio::test]
async fn auto_leaves_the_channel_to_the_service_and_a_plus_may_come_as_a_space() {
    let world = V2World::new().await;
    let (path, root) = (world.below("/Verifications"), root());
    let reply = world.ask("POST", &path, &root, &[], "To=+14155552671&Channel=auto").await;
    assert_eq!(reply.status, 201);
    assert_eq!((world.fake.begun().channel, world.fake.begun().to.as_str()), (None, "+14155552671"));
}

#[tokio::test]
async fn an_invalid_parameter_is_60200_and_calls_no_verifier() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    let long = "x".repeat(129);
    let many = json!((0..11).map(|n| (n.to_string(), "x")).collect::<std::collections::BTreeMap<_, _>>())
        .to_string();
    let long_tag = json!({ "a": long }).to_string();
    for form in [
        vec![SMS],
        vec![TO],
        vec![("To", ""), SMS],
        vec![("To", "mail@example.com"), SMS],
        vec![("To", "4155552671"), SMS],
        vec![TO, ("Channel", "sna")],
        vec![TO, ("Channel", "pigeon")],
        vec![TO, TO, SMS],
        vec![TO, SMS, ("Locale", "?")],
        vec![TO, SMS, ("CustomFriendlyName", "call 12345 now")],
        vec![TO, SMS, ("CustomFriendlyName", "a name of more than thirty characters")],
        vec![TO, SMS, ("CustomCode", "12")],
        vec![TO, SMS, ("AppHash", "short")],
        vec![TO, SMS, ("TemplateSid", "HJ1")],
        vec![TO, SMS, ("RateLimits", "no JSON")],
        vec![TO, SMS, ("RateLimits", "[1]")],
        vec![TO, SMS, ("RateLimits", r#"{"a":{}}"#)],
        vec![TO, SMS, ("RateLimits", r#"{"a":"1","a":"2"}"#)],
        vec![TO, SMS, ("DeviceIp", "1.2.3")],
        vec![TO, SMS, ("Tags", &many)],
        vec![TO, SMS, ("Tags", &long_tag)],
        vec![TO, SMS, ("SendDigits", "12")],
        vec![TO, ("Channel", "call"), ("SendDigits", "12a")],
        vec![TO, SMS, ("RiskCheck", "perhaps")],
        vec![TO, SMS, ("Amount", "39.99")],
        vec![TO, SMS, ("Payee", "Acme")],
        vec![TO, SMS, ("EnableSnaClientToken", "true")],
    ] {
        let reply = world.post(&path, &form).await;
        is_error(&reply, 400, 60200);
        assert!(!reply.body.contains("12345 now"), "no value is repeated");
    }
    for (form, code) in [
        (vec![TO, ("Channel", "email")], 60217),
        (vec![TO, SMS, ("CustomMessage", "hi")], 60243),
        (vec![TO, ("Channel", "whatsapp"), ("AppHash", "FA+9qCX9VSu")], 60602),
    ] {
        is_error(&world.post(&path, &form).await, 400, code);
    }
    assert_eq!(world.fake.asked(), []);
}

#[tokio::test]
async fn an_idempotency_key_is_handed_on_and_repetitions_have_one_fingerprint() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    let ask = async |key: &str, body: &str| {
        let header = format!("idempotency-key: {key}");
        world.ask("POST", &path, &root(), &[&header], body).await
    };
    assert_eq!(ask("k-1", "To=%2B14155552671&Channel=sms").await.status, 201);
    let first = world.fake.begun();
    assert_eq!(first.idempotency_key.as_deref(), Some("k-1"));
    ask("k-1", "Channel=sms&To=%2B14155552671").await;
    assert_eq!(world.fake.begun().fingerprint, first.fingerprint);
    ask("k-1", "Channel=call&To=%2B14155552671").await;
    assert_ne!(world.fake.begun().fingerprint, first.fingerprint);
    let before = world.fake.asked().len();
    for key in ["", "with a space", &"k".repeat(256), "ä"] {
        is_error(&ask(key, "To=%2B14155552671&Channel=sms").await, 400, 60200);
    }
    assert_eq!(world.fake.asked().len(), before);
}

#[tokio::test]
async fn a_verification_is_fetched_and_ended_by_its_id_or_its_number() {
    let world = V2World::new().await;
    for (part, target) in [
        (ve().to_string(), VerificationTarget::Sid(ve())),
        ("+14155552671".to_owned(), VerificationTarget::Number(number())),
        ("%2B14155552671".to_owned(), VerificationTarget::Number(number())),
    ] {
        let path = world.below(&format!("/Verifications/{part}"));
        assert_eq!(world.get(&path).await.status, 200);
        assert_eq!(world.fake.asked().pop(), Some(Call::Fetch(target)));
        world.fake.with_status(Status::Canceled);
        let reply = world.post(&path, &[("Status", "canceled")]).await;
        assert_eq!((reply.status, &json(&reply)["status"]), (200, &json!("canceled")));
        assert_eq!(world.fake.asked().pop(), Some(Call::End(target, Ending::Canceled)));
        world.post(&path, &[("Status", "approved")]).await;
        assert_eq!(world.fake.asked().pop(), Some(Call::End(target, Ending::Approved)));
        is_error(&world.post(&path, &[("Status", "expired")]).await, 400, 60200);
        is_error(&world.post(&path, &[]).await, 400, 60200);
    }
    is_error(&world.get(&world.below("/Verifications/unknown")).await, 404, 20404);
}

#[tokio::test]
async fn every_status_has_twilios_name_and_only_approved_is_valid() {
    let world = V2World::new().await;
    for status in [Status::Pending, Status::Approved, Status::Canceled, Status::MaxAttemptsReached] {
        world.fake.with_status(status);
        let shown = json(&world.get(&world.below("/Verifications/+14155552671")).await);
        assert_eq!(shown["status"], status.as_str());
        assert_eq!(shown["valid"], status == Status::Approved);
    }
}

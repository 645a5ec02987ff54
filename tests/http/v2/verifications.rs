//! `Verifications`: the parameters and the answers.

use std::time::Duration;

use onceward::config::template_sid;
use onceward_testkit::{Setup, V2World, account, given, is_error, json, root};
use serde_json::json;

const TO: (&str, &str) = ("To", "+14155552671");
const SMS: (&str, &str) = ("Channel", "sms");

#[tokio::test]
async fn a_verification_is_begun_and_shown_with_its_attempts() {
    let world = V2World::new().await;
    let begun = world.post(&world.below("/Verifications"), &[TO, SMS]).await;
    assert_eq!(begun.status, 201);
    world.world.clock.advance(Duration::from_secs(60));
    let reply = world.post(&world.below("/Verifications"), &[TO, ("Channel", "whatsapp")]).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let (shown, service) = (json(&reply), world.service.sid.to_string());
    let [sms, whatsapp] = [0, 1].map(|at| &shown["send_code_attempts"][at]["attempt_sid"]);
    assert!(
        sms != whatsapp
            && [sms, whatsapp].iter().all(|sid| sid.as_str().is_some_and(|sid| sid.starts_with("VL")))
    );
    let sid = shown["sid"].as_str().expect("a sid");
    assert!(sid.starts_with("VE") && json(&begun)["sid"] == sid, "{shown}");
    assert_eq!(
        shown,
        json!({
            "sid": sid, "service_sid": service, "account_sid": account().to_string(),
            "to": "+14155552671", "channel": "whatsapp", "status": "pending", "valid": false, "lookup": {},
            "amount": null, "payee": null,
            "send_code_attempts": [
                { "time": "2015-07-30T20:00:00Z", "channel": "SMS", "attempt_sid": sms },
                { "time": "2015-07-30T20:01:00Z", "channel": "whatsapp", "attempt_sid": whatsapp },
            ],
            "date_created": "2015-07-30T20:00:00Z", "date_updated": "2015-07-30T20:01:00Z", "sna": null,
            "url": format!("http://codes.example/v2/Services/{service}/Verifications/{sid}"),
        })
    );
}

#[tokio::test]
async fn every_parameter_is_read_from_a_form_and_from_json() {
    let text = "{friendly_name}: {code} confirms order {{order}}";
    let template = json!({ "channels": ["sms", "call"], "default-locale": "en", "translations": { "en": text, "pt": text } });
    let setup = Setup::of(json!({ "voice": true, "templates": { "order": template } }));
    let world = V2World::with(setup).await;
    let fields = given(json!({ "custom-code": true }));
    world.registry.update_service(world.service.sid, fields).await.expect("changed");
    let limits = world.below("/RateLimits");
    let limit = json(&world.post(&limits, &[("UniqueName", "session")]).await);
    let buckets = format!("{limits}/{}/Buckets", limit["sid"].as_str().expect("a sid"));
    assert_eq!(world.post(&buckets, &[("Max", "2"), ("Interval", "60")]).await.status, 201);
    let (path, template) = (world.below("/Verifications"), template_sid("order").to_string());
    let texts = |to| {
        [
            ("To", to),
            ("Channel", "call"),
            ("Locale", "pt-BR"),
            ("CustomFriendlyName", "Owl 4 2 1 0"),
            ("CustomCode", "123456"),
            ("TemplateSid", &*template),
            ("TemplateCustomSubstitutions", r#"{"order":"42"}"#),
            ("RateLimits", r#"{"session":"abc"}"#),
            ("DeviceIp", "192.0.2.7"),
            ("Tags", r#"{"campaign":"spring"}"#),
            ("SendDigits", "www12*#"),
            ("RiskCheck", "disable"),
            ("SomethingElse", "is passed over"),
        ]
    };
    let form = world.post(&path, &texts("+14155552671")).await;
    assert_eq!(form.status, 201, "{}", form.body);
    let mut object = serde_json::Map::new();
    for (name, text) in texts("+14155552672") {
        let value = serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object);
        object.insert(name.to_owned(), value.unwrap_or_else(|| text.into()));
    }
    assert_eq!(world.post_json(&path, &object.into()).await.status, 201);
    let messages = world.world.messages();
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert_eq!((message.channel.as_str(), message.code.expose()), ("call", "123456"));
        assert!(
            message.text.starts_with("Owl 4 2 1 0: ") && message.text.ends_with(" 42"),
            "{}",
            message.text
        );
    }
    is_error(&world.post(&path, &texts("+14155552673")).await, 429, 20429);
    let hashed = world.post(&path, &[("To", "+14155552674"), SMS, ("AppHash", "FA+9qCX9VSu")]).await;
    assert_eq!(hashed.status, 201, "{}", hashed.body);
    assert!(world.world.messages()[0].text.ends_with("FA+9qCX9VSu"));
}

#[tokio::test]
async fn auto_leaves_the_channel_to_the_service_and_a_plus_may_come_as_a_space() {
    let world = V2World::new().await;
    let (path, root) = (world.below("/Verifications"), root());
    let reply = world.ask("POST", &path, &root, &[], "To=+14155552671&Channel=auto").await;
    let shown = json(&reply);
    assert_eq!((reply.status, &shown["channel"], &shown["to"]), (201, &json!("sms"), &json!(TO.1)));
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
    assert!(world.world.messages().is_empty());
}

#[tokio::test]
async fn an_idempotency_key_names_one_request() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    let ask = async |key: &str, body: &str| {
        let header = format!("idempotency-key: {key}");
        world.ask("POST", &path, &root(), &[&header], body).await
    };
    let first = ask("k-1", "To=%2B14155552671&Channel=sms").await;
    assert_eq!(first.status, 201);
    ask("k-1", "Channel=sms&To=%2B14155552671").await.is(201, &first.body);
    is_error(&ask("k-1", "Channel=whatsapp&To=%2B14155552671").await, 422, 20422);
    for key in ["", "with a space", &"k".repeat(256), "\u{e4}"] {
        is_error(&ask(key, "To=%2B14155552671&Channel=sms").await, 400, 60200);
    }
    assert_eq!(world.world.messages().len(), 1);
}

#[tokio::test]
async fn a_verification_is_fetched_and_ended_by_its_id_or_its_number() {
    let world = V2World::new().await;
    let begin = async || {
        world.world.clock.advance(Duration::from_secs(300));
        let begun = json(&world.post(&world.below("/Verifications"), &[TO, SMS]).await);
        begun["sid"].as_str().expect("a sid").to_owned()
    };
    for part in [None, Some("+14155552671"), Some("%2B14155552671")] {
        for status in ["canceled", "approved"] {
            let sid = begin().await;
            let path = world.below(&format!("/Verifications/{}", part.unwrap_or(&sid)));
            let found = world.get(&path).await;
            assert_eq!((found.status, &json(&found)["sid"]), (200, &json!(sid)));
            is_error(&world.post(&path, &[("Status", "expired")]).await, 400, 60200);
            is_error(&world.post(&path, &[]).await, 400, 60200);
            let ended = world.post(&path, &[("Status", status)]).await;
            assert_eq!((ended.status, &json(&ended)["status"]), (200, &json!(status)));
        }
    }
    is_error(&world.get(&world.below("/Verifications/unknown")).await, 404, 20404);
}

#[tokio::test]
async fn every_status_has_twilios_name_and_only_approved_is_valid() {
    let world = V2World::new().await;
    let check =
        async |code: &str| world.post(&world.below("/VerificationCheck"), &[TO, ("Code", code)]).await;
    let begun = json(&world.post(&world.below("/Verifications"), &[TO, SMS]).await);
    let path = world.below(&format!("/Verifications/{}", begun["sid"].as_str().expect("a sid")));
    let canceled = world.post(&path, &[("Status", "canceled")]).await;
    let of_canceled = world.get(&path).await;
    world.world.clock.advance(Duration::from_secs(300));
    world.post(&world.below("/Verifications"), &[TO, SMS]).await;
    let approved = check(&world.world.code()).await;
    world.world.clock.advance(Duration::from_secs(300));
    let pending = world.post(&world.below("/Verifications"), &[TO, SMS]).await;
    for _ in 0..4 {
        check(world.world.wrong_code()).await;
    }
    let spent = check(world.world.wrong_code()).await;
    for (reply, status) in [
        (canceled, "canceled"),
        (of_canceled, "canceled"),
        (approved, "approved"),
        (pending, "pending"),
        (spent, "max_attempts_reached"),
    ] {
        let shown = json(&reply);
        assert_eq!((&shown["status"], &shown["valid"]), (&json!(status), &json!(status == "approved")));
    }
}

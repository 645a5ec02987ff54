//! `Verifications` and `VerificationCheck`: the parameters and the answers. `tests/sdk` has what the packages of Twilio send.

use onceward::config::template_sid;
use onceward_testkit::{Reply, Setup, V2World, given, is_error, json, sid};
use serde_json::json;

const TO: (&str, &str) = ("To", "+14155552671");
const SMS: (&str, &str) = ("Channel", "sms");

#[tokio::test]
async fn every_parameter_is_read_from_json_as_from_a_form() {
    let text = "{friendly_name}: {code} confirms order {{order}}";
    let template = json!({ "channels": ["sms", "call"], "default-locale": "en", "translations": { "en": text, "pt": text } });
    let setup = Setup::of(json!({ "voice": true, "templates": { "order": template } }));
    let world = V2World::with(setup).await;
    let fields = given(json!({ "custom-code": true }));
    world.registry.update_service(world.service.sid, fields).await.expect("changed");
    let limits = world.below("/RateLimits");
    let limit = json(&world.post(&limits, &[("UniqueName", "session")]).await);
    let buckets = format!("{limits}/{}/Buckets", sid(&limit));
    assert_eq!(world.post(&buckets, &[("Max", "1"), ("Interval", "60")]).await.status, 201);
    let (path, template) = (world.below("/Verifications"), template_sid("order").to_string());
    let to_number = |to| {
        json!({
            "To": to, "Channel": "call", "Locale": "pt-BR", "CustomFriendlyName": "Owl 4 2 1 0",
            "CustomCode": "123456", "TemplateSid": template, "TemplateCustomSubstitutions": { "order": "42" },
            "RateLimits": { "session": "abc" }, "DeviceIp": "192.0.2.7", "Tags": { "campaign": "spring" },
            "SendDigits": "www12*#", "RiskCheck": "disable", "SomethingElse": "is passed over",
        })
    };
    let begun = world.post_json(&path, &to_number("+14155552671")).await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    let message = world.world.messages().remove(0);
    assert_eq!((message.channel.as_str(), message.code.expose()), ("call", "123456"));
    let text = &message.text;
    assert!(text.starts_with("Owl 4 2 1 0: ") && text.ends_with(" 42"), "{text}");
    is_error(&world.post_json(&path, &to_number("+14155552673")).await, 429, 20429);
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

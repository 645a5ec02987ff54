//! `Verifications` and `VerificationCheck`: the parameters and the answers. `tests/sdk` has what the packages of Twilio send.

use onceward_testkit::{Reply, Setup, V2World, is_error, json, root, sid};
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
    world.post(&world.below("/RateLimits"), &[("UniqueName", "a")]).await;
    assert_eq!(world.post(&path, &[TO, SMS, ("RateLimits", r#"{"a":"1"}"#)]).await.status, 201);
    world.post(&format!("{path}/{}", TO.1), &[("Status", "canceled")]).await;
    for form in [
        vec![SMS],
        vec![TO],
        vec![TO, TO, SMS],
        vec![TO, SMS, ("CustomCode", "12")],
        vec![TO, SMS, ("RateLimits", r#"{"a":{}}"#)],
        vec![TO, SMS, ("RateLimits", r#"{"a":"1","a":"2"}"#)],
        vec![TO, SMS, ("Tags", r#"{"a":"1","a":"2"}"#)],
        vec![TO, SMS, ("Locale", "de DE")],
        vec![TO, SMS, ("Tags", &many)],
        vec![TO, SMS, ("Tags", &long_tag)],
        vec![TO, SMS, ("EnableSnaClientToken", "true")],
    ] {
        is_error(&world.post(&path, &form).await, 400, 60200);
    }
    // A name twice is told by its name.
    let twice = r#"{"a":"1","a":"2"}"#;
    let in_json = format!(r#"{{"To":"{}","Channel":"sms","RateLimits":{twice}}}"#, TO.1);
    for reply in [
        world.post(&path, &[TO, SMS, ("RateLimits", twice)]).await,
        world.post(&path, &[TO, SMS, ("Tags", twice)]).await,
        world.ask("POST", &path, &root(), &["content-type: application/json"], &in_json).await,
    ] {
        is_error(&reply, 400, 60200);
        assert!(reply.body.contains(r#"its \"a\" is given twice"#), "{}", reply.body);
    }
    for name in ["call 12345 now", "{code}", &long[..31]] {
        let reply = world.post(&path, &[TO, SMS, ("CustomFriendlyName", name)]).await;
        is_error(&reply, 400, 60200);
        assert!(reply.body.contains("CustomFriendlyName") && !reply.body.contains(name), "{}", reply.body);
    }
    let not_utf8 = "To=%2B14155552671&Channel=sms&CustomFriendlyName=Caf%E9";
    let form = ["content-type: application/x-www-form-urlencoded"];
    is_error(&world.ask("POST", &path, &root(), &form, not_utf8).await, 400, 60200);
    assert_eq!(world.world.messages().len(), 1, "that of the request with one value");
}

/// What Twilio's libraries write for maps and moments, line by line.
#[tokio::test]
async fn the_forms_of_the_libraries_of_twilio_are_understood() {
    let world = V2World::new().await;
    let lines =
        include_str!("../../facts/twilio-libraries.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut rows = 0;
    for line in lines {
        let [library, method, query] = *line.split('\t').collect::<Vec<_>>() else { panic!("{line}") };
        let (path, expected) = match method {
            "GET" => (format!("/v2/Attempts?{query}"), 200),
            _ => (world.below("/Verifications"), 201),
        };
        let body = if method == "GET" { "" } else { query };
        let headers = ["content-type: application/x-www-form-urlencoded"];
        let reply = world.ask(method, &path, &root(), &headers, body).await;
        assert_eq!(reply.status, expected, "{library}: {query}: {}", reply.body);
        rows += 1;
    }
    assert!(rows >= 12, "{rows}");
    let wrong = world.get("/v2/Attempts?DateCreatedAfter=2026-12-01T04%3A13%3A00%2B1%3A00").await;
    is_error(&wrong, 400, 60200);
}

#[tokio::test]
async fn what_other_libraries_of_twilio_and_other_phones_send_is_understood() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    // PHP's library writes an empty map as a list. Android 14 and later put preferences into the language.
    for (name, value) in [
        ("RateLimits", "[]"),
        ("Tags", "[]"),
        ("TemplateCustomSubstitutions", "[]"),
        ("Locale", "de-DE-u-mu-celsius"),
        ("Locale", "ar-EG-u-nu-latn"),
        ("Locale", "de-CH-1996"),
        ("Locale", "de_DE.UTF-8"),
    ] {
        let reply = world.post(&path, &[TO, SMS, (name, value)]).await;
        assert_eq!(reply.status, 201, "{name}={value}: {}", reply.body);
        world.post(&format!("{path}/{}", TO.1), &[("Status", "canceled")]).await;
    }
    let texts: Vec<_> = world.world.messages().into_iter().map(|message| message.text).collect();
    assert_eq!(texts.iter().filter(|text| text.contains("Ihr")).count(), 3, "{texts:?}");
    let service = world.post(&world.below(""), &[("Locale", "de-DE-u-mu-celsius")]).await;
    assert_eq!(service.status, 200, "{}", service.body);
    // Go's library writes local time.
    for (after, listed) in [("1970-01-02T04:13:00+01:00", 7), ("2099-12-01T04:13:00+01:00", 0)] {
        let after = after.replace('+', "%2B");
        let list = json(&world.get(&format!("/v2/Attempts?DateCreatedAfter={after}")).await);
        assert_eq!(list["attempts"].as_array().map(Vec::len), Some(listed), "{list}");
    }
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

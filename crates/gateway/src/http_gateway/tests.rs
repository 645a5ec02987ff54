use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::double::{Double, Received, Reply, answer, message};
use crate::{Gateway, ProviderSettings, Recipe};

const NASTY: &str = "a b&c=d?e#f/g%h+i\"j\\k{to}l\r\nm é \u{1f600}";

#[tokio::test]
async fn every_placeholder_has_its_value() {
    let request = request_of(
        json!({
            "json": {
                "a": "{to}|{to_digits}|{text}|{code}|{channel}|{validity_seconds}",
                "b": ["{username}", "{password}", { "c": "{token} {basic}" }],
                "d": [1, true, null, "{{text}} stays"],
                "{to}": "a name stays as it is",
            },
            "headers": {
                "Authorization": "Basic {basic}",
                "X-Api-Key": "key {token}; to={to}",
                "content-type": "application/json; charset=utf-8",
            },
        }),
        &message("Hello"),
    )
    .await;
    assert_eq!(request.request_line, "POST /send HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpzM2NyM3Q="));
    assert_eq!(request.header("x-api-key"), Some("key t0ken; to=+14155552671"));
    let content_types = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    assert_eq!(
        content_types.map(|(_, value)| value).collect::<Vec<_>>(),
        ["application/json; charset=utf-8"]
    );
    assert_eq!(
        serde_json::from_str::<Value>(&request.body).expect("JSON"),
        json!({
            "a": "+14155552671|14155552671|Hello|012345|sms|25",
            "b": ["user", "s3cr3t", { "c": "t0ken dXNlcjpzM2NyM3Q=" }],
            "d": [1, true, null, "{text} stays"],
            "{to}": "a name stays as it is",
        })
    );
}

#[tokio::test]
async fn what_is_put_in_stays_inside_its_part() {
    let text = r#"","admin":true,"x":""#;
    let request = request_of(json!({}), &message(text)).await;
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, r#"{"text":"\",\"admin\":true,\"x\":\"","to":"+14155552671"}"#);
    let request = request_of(json!({}), &message(NASTY)).await;
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body, json!({ "to": "+14155552671", "text": NASTY }));

    let fields = json!({"msisdn": "{to_digits}", "odd &=": "a+b", "text": "{text}"});
    let form = json!({"method": "PUT", "json": null, "form": fields});
    let request = request_of(form.clone(), &message("a b&key=c")).await;
    assert_eq!(request.request_line, "PUT /send HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.body, "msisdn=14155552671&odd+%26%3D=a%2Bb&text=a+b%26key%3Dc");
    assert_eq!(request_of(form, &message(NASTY)).await.form()[2], ("text".to_owned(), NASTY.to_owned()));

    let url =
        json!({"method": "GET", "json": null, "url": "{url}/v1/{text}/to/{to}?text={text}&user={username}"});
    let request = request_of(url, &message(NASTY)).await;
    let encoded = "a%20b%26c%3Dd%3Fe%23f%2Fg%25h%2Bi%22j%5Ck%7Bto%7Dl%0D%0Am%20%C3%A9%20%F0%9F%98%80";
    let line = format!("GET /v1/{encoded}/to/%2B14155552671?text={encoded}&user=user HTTP/1.1");
    assert_eq!(request.request_line, line);
    assert_eq!((request.header("content-type"), request.body.as_str()), (None, ""));

    let xml = json!({"json": null, "xml": ["<to>{to}</to>", "<text>{text}</text>"]});
    let text = "</text><x a=\"1\">&amp;]]> Ünï\u{1f600}\u{0}\u{7}\n";
    let escaped = "&lt;/text&gt;&lt;x a=&quot;1&quot;&gt;&amp;amp;]]&gt; Ünï\u{1f600}  \n";
    let request = request_of(xml, &message(text)).await;
    assert_eq!(request.body, format!("<to>+14155552671</to><text>{escaped}</text>"));
}

#[tokio::test]
async fn a_code_that_ends_within_the_second_is_not_sent_as_endless() {
    let message = OutgoingMessage { valid_for: Duration::from_millis(999), ..message("x") };
    let request = request_of(json!({"url": "{url}/{validity_seconds}"}), &message).await;
    assert_eq!(request.request_line, "POST /1 HTTP/1.1");
}

#[tokio::test]
async fn the_example_of_the_guide_sends_what_it_says() {
    let document = include_str!("../../../../docs/guides/custom-gateway.md");
    let (_, behind) = document.split_once("<!-- example: form -->").expect("the example");
    let block = behind.split_once("```json").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let mut config: Value = serde_json::from_str(block).expect("JSON");
    let mut recipe = config["gateways"]["Http"]["recipe"].take();
    let mut double = Double::playing([Reply::json(200, "OK 4711")]).await;
    recipe["url"] = format!("{}/send", double.base_url()).into();
    let recipe: Recipe = serde_json::from_value(recipe).expect("a recipe");
    built(&recipe, "").expect("a gateway").send(&message("Hello")).await.expect("accepted");
    let request = double.request().await;
    assert_eq!(request.request_line, "POST /send HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpzM2NyM3Q="));
    assert_eq!(request.body, "text=Hello&to=%2B14155552671&ttl=25");
}

/// A provider that reports everything in the body.
fn telling() -> Value {
    json!({
        "json": "/messages/0/status",
        "equals": [0, "queued"],
        "message_id": "/messages/0/id",
        "bad_number": [3, "no such number"],
        "retry": 1,
    })
}

fn saying(status: &str) -> String {
    format!(r#"{{"messages":[{{"status":{status},"id":"m-1"}}]}}"#)
}

#[tokio::test]
async fn a_message_is_accepted_if_all_conditions_hold() {
    let both =
        json!({"statuses": [201], "contains": "queued", "json": "/messages/0/status", "equals": ["queued"]});
    let no_id = r#"{"messages":[{"status":0,"id":"<b>"}]}"#;
    for (success, status, body, id) in [
        (json!({}), 200, "", "Http-"),
        (json!({}), 299, "queued", "Http-"),
        (telling(), 200, &*saying("0"), "m-1"),
        (telling(), 200, &saying("\"queued\""), "m-1"),
        (telling(), 200, no_id, "Http-"),
        (telling(), 200, r#"{"messages":[{"status":0,"id":77}]}"#, "77"),
        (json!({"statuses": [201, 404]}), 404, "", "Http-"),
        (json!({"contains": "\"ok\""}), 200, r#"{"r":"ok"}"#, "Http-"),
        (both, 201, &saying("\"queued\""), "Http-"),
    ] {
        let id_given = after(&success, Reply::json(status, body)).await.expect("accepted").message_id;
        assert!(id_given.starts_with(id), "{id_given} {body}");
    }
    // No rule reads the body: its truncation does not matter.
    let cut = answer(200, &[], "queued");
    assert!(after(&json!({}), Reply::BytesThenClose(cut[..cut.len() - 1].to_owned())).await.is_ok());
}

#[tokio::test]
async fn every_other_answer_has_its_class() {
    use ErrorClass::{Ambiguous, BadNumber, Configuration, Refused, Retry};
    const SOON: ErrorClass = Retry { after: None };
    let (text, created) = (json!({"contains": "\"ok\""}), json!({"statuses": [201, 404]}));
    let cut = answer(200, &[], &saying("0"));
    let told = |status, value| Reply::json(status, &saying(value));
    for (success, reply, expected) in [
        (telling(), told(200, "3"), (BadNumber, false)),
        (telling(), told(200, "\"no such number\""), (BadNumber, false)),
        (telling(), told(200, "1"), (SOON, false)),
        (telling(), told(200, "2"), (Refused, false)),
        (telling(), told(200, "\"QUEUED\""), (Refused, false)),
        (telling(), told(200, "0.0"), (Refused, false)),
        (telling(), told(200, "null"), (Ambiguous, false)),
        (telling(), told(200, "[0]"), (Ambiguous, false)),
        // What the operator has said about a value holds whatever the status; an unknown value leaves it open.
        (telling(), told(404, "3"), (BadNumber, false)),
        (telling(), told(503, "1"), (SOON, false)),
        (telling(), told(500, "2"), (Ambiguous, true)),
        // A good value beside a failed status is no success.
        (telling(), told(400, "0"), (Refused, false)),
        (telling(), told(401, "0"), (Configuration, true)),
        (telling(), told(500, "0"), (Ambiguous, true)),
        (telling(), Reply::json(200, "OK"), (Ambiguous, false)),
        (telling(), Reply::json(200, r#"{"messages":[]}"#), (Ambiguous, false)),
        (telling(), Reply::json(200, &"[".repeat(10_000)), (Ambiguous, false)),
        (telling(), Reply::BytesThenClose(cut[..cut.len() - 1].to_owned()), (Ambiguous, true)),
        (telling(), Reply::Reset, (Ambiguous, true)),
        (created.clone(), Reply::json(200, ""), (Ambiguous, false)),
        (created, Reply::json(400, ""), (Refused, false)),
        (text.clone(), Reply::json(200, "ok"), (Ambiguous, false)),
        (text, Reply::BytesThenClose(cut[..cut.len() - 1].to_owned()), (Ambiguous, true)),
        // It may be the limit of one number. An unauthenticated client must not open the circuit for all clients.
        (json!({}), Reply::json(429, "no"), (SOON, false)),
    ] {
        let error = after(&success, reply.clone()).await.expect_err("not accepted");
        assert_eq!((error.class, error.whole_gateway), expected, "{reply:?}");
    }
    let reply = Reply::json_with(200, &[("Retry-After", "30")], &saying("1"));
    let thirty = Retry { after: Some(Duration::from_secs(30)) };
    assert_eq!(after(&telling(), reply).await.expect_err("later").class, thirty);
}

#[tokio::test]
async fn nothing_secret_or_personal_is_in_an_error_or_in_debug() {
    let double = Double::playing([Reply::json(401, "no: +14155552671, s3cr3t")]).await;
    let changes =
        json!({"url": "{url}/send?key={token}&fixed=wr1tten", "headers": {"X-Key": "wr1tten {password}"}});
    let recipe = described(&changes);
    let shown = format!("{:?}", recipe.gateway);
    let gateway = built(&recipe, &double.base_url()).expect("a gateway");
    let error = gateway.send(&message("Your code is 012345")).await.expect_err("refused");
    assert!(error.detail.contains("ONCEWARD_GATEWAYS_HTTP_PASSWORD") || error.detail.contains("credentials"));
    for text in [format!("{error} {error:?}"), gateway.readiness().expect_err("not ready"), shown] {
        for secret in ["s3cr3t", "t0ken", "wr1tten", "4155552671", "012345"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_text_of_the_account_is_shown_without_control_characters_and_short() {
    let body = json!({ "balance": format!("\u{1b}[31m5\n{}", "0".repeat(1_000)) }).to_string();
    let double = Double::playing([Reply::json(200, &body)]).await;
    let account = json!({"account": {"url": "{url}/balance", "show": "/balance"}});
    let found = built(&described(&account), &double.base_url()).expect("a gateway").examine_account().await;
    let state = found[0].state.as_ref().expect("right");
    assert!(!state.contains(char::is_control) && state.contains("[31m5"), "{state}");
    assert!(state.chars().count() < 120, "{state}");
}

#[test]
fn a_description_that_cannot_work_is_refused_with_the_place_of_the_mistake() {
    let unknown = "has an unknown placeholder {phone}; there are {to}, {to_digits}, {text}, {code}, {channel}, \
                   {validity_seconds}, {validity_minutes}, {locale}, {attempt}, {callback}, {colon}, {line}, {missing}, \
                   {password}, {token}, {url}, {username}, {basic}";
    let header = |name: &str, value: &str| json!({"headers": {name: value}});
    let url = |url: &str| json!({"url": url});
    let text = |text: &str| json!({"json": [text]});
    let success = |success: Value| json!({"success": success});
    let written_out = "must have scheme and host written out";
    for (change, place, problem) in [
        (url("{url}/{phone}"), "url", unknown),
        (header("X-A", "{phone}"), "headers.X-A", unknown),
        (json!({"json": [{"a": ["{phone}"]}]}), "json", unknown),
        (json!({"json": null, "form": {"msg": "{phone}"}}), "form.msg", unknown),
        (json!({"json": null, "form": {"a\nb\u{1b}": "{phone}"}}), "form.a\u{fffd}b\u{fffd}", unknown),
        (text("{"), "json", "has a brace without its partner"),
        (text("a } b"), "json", "has a brace without its partner"),
        (text("{{to}"), "json", "has a brace without its partner"),
        (text("{ to }"), "json", "has an unknown placeholder {}"),
        (text("{hunter2}"), "json", "has an unknown placeholder {}"),
        (
            header("X-A", "{missing}"),
            "headers.X-A",
            "uses {missing}, which has no value: set ONCEWARD_GATEWAYS_HTTP_MISSING",
        ),
        (
            json!({"basic": ["colon", "password"], "headers": {"X-A": "{basic}"}}),
            "headers.X-A",
            "uses {basic}, for which ONCEWARD_GATEWAYS_HTTP_COLON must not contain a colon",
        ),
        (url("{to}"), "url", written_out),
        (url("https://{to}"), "url", written_out),
        (url("https://{token}.example.com/"), "url", written_out),
        (url("{url}{to}"), "url", written_out),
        (url("https://user:{password}@sms.example.com/"), "url", written_out),
        (url("sms.example.com/{to}"), "url", "must be a URL"),
        (url("ftp://sms.example.com/{to}"), "url", "must begin with https:// or http://"),
        (url("http://"), "url", "must be a URL"),
        (url("https://user:hunter2@sms.example.com/{to}"), "url", "must not contain a user name or password"),
        (url("https://sms.example.com/#{to}"), "url", "must not contain a # part"),
        (url(""), "url", "is missing"),
        (json!({"method": "GET"}), "method", "is GET, which has no body"),
        (json!({"form": {}}), "", "has two of json, form and xml"),
        (header("a b", "a"), "headers.a b", "has a name"),
        (header("Host", "a"), "headers.Host", "is written by the HTTP client"),
        (header("content-LENGTH", "1"), "headers.content-LENGTH", "is written by"),
        (header("X-A", "{text}"), "headers.X-A", "must be visible ASCII"),
        (header("X-A", "a\r\nX-B: c"), "headers.X-A", "must be visible ASCII"),
        (
            header("X-A", "{line}"),
            "headers.X-A",
            "must be visible ASCII characters and spaces, secrets included",
        ),
        (json!({"json": {"text": "{text}"}}), "", "has neither {to} nor {to_digits}"),
        (json!({"json": {"to": "{to}", "text": "_CODE_"}}), "", "has neither {text} nor {code}"),
        (success(json!({"json": "/a"})), "success", "needs both"),
        (success(json!({"equals": "0"})), "success", "needs both"),
        (success(json!({"bad_number": ["1"]})), "success", "needs both"),
    ] {
        let error = built(&described(&change), "https://sms.example.com").err().expect("refused").to_string();
        let place = if place.is_empty() { String::new() } else { format!(".{place}") };
        assert!(error.starts_with(&format!("Http: gateways.Http{place} {problem}")), "{change}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_pointer_is_one_of_rfc_6901() {
    for (text, is_one) in [("", true), ("/a~1b/0", true), ("a", false), ("/a~2", false), ("/a~", false)] {
        assert_eq!(serde_json::from_value::<Pointer>(text.into()).is_ok(), is_one, "{text}");
    }
}

/// The smallest valid recipe, changed.
fn described(changes: &Value) -> Recipe {
    let mut recipe = json!({
        "settings": {
            "username": {}, "password": {"secret": true}, "token": {"secret": true}, "url": {},
            "colon": {}, "line": {}, "missing": {},
        },
        "method": "POST",
        "url": "{url}/send",
        "json": {"to": "{to}", "text": "{text}"},
    });
    let changes = changes.as_object().cloned().unwrap_or_default();
    recipe.as_object_mut().expect("an object").extend(changes);
    serde_json::from_value(recipe).expect("a recipe")
}

fn built(recipe: &Recipe, url: &str) -> Result<Arc<dyn Gateway>, GatewaySettingsError> {
    let values = [
        ("username", "user"),
        ("password", "s3cr3t"),
        ("token", "t0ken"),
        ("url", url),
        ("colon", "hunter2:x"),
        ("line", "hunter2\r\nX-B: c"),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = recipe.filled_in(GatewayName::Http, "ONCEWARD_GATEWAYS_HTTP_", values);
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
    ProviderSettings::Http(settings).build(clock)
}

/// The request that a description makes from a message.
async fn request_of(changes: Value, message: &OutgoingMessage) -> Received {
    let mut double = Double::playing([Reply::json(200, "")]).await;
    let gateway = built(&described(&changes), &double.base_url()).expect("a gateway");
    gateway.send(message).await.expect("accepted");
    double.request().await
}

async fn after(success: &Value, reply: Reply) -> Result<Accepted, GatewayError> {
    let mut double = Double::playing([reply]).await;
    let gateway = built(&described(&json!({"success": success})), &double.base_url()).expect("a gateway");
    let result = gateway.send(&message("Your code is 012345")).await;
    assert_eq!(double.further_requests().len(), 1, "asked once");
    result
}

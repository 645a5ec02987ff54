//! Runs the examples of docs/guides/custom-gateway.md.

use serde_json::Value;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/guides/custom-gateway.md");

#[tokio::test]
async fn the_example_for_mobica_sends_what_it_says_and_reads_what_comes_back() {
    let sending = |reply: &'static str| async move {
        let mut double = Double::playing([Reply::json(200, reply)]).await;
        let settings = described("mobica", &double.base_url());
        (gateway(&settings).send(&message("Your code is 012345")).await, double.request().await)
    };
    let (accepted, request) = sending(r#"{"code":"1004","description":"Message accepted"}"#).await;
    assert!(accepted.is_ok(), "{accepted:?}");
    assert_eq!(request.request_line, "POST /v2/multi/json/sms.php HTTP/1.1");
    assert_eq!(
        serde_json::from_str::<Value>(&request.body).expect("JSON"),
        json!({
            "user": "user",
            "pass": "s3cr3t",
            "sms": [{ "phone": "14155552671", "message": "Your code is 012345", "from": "Example" }],
        })
    );
    for (code, class) in [
        (r#"{"code":"1006"}"#, ErrorClass::BadNumber),
        (r#"{"code":1118}"#, ErrorClass::Retry { after: None }),
        (r#"{"code":"1115"}"#, ErrorClass::Refused),
        (r"{}", ErrorClass::Ambiguous),
    ] {
        assert_eq!(sending(code).await.0.expect_err("not accepted").class, class, "{code}");
    }
}

#[tokio::test]
async fn the_example_with_a_form_sends_what_it_says() {
    let mut double = Double::playing([Reply::json(200, "OK 4711")]).await;
    let settings = described("form", &double.base_url());
    gateway(&settings).send(&message("Hello")).await.expect("accepted");
    let request = double.request().await;
    assert_eq!(request.request_line, "POST /send HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Basic dXNlcjpzM2NyM3Q="));
    let form = request.form();
    let value_of = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!(
        [value_of("to"), value_of("text"), value_of("ttl")],
        [Some("+14155552671"), Some("Hello"), Some("25")]
    );
}

/// The description in the block after `<!-- example: name -->`, with a double as the provider.
fn described(name: &str, base_url: &str) -> HttpGatewaySettings {
    let (_, behind) = DOCUMENT.split_once(&format!("<!-- example: {name} -->")).expect("the example");
    let block = behind.split_once("```json").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let config: Value = serde_json::from_str(block).expect("JSON");
    let gateway = &config["http-gateway"];
    let pairs = |value: &Value| -> Vec<(String, String)> {
        let members = value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let texts = |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().map(text).collect() };
    let success = &gateway["success"];
    let path = text(&gateway["url"]).splitn(4, '/').nth(3).map(str::to_owned).expect("a path");
    HttpGatewaySettings {
        method: text(&gateway["method"]),
        url: format!("{base_url}/{path}"),
        headers: pairs(&gateway["headers"]),
        body: match &gateway["json"] {
            Value::Null => HttpBody::Form(pairs(&gateway["form"])),
            body => HttpBody::Json(body.clone()),
        },
        success: HttpSuccess {
            json: success["json"].as_str().map(str::to_owned),
            equals: texts(&success["equals"]),
            contains: success["contains"].as_str().map(str::to_owned),
            bad_number: texts(&success["bad_number"]),
            retry: texts(&success["retry"]),
            ..HttpSuccess::default()
        },
        ..settings(base_url)
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

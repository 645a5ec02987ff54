//! Runs the example of docs/guides/custom-gateway.md.

use serde_json::Value;

use super::*;

const DOCUMENT: &str = include_str!("../../../../../docs/guides/custom-gateway.md");

#[tokio::test]
async fn the_example_with_a_form_sends_what_it_says() {
    let mut double = Double::playing([Reply::json(200, "OK 4711")]).await;
    let settings = example("form", &double.base_url());
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
fn example(name: &str, base_url: &str) -> HttpGatewaySettings {
    let (_, behind) = DOCUMENT.split_once(&format!("<!-- example: {name} -->")).expect("the example");
    let block = behind.split_once("```json").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let config: Value = serde_json::from_str(block).expect("JSON");
    let gateway = &config["gateways"]["Http"]["recipe"];
    let pairs = |value: &Value| -> Vec<(String, String)> {
        let members = value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let success = &gateway["success"];
    let path = text(&gateway["url"]).splitn(4, '/').nth(3).map(str::to_owned).expect("a path");
    HttpGatewaySettings {
        method: text(&gateway["method"]),
        url: format!("{base_url}/{path}"),
        headers: pairs(&gateway["headers"]),
        json: None,
        form: Some(pairs(&gateway["form"])),
        success: HttpSuccess {
            contains: success["contains"].as_str().map(str::to_owned),
            ..HttpSuccess::default()
        },
        ..settings(base_url)
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

//! The gateway that the configuration describes.

use serde_json::{Value, json};

use secrecy::ExposeSecret as _;

use super::*;
use crate::domain::Channel;
use crate::gateway::{HttpGatewaySettings, HttpSuccess};

#[test]
fn every_member_is_read() {
    let world = custom(&json!({
        "method": "put",
        "url": "https://sms.example.com/send?to={to}",
        "headers": {"Authorization": "Bearer {token}", "X-Try": 1},
        "json": {"to": "{to}", "parts": [{"text": "{text}"}]},
        "channels": ["sms", "Call"],
        "success": {"statuses": [200, "202"], "json": "/status", "equals": ["ok", 0], "contains": "id",
            "message_id": "/id", "bad_number": "11", "retry": [88, 100]},
    }))
    .variable("HTTP_GATEWAY_TOKEN", TOKEN);
    let http = gateway(&world);
    assert_eq!((http.method.as_str(), http.url.as_str()), ("PUT", "https://sms.example.com/send?to={to}"));
    let headers = [("Authorization", "Bearer {token}"), ("X-Try", "1")];
    assert_eq!(http.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(http.json, Some(json!({"to": "{to}", "parts": [{"text": "{text}"}]})));
    assert_eq!(http.channels, [Channel::Sms, Channel::Call]);
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let success = HttpSuccess {
        statuses: vec![200, 202],
        json: Some("/status".to_owned()),
        equals: texts(&["ok", "0"]),
        contains: Some("id".to_owned()),
        message_id: Some("/id".to_owned()),
        bad_number: texts(&["11"]),
        retry: texts(&["88", "100"]),
    };
    assert_eq!(http.success, success);
    assert_eq!(http.values["token"].expose_secret(), TOKEN);
    assert_eq!(world.warnings(), Vec::<String>::new());
    assert_eq!(world.shows("http-gateway").0, "\"PUT https://sms.example.com/send\"");
    assert!(!format!("{:?}", world.loads()).contains(TOKEN));
}

#[test]
fn the_url_alone_is_enough() {
    let http = gateway(&custom(&json!({"url": "https://sms.example.com/{to}/{text}"})));
    assert_eq!((http.method.as_str(), http.json, http.form), ("GET", None, None));
    assert_eq!(http.channels, [Channel::Sms]);
    assert_eq!(http.success, HttpSuccess::default());
    let form = gateway(&custom(
        &json!({"url": "https://sms.example.com", "form": {"to": "{to}", "text": "{text}", "n": 1}}),
    ));
    let fields = [("n", "1"), ("text", "{text}"), ("to", "{to}")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((form.method.as_str(), form.form), ("POST", Some(fields.into())));
}

#[test]
fn it_may_be_json_in_a_variable() {
    let json = r#"{"url": "https://x.example/{to}/{text}"}"#;
    let world = World::empty().through("Http").variable("ONCEWARD_HTTP_GATEWAY", json);
    assert_eq!(gateway(&world).url, "https://x.example/{to}/{text}");
    let broken = World::empty().variable("ONCEWARD_HTTP_GATEWAY", &format!("{{\"url\": \"{TOKEN}\""));
    says(&broken.error(), &["http-gateway: it must be an object such as", "ONCEWARD_HTTP_GATEWAY"]);
    assert!(!broken.error().contains(TOKEN));
}

#[test]
fn every_mistake_is_named_by_its_path() {
    let url = "https://sms.example.com/{to}/{text}";
    for (object, subject, problem) in [
        (json!({}), "url", "it is missing"),
        (json!({"url": 5}), "url", "must be a URL"),
        (json!({"url": ["x"]}), "url = a list", "must be a text"),
        (json!({"url": "ftp://x/{to}/{text}"}), "url", "https:// or http://"),
        (json!({"url": "https://{to}.example.com/{text}"}), "url", "host written out"),
        (
            json!({"url": "https://me:hunter2@x/{to}/{text}"}),
            "url",
            "must not contain a user name or password",
        ),
        (json!({"url": "https://x/{to}/{text}?api_key=hunter2"}), "url", "looks like a credential"),
        (json!({"url": url, "method": "DELETE"}), "method = \"DELETE\"", "GET, POST or PUT"),
        (json!({"url": url, "method": []}), "method = a list", "must be a text"),
        (json!({"url": url, "method": "get", "form": {}}), "method = \"get\"", "which has no body"),
        (json!({"url": url, "json": {"password": "hunter2"}}), "json.password", "looks like a credential"),
        (json!({"url": url, "form": {"token": "hunter2"}}), "form.token", "HTTP_GATEWAY_TOKEN"),
        (json!({"url": url, "form": {"to": []}}), "form.to = a list", "must be a text"),
        (json!({"url": url, "headers": []}), "headers", "object whose values are texts"),
        (json!({"url": url, "headers": {"A": {}}}), "headers.A = an object", "must be a text"),
        (json!({"url": url, "headers": {"A b": "c"}}), "headers.A b: it", "RFC 9110"),
        (json!({"url": url, "headers": {"A": "b\nc"}}), "headers.A", "visible ASCII"),
        (json!({"url": url, "headers": {"Authorization": "hunter2"}}), "headers.Authorization", "credential"),
        (json!({"url": url, "channels": ["mail"]}), "channels = [\"mail\"]", "\"whatsapp\""),
        (json!({"url": url, "channels": []}), "channels = []", "one or more of"),
        (json!({"url": url, "channels": [[]]}), "channels", "one or more of"),
        (json!({"url": url, "success": 200}), "success = 200", "must be an object"),
        (json!({"url": url, "success": {"statuses": [99]}}), "success.statuses = [99]", "200 to 599"),
        (
            json!({"url": url, "success": {"json": "status", "equals": 0}}),
            "success.json = \"status\"",
            "RFC 6901",
        ),
        (json!({"url": url, "success": {"message_id": "id"}}), "success.message_id", "RFC 6901"),
        (json!({"url": url, "success": {"json": "/status"}}), "success.equals", "values that mean success"),
        (json!({"url": url, "success": {"equals": 0}}), "success.equals", "there is no \"json\""),
        (json!({"url": url, "success": {"retry": 0}}), "success.retry", "needs success.json"),
    ] {
        let error = custom(&object).error();
        says(&error, &[&format!("http-gateway.{subject}"), problem, "key \"http-gateway\""]);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_message_has_one_body() {
    let error = custom(&json!({"url": "https://x.example", "json": {}, "form": {}})).error();
    says(&error, &["http-gateway.form: it is given beside json", "remove one of them"]);
}

#[test]
fn a_credential_is_known_by_the_name_of_its_field_wherever_it_is() {
    let url = "https://sms.example.com/{to}/{text}";
    for name in ["Authorization", "X-Api-Key", "api_key", "auth-token", "userPassword", "pwd", "Cookie"] {
        let error = custom(&json!({"url": url, "headers": {name: "hunter2"}})).error();
        says(&error, &[&format!("http-gateway.headers.{name}: this looks like a credential")]);
        let nested = custom(&json!({"url": url, "json": {"a": [{name: 5}]}})).error();
        says(&nested, &[&format!("http-gateway.json.a.{name}: this looks like a credential")]);
        assert!(gateway(&custom(&json!({"url": url, "headers": {name: "{to}"}}))).headers.len() == 1);
        assert!(gateway(&custom(&json!({"url": url, "headers": {name: ""}}))).headers.len() == 1);
    }
    for name in ["Accept", "to", "text", "user", "X-Keyboard"] {
        assert!(gateway(&custom(&json!({"url": url, "headers": {name: "hunter2"}}))).headers.len() == 1);
    }
    says(&custom(&json!({"url": "https://me@x/{to}/{text}"})).error(), &["a user name or password"]);
}

#[test]
fn a_gateway_that_cannot_be_read_gets_no_warning_about_what_it_serves() {
    let wrong = World::with_config(r#"{"otp-sms-provider": "Http", "http-gateway": {}}"#);
    let missing = World::with_config("{}").variable("HTTP_GATEWAY_TOKEN", "t");
    for world in [wrong, missing] {
        let errors = world.load().expect_err("an error");
        assert_eq!(errors.warnings(), <[&str; 0]>::default());
    }
}

#[test]
fn errors_of_the_gateway_appear_with_all_others_and_with_their_origin() {
    let url = "https://sms.example.com";
    let text = "{to}: {text}";
    for (object, subject, problem) in [
        (json!({"url": url, "json": {"a": "b"}}), "http-gateway: it", "the message would have no recipient"),
        (json!({"url": url, "json": {"a": "{txt}"}}), "http-gateway.json: it", "placeholder {txt}"),
        (json!({"url": url, "json": {"a": "{"}}), "http-gateway.json: it", "brace without its partner"),
        (
            json!({"url": url, "form": {"a": text}, "headers": {"A": "1", "a": "2"}}),
            "http-gateway.headers.a: it",
            "is given twice",
        ),
        (
            json!({"url": url, "form": {"a": text}, "success": {"json": "/a~2", "equals": 1}}),
            "http-gateway.success.json = \"/a~2\": it",
            "RFC 6901",
        ),
        (
            json!({"url": url, "form": {"a": text}, "headers": {"A": "{text}"}}),
            "http-gateway.headers.A: it",
            "which a header cannot carry",
        ),
    ] {
        let config = json!({"otp-sms-provider": "Http", "http-gateway": object, "otp-lock-timeout": "1s"});
        let errors = World::with_config(&config.to_string()).errors();
        assert_eq!(errors.len(), 2, "{errors:#?}");
        says(&errors.concat(), &[subject, problem, "key \"http-gateway\"", "otp-lock-timeout = 1s"]);
    }
}

#[test]
fn a_placeholder_or_basic_uses_a_credential_and_doubled_braces_do_not() {
    let basic = json!({"url": "https://x.example", "headers": {"Authorization": "Basic {basic}"},
        "form": {"to": "{to}", "text": "{text}"}});
    let world =
        custom(&basic).variable("HTTP_GATEWAY_USERNAME", "me").variable("HTTP_GATEWAY_PASSWORD", "hunter2");
    assert_eq!(world.warnings(), Vec::<String>::new());
    assert!(gateway(&world).values.contains_key("password"));
    let missing = custom(&basic).errors();
    assert_eq!(missing.len(), 1, "{missing:#?}");
    says(&missing.concat(), &["{basic}, which has no value: set HTTP_GATEWAY_USERNAME"]);
    let doubled = json!({"url": "https://x.example", "form": {"to": "{to}", "text": "{text} {{token}}"}});
    assert!(gateway(&custom(&doubled)).values.is_empty());
}

#[test]
fn unknown_members_get_a_warning_with_the_nearest_known_one() {
    let world =
        custom(&json!({"url": "https://x.example/{to}/{text}", "header": {}, "success": {"status": 1}}));
    let warnings = world.warnings().join("\n");
    says(&warnings, &["\"http-gateway.header\" is unknown", "did you mean \"http-gateway.headers\"?"]);
    says(&warnings, &["\"http-gateway.success.status\" is unknown", "\"http-gateway.success.statuses\"?"]);
}

#[test]
fn a_wanted_credential_is_required_and_an_unused_one_gets_a_warning() {
    let world = custom(&json!({"url": "https://x.example/{to}/{text}", "form": {"password": "{password}"}}));
    says(
        &world.error(),
        &["http-gateway.form.password", "{password}, which has no value: set HTTP_GATEWAY_PASSWORD"],
    );
    let missing = world.variable("HTTP_GATEWAY_PASSWORD_FILE", "absent");
    says(&missing.error(), &["HTTP_GATEWAY_PASSWORD_FILE", "there is no file"]);
    let idle = custom(&json!({"url": "https://x.example/{to}/{text}"})).variable("HTTP_GATEWAY_TOKEN", TOKEN);
    says(&idle.warnings().concat(), &["HTTP_GATEWAY_TOKEN is not used", "{token}"]);
    let alone = World::empty().variable("HTTP_GATEWAY_TOKEN", TOKEN);
    says(&alone.error(), &["HTTP_GATEWAY_TOKEN", "\"http-gateway\" describes", "the environment"]);
    let json = custom(&json!({"url": "http://127.0.0.1:1/{to}/{text}", "json": {"a": ["{username}"]}}))
        .variable("HTTP_GATEWAY_USERNAME", "me");
    assert_eq!(gateway(&json).values["username"].expose_secret(), "me");
}

#[test]
fn a_plain_address_beyond_this_machine_gets_a_word() {
    let world = custom(&json!({"url": "http://sms.example.com/{to}/{text}"}));
    says(&world.warnings().concat(), &["http-gateway.url", "unencrypted", "key \"http-gateway\""]);
    assert_eq!(custom(&json!({"url": "http://127.0.0.1:1/{to}/{text}"})).warnings(), Vec::<String>::new());
}

fn custom(object: &Value) -> World {
    World::with_config(&json!({"otp-sms-provider": "Http", "http-gateway": object}).to_string())
}

fn gateway(world: &World) -> HttpGatewaySettings {
    world.settings().gateways.http().cloned().expect("the gateway")
}

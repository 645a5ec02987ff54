//! What a description of one's own can say: `tests` has its cases, in the form of `tests/cases.rs` of the crate, with the
//! `changes` of a common description.

use serde_json::json;

use super::*;
use crate::Recipe;
use crate::cases::Case;
use crate::double::{Double, Reply};

#[tokio::test]
async fn a_description_sends_and_understands_what_it_says() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("tests/cases.json")).expect("JSON");
    for documented in cases {
        let case = described(documented);
        case.sends_its_request().await;
        case.understands_its_answers().await;
    }
}

#[test]
fn an_answer_that_is_not_clean_json_is_read() {
    for (body, id) in [
        (&b"\xef\xbb\xbf{\"id\":\"x\"}"[..], Some("x")),
        (b"{\"city\":\"Orl\xe9ans\",\"id\":\"x\"}", Some("x")),
        (b"{\"text\":\"two\nlines\",\"id\":\"x\"}", Some("x")),
        (b"\xef\xbb\xbf <?xml version='1.0'?><r><id>x</id></r>", Some("x")),
        (b"<html><id>x</id></html>", None),
        (b"{\"id\":\"x\"", None),
    ] {
        let read = structured(body);
        let found = read.as_ref().and_then(|read| read.pointer("/id").or_else(|| read.pointer("/r/id")));
        assert_eq!(found.and_then(Value::as_str), id, "{}", String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn the_example_of_the_guide_sends_what_it_says() {
    let document = include_str!("../../../../docs/guides/custom-gateway.md");
    let (_, behind) = document.split_once("<!-- example: form -->").expect("the example");
    let block = behind.split_once("```json").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let mut config: Value = serde_json::from_str(block).expect("JSON");
    let mut recipe = config["gateways"]["Http"]["recipe"].take();
    recipe["settings"]["url"] = json!({});
    recipe["url"] = "{url}/send".into();
    let documented = json!({
        "settings": {"username": "user", "password": "s3cr3t"},
        "text": "Hello",
        "request": {
            "target": "POST /send",
            "headers": {"authorization": "Basic dXNlcjpzM2NyM3Q="},
            "body": "text=Hello&to=%2B14155552671&ttl=25",
        },
        "answers": [{"status": 200, "body": "OK 4711"}],
    });
    let recipe = serde_json::from_value(recipe).expect("a recipe");
    Case::of_recipe("the guide", recipe, documented).sends_its_request().await;
}

#[tokio::test]
async fn nothing_secret_or_personal_is_in_an_error_or_in_debug() {
    let double = Double::playing([Reply::json(401, "no: +14155552671, s3cr3t")]).await;
    let case = described(json!({ "changes": {
        "url": "{url}/send?key={token}&fixed=wr1tten",
        "headers": {"X-Key": "wr1tten {password}"},
    } }));
    let gateway = case.gateway(&double);
    let error = gateway.send(&case.message()).await.expect_err("refused");
    assert!(error.detail.contains("credentials"), "{error}");
    let shown = format!("{:?}", case.http(""));
    assert_eq!(error.said.as_deref(), Some("no: +***, ***"));
    for text in [format!("{error} {error:?}"), gateway.readiness().expect_err("not ready"), shown] {
        for secret in ["s3cr3t", "t0ken", "wr1tten", "4155552671", "012345"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn the_refusal_of_a_description_names_the_place_of_the_mistake() {
    let refused: Vec<(String, String, Value)> =
        serde_json::from_str(include_str!("tests/refused.json")).expect("JSON");
    for (place, problem, changes) in refused {
        let case = described(json!({ "changes": changes }));
        let error = case.built("https://sms.example.com").err().expect("refused").to_string();
        assert!(error.starts_with(&format!("acme: gateways.acme{place} {problem}")), "{changes}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn parts_are_counted_in_the_alphabet_in_which_the_provider_sends() {
    let english = "a".repeat(89);
    for (changes, parts) in [
        (json!({}), 1),
        (json!({ "alphabet": {"gsm7": "text", "ucs2": "unicode"} }), 1),
        (json!({ "alphabet": {"ucs2": "unicode"} }), 2),
        // The provider words the message.
        (json!({ "json": {"to": "{to}", "code": "{code}"}, "alphabet": {"ucs2": ""} }), 1),
    ] {
        let case = described(json!({ "changes": changes }));
        let gateway = case.built("https://sms.example.com").expect("a gateway");
        assert_eq!(gateway.parts(&english), parts, "{changes}");
    }
}

#[test]
fn a_pointer_is_one_of_rfc_6901() {
    for (text, is_one) in [("", true), ("/a~1b/0", true), ("a", false), ("/a~2", false), ("/a~", false)] {
        assert_eq!(serde_json::from_value::<Pointer>(text.into()).is_ok(), is_one, "{text}");
    }
}

/// The smallest valid recipe with the documented `changes`.
fn described(mut documented: Value) -> Case {
    let mut recipe = json!({
        "settings": {
            "username": {}, "password": {"secret": true}, "token": {"secret": true}, "url": {},
            "line": {}, "missing": {},
        },
        "method": "POST",
        "url": "{url}/send",
        "json": {"to": "{to}", "text": "{text}"},
    });
    let changes = documented["changes"].as_object().cloned().unwrap_or_default();
    recipe.as_object_mut().expect("an object").extend(changes);
    documented["settings"] = json!({
        "username": "user", "password": "s3cr3t", "token": "t0ken",
        "line": "hunter2\r\nX-B: c",
    });
    let recipe: Recipe = serde_json::from_value(recipe).expect("a recipe");
    Case::of_recipe(&documented["about"].to_string(), recipe, documented)
}

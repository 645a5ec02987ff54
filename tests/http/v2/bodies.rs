//! What a request to `/v2` says is read alike from a form and from JSON, and from no other type.

use std::time::Duration;

use onceward_testkit::{V2World, given, is_error, json, root};

/// Of a client that does not encode the plus, which then is a space.
const GOOD: &str = "To=+14155552671&Channel=sms";

#[tokio::test]
async fn a_body_without_a_type_is_a_form_and_other_types_are_415() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    let form = "content-type: application/x-www-form-urlencoded; charset=utf-8";
    for headers in [vec![], vec![form], vec!["content-type: APPLICATION/X-WWW-FORM-URLENCODED"]] {
        world.world.clock.advance(Duration::from_secs(300));
        assert_eq!(world.ask("POST", &path, &root(), &headers, GOOD).await.status, 201, "{headers:?}");
    }
    for kind in ["content-type: text/plain", "content-type: application/jsonp"] {
        is_error(&world.ask("POST", &path, &root(), &[kind], GOOD).await, 415, 20415);
    }
}

#[tokio::test]
async fn json_takes_truth_values_numbers_and_null_and_refuses_what_is_no_object() {
    let world = V2World::new().await;
    let json_type = ["content-type: application/json"];
    let ask = async |body: &str| world.ask("POST", "/v2/Services", &root(), &json_type, body).await;
    let made =
        ask(r#"{"FriendlyName":"Cat","CodeLength":8,"CustomCodeEnabled":true,"TtsName":null,"x":[{}]}"#)
            .await;
    let shown = json(&made);
    let found = (made.status, &shown["code_length"], &shown["custom_code_enabled"]);
    assert_eq!(found, (201, &8.into(), &true.into()));
    for (body, problem) in [
        ("[]", ""),
        ("{", ""),
        (r#"{"FriendlyName":["Cat"]}"#, ""),
        (r#"{"FriendlyName":"Cat","FriendlyName":"Dog"}"#, ""),
        (r#"{"FriendlyName":"Cat","CustomCodeEnabled":1}"#, "true or false"),
        (r#"{"FriendlyName":"Cat","CustomCodeEnabled":"true"}"#, "true or false, in JSON without quotes"),
        (r#"{"FriendlyName":"Cat","CodeLength":8.5}"#, "a whole number from 4 to 10"),
        (r#"{"FriendlyName":"Cat","CodeLength":"8"}"#, "a whole number from 4 to 10, in JSON without quotes"),
    ] {
        let refused = ask(body).await;
        is_error(&refused, 400, 60200);
        assert!(refused.body.contains(problem), "{body}: {}", refused.body);
    }
}

#[tokio::test]
async fn a_repetition_is_known_in_form_and_json_and_by_its_parameters() {
    let world = V2World::new().await;
    let fields = given(serde_json::json!({ "custom-code": true }));
    world.registry.update_service(world.service.sid, fields).await.expect("changed");
    let path = world.below("/Verifications");
    let ask = async |kind: &str, body: &str| {
        world.ask("POST", &path, &root(), &["idempotency-key: k", kind], body).await
    };
    let form_type = "content-type: application/x-www-form-urlencoded";
    let form = "To=%2B14155552671&Channel=sms&Tags=%7B%22b%22:%222%22,+%22a%22:%221%22%7D";
    let first = ask(form_type, &format!("{form}&CustomCode=123456")).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let object = serde_json::json!({
        "Channel": "sms", "CustomCode": "123456", "To": "+14155552671", "Tags": { "a": "1", "b": "2" },
    });
    let again = ask("content-type: application/json", &object.to_string()).await;
    assert_eq!((again.status, json(&again)["sid"].clone()), (201, json(&first)["sid"].clone()));
    for other in
        [form.to_owned(), format!("{form}&CustomCode=123457"), format!("{form}&CustomCode=123456&x=1")]
    {
        is_error(&ask(form_type, &other).await, 422, 20422);
    }
    for key in ["", "with a space", &"k".repeat(256), "\u{e4}"] {
        let header = format!("idempotency-key: {key}");
        is_error(&world.ask("POST", &path, &root(), &[&header], GOOD).await, 400, 60200);
    }
    assert_eq!(world.world.messages().len(), 1);
    let check = world.below("/VerificationCheck");
    let checks = async |code: &str| {
        let form = format!("To=%2B14155552671&Code={code}");
        world.ask("POST", &check, &root(), &["idempotency-key: k2", form_type], &form).await
    };
    let approved = checks("123456").await;
    assert_eq!((approved.status, &json(&approved)["status"]), (200, &"approved".into()));
    assert_eq!(checks("123456").await.body, approved.body);
    is_error(&checks("123457").await, 422, 20422);
}

//! Paths, methods, and the descriptions of all of them.

use std::collections::BTreeSet;

use onceward::http::openapi_json;
use onceward_testkit::{V2World, is_error, json, root};
use serde_json::{Value, json};

#[tokio::test]
async fn an_unknown_path_is_20404_and_a_wrong_method_20004_with_the_right_ones() {
    let world = V2World::new().await;
    for path in ["/v2/", "/v2/services", "/v2/Services/", "/v2/Services/VA1/Entities"] {
        is_error(&world.get(path).await, 404, 20404);
    }
    for (method, path, allow) in
        [("PUT", "/v2/Services".to_owned(), "POST,GET,HEAD"), ("GET", world.below("/Verifications"), "POST")]
    {
        let reply = world.ask(method, &path, &root(), &[], "").await;
        is_error(&reply, 405, 20004);
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
    }
}

#[tokio::test]
async fn a_lookup_shows_null_without_data_and_whether_a_number_is_valid() {
    let world = V2World::new().await;
    let fields = "Fields=caller_name,%20line_type_intelligence%20";
    let found = json(&world.get(&format!("/v2/PhoneNumbers/+447400123456?{fields}")).await);
    let shown = (&found["caller_name"], &found["line_type_intelligence"]["type"]);
    assert_eq!(shown, (&json!(null), &json!("mobile")), "{found}");
    // Digits of an extension are no part of a number.
    assert_eq!(json(&world.get("/v2/PhoneNumbers/+447400123456;5").await)["valid"], false);
}

#[tokio::test]
async fn a_setting_that_twilio_serves_and_we_do_not_says_so() {
    let world = V2World::new().await;
    for parameter in ["Push.IncludeDate", "Totp.Issuer", "Whatsapp.From", "Passkeys.RelyingParty.Id"] {
        let reply = world.post("/v2/Services", &[("FriendlyName", "Cat"), (parameter, "true")]).await;
        is_error(&reply, 400, 60200);
        assert!(reply.body.contains(&format!("`{parameter}`: it is not served here")), "{}", reply.body);
    }
    let reply = world.post("/v2/Services", &[("FriendlyName", "Cat"), ("Push.IncludeDate", "false")]).await;
    assert_eq!((reply.status, &json(&reply)["push"]["include_date"]), (201, &false.into()));
}

/// The links of `/docs` lead to these ids.
#[test]
fn operations_have_ids_of_their_own_and_the_manual_names_every_path() {
    let described: Value = serde_json::from_str(openapi_json()).expect("JSON");
    let manual = include_str!("../../../docs/reference/verify-api.md");
    let mut ids = BTreeSet::new();
    for (path, item) in described["paths"].as_object().expect("paths") {
        for operation in item.as_object().expect("operations").values() {
            assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{path}: {operation}");
        }
        let is_of_api = path.starts_with("/v") && !path.starts_with("/verify");
        assert!(!is_of_api || manual.contains(path), "{path}");
    }
}

//! Paths, methods, and the descriptions of all of them.

use onceward_testkit::{V2World, World, is_error, json, root};
use serde_json::json;

#[tokio::test]
async fn an_unknown_path_is_20404_and_a_wrong_method_20004_with_the_right_ones() {
    let world = V2World::new().await;
    for path in ["/v2/", "/v2/services", "/v2/Services/", "/v2/Services/VA1/Entities"] {
        is_error(&world.get(path).await, 404, 20404);
    }
    for (method, path, allow) in [
        ("PUT", "/v2/Services".to_owned(), "POST,GET,HEAD"),
        ("DELETE", "/v2/Templates".to_owned(), "GET,HEAD"),
        ("GET", world.below("/Verifications"), "POST"),
        ("PATCH", world.below(""), "GET,HEAD,POST,DELETE"),
    ] {
        let reply = world.ask(method, &path, &root(), &[], "").await;
        is_error(&reply, 405, 20004);
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
    }
}

#[tokio::test]
async fn a_lookup_shows_null_for_a_package_without_data() {
    let world = V2World::new().await;
    let fields = "Fields=caller_name,%20line_type_intelligence%20";
    let found = json(&world.get(&format!("/v2/PhoneNumbers/+447400123456?{fields}")).await);
    let shown = (&found["caller_name"], &found["line_type_intelligence"]["type"]);
    assert_eq!(shown, (&json!(null), &json!("mobile")), "{found}");
    let unreadable = json(&world.get("/v2/PhoneNumbers/no%20number%3F").await);
    let url = "http://codes.example/v2/PhoneNumbers/no%20number%3F";
    assert_eq!((&unreadable["phone_number"], &unreadable["url"]), (&json!("no number?"), &json!(url)));
}

#[tokio::test]
async fn a_setting_that_twilio_serves_and_we_do_not_says_so() {
    let world = V2World::new().await;
    for parameter in
        ["Push.IncludeDate", "Totp.Issuer", "Whatsapp.From", "Passkeys.RelyingParty.Id", "Psd2Enabled"]
    {
        let reply = world.post("/v2/Services", &[("FriendlyName", "Cat"), (parameter, "true")]).await;
        is_error(&reply, 400, 60200);
        let message = format!("Invalid parameter `{parameter}`: it is not served here");
        assert_eq!(json(&reply)["message"], message);
    }
    let reply = world.post("/v2/Services", &[("FriendlyName", "Cat"), ("Push.IncludeDate", "false")]).await;
    assert_eq!((reply.status, &json(&reply)["push"]["include_date"]), (201, &false.into()));
}

#[tokio::test]
async fn the_description_and_its_page_need_no_credential() {
    let world = World::new().await;
    for (path, kind, part) in [
        ("/openapi.json", "application/json", "3.1.0"),
        ("/docs", "text/html; charset=utf-8", "<h3 id=\"CreateVerification\">Send a code</h3>"),
    ] {
        let reply = world.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)));
        assert!(reply.body.contains(part), "{path}");
    }
}

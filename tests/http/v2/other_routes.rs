//! Paths, methods, and the descriptions of all of them.

use onceward_testkit::{V2World, World, is_error, json, root};
use serde_json::json;

#[tokio::test]
async fn an_unknown_path_is_20404_and_a_wrong_method_20004_with_the_right_ones() {
    let world = V2World::new().await;
    for path in ["/v2/", "/v2/services", "/v2/Services/", "/v2/Nothing"] {
        is_error(&world.get(path).await, 404, 20404);
    }
    for (path, name) in [
        ("/v2/Services/VA1/Entities?PageSize=50", "Entities"),
        ("/v2/Services/VA1/Passkeys/Factors", "Passkeys"),
        ("/v2/Forms/form-push", "Forms"),
    ] {
        // Without a credential, as other unknown paths.
        let reply = world.world.get(path).await;
        is_error(&reply, 404, 20404);
        assert_eq!(json(&reply)["message"], format!("{name} are not served here"));
    }
    for (method, path, allow) in [
        ("PUT", "/v2/Services".to_owned(), "GET, HEAD, POST"),
        ("DELETE", "/v2/Templates".to_owned(), "GET, HEAD"),
        ("GET", world.below("/Verifications"), "POST"),
        ("PATCH", world.below(""), "GET, HEAD, POST, DELETE"),
    ] {
        let reply = world.ask(method, &path, &root(), &[], "").await;
        is_error(&reply, 405, 20004);
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
    }
}

#[tokio::test]
async fn a_path_part_that_decodes_to_another_path_is_400_with_and_without_a_key() {
    let world = V2World::new().await;
    for path in [
        "/v2/PhoneNumbers/..%2f..%2fcallbacks%2fx".to_owned(),
        "/v2/PhoneNumbers/%2e%2e".to_owned(),
        "/v2/Guard/Explanations/..%2fcallbacks".to_owned(),
        "/v2/Services/a%2Fb".to_owned(),
        world.below("/Verifications/x%5C..%5Cy"),
    ] {
        is_error(&world.get(&path).await, 400, 60200);
        is_error(&world.world.get(&path).await, 400, 60200);
    }
    assert_eq!(world.world.get("/hooks/..%2f..%2fv2").await.status, 404);
    assert_eq!(world.get("/v2/PhoneNumbers/a..b").await.status, 200);
    assert_ne!(world.get("/v2/Guard/Explanations/192.0.2.0%2F24").await.status, 400);
}

#[tokio::test]
async fn a_lookup_shows_null_for_a_package_without_data_and_refuses_unknown_ones() {
    let world = V2World::new().await;
    let fields = "Fields=caller_name,%20line_type_intelligence%20";
    let found = json(&world.get(&format!("/v2/PhoneNumbers/+447400123456?{fields}")).await);
    let shown = (&found["caller_name"], &found["line_type_intelligence"]["type"]);
    assert_eq!(shown, (&json!(null), &json!("mobile")), "{found}");
    let unreadable = json(&world.get("/v2/PhoneNumbers/no%20number%3F").await);
    let url = "http://codes.example/v2/PhoneNumbers/no%20number%3F";
    assert_eq!((&unreadable["phone_number"], &unreadable["url"]), (&json!("no number?"), &json!(url)));
    is_error(&world.get("/v2/PhoneNumbers/+14155552671?Fields=shoe_size").await, 400, 60200);
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

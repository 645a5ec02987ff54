//! Authentication and scopes.

use base64::Engine as _;
use onceward::domain::ServiceId;
use onceward::registry::Scope;
use onceward_testkit::{
    Reply, Setup, V2World, World, account, get, is_error, json, named, post, root, send_body, sms_code_body,
    verify_body,
};

#[tokio::test]
async fn without_a_right_credential_it_is_401_and_the_body_is_not_waited_for() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    let wrong = format!("{}:wrong", account());
    for user in ["", "x:y", &wrong, ":", "SK00000000000000000000000000000000:x"] {
        let credential = base64::engine::general_purpose::STANDARD.encode(user);
        let mut client = world.world.client().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {credential}\r\ncontent-length: 100\r\n\r\n"
        );
        client.send(head).await;
        let reply = client.reply().await;
        is_error(&reply, 401, 20003);
        assert_eq!(reply.header("www-authenticate"), Some(r#"Basic realm="onceward""#));
    }
    is_error(&world.world.get(&path.replace("Verifications", "RateLimits")).await, 401, 20003);
    is_error(&world.world.get("/v2/Services/VA1/Entities").await, 401, 20003);
}

#[tokio::test]
async fn a_key_does_what_its_scope_says_in_its_own_service_and_nothing_else() {
    let world = V2World::new().await;
    let own = Some(world.service.id);
    let verify = world.key(own, &[Scope::Verify]).await;
    let admin = world.key(own, &[Scope::Admin]).await;
    let other = world.key(Some(ServiceId::DEFAULT), &[Scope::Verify, Scope::Admin]).await;
    let form = "To=%2B14155552671&Channel=sms";
    let begin = async |key: &str| world.ask("POST", &world.below("/Verifications"), key, &[], form).await;
    let fetch = async |key: &str| world.ask("GET", &world.below(""), key, &[], "").await;

    assert_eq!(begin(&verify).await.status, 201);
    assert_eq!(fetch(&admin).await.status, 200);
    is_error(&begin(&admin).await, 403, 20003);
    is_error(&fetch(&verify).await, 403, 20003);
    is_error(&begin(&other).await, 404, 20404);
    is_error(&fetch(&other).await, 404, 20404);
    assert_eq!(world.world.messages().len(), 1);
}

#[tokio::test]
async fn only_the_account_makes_and_deletes_services_and_has_the_safe_list() {
    let world = V2World::new().await;
    let own = Some(world.service.id);
    let admin = world.key(own, &[Scope::Admin, Scope::Verify]).await;
    let ask = async |method: &str, path: &str, body: &str| world.ask(method, path, &admin, &[], body).await;
    is_error(&ask("POST", "/v2/Services", "FriendlyName=Cat").await, 403, 20003);
    is_error(&ask("DELETE", &world.below(""), "").await, 403, 20003);
    is_error(&ask("POST", "/v2/SafeList/Numbers", "PhoneNumber=%2B14155552671").await, 403, 20003);
    is_error(&ask("GET", "/v2/SafeList/Numbers/+14155552671", "").await, 403, 20003);
    assert_eq!(ask("POST", &world.below(""), "FriendlyName=Cat").await.status, 200);
}

#[tokio::test]
async fn a_key_of_one_service_lists_that_one() {
    let world = V2World::new().await;
    let fields = named("Cat Bank");
    world.registry.create_service(fields).await.expect("a service");
    let admin = world.key(Some(world.service.id), &[Scope::Admin]).await;
    let list = json(&world.ask("GET", "/v2/Services", &admin, &[], "").await);
    let names: Vec<_> =
        list["services"].as_array().expect("a list").iter().map(|s| &s["friendly_name"]).collect();
    assert_eq!(names, ["Owl Bank"]);
    let all = json(&world.get("/v2/Services").await);
    assert_eq!(all["services"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn the_compatible_routes_ask_for_a_key_once_there_is_one_for_them() {
    let mut setup = Setup::default();
    setup.settings.registry.allows_unauthenticated = false;
    let world = V2World::with(setup).await;
    let request = post("/api/send-otp", &send_body());
    let port = world.world.address.port();
    let own = ["localhost", "shop.localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}"));
    let foreign =
        ["evil.example", "localhost.evil.example", "192.0.2.7"].map(|host| format!("{host}:{port}"));
    let of_others = ["localhost", "127.0.0.1", "localhost:1"].map(str::to_owned);
    for (hosts, status) in [(&own[..], 200), (&foreign, 403), (&of_others, 403)] {
        for host in hosts {
            let request = request.replace("localhost", host);
            assert_eq!(world.world.ask(&request).await.status, status, "{host}");
            let proxied = request.replace("\r\n\r\n", "\r\nx-forwarded-for: 192.0.2.7\r\n\r\n");
            assert_eq!(world.world.ask(&proxied).await.status, 403, "{host}");
        }
    }
    let verify = world.key(Some(ServiceId::DEFAULT), &[Scope::Verify]).await;
    let elsewhere = world.key(Some(world.service.id), &[Scope::Verify]).await;
    for (path, body) in [
        ("/api/send-otp", send_body()),
        ("/api/verify-otp", verify_body("123456")),
        ("/send-code", send_body()),
        ("/verify-code", sms_code_body("123456")),
    ] {
        let reply = world.world.post(path, &body).await;
        assert_eq!((reply.status, reply.header("www-authenticate").is_some()), (401, true), "{path}");
        let shape = if path.starts_with("/api") { r#"{"code":401,"message":""# } else { r#"{"message":""# };
        assert!(reply.body.starts_with(shape), "{}", reply.body);
        assert_eq!(world.ask("POST", path, &elsewhere, &[], &body).await.status, 403, "{path}");
    }
    for user in [verify, root()] {
        assert_eq!(world.ask("POST", "/api/send-otp", &user, &[], &send_body()).await.status, 200);
    }
    assert_eq!(world.world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn before_the_store_is_loaded_it_is_503() {
    let world = World::with(Setup { is_loaded: false, ..Setup::default() }).await;
    let replies: [Reply; 2] =
        [world.ask(get("/v2/Services")).await, world.ask(post("/v2/Services", "x")).await];
    for reply in replies {
        is_error(&reply, 503, 20503);
        assert_eq!((reply.header("retry-after"), reply.header("x-onceward-retry-after")), (None, Some("1")));
    }
}

//! Authentication and scopes.

use onceward::domain::ServiceId;
use onceward::registry::Scope;
use onceward_testkit::{Setup, V2World, account, basic, is_error, json, post, root, send_body};

#[tokio::test]
async fn without_a_right_credential_it_is_401_whatever_the_body_is() {
    let world = V2World::new().await;
    let path = world.below("/Verifications");
    let wrong = format!("{}:wrong", account());
    for user in ["", "x:y", &wrong, ":", "SK00000000000000000000000000000000:x"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{}content-length: 100\r\n\r\n", basic(user));
        let reply = world.world.ask(head + &"x".repeat(100)).await;
        is_error(&reply, 401, 20003);
        assert_eq!(reply.header("www-authenticate"), Some(r#"Basic realm="onceward""#));
    }
}

#[tokio::test]
async fn a_key_does_what_its_scope_says_in_its_own_service_and_nothing_else() {
    let world = V2World::new().await;
    let own = Some(world.service.id);
    let [verify, admin] = [world.key(own, &[Scope::Verify]).await, world.key(own, &[Scope::Admin]).await];
    let both = world.key(own, &[Scope::Verify, Scope::Admin]).await;
    let other = world.key(Some(ServiceId::DEFAULT), &[Scope::Verify, Scope::Admin]).await;
    let (verifications, service) = (world.below("/Verifications"), world.below(""));
    let begin = ("POST", &*verifications, "To=%2B14155552671&Channel=sms");
    let (fetch, change) = (("GET", &*service, ""), ("POST", &*service, "FriendlyName=Cat"));
    for (key, (method, path, body), status) in [
        (&verify, begin, 201),
        (&verify, fetch, 403),
        (&admin, begin, 403),
        (&admin, fetch, 200),
        (&admin, change, 200),
        (&other, begin, 404),
        (&other, fetch, 404),
        // Only the account makes and deletes services, and has the safe list.
        (&both, ("POST", "/v2/Services", "FriendlyName=Cat"), 403),
        (&both, ("DELETE", &service, ""), 403),
        (&both, ("POST", "/v2/SafeList/Numbers", "PhoneNumber=%2B14155552671"), 403),
        (&both, ("GET", "/v2/SafeList/Numbers/+14155552671", ""), 403),
    ] {
        let reply = world.ask(method, path, key, &[], body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        if status >= 400 {
            is_error(&reply, status, if status == 403 { 20003 } else { 20404 });
        }
    }
    assert_eq!(world.world.messages().len(), 1);
    let list = json(&world.ask("GET", "/v2/Services", &admin, &[], "").await);
    let names = list["services"].as_array().expect("a list").iter().map(|service| &service["friendly_name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["Cat"]);
}

#[tokio::test]
async fn the_compatible_routes_ask_for_a_key_once_there_is_one_for_them() {
    let mut setup = Setup::default();
    setup.settings.registry.allows_unauthenticated = false;
    let world = V2World::with(setup).await;
    let request = post("/api/send-otp", &send_body());
    let port = world.world.address.port();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("evil.example:{port}"), 403),
    ] {
        let request = request.replace("localhost", &host);
        assert_eq!(world.world.ask(&request).await.status, status, "{host}");
        let proxied = request.replace("\r\n\r\n", "\r\nx-forwarded-for: 192.0.2.7\r\n\r\n");
        assert_eq!(world.world.ask(&proxied).await.status, 403, "{host}");
    }
    let verify = world.key(Some(ServiceId::DEFAULT), &[Scope::Verify]).await;
    let elsewhere = world.key(Some(world.service.id), &[Scope::Verify]).await;
    let (envelope, message) = (r#"{"code":401,"message":""#, r#"{"message":""#);
    for (path, shape) in [("/api/send-otp", envelope), ("/verify-code", message)] {
        let reply = world.world.post(path, &send_body()).await;
        assert_eq!((reply.status, reply.header("www-authenticate").is_some()), (401, true), "{path}");
        assert!(reply.body.starts_with(shape), "{}", reply.body);
        assert_eq!(world.ask("POST", path, &elsewhere, &[], &send_body()).await.status, 403, "{path}");
    }
    for user in [verify, root()] {
        assert_eq!(world.ask("POST", "/api/send-otp", &user, &[], &send_body()).await.status, 200);
    }
    assert_eq!(world.world.get("/healthz").await.status, 200);
}

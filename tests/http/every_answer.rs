//! Rules of every route: unknown paths, methods, sizes, headers, refusals, panics.

use onceward_testkit::{ProviderDouble, Setup, World, get, post, send_body, verify_body};

const POSTS: &[&str] = &["/api/send-otp", "/api/verify-otp", "/send-code", "/verify-code"];

#[tokio::test]
async fn an_unknown_path_is_404_in_the_envelope() {
    let world = World::new().await;
    let body = r#"{"code":404,"message":"Not found. GET / names what is served here."}"#;
    for path in [
        "/nothing",
        "/api/send-otp/",
        "/API/SEND-OTP",
        "/%2e%2e/etc",
        "/%00",
        "*",
        // Without an inbox.
        "/inbox",
    ] {
        world.get(path).await.is(404, body);
        world.post(path, "{}").await.is(404, body);
    }
    assert_eq!(world.get("/?x=1").await.status, 200);
}

#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let world = World::new().await;
    for (method, path, allow) in [
        ("POST", "/healthz", "GET,HEAD"),
        ("BREW", "/", "GET,HEAD"),
        ("OPTIONS", "/api/send-otp", "POST"),
        ("GET", "/verify-code", "POST"),
    ] {
        let reply = world.ask(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
    }
}

#[tokio::test]
async fn only_pages_of_the_same_site_may_call_the_compatible_routes() {
    let world = World::new().await;
    let message = r#""message":"Web pages of other sites may not call this."}"#;
    for path in POSTS {
        for (site, is_refused) in [("cross-site", true), ("same-site", false)] {
            let header = format!("\r\nsec-fetch-site: {site}\r\n");
            let reply = world.ask(post(path, &send_body()).replacen("\r\n", &header, 1)).await;
            let found = (reply.status == 403, reply.body.ends_with(message));
            assert_eq!(found, (is_refused, is_refused), "{site} {path}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn the_tutorials_routes_answer_in_their_shape_whatever_is_wrong() {
    let mut setup = Setup { is_loaded: false, ..Setup::default() };
    setup.settings.bounds.body_bytes = 200;
    let world = World::with(setup).await;
    let large = format!(r#"{{"phoneNumber":"{}"}}"#, "1".repeat(200));
    for (request, status) in [
        (get("/send-code"), 405),
        (post("/send-code", &large), 413),
        (post("/send-code", "{}"), 400),
        (post("/send-code", &send_body()), 503),
        (post("/verify-code", r#"{"phoneNumber":"+14155552671","smsCode":"123456"}"#), 503),
    ] {
        let reply = world.ask(&request).await;
        assert_eq!(reply.status, status, "{request}");
        assert!(reply.body.starts_with(r#"{"message":""#), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_body_as_large_as_the_limit_is_read_and_a_larger_one_is_413() {
    let world = World::new().await;
    assert_eq!(world.post("/api/send-otp", &padded(16 * 1024)).await.status, 200);
    let head = "POST /api/send-otp HTTP/1.1\r\nhost: test\r\n";
    let too_large = r#"{"code":413,"message":"Request body too large. At most 16384 bytes are read."}"#;
    world.post("/api/send-otp", &padded(16 * 1024 + 1)).await.is(413, too_large);
    let chunks = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).repeat(5);
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    world.ask(chunked).await.is(413, too_large);
}

#[tokio::test]
async fn every_answer_has_its_type_is_not_stored_and_has_an_id() {
    let world = World::new().await;
    for request in [
        get("/hello-world"),
        get("/nothing"),
        get("/send-code"),
        post("/api/verify-otp", &verify_body("123456")),
        post("/api/verify-otp", "{}"),
    ] {
        let reply = world.ask(&request).await;
        assert_eq!(reply.header("content-type"), Some("application/json"), "{request}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{request}");
        assert!(reply.header("x-request-id").is_some_and(|id| id.starts_with("abcd0123-")), "{request}");
        assert!(reply.header("date").is_some(), "{request}");
    }
}

#[tokio::test]
async fn when_a_handler_panics_it_is_500_and_the_connection_goes_on() {
    let provider = ProviderDouble::default();
    provider.is_ready_if(|_| panic!("as the test wants"));
    let world = World::with(Setup::through(&provider)).await;
    let mut client = world.client().await;
    let answer = client.ask(get("/readyz")).await;
    answer.is(500, r#"{"code":500,"message":"Internal server error occurred."}"#);
    assert_eq!(client.ask(get("/healthz")).await.status, 200);
}

/// A valid body, padded to this length by a field.
fn padded(bytes: usize) -> String {
    let good = send_body();
    let rest = good.trim_start_matches('{');
    let padding = bytes - rest.len() - r#"{"x":"","#.len();
    format!(r#"{{"x":"{}",{rest}"#, "x".repeat(padding))
}

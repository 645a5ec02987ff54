//! Rules of every route: unknown paths, methods, sizes, headers, refusals, panics.

use onceward::domain::{Channel, GatewayName};
use onceward::gateway::{Accepted, BoxFuture, Gateway, GatewayError, OutgoingMessage};
use onceward_testkit::{Setup, World, get, post, send_body, sms_code_body, verify_body};

const GETS: [&str; 4] = ["/", "/hello-world", "/healthz", "/readyz"];
const POSTS: [&str; 4] = ["/api/send-otp", "/api/verify-otp", "/send-code", "/verify-code"];

#[tokio::test]
async fn an_unknown_path_is_404_in_the_envelope() {
    let world = World::new().await;
    let body = r#"{"code":404,"message":"Not found. GET / names what is served here."}"#;
    for path in [
        "/nothing",
        "/api/send-otp/",
        "/api",
        "/api/send-otp/1",
        "/API/SEND-OTP",
        "/send-code/x",
        "/%2e%2e/etc",
        "/..%2f",
        "/%00",
        "//",
        "/?",
        "*",
    ] {
        if path != "/?" {
            world.get(path).await.is(404, body);
            world.post(path, "{}").await.is(404, body);
        }
    }
    assert_eq!(world.get("/?x=1").await.status, 200);
}

#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let world = World::new().await;
    for (paths, allow, wrong) in [
        (GETS, "GET, HEAD", ["POST", "PUT", "OPTIONS", "BREW"]),
        (POSTS, "POST", ["GET", "PUT", "OPTIONS", "BREW"]),
    ] {
        for path in paths {
            for method in wrong {
                let reply = world.ask(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
                assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
            }
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
        (post("/verify-code", &sms_code_body("123456")), 503),
    ] {
        let reply = world.ask(&request).await;
        assert_eq!(reply.status, status, "{request}");
        assert!(reply.body.starts_with(r#"{"message":""#), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_body_as_large_as_the_limit_is_read() {
    let world = World::new().await;
    let body = padded(16 * 1024);
    assert_eq!(world.post("/api/send-otp", &body).await.status, 200);
}

#[tokio::test]
async fn a_larger_body_is_413_at_once_when_its_length_says_so() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send("POST /api/send-otp HTTP/1.1\r\nhost: test\r\ncontent-length: 16385\r\n\r\n").await;
    let reply = client.reply().await;
    reply.is(413, r#"{"code":413,"message":"Request body too large. At most 16384 bytes are read."}"#);
    assert_eq!(reply.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_larger_body_in_chunks_is_413_when_it_exceeds_the_limit() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send("POST /api/send-otp HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for _ in 0..5 {
        client.try_send(&chunk).await;
    }
    assert_eq!(client.reply().await.status, 413);
}

#[tokio::test]
async fn a_client_that_sends_megabytes_still_reads_its_413() {
    let world = World::new().await;
    for _ in 0..5 {
        let reply = world.post("/api/send-otp", &padded(4 * 1024 * 1024)).await;
        assert_eq!(reply.status, 413);
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let world = World::new().await;
    for path in GETS {
        let body = world.get(path).await.body;
        let mut client = world.client().await;
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")).await;
        let reply = client.reply_without_body().await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-length"), Some(body.len().to_string().as_str()), "{path}");
        assert_eq!(client.rest().await, "", "{path}");
    }
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
async fn request_ids_differ_between_connections_and_between_requests_of_one() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut client = world.client().await;
        for _ in 0..2 {
            client.send(get("/healthz")).await;
            ids.push(client.reply().await.header("x-request-id").expect("an id").to_owned());
        }
    }
    assert_eq!(ids, ["abcd0123-1-1", "abcd0123-1-2", "abcd0123-2-1", "abcd0123-2-2"]);
}

#[tokio::test]
async fn when_a_handler_panics_it_is_500_and_the_connection_goes_on() {
    let world = World::with(Setup::through(Panics)).await;
    let mut client = world.client().await;
    client.send(get("/readyz")).await;
    client.reply().await.is(500, r#"{"code":500,"message":"Internal server error occurred."}"#);
    client.send(get("/healthz")).await;
    assert_eq!(client.reply().await.status, 200);
}

/// A gateway that panics when it is asked whether it works.
struct Panics;

impl Gateway for Panics {
    fn name(&self) -> GatewayName {
        GatewayName::Http
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn send<'a>(&'a self, _: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        unreachable!("no test sends")
    }

    fn readiness(&self) -> Result<(), String> {
        panic!("as the test wants")
    }
}

/// A valid body, padded to this length by a field.
fn padded(bytes: usize) -> String {
    let good = send_body();
    let rest = good.trim_start_matches('{');
    let padding = bytes - rest.len() - r#"{"x":"","#.len();
    format!(r#"{{"x":"{}",{rest}"#, "x".repeat(padding))
}

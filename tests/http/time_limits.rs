//! The default time limits of connections, in memory and with paused time.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use onceward_testkit::{Memory, ProviderDouble, Setup, get, post, send_body, send_body_to, verify_body};
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_30_s_after_its_begin_or_its_last_answer() {
    let server = Memory::new().await;
    for beginning in
        [&[""][..], &["P"], &["GET /healthz HTTP/1.1\r\nhost: te"], &["G", "E", "T", " ", "/", "h"]]
    {
        let mut client = server.client();
        for answered in 0..2 {
            let start = now();
            for piece in beginning {
                client.send(piece).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(client.rest().await, "", "{beginning:?}");
            assert_eq!(since(start), 30, "{beginning:?} after {answered} requests");
            client = server.client();
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert_eq!(client.ask(get("/healthz")).await.status, 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_an_answer_is_not_idle() {
    let provider = ProviderDouble::hanging();
    let server = Memory::with(Setup::through(&provider)).await;
    let mut client = server.client();
    client.send(post("/api/send-otp", &send_body())).await;
    provider.arrived(1).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    provider.hangs(false);
    assert_eq!(client.reply().await.status, 200);
    let start = now();
    assert_eq!(client.rest().await, "");
    assert_eq!(since(start), 30, "its time begins anew");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_places_of_a_silent_gateway_messages_are_refused_not_checks() {
    let provider = ProviderDouble::hanging();
    let mut setup = Setup::through(&provider);
    (setup.settings.bounds.sends, setup.settings.bounds.sends_waiting) = (1, 0);
    let server = Memory::with(setup).await;
    let start = now();
    server.client().send(post("/api/send-otp", &send_body())).await;
    provider.arrived(1).await;
    let refused = server.client().ask(post("/api/send-otp", &send_body_to("+14155552672"))).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.body.contains("Too many messages are waiting to be sent."), "{}", refused.body);
    let checked = server.client().ask(post("/api/verify-otp", &verify_body("000000"))).await;
    assert_eq!((checked.status, since(start)), (401, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stays_away_is_408_after_10_s() {
    let server = Memory::new().await;
    let message = "The request body did not arrive in time.";
    for (path, body) in [
        ("/api/send-otp", format!(r#"{{"code":408,"message":"{message}"}}"#)),
        ("/send-code", format!(r#"{{"message":"{message}"}}"#)),
    ] {
        let start = now();
        let mut client = server.client();
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 30\r\n\r\n");
        let reply = client.ask(head + "{\"phone").await;
        reply.is(408, &body);
        assert_eq!(since(start), 10);
    }
}

/// Python's `http.client` sends them so.
#[tokio::test(start_paused = true)]
async fn an_early_answer_waits_for_the_body_and_the_connection_lives_on() {
    let server = Memory::with(Setup::of(serde_json::json!({}))).await;
    for (path, length, status) in [
        ("/v2/Services", 20, 401),
        ("/v2/Services", 16 * 1024, 401),
        ("/api/send-otp", 16 * 1024 + 1, 413),
        ("/nothing", 20, 404),
        ("/healthz", 20, 405),
    ] {
        let mut client = server.client();
        for _ in 0..2 {
            client
                .send(format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"))
                .await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let reply = client.ask(" ".repeat(length)).await;
            assert_eq!((reply.status, reply.header("connection")), (status, None), "{path} {length}");
        }
        assert_eq!(client.ask(get("/healthz")).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn over_http2_silent_connections_end_at_32_s_and_idle_ones_within_62_s() {
    let server = Memory::new().await;
    for (is_silent, seconds) in [(true, 30..=32), (false, 30..=62)] {
        let start = now();
        let (mut client, connection) = server.http2().await;
        if !is_silent {
            let request = Request::get("http://test/healthz").body(Full::default()).expect("a request");
            client.send_request(request).await.expect("a response").into_body().collect().await.expect("all");
        }
        connection.await.expect("no panic");
        assert!(seconds.contains(&since(start)), "{}", since(start));
    }
    let start = now();
    let (_near, far) = duplex(64 * 1024);
    server.serve_http2(far).await.expect("no panic");
    assert_eq!(since(start), 32, "without the first bytes of the protocol");
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_peer_that_answers_no_ping_is_let_go_with_its_request() {
    let provider = ProviderDouble::hanging();
    let server = Memory::with(Setup::through(&provider)).await;
    let before = Arc::strong_count(server.app());
    let (mut near, far) = duplex(64 * 1024);
    let connection = server.serve_http2(far);
    near.write_all(BEGINNING).await.expect("room");
    let head = b"\x83\x86\x01\x04test\x04\x0d/api/send-otp";
    near.write_all(&frame(1, 4, 1, head)).await.expect("room");
    near.write_all(&frame(0, 1, 1, send_body().as_bytes())).await.expect("room");
    provider.arrived(1).await;
    let start = now();
    connection.await.expect("no panic");
    assert_eq!(since(start), 30);
    let is_let_go = async {
        // A request holds it.
        while Arc::strong_count(server.app()) > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), is_let_go).await.expect("the request is let go");
}

#[tokio::test(start_paused = true)]
async fn when_the_server_stops_a_peer_that_does_not_take_part_is_let_go() {
    let server = Memory::new().await;
    let (mut near, far) = duplex(64 * 1024);
    let connection = server.serve_http2(far);
    near.write_all(BEGINNING).await.expect("room");
    let mut half = server.client();
    half.send("GET /healthz HT").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = now();
    server.stop();
    connection.await.expect("no panic");
    assert_eq!(half.rest().await, "");
    assert_eq!(since(start), 2);
}

/// The preface and empty settings.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request for a long page. The client's windows take all of the answer, and its stream does not.
pub fn request_with_open_windows() -> Vec<u8> {
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff";
    let window = b"\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
    let head = frame(1, 5, 1, b"\x82\x86\x01\x09localhost\x04\x0d/openapi.json");
    [BEGINNING, settings, window, &head].concat()
}

/// The present in paused time.
pub fn now() -> Instant {
    tokio::time::sleep(Duration::ZERO).deadline()
}

/// Whole seconds since `start`. Timers tick in milliseconds and may be one late.
pub fn since(start: Instant) -> u64 {
    (now() - start + Duration::from_millis(500)).as_secs()
}

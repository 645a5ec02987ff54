//! The default time limits of connections, in memory and with paused time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode};
use onceward_testkit::{Client, Gate, Memory, Setup, get, post, send_body};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex};
use tokio::time::Instant;

use super::forwarding::local;
use super::http2::{BEGINNING, frame};

pub const LATE_HEAD: &str = r#"{"code":408,"message":"The request did not arrive in time."}"#;

#[tokio::test(start_paused = true)]
async fn a_head_that_stays_incomplete_is_408_after_10_s() {
    let server = Memory::new().await;
    for beginning in ["P", "GET /healthz HTTP/1.1\r\nhost: te"] {
        let start = now();
        let mut client = server.client();
        client.send(beginning).await;
        client.reply().await.is(408, LATE_HEAD);
        assert_eq!(since(start), 10, "{beginning:?}");
        client.half_close().await;
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_408_as_well() {
    let server = Memory::new().await;
    let start = now();
    let mut client = server.client();
    for letter in ["G", "E", "T", " ", "/", "h"] {
        client.send(letter).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    client.reply().await.is(408, LATE_HEAD);
    assert_eq!(since(start), 10);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_10_s_from_its_first_byte() {
    let server = Memory::new().await;
    let mut client = server.client();
    for _ in 0..3 {
        client.send(get("/healthz")).await;
        assert_eq!(client.reply().await.status, 200);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    half_a_head_gets_408_after_10_s(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_closed_without_an_answer() {
    let server = Memory::new().await;
    let start = now();
    assert_eq!(server.client().rest().await, "");
    assert_eq!(since(start), 10);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_75_s() {
    let server = Memory::new().await;
    let mut client = server.client();
    client.send(get("/healthz")).await;
    assert_eq!(client.reply().await.status, 200);
    let start = now();
    assert_eq!(client.rest().await, "");
    assert_eq!(since(start), 75);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_an_answer_is_not_idle() {
    let gate = Gate::closed();
    let server = Memory::with(Setup::through(gate.clone())).await;
    let mut client = server.client();
    client.send(post("/api/send-otp", &send_body())).await;
    gate.arrival().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    gate.let_through(1);
    assert_eq!(client.reply().await.status, 200);
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
        client
            .send(format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 30\r\n\r\n{{\"phone"))
            .await;
        let reply = client.reply().await;
        reply.is(408, &body);
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(since(start), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answers_is_let_go_after_30_s() {
    let server = Memory::new().await;
    let (mut near, far) = duplex(256);
    let connection = server.serve(far);
    let start = now();
    let asks = tokio::spawn(async move {
        let all = near.write_all(get("/").repeat(1000).as_bytes()).await;
        (all.is_err(), near)
    });
    connection.await.expect("no panic");
    assert_eq!(since(start), 30);
    let (cut_off, _near) = asks.await.expect("no panic");
    assert!(cut_off);
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_that_never_closes_is_let_go() {
    let server = Memory::new().await;
    let (mut near, far) = duplex(4096);
    let connection = server.serve(far);
    near.write_all(b"garbage\r\n\r\n").await.expect("room");
    connection.await.expect("no panic");
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn over_http2_an_idle_connection_is_closed_after_75_to_94_s() {
    let server = Memory::new().await;
    let (mut client, connection) = server.http2().await;
    assert_eq!(healthz(&mut client).await, 200);
    let start = now();
    connection.await.expect("no panic");
    let after = since(start);
    assert!((75..=94).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_connection_that_never_asks_is_closed_after_10_s() {
    let server = Memory::new().await;
    let start = now();
    let (_client, connection) = server.http2().await;
    connection.await.expect("no panic");
    assert_eq!(since(start), 10);
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_peer_that_answers_no_ping_is_let_go_with_its_request() {
    let gate = Gate::closed();
    let server = Memory::with(local(&gate)).await;
    let (mut near, far) = duplex(64 * 1024);
    let connection = server.serve_http2(far);
    near.write_all(BEGINNING).await.expect("room");
    let head = b"\x83\x86\x01\x04test\x04\x0d/api/send-otp";
    near.write_all(&frame(1, 4, 1, head)).await.expect("room");
    near.write_all(&frame(0, 1, 1, send_body().as_bytes())).await.expect("room");
    gate.arrival().await;
    let start = now();
    connection.await.expect("no panic");
    assert_eq!(since(start), 30);
    server.app().forwarder.as_ref().expect("a node").idle().await;
}

#[tokio::test(start_paused = true)]
async fn when_the_server_stops_a_peer_that_does_not_take_part_is_let_go() {
    let server = Memory::new().await;
    let (mut near, far) = duplex(64 * 1024);
    let connection = server.serve_http2(far);
    near.write_all(BEGINNING).await.expect("room");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = now();
    server.stop();
    connection.await.expect("no panic");
    assert_eq!(since(start), 2);
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_client_that_takes_no_bytes_is_let_go_after_30_s() {
    let server = Memory::new().await;
    let (mut near, far) = duplex(64 * 1024);
    let connection = server.serve_http2(far);
    let start = now();
    near.write_all(&request_with_open_windows()).await.expect("room");
    connection.await.expect("no panic");
    assert_eq!(since(start), 30);
}

async fn healthz(client: &mut SendRequest<Full<Bytes>>) -> StatusCode {
    let request = Request::get("http://test/healthz").body(Full::default()).expect("a request");
    let response = client.send_request(request).await.expect("a response");
    let status = response.status();
    response.into_body().collect().await.expect("a body");
    status
}

/// A request for a long page. The client's windows take all of the answer, and its stream does not.
pub fn request_with_open_windows() -> Vec<u8> {
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff";
    let window = b"\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
    let head = frame(1, 5, 1, b"\x82\x86\x01\x09localhost\x04\x0d/openapi.json");
    [BEGINNING, settings, window, &head].concat()
}

async fn half_a_head_gets_408_after_10_s(client: &mut Client<impl AsyncRead + AsyncWrite + Unpin>) {
    let start = now();
    client.send("GET /healthz HT").await;
    client.reply().await.is(408, LATE_HEAD);
    assert_eq!(since(start), 10);
}

/// The present in paused time.
pub fn now() -> Instant {
    tokio::time::sleep(Duration::ZERO).deadline()
}

/// Whole seconds since `start`. Timers tick in milliseconds and may be one late.
pub fn since(start: Instant) -> u64 {
    (now() - start + Duration::from_millis(500)).as_secs()
}

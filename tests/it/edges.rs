//! The contract (`docs/reference/otp-api.md`), "Everything else on the server": HTTP itself.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::documented::sent;
use crate::support::{HttpResponse, World, soon};

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_right() {
    let world = World::new().await;
    for path in ["/api/send-otp", "/api/verify-otp"] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = world.request(method, path, "").await;
            in_envelope(&answer, 405);
            assert_eq!(answer.header("allow"), "POST");
        }
    }
    for path in ["/send-code", "/verify-code"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status(), answer.header("allow")), (405, "POST"));
        assert!(answer.json()["message"].is_string());
    }
    for path in ["/hello-world", "/healthz", "/readyz"] {
        let answer = world.post(path, "{}").await;
        assert_eq!(answer.status(), 405);
        let allowed: Vec<_> = answer.header("allow").split(", ").collect();
        assert!(allowed.contains(&"GET"), "{allowed:?}");
    }
}

#[tokio::test]
async fn a_query_does_not_change_the_route() {
    let world = World::new().await;
    let number = world.number();
    let body = json!({"phoneNumber": number}).to_string();
    world.post("/api/send-otp?source=app", body).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn a_body_over_16_kib_is_413_on_every_route() {
    let world = World::new().await;
    let number = world.number();
    for size in [16 * 1024 + 1, 64 * 1024, 5 * 1024 * 1024] {
        let body = format!(r#"{{"phoneNumber":"{number}","filler":"{}"}}"#, "x".repeat(size));
        for path in ["/api/send-otp", "/api/verify-otp"] {
            in_envelope(&world.post(path, body.clone()).await, 413);
        }
        assert_eq!(world.post("/send-code", body).await.status(), 413);
    }
    assert!(world.twilio.received().is_empty());
}

#[tokio::test]
async fn a_body_of_exactly_16_kib_is_read() {
    let world = World::new().await;
    let number = world.number();
    let frame = json!({"phoneNumber": number, "filler": ""}).to_string();
    let filler = "x".repeat(16 * 1024 - frame.len());
    let body = json!({"phoneNumber": number, "filler": filler}).to_string();
    assert_eq!(body.len(), 16 * 1024);
    world.post("/api/send-otp", body).await.expects(sent(&number, 5));
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_413_without_a_stated_length() {
    let world = World::new().await;
    let mut stream = world.connection().await;
    let head = "POST /api/send-otp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("written");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for _ in 0..5 {
        stream.write_all(chunk.as_bytes()).await.expect("written");
    }
    let answer = soon("an answer", read_head(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_request_without_host_with_two_or_a_malformed_one_is_400() {
    let world = World::new().await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host: a\r\nHost: b\r\n", 400),
        ("1.1", "Host: a\r\n", 200),
        ("1.1", "Host:\r\n", 200),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\n", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
        ("1.1", "Host: codes.example:8080\r\n", 200),
        ("1.1", "Host: [::1]:3000\r\n", 200),
        ("1.1", "Host: a b\r\n", 400),
        ("1.1", "Host: a/b\r\n", 400),
        ("1.1", "Host: user@a\r\n", 400),
        ("1.1", "Host: a:port\r\n", 400),
        ("1.1", "Host: [::1\r\n", 400),
        ("1.1", "Host: <script>\r\n", 400),
        ("1.0", "Host: a b\r\n", 400),
    ] {
        for path in ["/healthz", "/hello-world"] {
            let mut stream = world.connection().await;
            let head = format!("GET {path} HTTP/{version}\r\n{hosts}\r\n");
            stream.write_all(head.as_bytes()).await.expect("written");
            let answer = soon("an answer", read_head(&mut stream)).await;
            assert!(answer.starts_with(&format!("HTTP/{version} {status} ")), "{head}{answer}");
        }
    }
    let mut stream = world.connection().await;
    let body = r#"{"phoneNumber":"+14155550100"}"#;
    let head = format!("POST /api/send-otp HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).await.expect("written");
    let answer = soon("an answer", read_head(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("x-onceward-reason: "), "{answer}");
    assert!(world.twilio.received().is_empty());
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let world = World::with([("body-timeout", json!("300ms"))]).await;
    let mut stream = world.connection().await;
    let head = "POST /api/send-otp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{\"phone";
    stream.write_all(head.as_bytes()).await.expect("written");
    let answer = soon("an answer", read_head(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_connection_that_sends_no_whole_head_is_ended() {
    let world = World::with([("header-timeout", json!("300ms"))]).await;
    let mut stream = world.connection().await;
    stream.write_all(b"POST /api/send-otp HTTP/1.1\r\nHo").await.expect("written");
    let mut rest = Vec::new();
    soon("the connection's end", stream.read_to_end(&mut rest)).await.expect("an orderly end");
    world.get("/healthz").await;
}

#[tokio::test]
async fn bytes_that_are_not_http_end_their_own_connection_only() {
    let world = World::new().await;
    for junk in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let mut stream = world.connection().await;
        stream.write_all(junk).await.expect("written");
        stream.shutdown().await.expect("closed for writing");
        let mut rest = Vec::new();
        // The server may answer or only close the connection.
        let _ = soon("the connection's end", stream.read_to_end(&mut rest)).await;
    }
    assert_eq!(world.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let world = World::new().await;
    let mut stream = world.connection().await;
    for _ in 0..50 {
        let request = b"GET /hello-world HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("written");
        let head = soon("an answer", read_head(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut body = vec![0; content_length(&head)];
        stream.read_exact(&mut body).await.expect("the body");
    }
}

#[tokio::test]
async fn a_bad_request_does_not_cost_the_connection() {
    let world = World::new().await;
    let mut stream = world.connection().await;
    for (request, status) in [
        ("POST /api/send-otp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{", "400"),
        ("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("PUT /api/send-otp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", "405"),
        ("GET /hello-world HTTP/1.1\r\nHost: localhost\r\n\r\n", "200"),
    ] {
        stream.write_all(request.as_bytes()).await.expect("written");
        let head = soon("an answer", read_head(&mut stream)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let mut body = vec![0; content_length(&head)];
        stream.read_exact(&mut body).await.expect("the body");
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let world = World::new().await;
    let mut stream = world.connection().await;
    let requests = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hello-world HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.expect("written");
    for status in ["404", "200"] {
        let head = soon("an answer", read_head(&mut stream)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let mut body = vec![0; content_length(&head)];
        stream.read_exact(&mut body).await.expect("the body");
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_its_answer_and_the_end_of_the_connection() {
    let world = World::new().await;
    let mut stream = world.connection().await;
    stream.write_all(b"GET /hello-world HTTP/1.0\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    soon("the end", stream.read_to_string(&mut answer)).await.expect("text");
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with('}'), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() {
    let world = World::new().await;
    let number = world.number();
    let body = json!({"phoneNumber": number}).to_string();
    let mut stream = world.connection().await;
    let head = format!(
        "POST /api/send-otp HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let go_on = soon("an interim answer", read_head(&mut stream)).await;
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    stream.write_all(body.as_bytes()).await.expect("written");
    let answer = soon("an answer", read_head(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn http_2_in_cleartext_is_refused_and_ends_its_connection() {
    let world = World::new().await;
    let mut stream = world.connection().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("written");
    let mut answer = String::new();
    soon("the end", stream.read_to_string(&mut answer)).await.expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let world = World::new().await;
    let stream = world.connection().await;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = Request::head("/healthz").header("host", "test").body(Empty::<Bytes>::new());
    let response = sender.send_request(request.expect("a request")).await.expect("an answer");
    assert!(matches!(response.status(), StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED));
    assert!(response.into_body().collect().await.expect("an end").to_bytes().is_empty());
}

/// Asserts the envelope of contract section 1 on an error without `data`.
#[track_caller]
fn in_envelope(answer: &HttpResponse, status: u16) {
    let body = answer.json();
    assert_eq!((answer.status(), &body["code"]), (status, &Value::from(status)), "{body}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    assert!(body.get("data").is_none(), "{body}");
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => {
                panic!("the connection ended with {error} after {:?}", String::from_utf8_lossy(&head))
            }
        }
    }
    String::from_utf8(head).expect("text")
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut length =
        lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value);
    length.next_back().and_then(|value| value.parse().ok()).expect("a stated length")
}

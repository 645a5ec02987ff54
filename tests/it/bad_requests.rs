//! Nonsensical heads and bodies: the server gives the contract's answer, keeps the connection, never panics and sends no
//! message.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::prelude::*;

#[tokio::test]
async fn a_request_without_host_with_two_or_a_malformed_one_is_400() {
    let world = World::new().await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host:\r\n", 200),
        ("1.1", "Host: codes.example:8080\r\n", 200),
        ("1.1", "Host: <script>\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
        ("1.0", "Host: a b\r\n", 400),
    ] {
        for path in ["/healthz", "/hello-world"] {
            let head = format!("GET {path} HTTP/{version}\r\n{hosts}\r\n");
            let answer = answer_to(&world, &head).await;
            assert!(answer.starts_with(&format!("HTTP/{version} {status} ")), "{head}{answer}");
        }
    }
    let body = r#"{"phoneNumber":"+14155550100"}"#;
    let post = format!("POST /api/send-otp HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = answer_to(&world, &post).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("x-onceward-reason: "), "{answer}");
    assert!(world.twilio().received().is_empty());
    // A query does not change the route.
    world.post("/api/send-otp?source=app", body).await.expects_status(200);
}

/// The head of the answer.
async fn answer_to(world: &World, request: &str) -> String {
    let mut stream = world.connection().await;
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("an answer", stream.read_u8()).await.expect("a whole head"));
    }
    String::from_utf8(head).expect("text")
}

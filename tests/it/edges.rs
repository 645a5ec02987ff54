//! The contract (`docs/reference/otp-api.md`), "Everything else on the server": HTTP itself.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::documented::sent;
use crate::support::{World, soon};

#[tokio::test]
async fn a_query_does_not_change_the_route() {
    let world = World::new().await;
    let number = world.number();
    let body = json!({"phoneNumber": number}).to_string();
    world.post("/api/send-otp?source=app", body).await.expects(sent(&number, 5));
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

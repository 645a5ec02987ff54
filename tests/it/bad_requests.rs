//! Nonsensical heads and bodies: the server gives the contract's answer, keeps the connection, never panics and sends no
//! message.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::prelude::*;

#[tokio::test]
async fn every_400_of_the_compatible_routes_says_why_in_a_header() {
    let world = World::new().await;
    let by_phone = r#"{"phoneNumber":"+14155550100","channel":"call"}"#;
    let [empty, wrong] =
        ["", "739104"].map(|code| format!(r#"{{"phoneNumber":"+14155550100","smsCode":"{code}"}}"#));
    for (path, body, reason) in [
        ("/api/send-otp", "{", "it ends before the JSON does"),
        ("/send-code", "{}", "the field phoneNumber is missing"),
        ("/send-code", by_phone, "the channel call is not served here"),
        ("/api/verify-otp", r#"{"user":{"phoneNumber":"739104"},"code":"1"}"#, NOT_A_NUMBER),
        ("/verify-code", &empty, "the code is empty"),
        ("/verify-code", &wrong, "the code is wrong, or has expired"),
    ] {
        let answer = world.post(path, body.to_owned()).await;
        assert_eq!((answer.status(), answer.header("x-onceward-reason")), (400, reason), "{path}");
    }
    for body in senseless() {
        for path in ["/api/send-otp", "/api/verify-otp", "/send-code", "/verify-code"] {
            let answer = world.post(path, body.clone()).await;
            assert_eq!(answer.status(), 400, "{path} {}", String::from_utf8_lossy(&body));
            let reason = answer.header("x-onceward-reason");
            assert!((10..=120).contains(&reason.len()) && reason.is_ascii(), "{path}: {reason:?}");
            assert!(reason == NOT_A_NUMBER || !reason.contains("4155552671"), "{reason:?}");
        }
    }
    assert!(world.twilio().received().is_empty(), "no message for a senseless request");
    for (code, words) in [(21_211, "does not exist"), (21_610, "no messages"), (21_614, "cannot be reached")]
    {
        let number = world.number_with([Reply::Refuse { status: 400, code }; 2]);
        for answer in [world.send(&number).await, world.send_code(&number).await] {
            let reason = answer.header("x-onceward-reason");
            assert!(answer.status() == 400 && reason.contains(words), "{code}: {reason:?}");
        }
    }
    let right = world.send(&world.number()).await;
    assert_eq!(right.header("x-onceward-reason"), "");
}

#[tokio::test]
async fn bad_bodies_are_logged_at_info_with_their_reason_once_a_second() {
    let world = World::with([("log-level", json!("info"))]).await;
    for _ in 0..50 {
        world.post("/api/send-otp", "{}").await.expects(bad_request());
    }
    let is_it = |event: &Value| event["message"] == "request body refused";
    let line = world.server.event("a line", is_it).await;
    assert_eq!((&line["level"], &line["count"]), (&json!("INFO"), &json!(1)), "{line}");
    assert_eq!(line["reason"], "the field phoneNumber is missing", "{line}");
    let sum = || async {
        let events = world.server.output().events();
        let lines: Vec<u64> =
            events.iter().filter(|event| is_it(event)).filter_map(|e| e["count"].as_u64()).collect();
        (lines.iter().sum::<u64>(), lines.len())
    };
    let (_, lines) = until("a line for the others", sum, |(count, _)| *count == 50).await;
    assert!(lines < 50, "one line a second");
}

const NOT_A_NUMBER: &str =
    "phoneNumber cannot be used: not a phone number in E.164 form, such as +14155552671";

/// `tests/http/bad_bodies.rs` has many more.
fn senseless() -> Vec<Vec<u8>> {
    let texts = ["", "{}", "null", "{\"phoneNumber\":\"+14155552671\"", "phoneNumber=%2B14155552671"];
    // Deep nesting must not overflow the program's stack.
    let deep = ["[".repeat(16_000), "{\"user\":".repeat(2_000), "[".repeat(8_000) + &"]".repeat(8_000)];
    let no_text = [b"{\"phoneNumber\":\"\xff\xfe\"}".to_vec(), vec![0; 1_000], (0..=255).collect()];
    let texts = texts.map(str::to_owned).into_iter().chain(deep).map(String::into_bytes);
    texts.chain(no_text).collect()
}

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

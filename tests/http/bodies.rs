//! Accepted and refused bodies.

use onceward_testkit::{NUMBER, Reply, World, send_body, sms_code_body, verify_body};

const ENVELOPE: &str = r#"{"code":400,"message":"Invalid request body"}"#;
const MESSAGE: &str = r#"{"message":"Invalid request body"}"#;

#[tokio::test]
async fn what_is_not_an_object_with_a_number_is_a_bad_body_of_a_send() {
    let world = World::new().await;
    for body in [
        "",
        "null",
        "NaN",
        r#""+14155552671""#,
        "[]",
        r#"[{"phoneNumber":"+14155552671"}]"#,
        "{}",
        "{",
        r#"{"phoneNumber":"+14155552671""#,
        r#"{"phoneNumber":"+14155552671"}}"#,
        r"{'phoneNumber':'+14155552671'}",
        r#"{"phoneNumber":null}"#,
        r#"{"phoneNumber":14155552671}"#,
        r#"{"phoneNumber":{"e164":"+14155552671"}}"#,
        r#"{"phoneNumber":""}"#,
        r#"{"phoneNumber":"+1415"}"#,
        r#"{"phoneNumber":"+1 415 CALL NOW"}"#,
        r#"{"phoneNumber":"\ud800"}"#,
        r#"{"phoneNumber":"+14155552671","phoneNumber":"+14155552672"}"#,
        "phoneNumber=%2B14155552671",
        "\u{feff}{\"phoneNumber\":\"+14155552671\"}",
    ] {
        is_refused(&world.post("/api/send-otp", body).await, ENVELOPE, body);
        is_refused(&world.post("/send-code", body).await, MESSAGE, body);
    }
}

#[tokio::test]
async fn what_is_not_a_user_and_a_code_is_a_bad_body_of_a_check() {
    let world = World::new().await;
    for body in [
        "",
        "{}",
        r#"{"code":"123456"}"#,
        r#"{"user":{"phoneNumber":"+14155552671"}}"#,
        r#"{"user":{"phoneNumber":"+14155552671"},"code":123456}"#,
        r#"{"user":{"phoneNumber":"+14155552671"},"code":""}"#,
        r#"{"user":"+14155552671","code":"123456"}"#,
        r#"{"user":{},"code":"123456"}"#,
        r#"{"user":{"phoneNumber":"+14155552671"},"code":"123456","code":"654321"}"#,
        r#"{"phoneNumber":"+14155552671","code":"123456"}"#,
        r#"[{"phoneNumber":"+14155552671"},"123456"]"#,
    ] {
        is_refused(&world.post("/api/verify-otp", body).await, ENVELOPE, body);
    }
}

#[tokio::test]
async fn what_is_not_a_number_and_a_code_is_a_bad_body_of_a_tutorial_check() {
    let world = World::new().await;
    for body in [
        "{}",
        r#"{"phoneNumber":"+14155552671"}"#,
        r#"{"smsCode":"123456"}"#,
        r#"{"phoneNumber":"+14155552671","smsCode":123456.5}"#,
        r#"{"phoneNumber":"+14155552671","smsCode":""}"#,
        r#"{"phoneNumber":"+14155552671","code":"123456"}"#,
        r#"["+14155552671","123456"]"#,
    ] {
        is_refused(&world.post("/verify-code", body).await, MESSAGE, body);
    }
}

/// Asserts that the answer says why in its header, without the number.
#[track_caller]
fn is_refused(reply: &Reply, expected: &str, body: &str) {
    assert_eq!((reply.status, reply.body.as_str()), (400, expected), "{body:?}");
    let reason = reply.header("x-onceward-reason").unwrap_or_default();
    assert!((10..=120).contains(&reason.len()) && reason.is_ascii(), "{body:?}: {reason:?}");
    let sample = "such as +14155552671";
    assert!(!reason.replace(sample, "").contains("4155552671"), "{body:?}: {reason:?}");
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_a_bad_body_even_in_ignored_fields() {
    let world = World::new().await;
    for body in [
        b"{\"phoneNumber\":\"+1415555\xff2671\"}".as_slice(),
        b"{\"phoneNumber\":\"+14155552671\",\"x\":\"\xff\"}",
        b"\xff\xfe{\0}\0",
    ] {
        let mut request =
            format!("POST /api/send-otp HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len())
                .into_bytes();
        request.extend_from_slice(body);
        world.ask(request).await.is(400, ENVELOPE);
    }
}

#[tokio::test]
async fn deep_nesting_is_a_bad_body_if_it_is_read_and_harmless_if_not() {
    let world = World::new().await;
    let deep = "[".repeat(15_000);
    world.post("/api/send-otp", &deep).await.is(400, ENVELOPE);
    world.post("/api/send-otp", &format!(r#"{{"phoneNumber":{deep}"#)).await.is(400, ENVELOPE);
    world.post("/api/verify-otp", &r#"{"user":"#.repeat(2_000)).await.is(400, ENVELOPE);
    assert!(world.messages().is_empty());
    let (open, close) = ("[".repeat(7_000), "]".repeat(7_000));
    world.post("/api/send-otp", &format!(r#"{{"x":{open}{close},"phoneNumber":"{NUMBER}"}}"#)).await;
    assert_eq!(world.messages().len(), 1);
}

#[tokio::test]
async fn unknown_fields_spaces_and_escapes_do_not_matter() {
    let world = World::new().await;
    for body in [
        r#"{"phoneNumber":"+14155552671","code":5,"user":[],"smsCode":null}"#,
        "\r\n\t {\t\"phoneNumber\" : \"+1 (415) 555-2671\" }\n ",
        r#"{"phoneNumber":"\u002b14155552671"}"#,
        r#"{"x":"\ud83d\ude00","phone\u004eumber":"+14155552671"}"#,
    ] {
        world.post("/api/send-otp", body).await;
    }
    let messages = world.messages();
    assert!(messages.len() == 4 && messages.iter().all(|message| message.to.e164() == NUMBER));
    let check = r#"{"user":{"phoneNumber":"+14155552671","name":"Ada"},"code":"CODE","remember":true}"#;
    let reply = world.post("/api/verify-otp", &check.replace("CODE", &world.code())).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn no_particular_content_type_is_needed() {
    let world = World::new().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
    {
        let body = send_body();
        let request = format!(
            "POST /api/send-otp HTTP/1.1\r\nhost: test\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        world.ask(request).await;
    }
    assert_eq!(world.messages().len(), 3);
}

#[tokio::test]
async fn a_code_is_read_from_its_field_on_each_route() {
    let world = World::new().await;
    world.post("/api/send-otp", &send_body()).await;
    assert_eq!(world.post("/api/verify-otp", &verify_body(&world.code())).await.status, 200);
    world.post("/send-code", &send_body()).await;
    assert_eq!(world.post("/verify-code", &sms_code_body(&world.code())).await.status, 200);
}

#[tokio::test]
async fn answers_carry_the_one_spelling_of_a_number() {
    let world = World::new().await;
    let body = r#"{"user":{"phoneNumber":"+49 (0) 171 1234567"},"code":"123456"}"#;
    let reply = world.post("/api/verify-otp", body).await;
    let data = r#"{"user":{"phoneNumber":"+491711234567"},"trials":5}"#;
    reply.is(401, &format!(r#"{{"code":401,"message":"Incorrect OTP/ OTP Expired","data":{data}}}"#));
}

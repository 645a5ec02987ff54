//! The bodies of the compatible routes: what is read, what is ignored, and what is refused.

use onceward::domain::Channel;
use onceward_testkit::{NUMBER, Setup, World, post, send_body};
use serde_json::json;

const ENVELOPE: &str = r#"{"code":400,"message":"Invalid request body"}"#;
const MESSAGE: &str = r#"{"message":"Invalid request body"}"#;

#[tokio::test]
async fn reports_and_hooks_may_be_large_and_are_refused_in_their_own_form() {
    let world = World::new().await;
    let ask = async |path: &str, headers: &str, body: &[u8]| {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {}\r\n\r\n", body.len());
        world.ask([head.as_bytes(), body].concat()).await
    };
    let user = format!(r#"{{"user":{{"user_metadata":"{}"}}}}"#, "x".repeat(18 * 1024));
    let unsigned = ask("/hooks/supabase", "", user.as_bytes()).await;
    assert!(unsigned.body.contains("signature"), "read, but not signed: {}", unsigned.body);
    let large = "x".repeat(3 * 1024 * 1024 + 1);
    let refused = ask("/hooks/supabase", "", large.as_bytes()).await;
    assert!(refused.body.starts_with(r#"{"error":{"http_code":413"#), "{}", refused.body);
    assert_eq!(ask("/api/send-otp", "", user.as_bytes()).await.status, 413);
    let body = send_body();
    let marked = format!("\u{feff}{body}");
    assert_eq!(ask("/api/send-otp", "", marked.as_bytes()).await.status, 200);
    for path in ["/api/send-otp", "/v2/Services", "/hooks/supabase"] {
        let refused = ask(path, "content-encoding: gzip\r\n", body.as_bytes()).await;
        assert!(
            refused.status == 415 || refused.body.contains(r#""http_code":415"#),
            "{path}: {}",
            refused.body
        );
    }
}

#[tokio::test]
async fn a_bad_body_is_400_with_the_reason_in_a_header_which_repeats_nothing() {
    let world = World::new().await;
    let deep = "[".repeat(15_000);
    let rows = include_str!("bad_bodies.tsv").lines().skip(1).map(|line| {
        let [path, body, reason] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (path, body, reason)
    });
    for (path, body, reason) in rows.chain([
        ("/api/send-otp", "{\n'phoneNumber':'+14155552671'}", "it is not JSON at line 2"),
        ("/api/send-otp", &*deep, "wrong type"),
        ("/api/send-otp", &*format!(r#"{{"phoneNumber":{deep}"#), "wrong type"),
        ("/api/verify-otp", &*r#"{"user":"#.repeat(2_000), "it ends before the JSON does"),
    ]) {
        let reply = world.post(path, body).await;
        reply.is(400, if path.starts_with("/api/") { ENVELOPE } else { MESSAGE });
        let told = reply.header("x-onceward-reason").unwrap_or_default();
        let body = body.get(..100).unwrap_or(body);
        assert!(told.contains(reason), "{path} {body:?}: {told:?}");
        let repeats =
            ["4155552671", "123456"].iter().any(|part| told.replace("+14155552671", "").contains(part));
        assert!(told.len() <= 120 && !repeats, "{body:?}: {told:?}");
    }
    // Also in a field that is ignored.
    for body in [b"{\"phoneNumber\":\"+14155552671\",\"x\":\"\xff\"}".as_slice(), b"\xff\xfe{\0}\0"] {
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let head = format!("POST /api/send-otp HTTP/1.1\r\nhost: test\r\n{length}");
        world.ask([head.as_bytes(), body].concat()).await.is(400, ENVELOPE);
    }
    assert!(world.messages().is_empty());
}

#[tokio::test]
async fn unknown_fields_spaces_escapes_and_the_capitals_of_go_are_understood() {
    let world = World::new().await;
    let (open, close) = ("[".repeat(7_000), "]".repeat(7_000));
    let bodies = [
        r#"{"phoneNumber":"+14155552671","code":5,"user":[],"smsCode":null}"#,
        "\r\n\t {\t\"phoneNumber\" : \"+1 (415) 555-2671\" }\n ",
        r#"{"x":"\ud83d\ude00","phone\u004eumber":"\u002b14155552671"}"#,
        r#"{"PhoneNumber":"+14155552671"}"#,
        r#"{"phonenumber":"+14155552671"}"#,
        &format!(r#"{{"x":{open}{close},"phoneNumber":"{NUMBER}"}}"#),
    ];
    for body in bodies {
        world.post("/api/send-otp", body).await;
    }
    let form = "\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\n";
    world.ask(post("/api/send-otp", &send_body()).replace("\r\n\r\n", form)).await;
    let messages = world.messages();
    assert!(messages.len() == 7 && messages.iter().all(|message| message.to.e164() == NUMBER));
    for check in [
        r#"{"user":{"phoneNumber":"+14155552671","name":"Ada"},"code":"CODE","remember":true}"#,
        r#"{"User":{"PhoneNumber":"+14155552671"},"Code":"CODE"}"#,
    ] {
        assert_eq!(world.post("/api/verify-otp", &check.replace("CODE", &world.code())).await.status, 200);
        world.post("/api/send-otp", &send_body()).await;
    }
}

#[tokio::test]
async fn a_send_takes_a_channel_a_language_and_an_app_and_ignores_unknown_ones() {
    let german = json!({ "sms": { "de": "Ihr Code: {code}" } });
    let world = World::with(Setup::of(json!({ "otp-messages": german }))).await;
    let sent = async |fields: &str| {
        let reply = world.post("/api/send-otp", &format!(r#"{{"phoneNumber":"{NUMBER}",{fields}}}"#)).await;
        assert_eq!(reply.status, 200, "{fields}: {}", reply.body);
        let message = world.newest().expect("a message");
        (message.channel, message.text.replace(message.code.expose(), "CODE"))
    };
    let usual = sent(r#""x":1"#).await;
    assert_eq!(sent(r#""channel":"whatsApp""#).await.0, Channel::WhatsApp);
    assert_eq!(sent(r#""locale":"de_at""#).await, (Channel::Sms, "Ihr Code: CODE".to_owned()));
    let (channel, text) = sent(r#""appHash":"FA+9qCX9VSu""#).await;
    assert!(channel == Channel::Sms && text.ends_with("FA+9qCX9VSu"), "{text}");
    for fields in [
        r#""channel":null,"locale":null,"appHash":null"#,
        r#""channel":"pigeon","locale":"english please","appHash":"FA+9qCX9VS""#,
        r#""channel":{"id":{"n":[1.5,null]}},"locale":{},"appHash":true"#,
        r#""appHash":"@evil.io #1""#,
    ] {
        assert_eq!(sent(fields).await, usual, "{fields}");
    }
}

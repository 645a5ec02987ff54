//! Twilio reports to a server that sends through it: the paths, and what each kind of report is answered.

use onceward_gateway::double::twilio_signature;
use onceward_testkit::{Setup, World, post};
use serde_json::json;

/// The paths with what is reported to each.
const REPORTS: [(&str, &str); 3] = [
    ("/callbacks/twilio/message", "MessageSid=SM0123&MessageStatus=delivered"),
    ("/callbacks/twilio/call", "CallSid=CA0123&CallStatus=completed"),
    ("/callbacks/twilio/gate", "CallSid=CA0123&To=%2B14155552671&Digits=1"),
];

const QUERY: &str = "?attempt=0-00000000000000ff-0&x=a%20b";

const PUBLIC_URL: &str = "https://otp.example.com/otp";

#[tokio::test]
async fn the_signed_reports_of_a_gateway_are_taken_behind_a_public_path() {
    assert_eq!(World::new().await.post(REPORTS[0].0, REPORTS[0].1).await.status, 404);
    let mut with_slash = with_twilio();
    with_slash.settings.delivery.public_url = Some(format!("{PUBLIC_URL}/").into());
    let world = World::with(with_slash).await;
    let index = world.get("/").await.body;
    for (path, form) in REPORTS {
        assert!(index.contains(&format!("POST {path}")), "{index}");
        let reply = world.ask(signed(&format!("{path}{QUERY}"), form)).await;
        // What the call does next is an XML document.
        let is_next = path.ends_with("/gate");
        let kind = is_next.then_some("text/xml; charset=utf-8");
        let found = (reply.status, reply.header("content-type"), reply.body.starts_with("<?xml"));
        assert_eq!(found, (if is_next { 200 } else { 204 }, kind, is_next), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_an_envelope() {
    let (path, form) = REPORTS[0];
    let world = World::with(with_twilio()).await;
    world.ask(signed(path, form)).await.is(400, r#"{"code":400,"message":"Invalid request body"}"#);
    let message = "The signature or the key does not match. Is public-url what the provider was told?";
    let unsigned = world.post(&format!("{path}{QUERY}"), form).await;
    unsigned.is(403, &format!(r#"{{"code":403,"message":"{message}"}}"#));
    let world = World::with(Setup { is_loaded: false, ..with_twilio() }).await;
    let early = world.ask(signed(&format!("{path}{QUERY}"), form)).await;
    early.is(503, r#"{"code":503,"message":"The report could not be taken. Try again shortly."}"#);
    assert_eq!(early.header("retry-after"), Some("1"));
}

/// A server that sends messages to Germany through Twilio.
fn with_twilio() -> Setup {
    Setup::of(json!({
        "otp-sms-provider": "Twilio:+49;Simulator",
        "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
        "TWILIO_AUTH_TOKEN": "s3cr3t",
        "TWILIO_PHONE_NUMBER": "+15005550006",
        "TWILIO_BASE_URL": "http://127.0.0.1:9",
        "public-url": PUBLIC_URL,
    }))
}

/// The request with Twilio's signature.
fn signed(path: &str, form: &str) -> String {
    let signature = twilio_signature("s3cr3t", &format!("{PUBLIC_URL}{path}"), form);
    post(path, form).replace(
        "\r\n\r\n",
        &format!(
            "\r\ncontent-type: application/x-www-form-urlencoded\r\nx-twilio-signature: {signature}\r\n\r\n"
        ),
    )
}

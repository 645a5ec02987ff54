//! Callbacks of Twilio.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac};
use onceward_testkit::{Setup, World, post};
use serde_json::json;
use sha1::Sha1;

/// The paths with what is reported to each.
const REPORTS: [(&str, &str); 3] = [
    ("/callbacks/twilio/message", "MessageSid=SM0123&MessageStatus=delivered"),
    ("/callbacks/twilio/call", "CallSid=CA0123&CallStatus=completed"),
    ("/callbacks/twilio/gate", "CallSid=CA0123&To=%2B14155552671&Digits=1"),
];

const QUERY: &str = "?attempt=0-00000000000000ff-0&x=a%20b";

const PUBLIC_URL: &str = "https://otp.example.com/otp";

#[tokio::test]
async fn the_paths_exist_if_a_gateway_reports_are_named_and_take_post() {
    let without = World::new().await;
    assert_eq!(without.post(REPORTS[0].0, REPORTS[0].1).await.status, 404);
    assert!(!without.get("/").await.body.contains("/callbacks/"));
    let world = World::with(with_twilio()).await;
    let index = world.get("/").await.body;
    for (path, _) in REPORTS {
        assert!(index.contains(&format!("POST {path}")), "{index}");
        let reply = world.get(path).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{path}");
    }
    assert_eq!(world.post("/callbacks/twilio/other", REPORTS[0].1).await.status, 404);
}

#[tokio::test]
async fn the_server_takes_signed_reports_as_sent_with_or_without_public_path() {
    let world = World::with(with_twilio()).await;
    for (path, form) in REPORTS {
        for prefix in ["", "/otp"] {
            let reply = world.ask(signed(prefix, &format!("{path}{QUERY}"), form)).await;
            // What the call does next is an XML document.
            let is_next = path.ends_with("/gate");
            let kind = is_next.then_some("text/xml; charset=utf-8");
            let found = (reply.status, reply.header("content-type"), reply.body.starts_with("<?xml"));
            assert_eq!(found, (if is_next { 200 } else { 204 }, kind, is_next), "{prefix}{path}");
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    }
    for path in ["/otp/healthz", "/otp/api/send-otp", "/otp", "/other/callbacks/twilio/message"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_signature_that_is_absent_doubled_or_unreadable_is_none() {
    let world = World::with(with_twilio()).await;
    let good = signed("", &format!("{}{QUERY}", REPORTS[0].0), REPORTS[0].1);
    let line = good.lines().find(|line| line.starts_with("x-twilio-signature")).expect("a signature");
    let line = format!("{line}\r\n");
    for wrong in [String::new(), line.repeat(2), "x-twilio-signature: \u{e9}\r\n".to_owned()] {
        let reply = world.ask(good.replace(&line, &wrong)).await;
        let message = "The signature or the key does not match. Is public-url what the provider was told?";
        reply.is(403, &format!(r#"{{"code":403,"message":"{message}"}}"#));
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_an_envelope() {
    let (path, form) = REPORTS[0];
    let unreadable = World::with(with_twilio()).await.ask(signed("", path, form)).await;
    unreadable.is(400, r#"{"code":400,"message":"Invalid request body"}"#);
    let world = World::with(Setup { is_loaded: false, ..with_twilio() }).await;
    let early = world.ask(signed("", &format!("{path}{QUERY}"), form)).await;
    early.is(503, r#"{"code":503,"message":"The report could not be taken. Try again shortly."}"#);
    assert_eq!(early.header("retry-after"), Some("1"));
}

/// A server that sends messages to Germany through Twilio.
pub fn with_twilio() -> Setup {
    Setup::of(json!({
        "otp-sms-provider": "Twilio:+49;Simulator",
        "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
        "TWILIO_AUTH_TOKEN": "s3cr3t",
        "TWILIO_PHONE_NUMBER": "+15005550006",
        "TWILIO_BASE_URL": "http://127.0.0.1:9",
        "public-url": PUBLIC_URL,
    }))
}

/// The request with Twilio's signature. A proxy has left `prefix` in front of the path.
fn signed(prefix: &str, path: &str, form: &str) -> String {
    let mut fields: Vec<(String, String)> =
        url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    fields.sort();
    let mac = Hmac::<Sha1>::new_from_slice(b"s3cr3t").expect("a key");
    let mac = fields
        .iter()
        .flat_map(|(name, value)| [name, value])
        .fold(mac.chain_update(format!("{PUBLIC_URL}{path}")), Mac::chain_update);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    post(&format!("{prefix}{path}"), form).replace(
        "\r\n\r\n",
        &format!(
            "\r\ncontent-type: application/x-www-form-urlencoded\r\nx-twilio-signature: {signature}\r\n\r\n"
        ),
    )
}

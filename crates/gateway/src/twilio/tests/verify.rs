//! Verify, which holds the code itself.

use super::*;
use crate::domain::{GatewayName, Locale};
use crate::double::refusing_url;
use crate::twilio::codes::CREDENTIALS;
use crate::{Accepted, GatewayError, TwilioVerify, TwilioVerifySettings, Verdict};

const SERVICE: &str = "VA0123456789abcdef0123456789abcdef";
const VERIFICATION: &str = "VE00112233445566778899aabbccddeeff";

#[tokio::test]
async fn a_verification_is_started_on_the_channel_that_is_asked_for() {
    for (channel, name) in [(Channel::Sms, "sms"), (Channel::Call, "call"), (Channel::WhatsApp, "whatsapp")] {
        let mut double = Double::playing([Reply::json(201, &body("pending", "false"))]).await;
        let message = OutgoingMessage { channel, callback: Some(callback()), ..message("not sent 012345") };
        let accepted = gateway(&double.base_url()).send(&message).await;
        assert_eq!(accepted, Ok(Accepted { message_id: VERIFICATION.to_owned() }));
        let request = double.request().await;
        assert_eq!(request.request_line, format!("POST /v2/Services/{SERVICE}/Verifications HTTP/1.1"));
        assert!(request.header("authorization").is_some());
        // The request has no code and no text of ours: Verify has its own.
        assert_eq!(fields(&request.form()), [("To", "+14155552671"), ("Channel", name)]);
    }
}

#[tokio::test]
async fn the_language_is_named_where_verify_has_it() {
    for (locale, expected) in [("de-AT", Some("de")), ("pt-BR", Some("pt-BR")), ("bg", None)] {
        let mut double = Double::playing([Reply::created(VERIFICATION)]).await;
        let message = OutgoingMessage { locale: Locale::parse(locale), ..message("") };
        gateway(&double.base_url()).send(&message).await.expect("accepted");
        let form = double.request().await.form();
        let named = form.iter().find(|(name, _)| name == "Locale").map(|(_, value)| value.as_str());
        assert_eq!(named, expected, "{locale}");
    }
}

#[tokio::test]
async fn the_name_of_the_sender_is_passed_on() {
    let mut double = Double::playing([Reply::created(VERIFICATION)]).await;
    let message = OutgoingMessage { sender_name: Some("Barn Owls".into()), ..message("") };
    gateway(&double.base_url()).send(&message).await.expect("accepted");
    let form = double.request().await.form();
    assert_eq!(fields(&form)[2], ("CustomFriendlyName", "Barn Owls"));
}

#[tokio::test]
async fn a_code_is_right_wrong_or_no_longer_live() {
    for (reply, verdict) in [
        (Reply::json(200, &body("approved", "true")), Verdict::Approved),
        (Reply::json(200, r#"{"status":"approved"}"#), Verdict::Approved),
        (Reply::json(200, &body("pending", "false")), Verdict::Wrong),
        (Reply::json(200, r#"{"status":"pending","valid":null}"#), Verdict::Wrong),
        (Reply::json(200, &body("canceled", "false")), Verdict::NotLive),
        (Reply::json(200, &body("max_attempts_reached", "false")), Verdict::NotLive),
        (Reply::json(200, &body("expired", "false")), Verdict::NotLive),
        (Reply::json(404, &twilio_error(20_404)), Verdict::NotLive),
        (Reply::json(429, &twilio_error(60_202)), Verdict::NotLive),
    ] {
        let mut double = Double::playing([reply.clone()]).await;
        assert_eq!(check(&gateway(&double.base_url())).await, Ok(verdict), "{reply:?}");
        let request = double.request().await;
        assert_eq!(request.request_line, format!("POST /v2/Services/{SERVICE}/VerificationCheck HTTP/1.1"));
        assert_eq!(fields(&request.form()), [("To", "+14155552671"), ("Code", "012345")]);
    }
}

#[tokio::test]
async fn an_unreadable_verdict_leaves_open_whether_the_code_was_checked() {
    for (reply, whole_gateway) in [
        (Reply::json(200, ""), true),
        (Reply::json(200, "not JSON"), true),
        (Reply::json(200, r#"{"valid":true}"#), true),
        (Reply::json(200, r#"{"status":"approved","valid":"yes"}"#), true),
        (Reply::json(200, &body("approved", "false")), false),
        (Reply::json(200, &body("pending", "true")), false),
        (Reply::json(200, &body("expired", "true")), false),
        (Reply::json(200, &body("APPROVED", "true")), false),
        (Reply::json(200, &body("something new", "true")), false),
        (Reply::json(500, &body("approved", "true")), true),
        (Reply::json(503, &twilio_error(20_404)), true),
        (Reply::json(503, &twilio_error(60_202)), true),
        (Reply::Reset, true),
    ] {
        let double = Double::playing([reply.clone()]).await;
        let error = check(&gateway(&double.base_url())).await.expect_err("no verdict");
        assert_eq!((error.class, error.whole_gateway), (ErrorClass::Ambiguous, whole_gateway), "{reply:?}");
    }
}

#[tokio::test]
async fn a_check_that_was_refused_was_surely_not_carried_out() {
    for (status, body, class) in [
        (401, twilio_error(CREDENTIALS), ErrorClass::Configuration),
        (429, twilio_error(20_429), ErrorClass::Retry { after: None }),
        (400, twilio_error(60_200), ErrorClass::BadNumber),
        // Another server's answer: Twilio's 404 for a verification that is not live has another form.
        (404, "<html>".to_owned(), ErrorClass::Refused),
    ] {
        let double = Double::playing([Reply::json(status, &body)]).await;
        let error = check(&gateway(&double.base_url())).await.expect_err("refused");
        assert_eq!(error.class, class, "{status} {body}");
    }
    let error = check(&gateway(&refusing_url().await)).await.expect_err("not reached");
    assert_eq!(error.class, ErrorClass::Retry { after: None });
}

#[tokio::test]
async fn a_limit_of_one_number_is_not_retried_and_does_not_blame_the_gateway() {
    let double = Double::playing([Reply::json(429, &twilio_error(60_203))]).await;
    let error = gateway(&double.base_url()).send(&message("")).await.expect_err("refused");
    assert_eq!((error.class, error.whole_gateway), (ErrorClass::Refused, false));
    assert_eq!(error.gateway, GatewayName::TwilioVerify);
}

#[tokio::test]
async fn a_refused_account_shows_in_checks_too() {
    let double = Double::playing([
        Reply::json(401, &twilio_error(CREDENTIALS)),
        Reply::json(200, &body("pending", "false")),
    ])
    .await;
    let gateway = gateway(&double.base_url());
    let _ = check(&gateway).await;
    let reason = gateway.readiness().expect_err("not ready");
    assert!(reason.starts_with("TwilioVerify ") && reason.contains("TWILIO_AUTH_TOKEN"), "{reason}");
    check(&gateway).await.expect("a verdict");
    assert_eq!(gateway.readiness(), Ok(()));
}

#[tokio::test]
async fn nothing_printed_shows_the_code_or_the_number() {
    let double = Double::playing([Reply::json(400, &twilio_error(60_200))]).await;
    let gateway = gateway(&double.base_url());
    let error = check(&gateway).await.expect_err("refused");
    for shown in [format!("{error:?}"), error.to_string(), format!("{gateway:?}")] {
        assert!(!["4155552671", "012345", "s3cr3t"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }
}

async fn check(gateway: &TwilioVerify) -> Result<Verdict, GatewayError> {
    let message = message("");
    let checker = gateway.checker().expect("Verify holds the code");
    checker.check(message.to, Channel::Sms, &message.code).await
}

fn gateway(base_url: &str) -> TwilioVerify {
    let settings = TwilioVerifySettings { account: account(base_url), service_sid: SERVICE.to_owned() };
    let gateway = TwilioVerify::new(&settings, clock()).expect("a gateway");
    assert_eq!(gateway.channels(), [Channel::Sms, Channel::Call, Channel::WhatsApp]);
    gateway
}

fn body(status: &str, valid: &str) -> String {
    format!(
        r#"{{"sid":"{VERIFICATION}","service_sid":"{SERVICE}","to":"+14155552671","channel":"sms","status":"{status}","valid":{valid}}}"#
    )
}

#[tokio::test]
async fn the_service_is_examined_without_a_verification() {
    for (reply, words) in [
        (Reply::json(200, r#"{"sid":"VA1"}"#), "the service exists"),
        (
            Reply::json(404, r#"{"code":20404}"#),
            "no such service in the account; check sms.twilio.verify_sid",
        ),
        (Reply::json(401, r#"{"code":20003}"#), "TWILIO_AUTH_TOKEN"),
        (Reply::json(200, "oops"), "without a readable id"),
        (Reply::Reset, "did not answer"),
    ] {
        let mut double = Double::playing([reply]).await;
        let found = gateway(&double.base_url()).examine_account().await;
        let text = found[0].state.clone().unwrap_or_else(|error| error.to_string());
        assert!(found.len() == 1 && text.contains(words), "no {words:?} in {text:?}");
        let line = double.request().await.request_line;
        assert!(line.starts_with("GET /v2/Services/VA") && !line.contains("Verifications"), "{line}");
    }
}

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Channel, Code, CodeLength, Timestamp};
use crate::double::{self, Double, Reply, answer, number, refusing_url};
use crate::{ErrorClass, Gateway as _, GatewayError, HttpGateway, OutgoingMessage, Verdict};

const STARTED: &str = r#"{"id":"1234567890","sms":{"template":"Your code is {{CODE}}"}}"#;

#[tokio::test]
async fn a_verification_is_started_with_the_number_and_the_method() {
    for (channel, method) in [(Channel::Sms, "sms"), (Channel::Call, "callout")] {
        let mut double = Double::playing([Reply::json(200, STARTED)]).await;
        let accepted = sinch(&double).send(&message(channel)).await.expect("accepted");
        assert_eq!(accepted.message_id, "1234567890");

        let request = double.request().await;
        assert_eq!(request.request_line, "POST /verification/v1/verifications HTTP/1.1");
        assert_eq!(
            request.body,
            format!(r#"{{"identity":{{"endpoint":"+14155552671","type":"number"}},"method":"{method}"}}"#)
        );
        // base64("app:s3cr3t")
        assert_eq!(request.header("authorization"), Some("Basic YXBwOnMzY3IzdA=="));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("accept"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_code_is_reported_for_the_number_with_the_method_it_was_sent_by() {
    for (channel, method) in [(Channel::Sms, "sms"), (Channel::Call, "callout")] {
        let mut double = Double::playing([Reply::json(200, r#"{"status":"SUCCESSFUL"}"#)]).await;
        let verdict = check_on(&sinch(&double), channel).await;
        assert_eq!(verdict, Ok(Verdict::Approved));

        let request = double.request().await;
        assert_eq!(request.request_line, "PUT /verification/v1/verifications/number/+14155552671 HTTP/1.1");
        let body: Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!(body, json!({ "method": method, method: { "code": "012345" } }));
        assert_eq!(request.header("authorization"), Some("Basic YXBwOnMzY3IzdA=="));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn every_status_of_a_verification_is_a_verdict() {
    for (body, expected) in [
        (r#"{"id":"1","method":"sms","status":"SUCCESSFUL"}"#, Verdict::Approved),
        (r#"{"status":"FAIL","reason":"Invalid code"}"#, Verdict::Wrong),
        (r#"{"status":"FAIL"}"#, Verdict::Wrong),
        (r#"{"status":"FAIL","reason":null}"#, Verdict::Wrong),
        (r#"{"status":"FAIL","reason":"Expired"}"#, Verdict::NotLive),
        (r#"{"status":"PENDING"}"#, Verdict::Wrong),
        (r#"{"status":"DENIED","reason":"Fraud"}"#, Verdict::NotLive),
        (r#"{"status":"ABORTED"}"#, Verdict::NotLive),
        (r#"{"status":"ERROR","reason":"SMS delivery failure"}"#, Verdict::NotLive),
    ] {
        assert_eq!(check_after(Reply::json(200, body)).await, Ok(expected), "{body}");
    }
}

#[tokio::test]
async fn nothing_but_the_documented_word_approves() {
    for body in [
        "",
        "null",
        "SUCCESSFUL",
        r#""SUCCESSFUL""#,
        r#"["SUCCESSFUL"]"#,
        r#"{"status":"successful"}"#,
        r#"{"status":"SUCCESSFUL "}"#,
        r#"{"status":"UNSUCCESSFUL"}"#,
        r#"{"status":true}"#,
        r#"{"result":"SUCCESSFUL"}"#,
        r#"{"status":"SUCCESSFUL""#,
    ] {
        let error = check_after(Reply::json(200, body)).await.expect_err(body);
        assert_eq!(error.class, ErrorClass::Ambiguous, "{body}");
    }
    for status in [201, 202, 204, 302, 400, 500] {
        let verdict = check_after(Reply::json(status, r#"{"status":"SUCCESSFUL"}"#)).await;
        assert!(verdict.is_err(), "{status}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_number_without_a_live_verification_is_told_from_an_error() {
    for reply in [
        Reply::json(400, r#"{"errorCode":40003,"message":"Invalid identity or code.","reference":"x"}"#),
        Reply::json(404, "Invalid identity or code"),
        Reply::json(404, r#"{"errorCode":40400,"message":"Requested resource was not found."}"#),
        Reply::json(404, r#"{"errorCode":"40400"}"#),
    ] {
        assert_eq!(check_after(reply.clone()).await, Ok(Verdict::NotLive), "{reply:?}");
    }
    // A 404 in another form than Sinch's shows that the address is wrong.
    assert!(check_after(Reply::json(404, "<html>")).await.is_err());
    // In a success these words are no verdict.
    for status in [200, 202] {
        assert!(check_after(Reply::json(status, "Invalid identity or code")).await.is_err());
    }
}

#[tokio::test]
async fn every_error_code_of_a_send_has_its_class() {
    let soon = ErrorClass::Retry { after: None };
    for (code, class, whole_gateway) in [
        (40_001, ErrorClass::BadNumber, false),
        (40_003, ErrorClass::Refused, false),
        (40_100, ErrorClass::Configuration, true),
        (40_101, ErrorClass::Configuration, true),
        (40_102, ErrorClass::Configuration, true),
        (40_104, ErrorClass::Configuration, true),
        (40_107, ErrorClass::Configuration, true),
        (40_200, ErrorClass::Configuration, true),
        (40_300, ErrorClass::Configuration, false),
        (40_303, ErrorClass::Configuration, false),
        (40_400, ErrorClass::Configuration, true),
        (40_900, ErrorClass::Refused, false),
        (42_200, ErrorClass::Configuration, true),
        (42_201, ErrorClass::Refused, false),
        (42_900, soon, true),
        (42_901, soon, false),
        (50_000, ErrorClass::Ambiguous, true),
        (50_300, ErrorClass::Ambiguous, true),
        (50_301, ErrorClass::Configuration, true),
        (40_099, ErrorClass::Refused, false),
    ] {
        let status = u16::try_from(code / 100).expect("a status");
        let error = send_after(Reply::json(status, &sinch_error(code))).await;
        assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{code}");
        assert_eq!((error.gateway, error.code), (GatewayName::Sinch, Some(code)));
    }
}

#[tokio::test]
async fn without_a_known_code_the_status_decides() {
    for (status, class, whole_gateway) in [
        (400, ErrorClass::Refused, false),
        (401, ErrorClass::Configuration, true),
        (402, ErrorClass::Configuration, true),
        (403, ErrorClass::Configuration, false),
        (408, ErrorClass::Ambiguous, true),
        (429, ErrorClass::Retry { after: None }, true),
        (500, ErrorClass::Ambiguous, true),
        (502, ErrorClass::Ambiguous, true),
        (307, ErrorClass::Configuration, true),
    ] {
        for body in ["<html>", "", "{}", r#"{"errorCode":40001}"#, r#"{"errorCode":[]}"#] {
            if status == 400 && body.contains("40001") {
                continue;
            }
            let error = send_after(Reply::json(status, body)).await;
            assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{status} {body}");
        }
    }
}

#[tokio::test]
async fn the_wait_that_sinch_asks_for_is_passed_on() {
    let after = Some(Duration::from_secs(17));
    for code in [42_900, 42_901] {
        let reply = Reply::json_with(429, &[("Retry-After", "17")], &sinch_error(code));
        assert_eq!(send_after(reply).await.class, ErrorClass::Retry { after });
    }
}

#[tokio::test]
async fn an_error_of_a_check_promises_an_unchecked_code_unless_it_is_ambiguous() {
    for (code, class) in [
        (40_001, ErrorClass::Refused),
        (40_100, ErrorClass::Configuration),
        (42_900, ErrorClass::Retry { after: None }),
        (50_000, ErrorClass::Ambiguous),
        (50_300, ErrorClass::Ambiguous),
    ] {
        let status = u16::try_from(code / 100).expect("a status");
        let error = check_after(Reply::json(status, &sinch_error(code))).await.expect_err("no verdict");
        assert_eq!((error.class, error.code), (class, Some(code)));
        assert!(code != 40_001 || !error.detail.contains("number"), "{error}");
    }
}

#[tokio::test]
async fn an_acceptance_without_a_usable_id_is_ambiguous() {
    for (body, whole_gateway) in [
        ("", true),
        ("<html>welcome to the wifi</html>", true),
        ("{}", false),
        (r#"{"id":""}"#, false),
        (r#"{"id":"<b>"}"#, false),
        (r#"{"id":null}"#, false),
    ] {
        let error = send_after(Reply::json(200, body)).await;
        assert_eq!((error.class, error.whole_gateway), (ErrorClass::Ambiguous, whole_gateway), "{body}");
    }
}

#[tokio::test]
async fn broken_and_endless_answers_leave_both_halves_open() {
    let cut = answer(200, &[], r#"{"id":"1","status":"SUCCESSFUL"}"#);
    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n";
    for reply in [
        Reply::BytesThenClose(cut[..cut.len() - 1].to_owned()),
        Reply::Endless(endless.to_owned()),
        Reply::Reset,
        Reply::BytesThenClose(String::new()),
        Reply::BytesThenClose("SSH-2.0\r\n".to_owned()),
    ] {
        let sent = send_after(reply.clone()).await;
        assert_eq!((sent.class, sent.whole_gateway), (ErrorClass::Ambiguous, true), "{reply:?}");
        let checked = check_after(reply.clone()).await.expect_err("no verdict");
        assert_eq!((checked.class, checked.whole_gateway), (ErrorClass::Ambiguous, true), "{reply:?}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_asked() {
    let gateway = HttpGateway::new(&settings(&refusing_url().await), clock()).expect("a gateway");
    let sent = gateway.send(&message(Channel::Sms)).await.expect_err("refused");
    let checked = check_on(&gateway, Channel::Sms).await.expect_err("refused");
    for error in [sent, checked] {
        assert_eq!((error.class, error.whole_gateway), (ErrorClass::Retry { after: None }, true));
    }
}

#[tokio::test]
async fn whatsapp_is_neither_sent_nor_checked() {
    let mut double = Double::playing([]).await;
    let gateway = sinch(&double);
    let sent = gateway.send(&message(Channel::WhatsApp)).await.expect_err("refused");
    let checked = check_on(&gateway, Channel::WhatsApp).await.expect_err("refused");
    assert_eq!([sent.class, checked.class], [ErrorClass::Configuration; 2]);
    assert!(double.further_requests().is_empty());
}

#[tokio::test]
async fn nothing_secret_or_personal_is_in_an_error_or_in_debug() {
    let double = Double::playing([Reply::json(401, &sinch_error(40_100))]).await;
    let gateway = sinch(&double);
    let error = gateway.send(&message(Channel::Sms)).await.expect_err("refused");
    for text in [format!("{error} {error:?}"), format!("{gateway:?}")] {
        for secret in ["s3cr3t", "YXBwOnMzY3IzdA", "4155552671", "012345"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_refused_account_speaks_against_readiness_until_a_check_works() {
    let double =
        Double::playing([Reply::json(401, &sinch_error(40_100)), Reply::json(200, r#"{"status":"FAIL"}"#)])
            .await;
    let gateway = sinch(&double);
    assert!(gateway.readiness().is_ok());
    let _ = gateway.send(&message(Channel::Sms)).await;
    let reason = gateway.readiness().expect_err("not ready");
    assert!(reason.contains("SINCH_APP_SECRET") && reason.contains("40100"), "{reason}");
    let _ = check_on(&gateway, Channel::Sms).await;
    assert!(gateway.readiness().is_ok());
}

#[test]
fn it_says_what_it_is() {
    let gateway = HttpGateway::new(&settings("http://127.0.0.1:1"), clock()).expect("a gateway");
    assert_eq!(gateway.name(), GatewayName::Sinch);
    assert_eq!(gateway.channels(), [Channel::Sms, Channel::Call]);
    assert!(gateway.checker().is_some());
}

async fn send_after(reply: Reply) -> GatewayError {
    let mut double = Double::playing([reply]).await;
    let error = sinch(&double).send(&message(Channel::Sms)).await.expect_err("not accepted");
    assert_eq!(double.further_requests().len(), 1, "asked once");
    error
}

#[tokio::test]
async fn the_credentials_are_examined_without_a_message() {
    for (reply, words) in [
        (Reply::json(404, &sinch_error(40_400)), "the credentials are right"),
        (Reply::json(401, &sinch_error(40_100)), "check SINCH_APP_SECRET"),
        (Reply::json(404, "oops"), "answered HTTP 404"),
        (Reply::json(200, "oops"), "nothing that is known as success"),
        (Reply::Reset, "did not answer"),
    ] {
        let mut double = Double::playing([reply]).await;
        let found = sinch(&double).examine_account().await;
        let text = found[0].state.clone().unwrap_or_else(|error| error.to_string());
        assert!(found.len() == 1 && text.contains(words), "no {words:?} in {text:?}");
        let line = double.request().await.request_line;
        assert!(line.starts_with("GET /verification/v1/verifications/id/0000"), "{line}");
    }
    let unreachable = HttpGateway::new(&settings(&refusing_url().await), clock()).expect("a gateway");
    let found = unreachable.examine_account().await;
    assert!(found[0].state.as_ref().is_err_and(|error| error.to_string().contains("was not reached")));
}

async fn check_after(reply: Reply) -> Result<Verdict, GatewayError> {
    let mut double = Double::playing([reply]).await;
    let verdict = check_on(&sinch(&double), Channel::Sms).await;
    assert_eq!(double.further_requests().len(), 1, "asked once");
    verdict
}

async fn check_on(gateway: &HttpGateway, channel: Channel) -> Result<Verdict, GatewayError> {
    let checker = gateway.checker().expect("it holds the code");
    checker.check(number(), channel, &Code::from_value(12_345, CodeLength::SIX)).await
}

/// The URL has a trailing slash, as an operator may write it.
fn sinch(double: &Double) -> HttpGateway {
    let url = format!("{}/verification/v1/verifications/", double.base_url());
    HttpGateway::new(&settings(&url), clock()).expect("a gateway")
}

fn settings(url: &str) -> HttpGatewaySettings {
    let values = [("app_id", "app"), ("app_secret", "s3cr3t"), ("url", url)];
    filled_in(GatewayName::Sinch, values.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)))
}

fn message(channel: Channel) -> OutgoingMessage {
    OutgoingMessage { channel, ..double::message("Sinch has words of its own") }
}

fn sinch_error(code: u32) -> String {
    format!(r#"{{"errorCode":{code},"message":"Number +14155552671","reference":"a2028355"}}"#)
}

//! Classification of answers by the description's rules and by HTTP's.

use super::*;
use crate::double::answer;

const SOON: ErrorClass = ErrorClass::Retry { after: None };

async fn after(success: &HttpSuccess, reply: Reply) -> Result<Accepted, GatewayError> {
    let mut double = Double::playing([reply]).await;
    let settings = HttpGatewaySettings { success: success.clone(), ..settings(&double.base_url()) };
    let result = gateway(&settings).send(&message("Your code is 012345")).await;
    assert_eq!(double.further_requests().len(), 1, "asked once");
    result
}

async fn class(success: &HttpSuccess, reply: Reply) -> (ErrorClass, bool) {
    let error = after(success, reply).await.expect_err("not accepted");
    assert_eq!((error.gateway, error.code), (GatewayName::Http, None));
    (error.class, error.whole_gateway)
}

/// A provider that reports everything in the body.
fn telling() -> HttpSuccess {
    HttpSuccess {
        json: Some("/messages/0/status".to_owned()),
        equals: vec!["0".to_owned(), "queued".to_owned()],
        message_id: Some("/messages/0/id".to_owned()),
        bad_number: vec!["3".to_owned(), "no such number".to_owned()],
        retry: vec!["1".to_owned()],
        ..HttpSuccess::default()
    }
}

fn saying(status: &str) -> String {
    format!(r#"{{"messages":[{{"status":{status},"id":"m-1"}}]}}"#)
}

#[tokio::test]
async fn without_a_rule_any_2xx_is_success_and_the_id_is_ours() {
    for (status, body) in [(200, ""), (202, "queued"), (204, "{}"), (299, r#"{"id":"1"}"#)] {
        let accepted = after(&HttpSuccess::default(), Reply::json(status, body)).await.expect("accepted");
        assert!(accepted.message_id.starts_with("Http-"), "{accepted:?}");
    }
    // No rule reads the body: its truncation does not matter.
    let cut = answer(200, &[], "queued");
    let cut = Reply::BytesThenClose(cut[..cut.len() - 1].to_owned());
    assert!(after(&HttpSuccess::default(), cut).await.is_ok());
}

#[tokio::test]
async fn the_value_in_the_answer_decides() {
    for status in ["0", "\"0\"", "\"queued\""] {
        let accepted = after(&telling(), Reply::json(200, &saying(status))).await.expect("accepted");
        assert_eq!(accepted.message_id, "m-1");
    }
    for (value, class_expected) in [
        ("3", ErrorClass::BadNumber),
        ("\"no such number\"", ErrorClass::BadNumber),
        ("1", SOON),
        ("2", ErrorClass::Refused),
        ("\"QUEUED\"", ErrorClass::Refused),
        ("0.0", ErrorClass::Refused),
        ("false", ErrorClass::Refused),
        ("null", ErrorClass::Ambiguous),
        ("[0]", ErrorClass::Ambiguous),
        ("{}", ErrorClass::Ambiguous),
    ] {
        assert_eq!(
            class(&telling(), Reply::json(200, &saying(value))).await,
            (class_expected, false),
            "{value}"
        );
    }
}

#[tokio::test]
async fn what_the_operator_has_said_about_a_value_holds_whatever_the_status() {
    for status in [400, 404, 500, 503] {
        assert_eq!(class(&telling(), Reply::json(status, &saying("3"))).await.0, ErrorClass::BadNumber);
        assert_eq!(class(&telling(), Reply::json(status, &saying("1"))).await.0, SOON);
    }
    let reply = Reply::json_with(200, &[("Retry-After", "30")], &saying("1"));
    let thirty = ErrorClass::Retry { after: Some(Duration::from_secs(30)) };
    assert_eq!(class(&telling(), reply).await.0, thirty);
    // An unknown value with a server error leaves the result open.
    assert_eq!(class(&telling(), Reply::json(500, &saying("2"))).await, (ErrorClass::Ambiguous, true));
}

#[tokio::test]
async fn a_good_value_beside_a_failed_status_is_no_success() {
    for (status, expected) in [
        (400, (ErrorClass::Refused, false)),
        (401, (ErrorClass::Configuration, true)),
        (500, (ErrorClass::Ambiguous, true)),
    ] {
        assert_eq!(class(&telling(), Reply::json(status, &saying("0"))).await, expected);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_say_it_leaves_it_open() {
    let cut = answer(200, &[], &saying("0"));
    let huge = format!("{}{}", " ".repeat(70_000), saying("0"));
    for (reply, whole_gateway) in [
        (Reply::json(200, ""), false),
        (Reply::json(200, "OK"), false),
        (Reply::json(200, "{}"), false),
        (Reply::json(200, r#"{"messages":[]}"#), false),
        (Reply::json(200, &"[".repeat(10_000)), false),
        (Reply::json(200, &format!("{}{}", saying("0"), saying("0"))), false),
        (Reply::json(200, &huge), true),
        (Reply::BytesThenClose(cut[..cut.len() - 1].to_owned()), true),
        (Reply::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned()), true),
        (Reply::Reset, true),
        (Reply::BytesThenClose("SSH-2.0\r\n".to_owned()), true),
    ] {
        let found = class(&telling(), reply.clone()).await;
        assert_eq!(found, (ErrorClass::Ambiguous, whole_gateway));
    }
}

#[tokio::test]
async fn a_missing_or_unusable_id_does_not_undo_a_success() {
    for body in [r#"{"messages":[{"status":0}]}"#, r#"{"messages":[{"status":0,"id":"<b>"}]}"#] {
        let accepted = after(&telling(), Reply::json(200, body)).await.expect("accepted");
        assert!(accepted.message_id.starts_with("Http-"), "{accepted:?}");
    }
    let accepted = after(&telling(), Reply::json(200, r#"{"messages":[{"status":0,"id":77}]}"#)).await;
    assert_eq!(accepted.expect("accepted").message_id, "77");
}

#[tokio::test]
async fn only_the_statuses_that_are_listed_are_success() {
    let success = HttpSuccess { statuses: vec![201, 404], ..HttpSuccess::default() };
    for status in [201, 404] {
        assert!(after(&success, Reply::json(status, "")).await.is_ok());
    }
    for (status, expected) in [(200, ErrorClass::Ambiguous), (400, ErrorClass::Refused)] {
        assert_eq!(class(&success, Reply::json(status, "")).await.0, expected);
    }
}

#[tokio::test]
async fn a_text_that_must_be_there_is_looked_for() {
    let success = HttpSuccess { contains: Some("\"ok\"".to_owned()), ..HttpSuccess::default() };
    assert!(after(&success, Reply::json(200, r#"{"r":"ok"}"#)).await.is_ok());
    for body in ["", "ok", "\"ok", "\"OK\""] {
        assert_eq!(class(&success, Reply::json(200, body)).await, (ErrorClass::Ambiguous, false), "{body}");
    }
    let cut = answer(200, &[], "\"ok\" and more");
    let cut = Reply::BytesThenClose(cut[..cut.len() - 1].to_owned());
    assert_eq!(class(&success, cut).await, (ErrorClass::Ambiguous, true));
}

#[tokio::test]
async fn every_condition_that_is_given_must_hold() {
    let success = HttpSuccess { statuses: vec![201], contains: Some("queued".to_owned()), ..telling() };
    assert!(after(&success, Reply::json(201, &saying("\"queued\""))).await.is_ok());
    for reply in [Reply::json(200, &saying("\"queued\"")), Reply::json(201, &saying("0"))] {
        assert_eq!(class(&success, reply).await.0, ErrorClass::Ambiguous);
    }
    assert_eq!(class(&success, Reply::json(201, "queued")).await.0, ErrorClass::Ambiguous);
}

#[tokio::test]
async fn else_the_status_decides() {
    for (status, expected) in [
        (400, (ErrorClass::Refused, false)),
        (401, (ErrorClass::Configuration, true)),
        (402, (ErrorClass::Configuration, true)),
        (403, (ErrorClass::Configuration, false)),
        (404, (ErrorClass::Refused, false)),
        (422, (ErrorClass::Refused, false)),
        // It may be the limit of one number. An unauthenticated client must not open the circuit for all clients.
        (429, (ErrorClass::Retry { after: Some(Duration::from_secs(5)) }, false)),
        (500, (ErrorClass::Ambiguous, true)),
        (503, (ErrorClass::Ambiguous, true)),
        (302, (ErrorClass::Ambiguous, true)),
        (308, (ErrorClass::Configuration, true)),
    ] {
        for success in [HttpSuccess::default(), telling()] {
            let reply = Reply::json_with(status, &[("Retry-After", "5"), ("Location", "/x")], "no");
            assert_eq!(class(&success, reply).await, expected, "{status}");
        }
    }
}

//! Text messages.

use super::*;
use crate::Accepted;
use crate::double::{answer, created_body};

#[tokio::test]
async fn the_request_is_the_one_that_twilio_documents() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let accepted = twilio(&double.base_url()).send(&message("Your code is 012345 & nothing + else")).await;
    assert_eq!(accepted, Ok(Accepted { message_id: SID.to_owned() }));

    let request = double.request().await;
    assert_eq!(request.request_line, format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1"));
    // The base64 of the account SID, a colon and the token, computed with another tool.
    let basic = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpzM2NyM3Q=";
    assert_eq!(request.header("authorization"), Some(basic));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("user-agent"), Some(concat!("onceward/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        fields(&request.form()),
        [
            ("From", "+15005550006"),
            ("To", "+14155552671"),
            ("ValidityPeriod", "25"),
            ("Body", "Your code is 012345 & nothing + else"),
        ]
    );
}

#[tokio::test]
async fn a_messaging_service_takes_the_place_of_the_sender() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let sender = TwilioSender::MessagingService("MG0123".to_owned());
    let gateway = TwilioMessages::new(&TwilioSettings { sender, ..settings(&double.base_url()) }, clock());
    gateway.expect("a gateway").send(&message("Code 012345: ümläut, 数字")).await.expect("accepted");

    let form = double.request().await.form();
    assert_eq!(fields(&form)[0], ("MessagingServiceSid", "MG0123"));
    assert!(form.iter().all(|(name, _)| name != "From"));
    assert_eq!(fields(&form)[3], ("Body", "Code 012345: ümläut, 数字"));
}

#[tokio::test]
async fn twilio_may_deliver_only_while_the_code_is_good() {
    for (left, expected) in [
        (Duration::ZERO, "6"),
        (Duration::from_millis(5_999), "6"),
        (Duration::from_secs(6), "6"),
        (Duration::from_millis(29_999), "29"),
        (Duration::from_secs(600), "600"),
        (Duration::from_secs(36_001), "36000"),
        (Duration::MAX, "36000"),
    ] {
        let mut double = Double::playing([Reply::created(SID)]).await;
        let message = OutgoingMessage { valid_for: left, ..message("012345") };
        twilio(&double.base_url()).send(&message).await.expect("accepted");
        assert!(fields(&double.request().await.form()).contains(&("ValidityPeriod", expected)), "{left:?}");
    }
}

#[tokio::test]
async fn a_success_without_a_readable_id_leaves_open_whether_it_was_sent() {
    let cut_off = answer(201, &[], &created_body(SID));
    for reply in [
        Reply::json(201, ""),
        Reply::json(201, "{}"),
        Reply::json(201, "not JSON"),
        Reply::json(201, r#"{"sid":null}"#),
        Reply::json(201, r#"{"sid":7}"#),
        Reply::json(201, r#"{"sid":""}"#),
        Reply::json(201, r#"{"sid":"SM with spaces"}"#),
        Reply::json(201, r#"{"sid":".."}"#),
        Reply::json(201, &created_body(&"9".repeat(65))),
        Reply::json(204, ""),
        Reply::BytesThenClose(cut_off[..cut_off.len() - 1].to_owned()),
        Reply::Endless("HTTP/1.1 201 Created\r\n\r\n{".to_owned()),
    ] {
        assert_eq!(class_after(reply.clone()).await, ErrorClass::Ambiguous, "{reply:?}");
    }
}

#[tokio::test]
async fn an_error_says_what_happened_and_never_to_whom() {
    let body =
        r#"{"code":21211,"message":"The 'To' number +14155552671 with 012345 is not valid","status":400}"#;
    let mut double = Double::playing([Reply::json(400, body)]).await;
    let error = twilio(&double.base_url()).send(&message("Code 012345")).await.expect_err("refused");
    double.request().await;
    assert_eq!(error.code, Some(21_211));
    assert_eq!(
        error.to_string(),
        "TwilioMessages answered HTTP 400: the recipient is not a phone number \
         (class BadNumber, code 21211)"
    );
    for shown in [format!("{error:?}"), format!("{:?}", twilio(&double.base_url()))] {
        assert!(
            !shown.contains("4155552671") && !shown.contains("012345 ") && !shown.contains("s3cr3t"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn other_channels_are_not_sent_as_text() {
    let mut double = Double::playing([]).await;
    for channel in [Channel::Call, Channel::WhatsApp] {
        let message = OutgoingMessage { channel, ..message("012345") };
        let error = twilio(&double.base_url()).send(&message).await.expect_err("refused");
        assert_eq!(error.class, ErrorClass::Configuration);
    }
    assert!(double.further_requests().is_empty());
}

#[tokio::test]
async fn twilio_is_told_where_to_report_what_became_of_a_message() {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let message = OutgoingMessage { callback: Some(callback()), ..message("012345") };
    twilio(&double.base_url()).send(&message).await.expect("accepted");
    let address = "https://example.com/otp/callbacks/twilio/message?attempt=0-00000000000000ff-3";
    assert_eq!(fields(&double.request().await.form()).last(), Some(&("StatusCallback", address)));
}

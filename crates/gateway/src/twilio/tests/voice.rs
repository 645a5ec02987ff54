//! Calls, with and without the gate (a key to press).

use super::*;
use crate::domain::{GatewayName, Locale};
use crate::template::Wording;
use crate::twilio::twiml;
use crate::{Accepted, GatewayError, TwilioVoice, TwilioVoiceSettings};

const CALL: &str = "CA00112233445566778899aabbccddeeff";
const TEXT: &str = "Your code is 0. 1. 2. 3. 4. 5.";

#[tokio::test]
async fn a_call_reads_the_text_out_twice() {
    let mut double = Double::playing([Reply::created(CALL)]).await;
    let locale = Locale::parse("en-GB");
    let accepted = gateway(&double.base_url(), false).send(&OutgoingMessage { locale, ..call(TEXT) }).await;
    assert_eq!(accepted, Ok(Accepted { message_id: CALL.to_owned() }));
    let request = double.request().await;
    assert_eq!(request.request_line, format!("POST /2010-04-01/Accounts/{ACCOUNT}/Calls.json HTTP/1.1"));
    let said = twiml::reading(TEXT, locale);
    assert_eq!(said.matches(&format!(r#"<Say language="en-GB">{TEXT}</Say>"#)).count(), 2);
    assert_eq!(
        fields(&request.form()),
        [("From", "+15005550007"), ("Timeout", "25"), ("To", "+14155552671"), ("Twiml", said.as_str())]
    );
}

#[tokio::test]
async fn a_call_tells_twilio_where_to_report_its_answer_and_its_end() {
    let mut double = Double::playing([Reply::created(CALL)]).await;
    let call = OutgoingMessage { callback: Some(callback()), ..call(TEXT) };
    gateway(&double.base_url(), false).send(&call).await.expect("accepted");
    let address = "https://example.com/otp/callbacks/twilio/call?attempt=0-00000000000000ff-3";
    assert_eq!(
        fields(&double.request().await.form())[4..],
        [
            ("StatusCallback", address),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed")
        ]
    );
}

#[tokio::test]
async fn behind_a_gate_the_call_itself_does_not_know_the_code() {
    let mut double = Double::playing([Reply::created(CALL)]).await;
    let call = OutgoingMessage { callback: Some(callback()), locale: Locale::parse("de"), ..call(TEXT) };
    gateway(&double.base_url(), true).send(&call).await.expect("accepted");
    let request = double.request().await;
    let form = request.form();
    let (_, twiml) = form.iter().find(|(name, _)| name == "Twiml").expect("TwiML");
    let action = r#"action="https://example.com/otp/callbacks/twilio/gate?attempt=0-00000000000000ff-3&amp;locale=de""#;
    assert!(twiml.contains("<Gather ") && twiml.contains(action), "{twiml}");
    assert!(twiml.contains(r#"language="de-DE""#), "{twiml}");
    assert!(!twiml.contains("0. 1. 2.") && !request.body.contains("012345"), "{twiml}");
}

#[tokio::test]
async fn the_address_of_a_gate_says_where_the_text_is_from() {
    for (wording, query) in [
        (Wording::Api, ""),
        (Wording::Tutorial, "&amp;wording=tutorial"),
        (Wording::Custom("Owl & Söhne: {code}".into()), "&amp;text=Owl+%26+S%C3%B6hne%3A+%7Bcode%7D"),
    ] {
        let mut double = Double::playing([Reply::created(CALL)]).await;
        let call = OutgoingMessage { callback: Some(callback()), wording, ..call(TEXT) };
        gateway(&double.base_url(), true).send(&call).await.expect("accepted");
        let form = double.request().await.form();
        let (_, twiml) = form.iter().find(|(name, _)| name == "Twiml").expect("TwiML");
        assert!(twiml.contains(&format!("gate?attempt=0-00000000000000ff-3{query}\">")), "{twiml}");
    }
}

#[tokio::test]
async fn a_gate_that_no_key_can_open_is_not_built() {
    let error = not_tried(true, &call(TEXT)).await;
    assert!(error.detail.contains("public-url"), "{error}");
}

#[tokio::test]
async fn a_text_that_twilio_would_not_take_is_not_sent() {
    // An apostrophe takes six characters in XML.
    let fits = "'".repeat(300);
    let mut double = Double::playing([Reply::created(CALL)]).await;
    gateway(&double.base_url(), false).send(&call(&fits)).await.expect("accepted");
    assert_eq!(double.further_requests().len(), 1);

    let error = not_tried(false, &call(&"'".repeat(340))).await;
    assert!(error.detail.contains("4000"), "{error}");
}

#[tokio::test]
async fn the_limit_is_met_exactly() {
    let around = twiml::reading("", None).chars().count();
    let longest = (4_000 - around) / 2;
    for (length, accepted) in [(longest, true), (longest + 1, false)] {
        let double = Double::playing([Reply::created(CALL)]).await;
        let text = "ü".repeat(length);
        let result = gateway(&double.base_url(), false).send(&call(&text)).await;
        assert_eq!(result.is_ok(), accepted, "{length}");
    }
}

#[tokio::test]
async fn only_calls_are_made() {
    for channel in [Channel::Sms, Channel::WhatsApp] {
        not_tried(false, &OutgoingMessage { channel, ..call(TEXT) }).await;
    }
    assert_eq!(gateway("http://127.0.0.1:1", false).channels(), [Channel::Call]);
}

#[tokio::test]
async fn a_number_that_cannot_be_called_says_nothing_about_the_gateway() {
    for (code, class, whole_gateway) in [
        (13_224, ErrorClass::NotReachableHere, false),
        (21_217, ErrorClass::BadNumber, false),
        (13_225, ErrorClass::Fraud, false),
        (13_227, ErrorClass::Configuration, false),
        (10_004, ErrorClass::Retry { after: None }, true),
    ] {
        let double = Double::playing([Reply::json(400, &twilio_error(code))]).await;
        let error = gateway(&double.base_url(), false).send(&call(TEXT)).await.expect_err("refused");
        assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{code}");
        assert_eq!(error.gateway, GatewayName::TwilioVoice);
    }
}

#[tokio::test]
async fn the_phone_rings_within_the_bounds_of_twilio() {
    for (ring_for, expected) in
        [(Duration::ZERO, "1"), (Duration::from_millis(9_900), "9"), (Duration::MAX, "600")]
    {
        let mut double = Double::playing([Reply::created(CALL)]).await;
        let settings = TwilioVoiceSettings { ring_for, ..settings(&double.base_url(), false) };
        let gateway = TwilioVoice::new(&settings, clock()).expect("a gateway");
        gateway.send(&call(TEXT)).await.expect("accepted");
        assert_eq!(fields(&double.request().await.form())[1], ("Timeout", expected));
    }
}

async fn not_tried(gate: bool, message: &OutgoingMessage) -> GatewayError {
    let mut double = Double::playing([]).await;
    let error = gateway(&double.base_url(), gate).send(message).await.expect_err("refused");
    assert!(double.further_requests().is_empty());
    assert_eq!((error.class, error.whole_gateway), (ErrorClass::Configuration, false));
    error
}

fn settings(base_url: &str, gate: bool) -> TwilioVoiceSettings {
    let from = "+15005550007".to_owned();
    TwilioVoiceSettings { account: account(base_url), from, gate, ring_for: Duration::from_secs(25) }
}

fn gateway(base_url: &str, gate: bool) -> TwilioVoice {
    TwilioVoice::new(&settings(base_url, gate), clock()).expect("a gateway")
}

fn call(text: &str) -> OutgoingMessage {
    OutgoingMessage { channel: Channel::Call, ..message(text) }
}

#[tokio::test]
async fn the_caller_is_looked_up_among_the_numbers_of_the_account() {
    for (found, words) in [
        (r#"{"capabilities":{"sms":false,"voice":true}}"#, "a number of the account"),
        (
            r#"{"capabilities":{"sms":true,"voice":false}}"#,
            "the sender cannot call; check TWILIO_VOICE_NUMBER",
        ),
        ("", "must be a verified caller id"),
    ] {
        let numbers = format!(r#"{{"incoming_phone_numbers":[{found}]}}"#);
        let replies = [Reply::json(200, r#"{"status":"active"}"#), Reply::json(200, &numbers)];
        let double = Double::playing(replies).await;
        let found = gateway(&double.base_url(), false).examine_account().await;
        let text = found[1].state.clone().unwrap_or_else(|error| error.to_string());
        assert!(found[0].state.is_ok() && text.contains(words), "no {words:?} in {text:?}");
    }
}

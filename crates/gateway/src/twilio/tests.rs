//! The gateways against a double of Twilio on loopback.

mod account;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::twiml;
use crate::clock::ManualClock;
use crate::domain::{AttemptId, AttemptLogKey, Channel, GatewayName, Locale, ServiceId, Timestamp};
use crate::double::{Double, Received, Reply, message, refusing_url};
use crate::template::Wording;
use crate::{
    Accepted, Callback, ErrorClass, Gateway, GatewayError, OutgoingMessage, ProviderSettings, TwilioAccount,
    TwilioSender, TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings, Verdict, WhatsAppSender,
};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SERVICE: &str = "VA0123456789abcdef0123456789abcdef";
const SID: &str = "SM00112233445566778899aabbccddeeff";
const SPOKEN: &str = "Your code is 0. 1. 2. 3. 4. 5.";
const CALLBACKS: &str = "https://example.com/otp/callbacks/twilio/";
const ATTEMPT: &str = "?attempt=0-00000000000000ff-3";

#[tokio::test]
async fn a_text_is_the_request_that_twilio_documents() {
    let text = "Code 012345 & nothing + else: ümläut, 数字";
    let request = asked(messages, &OutgoingMessage { callback: Some(callback()), ..message(text) }).await;
    assert_eq!(request.request_line, format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1"));
    // The base64 of the account SID, a colon and the token, computed with another tool.
    let basic = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpzM2NyM3Q=";
    assert_eq!(request.header("authorization"), Some(basic));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("user-agent"), Some(concat!("onceward/", env!("CARGO_PKG_VERSION"))));
    let reported = format!("{CALLBACKS}message{ATTEMPT}");
    let sender = [("From", "+15005550006"), ("To", "+14155552671"), ("ValidityPeriod", "25")];
    has(&request, &[&sender[..], &[("Body", text), ("StatusCallback", &reported)]].concat());

    let by_service = |url: &str| {
        let sender = TwilioSender::MessagingService("MG0123".to_owned());
        ProviderSettings::TwilioMessages(TwilioSettings { sender, ..texts(url) })
    };
    let request = asked(by_service, &message(text)).await;
    has(&request, &[("MessagingServiceSid", "MG0123"), sender[1], sender[2], ("Body", text)]);
}

#[tokio::test]
async fn whatsapp_gets_the_template_with_the_code_or_the_text_and_texts_keep_their_sender() {
    let gateway = |content_sid: Option<&'static str>| {
        move |url: &str| {
            let content_sid = content_sid.map(str::to_owned);
            let whatsapp = Some(WhatsAppSender { number: "+15005550009".to_owned(), content_sid });
            ProviderSettings::TwilioMessages(TwilioSettings { whatsapp, ..texts(url) })
        }
    };
    let to_whatsapp = OutgoingMessage { channel: Channel::WhatsApp, ..message("Code: 012345 ü") };
    let to = [("To", "whatsapp:+14155552671"), ("ValidityPeriod", "25")];
    let from = ("From", "whatsapp:+15005550009");
    let request = asked(gateway(Some("HX0123")), &to_whatsapp).await;
    has(&request, &[from, ("ContentSid", "HX0123"), to[0], to[1], ("ContentVariables", r#"{"1":"012345"}"#)]);
    let request = asked(gateway(None), &to_whatsapp).await;
    has(&request, &[from, to[0], to[1], ("Body", "Code: 012345 ü")]);
    let request = asked(gateway(Some("HX0123")), &message("x")).await;
    has(&request, &[("From", "+15005550006"), ("To", "+14155552671"), to[1], ("Body", "x")]);
}

#[tokio::test]
async fn twilio_may_deliver_only_while_the_code_is_good() {
    for (left, expected) in [
        (Duration::ZERO, "6"),
        (Duration::from_millis(29_999), "29"),
        (Duration::from_secs(36_001), "36000"),
        (Duration::MAX, "36000"),
    ] {
        let request = asked(messages, &OutgoingMessage { valid_for: left, ..message("012345") }).await;
        assert_eq!(request.form()[2], ("ValidityPeriod".to_owned(), expected.to_owned()), "{left:?}");
    }
}

#[tokio::test]
async fn a_call_reads_the_text_out_and_tells_where_to_report_its_answer_and_its_end() {
    let locale = Locale::parse("en-GB");
    let request = asked(calls, &OutgoingMessage { locale, callback: Some(callback()), ..call(SPOKEN) }).await;
    assert_eq!(request.request_line, format!("POST /2010-04-01/Accounts/{ACCOUNT}/Calls.json HTTP/1.1"));
    has(
        &request,
        &[
            ("From", "+15005550007"),
            ("Timeout", "25"),
            ("To", "+14155552671"),
            ("Twiml", &twiml::reading(SPOKEN, locale)),
            ("StatusCallback", &format!("{CALLBACKS}call{ATTEMPT}")),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
        ],
    );
}

#[tokio::test]
async fn behind_a_gate_the_call_knows_where_the_text_is_from_and_not_the_code() {
    for (wording, query) in [
        (Wording::Api, ""),
        (Wording::Tutorial, "&amp;wording=tutorial"),
        (Wording::Custom("Owl & Söhne: {code}".into()), "&amp;text=Owl+%26+S%C3%B6hne%3A+%7Bcode%7D"),
    ] {
        let locale = Locale::parse("de");
        let call = OutgoingMessage { callback: Some(callback()), locale, wording, ..call(SPOKEN) };
        let request = asked(gated_calls, &call).await;
        let twiml = &request.form()[3].1;
        let action = format!(
            "<Gather numDigits=\"1\" finishOnKey=\"\" timeout=\"5\" method=\"POST\" action=\"{CALLBACKS}gate{ATTEMPT}&amp;locale=de{query}\">"
        );
        assert!(twiml.contains(&action) && twiml.contains(r#"language="de-DE""#), "{twiml}");
        assert!(!twiml.contains("0. 1. 2.") && !request.body.contains("012345"), "{twiml}");
    }
}

#[tokio::test]
async fn what_twilio_could_not_carry_out_is_not_sent() {
    let around = twiml::reading("", None).chars().count();
    let longest = (4_000 - around) / 2;
    asked(calls, &call(&"ü".repeat(longest))).await;
    let text = |channel| OutgoingMessage { channel, ..message("012345") };
    for (gateway, message, words) in [
        (calls as fn(&str) -> ProviderSettings, call(&"ü".repeat(longest + 1)), "4000"),
        // No key can open the gate.
        (gated_calls, call(SPOKEN), "public-url"),
        (calls, text(Channel::Sms), "channel sms"),
        (messages, text(Channel::Call), "channel call"),
        (messages, text(Channel::WhatsApp), "channel whatsapp"),
    ] {
        let mut double = Double::playing([]).await;
        let error = built(&gateway(&double.base_url())).send(&message).await.expect_err(words);
        assert!(double.further_requests().is_empty());
        assert_eq!((error.class, error.whole_gateway), (ErrorClass::Configuration, false));
        assert!(error.detail.contains(words), "{error}");
    }
}

#[tokio::test]
async fn the_phone_rings_within_the_bounds_of_twilio() {
    for (ring_for, expected) in
        [(Duration::ZERO, "1"), (Duration::from_millis(9_900), "9"), (Duration::MAX, "600")]
    {
        let gateway =
            |url: &str| ProviderSettings::TwilioVoice(TwilioVoiceSettings { ring_for, ..voice(url, false) });
        assert_eq!(
            asked(gateway, &call(SPOKEN)).await.form()[1],
            ("Timeout".to_owned(), expected.to_owned())
        );
    }
}

#[tokio::test]
async fn a_verification_has_channel_name_and_language_and_no_code_of_ours() {
    let to = ("To", "+14155552671");
    for (channel, name) in [(Channel::Sms, "sms"), (Channel::Call, "call"), (Channel::WhatsApp, "whatsapp")] {
        let message = OutgoingMessage { channel, callback: Some(callback()), ..message("not sent 012345") };
        let request = asked(verifications, &message).await;
        assert_eq!(request.request_line, format!("POST /v2/Services/{SERVICE}/Verifications HTTP/1.1"));
        assert!(request.header("authorization").is_some());
        has(&request, &[to, ("Channel", name)]);
    }
    let locale = Locale::parse("de-AT");
    let named = OutgoingMessage { locale, sender_name: Some("Barn Owls".into()), ..message("") };
    let expected = [to, ("Channel", "sms"), ("CustomFriendlyName", "Barn Owls"), ("Locale", "de")];
    has(&asked(verifications, &named).await, &expected);
}

#[tokio::test]
async fn a_code_is_right_wrong_or_no_longer_live() {
    for (status, body, verdict) in [
        (200, verified("approved", "true"), Verdict::Approved),
        (200, r#"{"status":"approved"}"#.to_owned(), Verdict::Approved),
        (200, verified("pending", "false"), Verdict::Wrong),
        (200, verified("pending", "null"), Verdict::Wrong),
        (200, verified("canceled", "false"), Verdict::NotLive),
        (200, verified("max_attempts_reached", "false"), Verdict::NotLive),
        (200, verified("expired", "false"), Verdict::NotLive),
        (404, twilio_error(20_404), Verdict::NotLive),
        (429, twilio_error(60_202), Verdict::NotLive),
    ] {
        let mut double = Double::playing([Reply::json(status, &body)]).await;
        assert_eq!(check(&double.base_url()).await, Ok(verdict), "{body}");
        let request = double.request().await;
        assert_eq!(request.request_line, format!("POST /v2/Services/{SERVICE}/VerificationCheck HTTP/1.1"));
        has(&request, &[("To", "+14155552671"), ("Code", "012345")]);
    }
}

#[tokio::test]
async fn what_is_no_verdict_says_whether_the_code_was_checked() {
    use ErrorClass::{Ambiguous, BadNumber, Configuration, Refused, Retry};
    for (status, body, expected) in [
        (200, "not JSON".to_owned(), (Ambiguous, true)),
        (200, r#"{"valid":true}"#.to_owned(), (Ambiguous, true)),
        (200, r#"{"status":"approved","valid":"yes"}"#.to_owned(), (Ambiguous, true)),
        (200, verified("approved", "false"), (Ambiguous, false)),
        (200, verified("pending", "true"), (Ambiguous, false)),
        (200, verified("expired", "true"), (Ambiguous, false)),
        (200, verified("APPROVED", "true"), (Ambiguous, false)),
        (500, verified("approved", "true"), (Ambiguous, true)),
        (503, twilio_error(20_404), (Ambiguous, true)),
        (503, twilio_error(60_202), (Ambiguous, true)),
        (401, twilio_error(20_003), (Configuration, true)),
        (429, twilio_error(20_429), (Retry { after: None }, true)),
        (400, twilio_error(60_200), (BadNumber, false)),
        // Another server's answer: Twilio's 404 for a verification that is not live has another form.
        (404, "<html>".to_owned(), (Refused, false)),
    ] {
        let double = Double::playing([Reply::json(status, &body)]).await;
        let error = check(&double.base_url()).await.expect_err("no verdict");
        assert_eq!((error.class, error.whole_gateway), expected, "{status} {body}");
        let shown = format!("{error:?} {error}");
        assert!(!["4155552671", "012345", "s3cr3t"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }
    let error = check(&refusing_url().await).await.expect_err("not reached");
    assert_eq!(error.class, Retry { after: None });
}

/// The request that a gateway makes of a message.
async fn asked(gateway: impl Fn(&str) -> ProviderSettings, message: &OutgoingMessage) -> Received {
    let mut double = Double::playing([Reply::created(SID)]).await;
    let accepted = built(&gateway(&double.base_url())).send(message).await;
    assert_eq!(accepted, Ok(Accepted { message_id: SID.to_owned() }));
    double.request().await
}

fn has(request: &Received, form: &[(&str, &str)]) {
    let found = request.form();
    assert_eq!(found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), form);
}

fn built(settings: &ProviderSettings) -> Arc<dyn Gateway> {
    settings.build(clock()).expect("a gateway")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)))
}

fn account(base_url: &str) -> TwilioAccount {
    TwilioAccount {
        account_sid: ACCOUNT.to_owned(),
        auth_token: SecretString::from("s3cr3t".to_owned()),
        base_url: base_url.to_owned(),
    }
}

fn texts(url: &str) -> TwilioSettings {
    let sender = TwilioSender::Number("+15005550006".to_owned());
    TwilioSettings { account: account(url), sender, whatsapp: None }
}

fn messages(url: &str) -> ProviderSettings {
    ProviderSettings::TwilioMessages(texts(url))
}

fn voice(url: &str, gate: bool) -> TwilioVoiceSettings {
    let from = "+15005550007".to_owned();
    TwilioVoiceSettings { account: account(url), from, gate, ring_for: Duration::from_secs(25) }
}

fn calls(url: &str) -> ProviderSettings {
    ProviderSettings::TwilioVoice(voice(url, false))
}

fn gated_calls(url: &str) -> ProviderSettings {
    ProviderSettings::TwilioVoice(voice(url, true))
}

fn verifications(url: &str) -> ProviderSettings {
    let service_sid = SERVICE.to_owned();
    ProviderSettings::TwilioVerify(TwilioVerifySettings { account: account(url), service_sid })
}

async fn check(url: &str) -> Result<Verdict, GatewayError> {
    let (gateway, message) = (built(&verifications(url)), message(""));
    gateway.check(message.to, Channel::Sms, &message.code).await
}

fn call(text: &str) -> OutgoingMessage {
    OutgoingMessage { channel: Channel::Call, ..message(text) }
}

/// Attempt `0-00000000000000ff-3`, with a public address that has a path.
fn callback() -> Callback {
    let key = AttemptLogKey { service: ServiceId::new(0), verification: 0xff };
    Callback { public_url: "https://example.com/otp".into(), attempt: AttemptId { key, attempt: 3 } }
}

fn twilio_error(code: u32) -> String {
    format!(r#"{{"code":{code},"message":"Not to +14155552671","more_info":"https://...","status":400}}"#)
}

fn verified(status: &str, valid: &str) -> String {
    format!(r#"{{"sid":"VE1","to":"+14155552671","channel":"sms","status":"{status}","valid":{valid}}}"#)
}

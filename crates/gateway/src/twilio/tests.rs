//! The gateways against a double of Twilio on loopback: `tests/cases.json`, in the form of `tests/cases.rs` of the crate.

mod account;

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};

use crate::cases::Case;
use crate::clock::ManualClock;
use crate::domain::{Channel, Timestamp};
use crate::double::{Double, REFUSING_URL, Reply, message};
use crate::template::Wording;
use crate::{
    ErrorClass, Gateway, OutgoingMessage, ProviderSettings, TwilioAccount, TwilioSender, TwilioSettings,
    TwilioVerifySettings, TwilioVoiceSettings, WhatsAppSender,
};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SPOKEN: &str = "Your code is 0. 1. 2. 3. 4. 5.";

#[tokio::test]
async fn requests_and_answers_are_those_that_twilio_documents() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("tests/cases.json")).expect("JSON");
    for documented in cases {
        let case = case(documented);
        if case.documented.get("request").is_some() {
            case.sends_its_request().await;
        }
        case.understands_its_answers().await;
        case.examines_its_account().await;
        let check = &case.documented["check"];
        for answer in check["answers"].as_array().into_iter().flatten() {
            case.has(&case.checks(Channel::Sms, answer).await, check);
        }
    }
}

#[tokio::test]
async fn behind_a_gate_the_call_knows_where_the_text_is_from_and_not_the_code() {
    for (wording, query) in [
        (Wording::Api, ""),
        (Wording::Tutorial, "&amp;wording=tutorial"),
        (Wording::Custom("Owl & Söhne: {code}".into()), "&amp;text=Owl+%26+S%C3%B6hne%3A+%7Bcode%7D"),
    ] {
        let gated = case(json!({
            "settings": {"gateway": "calls", "gate": true}, "channel": "call", "text": SPOKEN, "locale": "de",
        }));
        let mut double = Double::playing([Reply::created("CA01")]).await;
        let call = OutgoingMessage { wording, ..gated.message() };
        gated.gateway(&double).send(&call).await.expect("accepted");
        let request = double.request().await;
        let (twiml, attempt) = (&request.form()[3].1, call.attempt);
        let action = format!(
            "<Gather numDigits=\"1\" finishOnKey=\"\" timeout=\"5\" method=\"POST\" \
             action=\"https://otp.example.com/callbacks/twilio/gate?attempt={attempt}&amp;locale=de{query}\">"
        );
        let question =
            r#"<Say language="de-DE">Drücken Sie eine beliebige Taste, um Ihren Code zu hören.</Say>"#;
        assert!(twiml.contains(&action) && twiml.matches(question).count() == 2, "{twiml}");
        assert!(twiml.ends_with("</Gather><Hangup/></Response>"), "{twiml}");
        assert!(!twiml.contains("0. 1. 2.") && !request.body.contains("012345"), "{twiml}");
    }
}

#[tokio::test]
async fn what_twilio_could_not_carry_out_is_not_sent() {
    let around = super::twiml::reading("", None).chars().count();
    let longest = "ü".repeat((4_000 - around) / 2);
    let calls = json!({"gateway": "calls"});
    let gated = json!({"gateway": "calls", "gate": true});
    for (settings, channel, text, words) in [
        (&calls, "call", longest.clone(), None),
        (&calls, "call", longest + "ü", Some("4000")),
        // No key can open the gate.
        (&gated, "call", SPOKEN.to_owned(), Some("public-url")),
        (&calls, "sms", "012345".to_owned(), Some("channel sms")),
        (&json!({}), "call", "012345".to_owned(), Some("channel call")),
        (&json!({}), "whatsapp", "012345".to_owned(), Some("channel whatsapp")),
    ] {
        let case = case(json!({"settings": settings, "channel": channel, "text": text}));
        let mut double = Double::playing([Reply::created("CA01")]).await;
        let message = OutgoingMessage { callback: None, ..case.message() };
        let sent = case.gateway(&double).send(&message).await;
        assert_eq!(double.further_requests().is_empty(), words.is_some());
        assert_eq!(sent.is_err(), words.is_some(), "{words:?}");
        if let Some((error, words)) = sent.err().zip(words) {
            assert_eq!((error.class, error.whole_gateway), (ErrorClass::Configuration, false));
            assert!(error.detail.contains(words), "{error}");
        }
    }
}

fn case(documented: Value) -> Case {
    let chosen = documented["settings"].clone();
    Case {
        name: documented["about"].to_string(),
        settings: Box::new(move |url| settings(&chosen, url)),
        secrets: vec!["s3cr3t".to_owned()],
        documented,
    }
}

/// The `gateway` of a case (messages, `calls` or `verifications`), and its sender: `from` or the `service`; the number for
/// `whatsapp` and its `content`; the `gate` of calls.
fn settings(chosen: &Value, url: &str) -> ProviderSettings {
    let text = |name: &str| chosen[name].as_str().map(str::to_owned);
    let account = account(url);
    match chosen["gateway"].as_str() {
        None => {
            let number = || TwilioSender::Number(text("from").unwrap_or_else(|| "+15005550006".to_owned()));
            let sender = text("service").map_or_else(number, TwilioSender::MessagingService);
            let content_sid = text("content");
            let whatsapp = text("whatsapp").map(|number| WhatsAppSender { number, content_sid });
            ProviderSettings::TwilioMessages(TwilioSettings { account, sender, whatsapp })
        }
        Some("calls") => {
            let (from, gate) = ("+15005550007".to_owned(), chosen["gate"] == true);
            ProviderSettings::TwilioVoice(TwilioVoiceSettings { account, from, gate })
        }
        Some("verifications") => {
            let service_sid = "VA0123456789abcdef0123456789abcdef".to_owned();
            ProviderSettings::TwilioVerify(TwilioVerifySettings { account, service_sid })
        }
        Some(other) => panic!("Twilio has no gateway {other}"),
    }
}

fn account(base_url: &str) -> TwilioAccount {
    TwilioAccount {
        account_sid: ACCOUNT.to_owned(),
        auth_token: SecretString::from("s3cr3t".to_owned()),
        base_url: base_url.to_owned(),
    }
}

//! Twilio's reports of messages and calls: their signature, and what they mean.

use super::*;
use crate::ErrorClass;
use crate::domain::{AttemptLogKey, ServiceId};
use crate::double::twilio_signature;

const PUBLIC_URL: &str = "https://example.com/otp";
const MESSAGE: &str = "/callbacks/twilio/message?attempt=0-00000000000000ff-3";
const CALL: &str = "/callbacks/twilio/call?attempt=0-00000000000000ff-3";
const GATE: &str = "/callbacks/twilio/gate?attempt=0-00000000000000ff-3&locale=de";

#[test]
fn a_message_and_a_call_are_reported_by_their_status() {
    use ReceiptStatus::{Answered, Delivered, Failed, Queued, Read, Sending, Sent};
    for (kind, path, statuses, expected) in [
        (CallbackKind::Message, MESSAGE, "accepted scheduled queued", Queued),
        (CallbackKind::Message, MESSAGE, "sending", Sending),
        (CallbackKind::Message, MESSAGE, "sent", Sent),
        (CallbackKind::Message, MESSAGE, "undelivered failed canceled", Failed),
        (CallbackKind::Message, MESSAGE, "delivered", Delivered),
        (CallbackKind::Message, MESSAGE, "read", Read),
        (CallbackKind::Call, CALL, "queued initiated", Queued),
        (CallbackKind::Call, CALL, "ringing", Sending),
        (CallbackKind::Call, CALL, "in-progress answered", Answered),
        (CallbackKind::Call, CALL, "busy failed no-answer canceled", Failed),
        (CallbackKind::Call, CALL, "completed", Delivered),
    ] {
        for status in statuses.split(' ') {
            let body = format!("MessageSid=S1&MessageStatus={status}&CallSid=S1&CallStatus={status}&To=%2B1");
            assert_eq!(signed(kind, path, &body), Ok(receipt("S1", expected, None, None)), "{status}");
        }
    }
}

#[test]
fn a_failure_says_what_it_means_for_what_happens_next() {
    for (code, known, class) in [
        ("30006", Some(30_006), Some(ErrorClass::NotReachableHere)),
        ("30450", Some(30_450), Some(ErrorClass::Fraud)),
        ("99999", Some(99_999), Some(ErrorClass::Refused)),
        ("0", None, None),
        ("none", None, None),
    ] {
        let body = format!("MessageSid=SM01&MessageStatus=undelivered&ErrorCode={code}");
        let expected = receipt("SM01", ReceiptStatus::Failed, known, class);
        assert_eq!(signed(CallbackKind::Message, MESSAGE, &body), Ok(expected), "{code:?}");
    }
    let delivered = "MessageSid=SM01&MessageStatus=delivered&ErrorCode=30006";
    let expected = receipt("SM01", ReceiptStatus::Delivered, None, None);
    assert_eq!(signed(CallbackKind::Message, MESSAGE, delivered), Ok(expected));
}

#[test]
fn the_gate_opens_for_any_key_and_for_nothing_else() {
    for (digits, pressed) in [("&Digits=5", true), ("&Digits=%23", true), ("&Digits=", false), ("", false)] {
        let body = format!("To=%2B14155552671&CallSid=CA01{digits}");
        let gate = TwilioReport::Gate {
            attempt: attempt(),
            message_id: "CA01".to_owned(),
            to: PhoneNumber::from_u64(14_155_552_671).expect("a number"),
            locale: Locale::parse("de"),
            wording: Wording::Api,
            pressed,
        };
        assert_eq!(signed(CallbackKind::Gate, GATE, &body), Ok(gate), "{body}");
    }
}

#[test]
fn the_signatures_that_twilio_publishes_are_genuine_and_for_nothing_else() {
    let table = include_str!("../../../../../tests/facts/twilio-signatures.tsv");
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [_, url, form, signature] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (url, path) = url.split_at(url.match_indices('/').nth(2).expect("a path").0);
        let reversed = form.rsplit('&').collect::<Vec<_>>().join("&");
        for form in [form, &reversed] {
            assert!(is_genuine(url, path, form, signature), "{line}");
        }
        let (more_path, more_form) = (format!("{path}&a=1"), format!("{form}&More="));
        for (url, path, form, signature) in [
            ("ftp://mycompany.com", path, form, signature),
            ("https://example.com", path, form, signature),
            (url, &more_path, form, signature),
            (url, path, &more_form, signature),
            (url, path, &format!("A{form}"), signature),
            (url, path, form, ""),
            (url, path, form, "not base64"),
            (url, path, form, &signature[..4]),
            // Of another token.
            (url, path, form, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ] {
            assert!(!is_genuine(url, path, form, signature), "{url} {path} {form} {signature}");
        }
    }
    // A wrong signature hides that the body is unreadable; so does a missing one.
    for signature in [None, Some("AAAA")] {
        let read = callbacks(PUBLIC_URL).read(CallbackKind::Message, MESSAGE, signature, b"nonsense");
        assert_eq!(read, Err(CallbackError::NotFromTwilio));
    }
}

#[test]
fn the_port_and_the_path_of_the_public_address_may_be_signed_or_not() {
    for line in include_str!("addresses.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [url, path, signed, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let signature = twilio_signature("12345", signed, "");
        assert_eq!(is_genuine(url, path, "", &signature).to_string(), expected, "{line}");
    }
}

/// Reads a form that is signed as Twilio does.
fn signed(kind: CallbackKind, path: &str, body: &str) -> Result<TwilioReport, CallbackError> {
    let signature = twilio_signature("12345", &format!("{PUBLIC_URL}{path}"), body);
    callbacks(PUBLIC_URL).read(kind, path, Some(&signature), body.as_bytes())
}

fn is_genuine(url: &str, path: &str, form: &str, signature: &str) -> bool {
    let read = callbacks(url).read(CallbackKind::Message, path, Some(signature), form.as_bytes());
    read != Err(CallbackError::NotFromTwilio)
}

fn callbacks(url: &str) -> TwilioCallbacks {
    TwilioCallbacks::new(SecretString::from("12345".to_owned()), url)
}

fn attempt() -> AttemptId {
    AttemptId { key: AttemptLogKey { service: ServiceId::new(0), verification: 0xff }, attempt: 3 }
}

fn receipt(id: &str, status: ReceiptStatus, code: Option<u32>, class: Option<ErrorClass>) -> TwilioReport {
    let message_id = id.to_owned();
    TwilioReport::Receipt(Receipt {
        attempt: attempt(),
        gateway: None,
        message_id,
        status,
        code,
        class,
        said: None,
    })
}

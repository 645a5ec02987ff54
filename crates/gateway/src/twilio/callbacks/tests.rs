mod signature;

use hmac::{Hmac, KeyInit as _, Mac as _};

use secrecy::SecretString;

use super::*;
use crate::ErrorClass;
use crate::domain::{AttemptLogKey, ServiceId};
use crate::template::Wording;

const PUBLIC_URL: &str = "https://example.com/otp";
const MESSAGE: &str = "/callbacks/twilio/message?attempt=0-00000000000000ff-3";
const CALL: &str = "/callbacks/twilio/call?attempt=0-00000000000000ff-3";
const GATE: &str = "/callbacks/twilio/gate?attempt=0-00000000000000ff-3&locale=de";

#[test]
fn a_message_is_reported_by_its_status() {
    for (status, expected) in [
        ("accepted", ReceiptStatus::Queued),
        ("scheduled", ReceiptStatus::Queued),
        ("queued", ReceiptStatus::Queued),
        ("sending", ReceiptStatus::Sending),
        ("sent", ReceiptStatus::Sent),
        ("undelivered", ReceiptStatus::Failed),
        ("failed", ReceiptStatus::Failed),
        ("canceled", ReceiptStatus::Failed),
        ("delivered", ReceiptStatus::Delivered),
        ("read", ReceiptStatus::Read),
    ] {
        let body = format!("MessageSid=SM01&MessageStatus={status}&SmsStatus={status}&To=%2B14155552671");
        let expected = receipt_of("SM01", expected, None, None);
        assert_eq!(signed(CallbackKind::Message, MESSAGE, &body), Ok(expected), "{status}");
    }
}

#[test]
fn a_call_is_reported_by_its_status() {
    for (status, expected) in [
        ("queued", ReceiptStatus::Queued),
        ("initiated", ReceiptStatus::Queued),
        ("ringing", ReceiptStatus::Sending),
        ("in-progress", ReceiptStatus::Answered),
        ("busy", ReceiptStatus::Failed),
        ("failed", ReceiptStatus::Failed),
        ("no-answer", ReceiptStatus::Failed),
        ("canceled", ReceiptStatus::Failed),
        ("completed", ReceiptStatus::Delivered),
    ] {
        let body = format!("CallSid=CA01&CallStatus={status}&CallDuration=7");
        let expected = receipt_of("CA01", expected, None, None);
        assert_eq!(signed(CallbackKind::Call, CALL, &body), Ok(expected), "{status}");
    }
}

#[test]
fn a_failure_says_what_it_means_for_what_happens_next() {
    for (code, known, class) in [
        ("30006", Some(30_006), Some(ErrorClass::NotReachableHere)),
        ("30450", Some(30_450), Some(ErrorClass::Fraud)),
        ("63016", Some(63_016), Some(ErrorClass::Configuration)),
        ("99999", Some(99_999), Some(ErrorClass::Refused)),
        ("0", None, None),
        ("", None, None),
        ("none", None, None),
    ] {
        let body = format!("MessageSid=SM01&MessageStatus=undelivered&ErrorCode={code}");
        let expected = receipt_of("SM01", ReceiptStatus::Failed, known, class);
        assert_eq!(signed(CallbackKind::Message, MESSAGE, &body), Ok(expected), "{code:?}");
    }
    let delivered =
        signed(CallbackKind::Message, MESSAGE, "MessageSid=SM01&MessageStatus=delivered&ErrorCode=30006");
    assert_eq!(delivered, Ok(receipt_of("SM01", ReceiptStatus::Delivered, None, None)));
}

#[test]
fn the_gate_opens_for_any_key_and_for_nothing_else() {
    for (body, pressed) in [
        ("To=%2B14155552671&CallSid=CA01&Digits=5", true),
        ("To=%2B14155552671&CallSid=CA01&Digits=%23", true),
        ("To=%2B14155552671&CallSid=CA01&Digits=*", true),
        ("To=%2B14155552671&CallSid=CA01&Digits=", false),
        ("To=%2B14155552671&CallSid=CA01", false),
    ] {
        let expected = gate(pressed);
        assert_eq!(signed(CallbackKind::Gate, GATE, body), Ok(expected), "{body}");
    }
}

#[test]
fn what_twilio_did_not_sign_is_not_read() {
    let body = "MessageSid=SM01&MessageStatus=delivered";
    let read = |signature: Option<&str>, path: &str, body: &str| {
        callbacks().read(CallbackKind::Message, path, Some(FORM), signature, body.as_bytes())
    };
    let good = sign(&format!("{PUBLIC_URL}{MESSAGE}"), "MessageSidSM01MessageStatusdelivered");
    assert!(read(Some(&good), MESSAGE, body).is_ok());
    for (signature, path, body) in [
        (None, MESSAGE, body),
        (Some(""), MESSAGE, body),
        (Some(good.as_str()), MESSAGE, "MessageSid=SM01&MessageStatus=failed"),
        (Some(good.as_str()), CALL, body),
        (Some(good.as_str()), "/callbacks/twilio/message?attempt=0-00000000000000fe-3", body),
        // A wrong signature hides that the body is unreadable.
        (Some("AAAA"), MESSAGE, "nonsense"),
    ] {
        assert_eq!(
            read(signature, path, body),
            Err(CallbackError::NotFromTwilio),
            "{signature:?} {path} {body}"
        );
    }
}

#[test]
fn a_wrong_token_fits_nothing() {
    let other = TwilioCallbacks::new(SecretString::from("other".to_owned()), PUBLIC_URL.into());
    let signature = sign(&format!("{PUBLIC_URL}{GATE}"), "CallSidCA01Digits1To+14155552671");
    assert_eq!(
        other.read(
            CallbackKind::Gate,
            GATE,
            Some(FORM),
            Some(&signature),
            b"CallSid=CA01&Digits=1&To=%2B14155552671"
        ),
        Err(CallbackError::NotFromTwilio)
    );
}

#[test]
fn a_proxy_may_leave_the_path_of_the_public_address_or_take_it_away() {
    let signature = sign(&format!("{PUBLIC_URL}{GATE}"), "CallSidCA01Digits1To+14155552671");
    for path in [GATE.to_owned(), format!("/otp{GATE}")] {
        for public_url in [PUBLIC_URL, "https://example.com/otp/", "https://example.com:443/otp"] {
            let callbacks = TwilioCallbacks::new(SecretString::from("12345".to_owned()), public_url.into());
            let read = callbacks.read(
                CallbackKind::Gate,
                &path,
                Some(FORM),
                Some(&signature),
                b"CallSid=CA01&Digits=1&To=%2B14155552671",
            );
            assert_eq!(read, Ok(gate(true)), "{path} {public_url}");
        }
    }
}

#[test]
fn a_report_that_makes_no_sense_says_why() {
    for (path, body, why) in [
        ("/callbacks/twilio/message", GOOD, "its address names no attempt"),
        ("/callbacks/twilio/message?attempt=x", GOOD, "its address names no attempt"),
        ("/callbacks/twilio/message?other=1", GOOD, "its address names no attempt"),
        (MESSAGE, "MessageStatus=sent", "it has no readable id"),
        (MESSAGE, "MessageSid=&MessageStatus=sent", "it has no readable id"),
        (MESSAGE, "MessageSid=SM+1&MessageStatus=sent", "it has no readable id"),
        (MESSAGE, "CallSid=CA01&CallStatus=completed", "it has no readable id"),
        (MESSAGE, "MessageSid=SM01", "its status is not known"),
        (MESSAGE, "MessageSid=SM01&MessageStatus=received", "its status is not known"),
        (MESSAGE, "MessageSid=SM01&MessageStatus=failed&MessageStatus=sent", "a field has two values"),
    ] {
        assert_eq!(
            signed(CallbackKind::Message, path, body),
            Err(CallbackError::Unreadable(why)),
            "{path} {body}"
        );
    }
}

#[test]
fn a_field_that_is_sent_twice_with_one_value_is_one() {
    let report = signed(CallbackKind::Message, MESSAGE, &format!("{GOOD}&MessageStatus=sent"));
    assert_eq!(report, Ok(receipt_of("SM01", ReceiptStatus::Sent, None, None)));
}

#[test]
fn a_report_in_json_is_read_where_its_hash_is_signed() {
    let body = r#"{"MessageSid":"SM01","MessageStatus":"failed","ErrorCode":30005,"Extra":null}"#;
    let read = |body: &str, signed_body: &str| {
        use sha2::Digest as _;
        let hash = base16ct::lower::encode_string(&sha2::Sha256::digest(signed_body));
        let path = format!("{MESSAGE}&bodySHA256={hash}");
        let signature = sign(&format!("{PUBLIC_URL}{path}"), "");
        let kind = CallbackKind::Message;
        callbacks().read(kind, &path, Some("application/json"), Some(&signature), body.as_bytes())
    };
    let failed = receipt_of("SM01", ReceiptStatus::Failed, Some(30_005), Some(ErrorClass::BadNumber));
    assert_eq!(read(body, body), Ok(failed));
    assert_eq!(read(&body.replace("failed", "queued"), body), Err(CallbackError::NotFromTwilio));
    assert_eq!(read("[]", "[]"), Err(CallbackError::Unreadable("neither a form nor JSON")));
}

#[test]
fn a_form_is_recognized_by_its_media_type() {
    let signature = sign(&format!("{PUBLIC_URL}{GATE}"), "CallSidCA01Digits1To+14155552671");
    for (content_type, expected) in [
        (Some("application/x-www-form-urlencoded"), true),
        (Some("application/x-www-form-urlencoded; charset=UTF-8"), true),
        (Some("Application/X-WWW-Form-Urlencoded ;charset=utf-8"), true),
        (Some("application/json"), false),
        (Some(""), false),
        (None, false),
    ] {
        let read = callbacks().read(
            CallbackKind::Gate,
            GATE,
            content_type,
            Some(&signature),
            b"CallSid=CA01&Digits=1&To=%2B14155552671",
        );
        assert_eq!(read.is_ok(), expected, "{content_type:?}");
    }
}

#[test]
fn the_token_is_not_printed() {
    assert!(!format!("{:?}", callbacks()).contains("12345"));
}

const FORM: &str = "application/x-www-form-urlencoded";
const GOOD: &str = "MessageSid=SM01&MessageStatus=sent";

fn gate(pressed: bool) -> TwilioReport {
    let to = PhoneNumber::from_u64(14_155_552_671).expect("a number");
    TwilioReport::Gate {
        attempt: attempt(),
        message_id: "CA01".to_owned(),
        to,
        locale: Locale::parse("de"),
        wording: Wording::Api,
        pressed,
    }
}

/// Reads a form that is signed as Twilio does.
fn signed(kind: CallbackKind, path: &str, body: &str) -> Result<TwilioReport, CallbackError> {
    let mut pairs: Vec<_> = url::form_urlencoded::parse(body.as_bytes()).collect();
    pairs.sort();
    pairs.dedup();
    let parameters: String = pairs.into_iter().flat_map(|(name, value)| [name, value]).collect();
    let signature = sign(&format!("{PUBLIC_URL}{path}"), &parameters);
    callbacks().read(kind, path, Some(FORM), Some(&signature), body.as_bytes())
}

fn sign(address: &str, parameters: &str) -> String {
    use base64::Engine as _;
    let mac = Hmac::<sha1::Sha1>::new_from_slice(b"12345").expect("a key");
    let mac = mac.chain_update(address).chain_update(parameters);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

fn callbacks() -> TwilioCallbacks {
    TwilioCallbacks::new(SecretString::from("12345".to_owned()), PUBLIC_URL.into())
}

fn attempt() -> AttemptId {
    AttemptId { key: AttemptLogKey { service: ServiceId::new(0), verification: 0xff }, attempt: 3 }
}

fn receipt_of(
    message_id: &str,
    status: ReceiptStatus,
    code: Option<u32>,
    class: Option<ErrorClass>,
) -> TwilioReport {
    TwilioReport::Receipt(Receipt {
        attempt: attempt(),
        gateway: None,
        message_id: message_id.to_owned(),
        status,
        code,
        class,
    })
}

//! Callbacks of Twilio and their signatures, compared with an independent signer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onceward::gateway::{CallbackError, CallbackKind, TwilioCallbacks, TwilioReport};
use onceward_gateway::double::twilio_signature;
use secrecy::SecretString;

use super::support::first_line;

const TOKEN: &str = "fuzz-token";
const PUBLIC_URL: &str = "https://otp.example.com/base";

/// One line each for kind, path with query and signature, and the body. The target replaces the signature `signed` by a
/// valid one.
pub fn callbacks(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (kind, input) = first_line(input);
    let (path, input) = first_line(input);
    let (signature, body) = first_line(input);
    let kind = match kind {
        "call" => CallbackKind::Call,
        "gate" => CallbackKind::Gate,
        _ => CallbackKind::Message,
    };
    let read = |token: &str, path: &str, signature: Option<&str>, body: &str| {
        let callbacks = TwilioCallbacks::new(SecretString::from(token.to_owned()), PUBLIC_URL);
        callbacks.read(kind, path, signature, body.as_bytes())
    };
    let signed = twilio_signature(TOKEN, &format!("{PUBLIC_URL}{path}"), body);
    if signature != "signed" {
        let given = Some(signature).filter(|signature| !signature.is_empty());
        if STANDARD.decode(signature).ok() != STANDARD.decode(&signed).ok() {
            assert_eq!(read(TOKEN, path, given, body), Err(CallbackError::NotFromTwilio));
        }
        return;
    }
    let report = read(TOKEN, path, Some(&signed), body);
    assert_ne!(report, Err(CallbackError::NotFromTwilio));
    assert_eq!(read(TOKEN, path, Some(&signed), body), report, "the same again");
    for (token, path, signature) in [
        ("another", path, Some(signed.as_str())),
        (TOKEN, &format!("{path}x"), Some(signed.as_str())),
        (TOKEN, path, None),
    ] {
        assert_eq!(read(token, path, signature, body), Err(CallbackError::NotFromTwilio));
    }
    // One more field makes it another request.
    assert_eq!(
        read(TOKEN, path, Some(&signed), &format!("{body}&fuzz=1")),
        Err(CallbackError::NotFromTwilio)
    );
    if let Ok(report) = report {
        understood(kind, path, &report);
    }
}

fn understood(kind: CallbackKind, path: &str, report: &TwilioReport) {
    let (attempt, id) = match report {
        TwilioReport::Receipt(receipt) => {
            assert_ne!(kind, CallbackKind::Gate);
            assert_ne!(receipt.code, Some(0));
            assert_eq!(receipt.code.is_some(), receipt.class.is_some());
            (receipt.attempt, &receipt.message_id)
        }
        TwilioReport::Gate { attempt, message_id, .. } => {
            assert_eq!(kind, CallbackKind::Gate);
            (*attempt, message_id)
        }
    };
    assert!((1..=64).contains(&id.len()));
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    let mut query = url::form_urlencoded::parse(path.split_once('?').expect("a query").1.as_bytes());
    let first = query.find(|(name, _)| name == "attempt").expect("an attempt").1;
    assert_eq!(first, attempt.to_string());
}

//! The gateways against a double of Twilio on loopback.

mod account;
mod messages;
mod verify;
mod voice;
mod whatsapp;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::ManualClock;
use crate::domain::{AttemptId, AttemptLogKey, Channel, ServiceId, Timestamp};
use crate::double::{Double, Reply, message};
use crate::{
    Callback, ErrorClass, Gateway as _, OutgoingMessage, TwilioAccount, TwilioMessages, TwilioSender,
    TwilioSettings,
};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SID: &str = "SM00112233445566778899aabbccddeeff";

async fn class_after(reply: Reply) -> ErrorClass {
    let mut double = Double::playing([reply]).await;
    let error = twilio(&double.base_url()).send(&message("012345")).await.expect_err("not accepted");
    assert_eq!(double.further_requests().len(), 1, "asked once");
    error.class
}

fn settings(base_url: &str) -> TwilioSettings {
    TwilioSettings {
        account: account(base_url),
        sender: TwilioSender::Number("+15005550006".to_owned()),
        whatsapp: None,
    }
}

fn account(base_url: &str) -> TwilioAccount {
    TwilioAccount {
        account_sid: ACCOUNT.to_owned(),
        auth_token: SecretString::from("s3cr3t".to_owned()),
        base_url: base_url.to_owned(),
    }
}

fn twilio(base_url: &str) -> TwilioMessages {
    TwilioMessages::new(&settings(base_url), clock()).expect("a gateway")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)))
}

/// Attempt `0-00000000000000ff-3`, with a public address that has a path.
fn callback() -> Callback {
    let key = AttemptLogKey { service: ServiceId::new(0), verification: 0xff };
    Callback { public_url: "https://example.com/otp".into(), attempt: AttemptId { key, attempt: 3 } }
}

fn twilio_error(code: u32) -> String {
    format!(r#"{{"code":{code},"message":"Not to +14155552671","more_info":"https://...","status":400}}"#)
}

fn fields(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

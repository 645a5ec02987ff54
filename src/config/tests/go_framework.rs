//! An unchanged configuration of the Go framework.

use secrecy::ExposeSecret as _;

use super::*;
use crate::domain::GatewayName::{Mada, Sinch, TwilioMessages, TwilioVerify};

const CONFIG: &str = r#"{
    "otp-sms-provider": "Twilio;Mada:+35987,+35988;Sinch",
    "authentication": {"otp_length": 5},
    "sms": {
        "retry": true,
        "max_retries": 20,
        "twilio": {
            "sid": "AC0123456789abcdef0123456789abcdef",
            "token": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "verify_sid": "VA0123456789abcdef0123456789abcdef"
        },
        "sinch": {
            "app_id": "11111111-2222-3333-4444-555555555555",
            "app_secret": "c2VjcmV0LW9mLXNpbmNo",
            "verification_url": "https://verification.api.sinch.com/verification/v1/verifications"
        },
        "mada": {"username": "me", "password": "pass of mada", "url": "127.0.0.1:8080/soap", "source_name": "Acme"}
    }
}"#;

#[test]
fn its_settings_carry_over() {
    let world = World::with_config(CONFIG);
    let settings = world.settings();
    let order: Vec<_> = settings.gateways.routing.entries().iter().map(|entry| entry.gateway).collect();
    assert_eq!(order, [TwilioVerify, Mada, Sinch]);
    let verify = settings.gateways.twilio_verify().cloned().expect("Verify");
    assert_eq!((verify.account.account_sid.as_str(), verify.service_sid.as_str()), (ACCOUNT, VERIFY));
    assert_eq!(verify.account.auth_token.expose_secret(), TOKEN);
    let sinch = settings.gateways.sinch().cloned().expect("Sinch");
    assert_eq!(sinch.app_id, "11111111-2222-3333-4444-555555555555");
    assert_eq!(sinch.app_secret.expose_secret(), "c2VjcmV0LW9mLXNpbmNo");
    let mada = settings.gateways.mada().cloned().expect("Mada");
    assert_eq!((mada.password.expose_secret(), mada.source_name.as_str()), ("pass of mada", "Acme"));
    assert_eq!(settings.policy.code.length.get(), 5);
    assert_eq!(settings.delivery.retry.expect("retries").max_retries, 20);
}

#[test]
fn its_credentials_get_one_warning_that_names_their_variables() {
    let warnings = World::with_config(CONFIG).warnings();
    let about: Vec<&String> = warnings.iter().filter(|warning| warning.contains("credentials are")).collect();
    assert_eq!(about.len(), 1, "{warnings:#?}");
    says(
        about[0],
        &["config.json, keys", "\"sms.twilio.token\"", "\"sms.mada.password\"", "SINCH_APP_SECRET"],
    );
    let printed = format!("{:?}", World::with_config(CONFIG).loads());
    for secret in [TOKEN, "c2VjcmV0LW9mLXNpbmNo", "pass of mada"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn variables_beat_it() {
    let world = World::with_config(CONFIG)
        .variable("TWILIO_PHONE_NUMBER", "+14155552671")
        .variable("TWILIO_AUTH_TOKEN", "00000000000000000000000000000000");
    assert!(world.settings().gateways.routing.names(TwilioMessages));
    assert_eq!(world.twilio().account.auth_token.expose_secret(), "0".repeat(32));
}

#[test]
fn unknown_members_get_a_warning_with_the_nearest_known_one() {
    let world = World::with_config(
        r#"{"sms": {"retri": true, "twilio": {"sidd": ""}, "sinch": {"appid": 1}, "mada": {"usrname": "x"}},
            "authentication": {"otp-length": 5, "colour": "red"}}"#,
    );
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 6, "{warnings:#?}");
    for (unknown, known) in [
        ("sms.retri", "sms.retry"),
        ("sms.twilio.sidd", "sms.twilio.sid"),
        ("sms.sinch.appid", "sms.sinch.app_id"),
        ("sms.mada.usrname", "sms.mada.username"),
        ("authentication.otp-length", "authentication.otp_length"),
    ] {
        says(
            &warnings.join("\n"),
            &[&format!("{unknown:?} is unknown and ignored; did you mean {known:?}?")],
        );
    }
}

#[test]
fn both_names_of_the_length_must_mean_the_same() {
    let differ = World::with_config(r#"{"otp-length": 6, "authentication": {"otp_length": "5"}}"#);
    says(&differ.error(), &["otp-length and authentication.otp_length = 6 and \"5\"", "Remove one"]);
    let same = World::with_config(r#"{"otp-length": 6, "authentication": {"otp_length": "6"}}"#);
    assert_eq!(same.settings().policy.code.length.get(), 6);
    let wrong = World::with_config(r#"{"authentication": {"otp_length": 3}}"#);
    says(&wrong.error(), &["otp-length = 3", "key \"authentication.otp_length\""]);
}

#[test]
fn what_is_no_object_or_no_text_is_refused_without_being_repeated() {
    let nested = World::with_config(&format!(r#"{{"sms": {{"sinch": "{TOKEN}"}}}}"#)).error();
    says(&nested, &["sms.sinch: it must be an object", "key \"sms.sinch\""]);
    let listed = World::with_config(&format!(r#"{{"sms": {{"twilio": {{"token": ["{TOKEN}"]}}}}}}"#)).error();
    says(&listed, &["sms.twilio.token: it must be a text, not a list"]);
    assert!(!nested.contains(TOKEN) && !listed.contains(TOKEN));
    let empty = World::with_config(
        r#"{"sms": {"twilio": {"sid": "", "token": " "}, "sinch": null, "mada": {"url": null}}}"#,
    );
    assert!(empty.settings().gateways.has_simulator());
    assert_eq!(empty.warnings(), Vec::<String>::new());
}

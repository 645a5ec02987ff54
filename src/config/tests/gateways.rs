//! The settings that each gateway needs.

use secrecy::ExposeSecret as _;

use super::*;
use crate::domain::GatewayName;
use crate::gateway::WhatsAppSender;

#[test]
fn a_verify_service_is_enough_for_twilio() {
    let gateways = World::with_verify().settings().gateways;
    assert_eq!(gateways.routing.entries()[0].gateway, GatewayName::TwilioVerify);
    let verify = gateways.twilio_verify().cloned().expect("Verify");
    assert_eq!(verify.service_sid, VERIFY);
    assert_eq!(verify.account.account_sid, ACCOUNT);
    assert_eq!(verify.account.base_url, "https://verify.twilio.com");
    assert!(gateways.twilio_messages().is_none());
    says(&World::with_verify().warnings().join("\n"), &["TwilioVerify", "30s (otp-timeout)"]);
    let patient = World::with_verify().variable("ONCEWARD_OTP_TIMEOUT", "10m");
    assert_eq!(patient.warnings(), Vec::<String>::new());
}

#[test]
fn a_base_url_is_for_verify_too_and_twilios_own_leads_to_the_right_host() {
    for (given, base) in [
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://api.twilio.com", "https://verify.twilio.com"),
        ("https://api.dublin.ie1.twilio.com", "https://verify.dublin.ie1.twilio.com"),
    ] {
        let gateways = World::with_verify().variable("TWILIO_BASE_URL", given).settings().gateways;
        assert_eq!(gateways.twilio_verify().cloned().expect("Verify").account.base_url, base);
    }
}

#[test]
fn a_verify_service_must_look_like_one_only_where_it_is_used() {
    let world = World::with_verify().variable("TWILIO_SERVICES_ID", "VA1");
    says(&world.error(), &["TWILIO_SERVICES_ID", "VA and 32 hexadecimal digits"]);
    let idle = World::with_twilio().variable("TWILIO_SERVICES_ID", "VA1");
    assert!(idle.settings().gateways.twilio_verify().is_none());
    says(&idle.warnings().concat(), &["TwilioVerify is configured (TWILIO_SERVICES_ID) but sends nothing"]);
    let private = World::with_verify()
        .variable("TWILIO_SERVICES_ID", "VA1")
        .variable("TWILIO_BASE_URL", "http://localhost:1");
    assert_eq!(private.settings().gateways.twilio_verify().cloned().expect("Verify").service_sid, "VA1");
}

#[test]
fn whatsapp_needs_a_number_and_wants_a_template() {
    let template = format!("HX{}", &ACCOUNT[2..]);
    let world = World::with_twilio()
        .variable("TWILIO_WHATSAPP_NUMBER", "+1 415 555 2671")
        .variable("ONCEWARD_WHATSAPP_CONTENT_SID", &template);
    let sender = WhatsAppSender { number: "+14155552671".to_owned(), content_sid: Some(template) };
    assert_eq!(world.twilio().whatsapp, Some(sender));
    assert_eq!(world.warnings(), Vec::<String>::new());
    let plain = World::with_twilio().variable("TWILIO_WHATSAPP_NUMBER", "+14155552671");
    assert_eq!(plain.twilio().whatsapp.expect("a sender").content_sid, None);
    says(&plain.warnings().concat(), &["TWILIO_WHATSAPP_NUMBER", "whatsapp-content-sid", "last day"]);
    let wrong = plain.variable("ONCEWARD_WHATSAPP_CONTENT_SID", "HX1");
    says(&wrong.error(), &["whatsapp-content-sid", "HX and 32", "ONCEWARD_WHATSAPP_CONTENT_SID"]);
    let prefixed = World::with_twilio().variable("TWILIO_WHATSAPP_NUMBER", "whatsapp:+14155552671");
    says(&prefixed.error(), &["TWILIO_WHATSAPP_NUMBER", "without \"whatsapp:\""]);
    let alone = World::with_config(&format!(r#"{{"whatsapp-content-sid": "HX{}"}}"#, &ACCOUNT[2..]));
    assert_eq!(alone.warnings(), Vec::<String>::new());
}

#[test]
fn a_whatsapp_number_or_a_template_that_nothing_uses_gets_a_word() {
    let world = World::with_verify().variable("TWILIO_WHATSAPP_NUMBER", "+14155552671");
    says(&world.warnings().concat(), &["TWILIO_WHATSAPP_NUMBER is not used", "TWILIO_PHONE_NUMBER"]);
    let template = format!("HX{}", &ACCOUNT[2..]);
    let world = World::with_twilio().variable("ONCEWARD_WHATSAPP_CONTENT_SID", &template);
    says(&world.warnings().concat(), &["whatsapp-content-sid is not used"]);
}

#[test]
fn sinch_needs_an_id_and_a_secret() {
    let world = World::empty().and_sinch().through("Sinch");
    assert_eq!(
        [value(&world, "app_id"), value(&world, "app_secret"), value(&world, "url")],
        ["app", TOKEN, "https://verification.api.sinch.com/verification/v1/verifications"]
    );
    let elsewhere = world.variable("SINCH_VERIFICATION_URL", "http://gateway.example/v1/");
    assert_eq!(value(&elsewhere, "url"), "http://gateway.example/v1/");
    says(&elsewhere.warnings().concat(), &["SINCH_VERIFICATION_URL", "unencrypted"]);
    let half = World::empty().and_sinch().without("SINCH_APP_SECRET");
    says(&half.error(), &["Sinch", "SINCH_APP_SECRET is missing", "the environment, SINCH_APP_ID"]);
    let url = World::empty().variable("SINCH_VERIFICATION_URL", "https://x.example");
    says(&url.error(), &["SINCH_APP_ID and SINCH_APP_SECRET are missing"]);
    let wrong = World::empty().and_sinch().variable("SINCH_APP_ID", &format!("a:{TOKEN}"));
    assert!(!wrong.error().contains(TOKEN));
    let wrong = World::empty().and_sinch().variable("SINCH_VERIFICATION_URL", "nowhere");
    says(&wrong.error(), &["SINCH_VERIFICATION_URL: it must be a URL such as"]);
}

#[test]
fn in_production_an_address_that_is_not_the_providers_is_a_warning() {
    let config = r#"{"production": true, "prod-domain": ":443", "otp-sms-provider": "Twilio;Sinch"}"#;
    for (variable, domain) in [("TWILIO_BASE_URL", "twilio.com"), ("SINCH_VERIFICATION_URL", "sinch.com")] {
        let world = || World::with_twilio().and_sinch().file("config.json", config);
        let warnings = |url: &str| world().variable(variable, url).warnings().concat();
        let problem = format!("{variable} leads to https://trial.example and not to {domain}");
        says(&warnings("https://trial.example/v1"), &[&problem, "codes and credentials go there"]);
        assert!(!warnings(&format!("https://eu.{domain}/v1")).contains("leads to"), "{variable}");
    }
}

#[test]
fn mada_needs_four_things() {
    let mada = World::empty().and_mada().through("Mada");
    assert_eq!(
        [
            value(&mada, "username"),
            value(&mada, "password"),
            value(&mada, "url"),
            value(&mada, "source_name")
        ],
        ["me", TOKEN, "http://127.0.0.1:1/soap", "Acme"]
    );
    for missing in ["MADA_USERNAME", "MADA_PASSWORD", "MADA_URL", "MADA_SOURCE_NAME"] {
        let half = World::empty().and_mada().without(missing);
        says(&half.error(), &["Mada", &format!("{missing} is missing")]);
    }
    let plain = World::empty().and_mada().through("Mada").variable("MADA_URL", "sms.example/soap");
    says(&plain.warnings().concat(), &["MADA_URL", "unencrypted"]);
    let wrong = plain.variable("MADA_USERNAME", "me:you");
    says(&wrong.error(), &["MADA_USERNAME must not contain a colon"]);
}

#[test]
fn secrets_of_every_gateway_may_be_in_files_and_are_never_shown() {
    let world = World::empty()
        .and_sinch()
        .and_mada()
        .without("SINCH_APP_SECRET")
        .without("MADA_PASSWORD")
        .file("secret", TOKEN)
        .variable("SINCH_APP_SECRET_FILE", "secret")
        .variable("MADA_PASSWORD_FILE", "secret")
        .through("Sinch;Mada");
    let loaded = world.loads();
    assert_eq!(value(&world, "app_secret"), TOKEN);
    assert!(!format!("{loaded:?}").contains(TOKEN));
    assert_eq!(world.shows("MADA_PASSWORD").0, "(set, not shown)");
}

#[test]
fn credentials_of_every_gateway_are_refused_in_the_file() {
    for key in ["SINCH_APP_SECRET", "mada-password"] {
        let error = World::with_config(&format!("{{{key:?}: {TOKEN:?}}}")).errors().join("\n");
        says(&error, &[key, "do not belong in config.json"]);
        assert!(!error.contains(TOKEN));
    }
}

#[test]
fn a_hooks_key_for_a_service_that_cannot_exist_is_refused() {
    let key = "zitadel-signing-key-0123456789ab";
    let config = r#"{"services": {"shop": {"friendly-name": "Acme"}}}"#;
    let with =
        |name: &str| World::with_config(config).variable("ZITADEL_HOOK_KEYS", &format!("{key}|{name}:{key}"));
    for known in ["default", "shop", "VA0123456789abcdef0123456789abcdef"] {
        assert!(with(known).load().is_ok(), "{known}");
    }
    let error = with("shpo").error();
    says(&error, &["ZITADEL_HOOK_KEYS", "did you mean \"shop\"?", "default"]);
    assert!(!error.contains("shpo") && !error.contains(key), "{error}");
}

/// The value of a setting of the first gateway with a recipe.
fn value(world: &World, setting: &str) -> String {
    let gateways = world.settings().gateways;
    gateways.http().expect("a gateway").values[setting].expose_secret().to_owned()
}

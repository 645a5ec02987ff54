//! The choice of gateways, and what each needs. `cases` has the errors.

use secrecy::ExposeSecret as _;

use super::*;
use crate::domain::GatewayName;
use crate::gateway::{TwilioSender, WhatsAppSender};

#[test]
fn three_variables_are_enough_for_twilio() {
    let twilio = World::with_twilio().twilio();
    assert_eq!(twilio.account.account_sid, ACCOUNT);
    assert_eq!(twilio.account.auth_token.expose_secret(), TOKEN);
    assert_eq!(twilio.sender, TwilioSender::Number("+14155552671".to_owned()));
    assert_eq!(twilio.account.base_url, "https://api.twilio.com");
}

#[test]
fn a_messaging_service_wins_over_a_number() {
    let world = World::with_twilio().variable("TWILIO_MESSAGING_SERVICE_SID", SERVICE);
    let service = TwilioSender::MessagingService(SERVICE.to_owned());
    assert_eq!(world.twilio().sender, service);
    assert_eq!(world.without("TWILIO_PHONE_NUMBER").twilio().sender, service);
}

#[test]
fn half_a_configuration_names_what_is_missing_and_is_never_the_simulator() {
    for absent in ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"] {
        says(&World::with_twilio().without(absent).error(), &["Twilio", "and not", absent]);
        says(&World::with_twilio().variable(absent, "").error(), &["Twilio", "and not", absent]);
    }
    for alone in ["SINCH_APP_ID", "SINCH_APP_SECRET", "MADA_USERNAME", "MADA_PASSWORD", "MADA_SOURCE_NAME"] {
        says(
            &World::empty().variable(alone, "x").error(),
            &["and not", &format!("the environment, {alone}")],
        );
    }
    let base = World::empty().variable("TWILIO_BASE_URL", "http://localhost:1");
    says(&base.error(), &["Twilio", "and not", "the environment, TWILIO_BASE_URL"]);
}

#[test]
fn ids_must_look_like_twilios_when_it_is_twilio_that_answers() {
    for wrong in ["AC123", "SK0123456789abcdef0123456789abcdef", "AC0123456789abcdef0123456789abcdeg"] {
        let world = World::with_twilio().variable("TWILIO_ACCOUNT_SID", wrong);
        says(&world.error(), &["TWILIO_ACCOUNT_SID", "AC and 32 hexadecimal digits"]);
        let private = world.variable("TWILIO_BASE_URL", "https://gateway.example");
        assert_eq!(private.twilio().account.account_sid, wrong);
    }
    let world = World::with_twilio().variable("TWILIO_MESSAGING_SERVICE_SID", ACCOUNT);
    says(&world.error(), &["TWILIO_MESSAGING_SERVICE_SID", "MG and 32 hexadecimal digits"]);
}

#[test]
fn a_base_url_can_point_elsewhere_and_twilios_own_leads_to_the_right_host() {
    for (given, base) in [
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://api.twilio.com", "https://verify.twilio.com"),
        ("https://api.dublin.ie1.twilio.com", "https://verify.dublin.ie1.twilio.com"),
    ] {
        let world = World::with_verify().variable("TWILIO_BASE_URL", given);
        let verify = world.settings().gateways.twilio_verify().cloned().expect("Verify");
        assert_eq!((verify.account.base_url.as_str(), verify.service_sid.as_str()), (base, VERIFY));
    }
    let plain = World::with_twilio().variable("TWILIO_BASE_URL", "http://gateway.example");
    says(&plain.warnings().concat(), &["TWILIO_BASE_URL", "unencrypted"]);
}

#[test]
fn a_verify_service_must_look_like_one_only_where_it_is_used() {
    let world = World::with_verify().variable("TWILIO_SERVICES_ID", "VA1");
    says(&world.error(), &["TWILIO_SERVICES_ID", "VA and 32 hexadecimal digits"]);
    let idle = World::with_twilio().variable("TWILIO_SERVICES_ID", "VA1");
    says(&idle.warnings().concat(), &["TwilioVerify is configured but sends nothing"]);
    let used = World::with_verify().settings().gateways;
    assert_eq!(used.routing.entries()[0].gateway, GatewayName::TwilioVerify);
    assert!(used.twilio_messages().is_none());
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
}

#[test]
fn gateways_of_older_servers_have_recipes() {
    let sinch = World::empty().and_sinch().through("Sinch");
    assert_eq!(
        values(&sinch, ["app_id", "app_secret", "url"]),
        ["app", TOKEN, "https://verification.api.sinch.com/verification/v1/verifications"]
    );
    let elsewhere = sinch.variable("SINCH_VERIFICATION_URL", "http://gateway.example/v1/");
    assert_eq!(values(&elsewhere, ["url"]), ["http://gateway.example/v1/"]);
    says(&elsewhere.warnings().concat(), &["SINCH_VERIFICATION_URL", "unencrypted"]);
    let wrong = elsewhere.variable("SINCH_VERIFICATION_URL", "nowhere");
    says(&wrong.error(), &["SINCH_VERIFICATION_URL: it must be a URL such as"]);
    let mada = World::empty().and_mada().through("Mada");
    assert_eq!(
        values(&mada, ["username", "password", "url", "source_name"]),
        ["me", TOKEN, "http://127.0.0.1:1/soap", "Acme"]
    );
    says(&mada.variable("MADA_USERNAME", "me:you").error(), &["MADA_USERNAME must not contain a colon"]);
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
    assert_eq!(values(&world, ["app_secret"]), [TOKEN]);
    assert!(!format!("{:?}", world.loads()).contains(TOKEN));
    assert_eq!(world.shows("MADA_PASSWORD").0, "(set, not shown)");
}

#[test]
fn the_simulator_is_refused_in_production_unless_it_is_asked_for() {
    let production = r#"{"production": true, "prod-domain": "localhost:3000"}"#;
    let world = World::with_config(production);
    says(&world.error(), &["in production", "\"simulator-in-production\": true", "TWILIO_ACCOUNT_SID"]);
    let asked = World::with_config(production).variable("ONCEWARD_SIMULATOR_IN_PRODUCTION", "true");
    assert!(asked.settings().gateways.has_simulator());
    says(&asked.warnings().concat(), &["simulator", "production"]);
    let twilio = World::with_twilio().file("config.json", production);
    assert!(twilio.settings().gateways.twilio_messages().is_some());
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

/// Values of settings of the first gateway with a recipe.
fn values<const N: usize>(world: &World, settings: [&str; N]) -> [String; N] {
    let gateways = world.settings().gateways;
    let values = &gateways.http().expect("a gateway").values;
    settings.map(|setting| values[setting].expose_secret().to_owned())
}

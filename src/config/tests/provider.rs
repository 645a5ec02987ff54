//! The choice of the provider, and its required settings.

use secrecy::ExposeSecret as _;

use super::*;
use crate::gateway::TwilioSender;

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
fn a_sender_is_kept_as_given_but_trimmed() {
    let world = World::with_twilio().variable("TWILIO_PHONE_NUMBER", "  Acme  ");
    assert_eq!(world.twilio().sender, TwilioSender::Number("Acme".to_owned()));
    let world = World::with_twilio().variable("TWILIO_PHONE_NUMBER", "whatsapp:+14155552671");
    says(&world.error(), &["TWILIO_PHONE_NUMBER", "without \"whatsapp:\"", "the environment"]);
}

#[test]
fn half_a_configuration_names_what_is_missing_and_is_never_the_simulator() {
    for (absent, named) in [
        ("TWILIO_ACCOUNT_SID", "TWILIO_ACCOUNT_SID is missing"),
        ("TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN is missing"),
        (
            "TWILIO_PHONE_NUMBER",
            "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID, or TWILIO_SERVICES_ID for Verify) is missing",
        ),
    ] {
        says(&World::with_twilio().without(absent).error(), &["Twilio", named]);
        says(&World::with_twilio().variable(absent, "").error(), &["Twilio", named]);
    }
    for (alone, value) in [
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTHTOKEN", TOKEN),
        ("TWILIO_PHONE_NUMBER", "Acme"),
        ("TWILIO_SERVICES_ID", ACCOUNT),
    ] {
        says(&World::empty().variable(alone, value).error(), &["Twilio", "missing", alone]);
    }
    let base = World::empty().variable("TWILIO_BASE_URL", "http://localhost:1");
    says(&base.error(), &["Twilio", "missing", "the environment, TWILIO_BASE_URL"]);
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
fn a_placeholder_is_no_value_when_it_is_twilio_that_answers() {
    for (variable, wrong, problem) in [
        ("TWILIO_ACCOUNT_SID", "AC...", "two letters and 32 hexadecimal digits"),
        ("TWILIO_AUTH_TOKEN", "...", "neither letters nor digits"),
        ("TWILIO_PHONE_NUMBER", "+1...", "a phone number such as"),
        ("TWILIO_PHONE_NUMBER", "+1", "that can exist"),
        ("TWILIO_PHONE_NUMBER", "12", "a short code of 3 to 8 digits"),
        ("TWILIO_PHONE_NUMBER", "twelve chars", "at most 11 letters"),
        ("TWILIO_MESSAGING_SERVICE_SID", "MG...", "two letters and 32 hexadecimal digits"),
    ] {
        says(
            &World::with_twilio().variable(variable, wrong).error(),
            &[variable, problem, "the environment"],
        );
    }
    let beside_a_service = World::with_twilio()
        .variable("TWILIO_MESSAGING_SERVICE_SID", SERVICE)
        .variable("TWILIO_PHONE_NUMBER", "+1...");
    assert_eq!(beside_a_service.twilio().sender, TwilioSender::MessagingService(SERVICE.to_owned()));
    let private = World::with_twilio()
        .variable("TWILIO_BASE_URL", "https://gateway.example")
        .variable("TWILIO_AUTH_TOKEN", "...")
        .variable("TWILIO_PHONE_NUMBER", "Acme and Sons");
    assert_eq!(private.twilio().sender, TwilioSender::Number("Acme and Sons".to_owned()));
    assert_eq!(private.warnings(), Vec::<String>::new());
}

#[test]
fn a_token_of_another_form_gets_a_warning_that_does_not_repeat_it() {
    let world = World::with_twilio().variable("TWILIO_AUTH_TOKEN", "hunter2");
    assert_eq!(world.twilio().account.auth_token.expose_secret(), "hunter2");
    let warnings = world.warnings().concat();
    says(&warnings, &["TWILIO_AUTH_TOKEN", "32 hexadecimal digits", "the environment"]);
    assert!(!warnings.contains("hunter2"), "{warnings}");
    assert_eq!(World::with_twilio().warnings(), Vec::<String>::new());
}

#[test]
fn everything_that_is_wrong_with_twilios_settings_is_said_at_once() {
    let world = World::empty()
        .variable("TWILIO_ACCOUNT_SID", "AC123")
        .variable("TWILIO_MESSAGING_SERVICE_SID", "MG1");
    let errors = world.errors();
    assert_eq!(errors.len(), 3, "{errors:#?}");
    says(&errors.join("\n"), &["TWILIO_AUTH_TOKEN is missing", "AC and 32", "MG and 32"]);
    let base = World::empty().variable("TWILIO_BASE_URL", "foo").error();
    assert!(base.ends_with("given by the environment, TWILIO_BASE_URL"), "{base}");
}

#[test]
fn what_is_given_and_cannot_be_read_is_not_called_missing_too() {
    let twilio = World::with_twilio().without("TWILIO_AUTH_TOKEN");
    for name in ["TWILIO_AUTH_TOKEN_FILE", "TWILIO_AUTHTOKEN_FILE"] {
        says(&twilio_with(name, "absent").error(), &[name, "there is no file"]);
    }
    says(&twilio.file(".env", "TWILIO_AUTHTOKEN='x").error(), &[".env, line 1", "a quote"]);
    for (name, world) in [
        ("TWILIO_PHONE_NUMBER_FILE", World::with_twilio().without("TWILIO_PHONE_NUMBER")),
        ("TWILIO_SERVICES_ID_FILE", World::with_verify().without("TWILIO_SERVICES_ID")),
    ] {
        says(&world.variable(name, "absent").error(), &[name, "there is no file"]);
    }
    let alone = World::with_config(r#"{"production": true, "prod-domain": "localhost:1"}"#)
        .variable("TWILIO_AUTH_TOKEN_FILE", "absent");
    says(&alone.error(), &["TWILIO_AUTH_TOKEN_FILE", "there is no file"]);
}

#[test]
fn the_base_url_can_point_elsewhere() {
    let world = World::with_twilio().variable("TWILIO_BASE_URL", "http://127.0.0.1:4010/");
    assert_eq!(world.twilio().account.base_url, "http://127.0.0.1:4010");
    assert_eq!(world.warnings(), Vec::<String>::new());
    let plain = World::with_twilio().variable("TWILIO_BASE_URL", "http://gateway.example");
    says(&plain.warnings().concat(), &["TWILIO_BASE_URL", "unencrypted"]);
    let wrong = World::with_twilio().variable("TWILIO_BASE_URL", "api.twilio.com");
    says(&wrong.error(), &["TWILIO_BASE_URL = \"api.twilio.com\"", "http:// or https://"]);
}

#[test]
fn the_simulator_is_refused_in_production_unless_it_is_asked_for() {
    let production = r#"{"production": true, "prod-domain": "localhost:3000"}"#;
    let world = World::with_config(production);
    says(&world.error(), &["production = true", "\"simulator-in-production\": true", "TWILIO_ACCOUNT_SID"]);
    let asked = World::with_config(production).variable("ONCEWARD_SIMULATOR_IN_PRODUCTION", "true");
    assert!(asked.settings().gateways.has_simulator());
    says(&asked.warnings().concat(), &["simulator", "production"]);
    let twilio = World::with_twilio().file("config.json", production);
    assert!(twilio.settings().gateways.twilio_messages().is_some());
}

#[test]
fn a_slip_in_a_variable_of_twilios_gets_a_word() {
    let world = World::empty().variable("TWILIO_ACOUNT_SID", ACCOUNT).variable("TWILIO_API_KEY", "x");
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    says(&warnings[0], &["TWILIO_ACOUNT_SID", "did you mean \"TWILIO_ACCOUNT_SID\"?"]);
}

fn twilio_with(name: &str, value: &str) -> World {
    World::with_twilio().without("TWILIO_AUTH_TOKEN").variable(name, value)
}

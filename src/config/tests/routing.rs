//! The first gateway for a number.

use super::*;
use crate::domain::GatewayName::{self, Mada, Simulator, Sinch, TwilioMessages, TwilioVerify};

#[test]
fn the_setting_orders_the_gateways() {
    let world = World::with_twilio().and_sinch().and_mada().through("Twilio;Mada:+35987,+35988;Sinch");
    assert_eq!(order(&world), [TwilioMessages, Mada, Sinch]);
    assert_eq!(world.settings().gateways.routing.entries()[1].prefixes, ["35987", "35988"]);
    let shown = ("\"TwilioMessages;Mada:+35987,+35988;Sinch\"", "the environment, ONCEWARD_OTP_SMS_PROVIDER");
    assert_eq!(world.shows("gateways"), (shown.0.to_owned(), shown.1.to_owned()));
    assert_eq!(world.variable("ONCEWARD_OTP_TIMEOUT", "10m").warnings(), Vec::<String>::new());
}

#[test]
fn twilio_is_messages_where_there_is_a_sender_and_else_verify() {
    assert_eq!(order(&World::with_twilio().through("Twilio")), [TwilioMessages]);
    assert_eq!(order(&World::with_verify().through("Twilio")), [TwilioVerify]);
    let both = World::with_twilio().variable("TWILIO_SERVICES_ID", VERIFY);
    assert_eq!(order(&both), [TwilioMessages]);
    assert_eq!(order(&both.through("TwilioVerify;TwilioMessages")), [TwilioVerify, TwilioMessages]);
}

#[test]
fn without_the_setting_it_is_twilio_or_the_simulator() {
    assert_eq!(order(&World::with_twilio().and_sinch()), [TwilioMessages]);
    let idle = World::empty().and_sinch().and_mada();
    assert_eq!(order(&idle), [Simulator]);
    let warnings = idle.warnings().join("\n");
    says(&warnings, &["Sinch is configured", "Mada is configured", "otp-sms-provider does not name it"]);
    assert_eq!(idle.shows("gateways").1, "no provider is configured");
    let empty = World::with_twilio().file("config.json", r#"{"otp-sms-provider": " "}"#);
    assert_eq!(order(&empty), [TwilioMessages]);
}

#[test]
fn half_of_a_gateway_that_no_route_names_is_a_warning() {
    let half = World::empty().variable("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000000");
    says(
        &half.errors().join("\n"),
        &["Twilio: some of its settings are given, but TWILIO_AUTH_TOKEN", "Set all of them"],
    );
    let simulator = half.through("Simulator");
    assert_eq!(order(&simulator), [Simulator]);
    says(
        &simulator.warnings().join("\n"),
        &["Twilio cannot be used", "TWILIO_AUTH_TOKEN", "does not name it"],
    );
}

#[test]
fn a_gateway_that_no_route_names_keeps_its_settings() {
    let world = World::with_twilio().and_sinch();
    assert!(world.settings().gateways.sinch().is_some());
    says(&world.warnings().concat(), &["Sinch is configured (SINCH_APP_ID) but sends nothing"]);
}

#[test]
fn a_mistake_in_the_setting_is_quoted_and_pointed_at() {
    let twilio = || World::with_twilio().and_sinch();
    for (setting, part) in
        [("Sinch;Twillio", "Twillio"), ("Twilio;Sinch;Sinch", "Sinch"), ("Sinch:+35,abc", "abc")]
    {
        let error = twilio().through(setting).error();
        says(&error, &["otp-sms-provider", setting, "the environment, ONCEWARD_OTP_SMS_PROVIDER"]);
        let lines: Vec<&str> = error.lines().collect();
        let at = lines.iter().position(|line| line.trim() == setting).expect("the setting");
        let mark = lines[at + 1];
        let column = mark.find('^').expect("a mark");
        assert_eq!(mark.trim(), "^".repeat(part.len()), "{error}");
        assert_eq!(&lines[at][column..column + part.len()], part, "{error}");
    }
    says(&twilio().through("").warnings().concat(), &["Sinch is configured"]);
}

#[test]
fn two_names_of_one_gateway_are_one_too_many() {
    says(
        &World::with_twilio().through("Twilio;TwilioMessages").error(),
        &["TwilioMessages", "^^^^^^^^^^^^^^"],
    );
    says(&World::with_verify().through("TwilioVerify;Twilio").error(), &["TwilioVerify", "^^^^^^"]);
}

#[test]
fn a_gateway_that_is_not_configured_cannot_be_named() {
    for (name, needs) in [
        ("Twilio", "TWILIO_SERVICES_ID for Verify"),
        ("TwilioMessages", "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"),
        ("TwilioVerify", "TWILIO_SERVICES_ID"),
        ("TwilioVoice", "set \"voice\" to true"),
        ("Sinch", "SINCH_APP_ID and SINCH_APP_SECRET"),
        ("Mada", "MADA_USERNAME, MADA_PASSWORD, MADA_URL and MADA_SOURCE_NAME"),
        ("Http", "\"http-gateway\" in config.json"),
    ] {
        let error = World::empty().through(name).error();
        says(&error, &["otp-sms-provider", "is not configured", needs, &"^".repeat(name.len())]);
    }
    says(&World::with_verify().through("TwilioMessages").error(), &["it needs a TWILIO_PHONE_NUMBER"]);
    says(&World::with_twilio().through("TwilioVerify").error(), &["it needs a TWILIO_SERVICES_ID"]);
}

#[test]
fn half_a_gateway_that_is_named_is_said_once() {
    let world = World::empty().and_sinch().without("SINCH_APP_SECRET").through("Sinch");
    says(&world.error(), &["SINCH_APP_SECRET is missing"]);
}

#[test]
fn numbers_without_a_gateway_get_a_word() {
    let world = World::empty().and_mada().through("Mada:+359");
    says(&world.warnings().concat(), &["every gateway of otp-sms-provider has prefixes"]);
}

#[test]
fn in_production_the_simulator_is_refused_among_others_too() {
    let production =
        r#"{"production": true, "prod-domain": "localhost:3000", "otp-sms-provider": "Twilio;Simulator:+1"}"#;
    let world = World::with_twilio().file("config.json", production);
    says(
        &world.error(),
        &["otp-sms-provider names the Simulator", "key \"otp-sms-provider\"", "Take it out"],
    );
    let asked = world.variable("ONCEWARD_SIMULATOR_IN_PRODUCTION", "true");
    assert!(asked.settings().gateways.has_simulator());
    says(&asked.warnings().concat(), &["some messages do not leave this machine"]);
}

fn order(world: &World) -> Vec<GatewayName> {
    world.settings().gateways.routing.entries().iter().map(|entry| entry.gateway).collect()
}

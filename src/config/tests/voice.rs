//! Whether calls are allowed, and which gateway makes them.

use std::time::Duration;

use super::*;
use crate::domain::{Channel, GatewayName};
use crate::gateway::TwilioVoiceSettings;

#[test]
fn without_voice_nothing_calls() {
    let settings = World::with_twilio().settings();
    assert!(!settings.delivery.voice && !settings.delivery.voice_fallback);
    assert!(settings.gateways.twilio_voice().is_none());
    assert!(!settings.gateways.serves(Channel::Call));
}

#[test]
fn twilio_calls_from_its_number_of_texts_or_from_one_of_its_own() {
    let world = calling(World::with_twilio());
    let settings = world.settings();
    assert!(settings.delivery.voice && settings.delivery.voice_fallback);
    assert!(settings.gateways.serves(Channel::Call));
    let voice = twilio_voice(&world);
    assert_eq!((voice.from.as_str(), voice.gate, voice.ring_for), ("+14155552671", false, secs(25)));
    assert_eq!(voice.account.base_url, "https://api.twilio.com");
    let own =
        world.variable("TWILIO_VOICE_NUMBER", "+1 212 555 0100").variable("ONCEWARD_VOICE_RING_FOR", "40");
    assert_eq!((twilio_voice(&own).from.as_str(), twilio_voice(&own).ring_for), ("+12125550100", secs(40)));
    let no_fallback = own.variable("ONCEWARD_VOICE_FALLBACK", "false").settings().delivery;
    assert!(no_fallback.voice && !no_fallback.voice_fallback);
}

#[test]
fn a_sender_that_is_no_number_cannot_call() {
    let world = calling(World::with_twilio().variable("TWILIO_PHONE_NUMBER", "Acme"));
    says(&world.error(), &["voice", "TWILIO_VOICE_NUMBER", "no gateway", "ONCEWARD_VOICE"]);
    let beside = calling(World::with_twilio().variable("TWILIO_PHONE_NUMBER", "Acme").and_sinch())
        .through("Twilio;Sinch");
    says(&beside.warnings().concat(), &["Twilio does not call", "TWILIO_VOICE_NUMBER"]);
    let wrong = calling(World::with_twilio()).variable("TWILIO_VOICE_NUMBER", "Acme");
    says(&wrong.error(), &["TWILIO_VOICE_NUMBER", "a phone number with + and country code"]);
}

#[test]
fn a_gateway_of_calls_alone_can_be_named() {
    let world = calling(World::with_twilio().and_sinch()).through("Sinch;TwilioVoice");
    assert!(world.settings().gateways.routing.names(GatewayName::TwilioVoice));
    assert_eq!(twilio_voice(&world).from, "+14155552671");
    let only = calling(World::with_twilio().without("TWILIO_PHONE_NUMBER"))
        .variable("TWILIO_VOICE_NUMBER", "+14155552671");
    says(&only.error(), &["Twilio", "cannot send text messages", "TWILIO_PHONE_NUMBER"]);
    says(
        &only.through("TwilioVoice").warnings().concat(),
        &["no gateway of otp-sms-provider sends text messages"],
    );
}

#[test]
fn others_call_by_themselves() {
    for world in [
        calling(World::empty()),
        calling(World::with_verify()),
        calling(World::empty().and_sinch()).through("Sinch"),
    ] {
        let settings = world.settings();
        assert!(settings.gateways.serves(Channel::Call) && settings.gateways.twilio_voice().is_none());
    }
    let mada = calling(World::empty().and_mada()).through("Mada");
    says(&mada.error(), &["voice", "no gateway of otp-sms-provider can call"]);
}

#[test]
fn of_a_wrong_value_nothing_else_follows() {
    let world = World::empty()
        .and_mada()
        .through("Mada")
        .variable("ONCEWARD_VOICE", "yes")
        .variable("ONCEWARD_WORKFLOW", "sms,call");
    says(&world.error(), &["voice = \"yes\"", "true or false"]);
}

#[test]
fn a_gate_needs_a_public_address() {
    let world = calling(World::with_twilio()).variable("ONCEWARD_VOICE_GATE", "true");
    says(&world.error(), &["voice-gate", "\"public-url\" is missing", "ONCEWARD_VOICE_GATE"]);
    let gated = world.variable("ONCEWARD_PUBLIC_URL", "https://otp.example.com/");
    assert!(twilio_voice(&gated).gate);
    assert_eq!(gated.settings().delivery.public_url.as_deref(), Some("https://otp.example.com"));
    let idle = gated.without("ONCEWARD_VOICE");
    says(&idle.warnings().concat(), &["voice-gate has no effect"]);
}

fn calling(world: World) -> World {
    world.variable("ONCEWARD_VOICE", "true")
}

fn twilio_voice(world: &World) -> TwilioVoiceSettings {
    world.settings().gateways.twilio_voice().cloned().expect("Twilio Voice")
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

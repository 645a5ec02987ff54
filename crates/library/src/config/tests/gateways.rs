//! The choice of gateways, and what each needs. `cases` has the errors.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;
use crate::domain::Channel;
use crate::gateway::{HttpGatewaySettings, TwilioSender, WhatsAppSender};

/// Of a gateway `acme-sms`.
const SECRET: &str = "ONCEWARD_GATEWAYS_ACME_SMS_SECRET";

impl World {
    /// The first gateway with a recipe.
    fn http(&self) -> HttpGatewaySettings {
        let providers = self.settings().gateways.providers.into_iter();
        let mut recipes = providers.filter_map(|provider| match provider {
            ProviderSettings::Http(settings) => Some(settings),
            _ => None,
        });
        recipes.next().expect("a gateway")
    }
}

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
        says(&World::with_twilio().variable(absent, "").error(), &["Twilio", "and not", absent]);
    }
    for alone in ["SINCH_APP_SECRET", "MADA_USERNAME", "MADA_PASSWORD", "MADA_SOURCE_NAME"] {
        says(&World::empty().variable(alone, "x").error(), &["and not", alone]);
    }
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
fn a_named_gateway_is_a_recipe_with_its_settings() {
    let world = named(&json!({"recipe": "vonage", "key": "k", "from": "Acme"})).variable(SECRET, TOKEN);
    assert_eq!(world.http().channels, [Channel::Sms]);
    assert_eq!(values(&world, ["key", "secret", "url"]), ["k", TOKEN, "https://rest.nexmo.com"]);
    assert!(!format!("{:?}", world.loads()).contains(TOKEN));
    assert_eq!(world.settings().gateways.routing.to_string(), "acme-sms");
}

#[test]
fn a_default_may_have_another_setting_in_it() {
    let world =
        named(&json!({"recipe": "aws", "region": "eu-central-1", "key_id": "A"})).variable(SECRET, TOKEN);
    assert_eq!(values(&world, ["url"]), ["https://sms-voice.eu-central-1.amazonaws.com"]);
}

#[test]
fn the_channels_of_a_recipe_can_be_changed() {
    let world = named(&json!({"recipe": "telnyx", "key": "k", "from": "1", "channels": ["sms", "call"]}));
    assert_eq!(world.http().channels, [Channel::Sms, Channel::Call]);
}

#[test]
fn a_whole_recipe_may_be_in_the_configuration() {
    let recipe = json!({
        "method": "POST",
        "settings": {"token": {"about": "its token", "secret": true}},
        "url": "https://sms.example.com/send",
        "headers": {"X-Token": "{token}"},
        "form": {"to": "{to}", "text": "{text}"},
    });
    let world = named(&json!({"recipe": recipe, "token": "t"}));
    assert!(world.http().form.is_some());
}

/// A configuration with one named gateway.
fn named(object: &Value) -> World {
    World::with_config(&json!({"otp-sms-provider": "acme-sms", "gateways": {"acme-sms": object}}).to_string())
}

/// Values of settings of the first gateway with a recipe.
fn values<const N: usize>(world: &World, settings: [&str; N]) -> [String; N] {
    let values = world.http().values;
    settings.map(|setting| values[setting].expose_secret().to_owned())
}

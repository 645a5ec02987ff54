//! The choice of gateways, and what each needs. `cases` has the errors.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;
use crate::gateway::{ProviderSettings, TwilioSender, WhatsAppSender};

#[test]
fn three_variables_are_enough_for_twilio_and_a_service_beats_a_number() {
    let world = World::with_twilio();
    let TwilioSettings { account, sender, .. } = world.twilio();
    assert_eq!((account.account_sid.as_str(), account.auth_token.expose_secret()), (ACCOUNT, TOKEN));
    assert_eq!(sender, TwilioSender::Number("+14155552671".to_owned()));
    let world = world.variable("TWILIO_MESSAGING_SERVICE_SID", SERVICE);
    assert_eq!(world.twilio().sender, TwilioSender::MessagingService(SERVICE.to_owned()));
}

#[test]
fn a_base_url_can_point_elsewhere_and_twilios_own_leads_to_the_right_host() {
    for (given, base) in [
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://api.twilio.com", "https://verify.twilio.com"),
        ("https://api.dublin.ie1.twilio.com", "https://verify.dublin.ie1.twilio.com"),
    ] {
        let world = World::with_twilio().without("TWILIO_PHONE_NUMBER").variable("TWILIO_BASE_URL", given);
        let providers = world.variable("TWILIO_SERVICES_ID", VERIFY).settings().gateways.providers;
        let [ProviderSettings::TwilioVerify(verify)] = &providers[..] else { panic!("{providers:?}") };
        assert_eq!((verify.account.base_url.as_str(), verify.service_sid.as_str()), (base, VERIFY));
    }
}

#[test]
fn whatsapp_messages_have_a_number_and_a_template() {
    let template = format!("HX{}", &ACCOUNT[2..]);
    let world = World::with_twilio()
        .variable("TWILIO_WHATSAPP_NUMBER", "+1 415 555 2671")
        .variable("ONCEWARD_WHATSAPP_CONTENT_SID", &template);
    let sender = WhatsAppSender { number: "+14155552671".to_owned(), content_sid: Some(template) };
    assert_eq!(world.twilio().whatsapp, Some(sender));
    assert_eq!(world.warnings(), Vec::<String>::new());
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
    let mada = World::empty().and_mada().through("Mada");
    assert_eq!(
        values(&mada, ["username", "password", "url", "source_name"]),
        ["me", TOKEN, "http://127.0.0.1:1/soap", "Acme"]
    );
}

#[test]
fn a_named_gateway_is_a_recipe_with_its_settings() {
    for (object, url) in [
        (json!({"recipe": "vonage", "key": "k", "from": "Acme"}), "https://rest.nexmo.com"),
        (
            json!({"recipe": "aws", "region": "eu-central-1", "key_id": "A"}),
            "https://sms-voice.eu-central-1.amazonaws.com",
        ),
    ] {
        let config = json!({"otp-sms-provider": "acme-sms", "gateways": {"acme-sms": object}}).to_string();
        let world = World::with_config(&config).variable("ONCEWARD_GATEWAYS_ACME_SMS_SECRET", TOKEN);
        assert_eq!(values(&world, ["secret", "url"]), [TOKEN, url]);
        assert_eq!(world.settings().gateways.routing.to_string(), "acme-sms");
    }
}

/// Values of settings of the gateway with a recipe.
fn values<const N: usize>(world: &World, settings: [&str; N]) -> [String; N] {
    let mut providers = world.settings().gateways.providers.into_iter();
    let recipe = providers.find_map(|provider| match provider {
        ProviderSettings::Http(recipe) => Some(recipe),
        _ => None,
    });
    let values = recipe.expect("a gateway").values;
    settings.map(|setting| values[setting].expose_secret().to_owned())
}

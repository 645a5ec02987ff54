//! The choice of gateways, and what each needs. `cases` has the errors.

use secrecy::ExposeSecret as _;

use super::*;
use crate::gateway::ProviderSettings;

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

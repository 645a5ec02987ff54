//! `services` and the account. `cases` has what a service and a template may be.

use super::*;
use crate::config::services::ServiceSettings;

#[test]
fn a_refused_request_hears_of_times_and_nothing_of_config_json() {
    let refused = |key: &str, value: &str| {
        let given = [(key.to_owned(), value.into())].into_iter().collect();
        ServiceSettings::default().with(given).expect_err("an error").why
    };
    for (key, value, words) in [
        ("code-life", "0s", "must be a time from 30s to 1h, such as"),
        ("lockout", "growing", "must be \"verification\" or a time from 1s to 30days, such as"),
        ("locale", "german", "must be a language such as \"de\""),
    ] {
        says(&refused(key, value), &[words]);
    }
}

#[test]
fn the_command_line_needs_only_what_is_about_services() {
    let world =
        World::with_config(r#"{"services": {"shop": {}}, "otp-sms-provider": "Unknown", "brand": "Acme"}"#)
            .variable("TWILIO_AUTH_TOKEN_FILE", "absent");
    let settings = crate::config::load_beside(&world.sources).expect("settings");
    assert_eq!((settings.registry.services[0].name.as_str(), settings.brand.as_str()), ("shop", "Acme"));
    let wrong = World::with_config(r#"{"services": {"shop": {"code-length": 2}}}"#);
    let errors = crate::config::load_beside(&wrong.sources).expect_err("an error").to_string();
    says(&errors, &["services.shop.code-length"]);
}

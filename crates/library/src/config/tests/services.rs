//! `services` and the account. `cases` has what a service and a template may be.

use super::*;

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

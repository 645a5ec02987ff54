//! Texts by channel and language. The tests of `template` check their content.

use super::*;
use crate::template::Wording;

#[test]
fn texts_by_channel_and_language_are_read() {
    let config = r#"{"otp-messages": {"sms": "Your code: {code}", "call": {"de": "Der Code ist {code}", "pt-BR":
        "O codigo: {code}"}, "any": {"de": "Ihr Code: {code}"}}, "default-locale": "de", "webotp-domain": "example.com"}"#;
    let world = World::with_config(config);
    assert_eq!(world.settings().templates.text(&Wording::Api), "onceward: your code is {code}.");
    assert_eq!(world.shows("default-locale").0, "\"de\"");
    assert_eq!(world.shows("webotp-domain").0, "\"example.com\"");
    says(&world.shows("otp-messages").0, &["Der Code ist {code}"]);
    let variable = World::empty().variable("ONCEWARD_OTP_MESSAGES", r#"{"sms": "{code}"}"#);
    assert_eq!(variable.shows("otp-messages").0, r#"{"sms":"{code}"}"#);
}

#[test]
fn the_default_text_names_the_minutes_of_codes_that_live_for_one_or_more() {
    for (life, text) in [
        ("59s", "onceward: your code is {code}."),
        ("60s", "onceward: your code is {code}. It is valid for {minutes} min."),
    ] {
        let world = World::empty().variable("ONCEWARD_OTP_TIMEOUT", life);
        assert_eq!(world.settings().templates.text(&Wording::Api), text);
    }
    let given = World::with_config(r#"{"otp-timeout": 30, "otp-message": "{code}, {minutes} min"}"#);
    assert_eq!(given.settings().templates.text(&Wording::Api), "{code}, {minutes} min");
}

#[test]
fn names_that_are_no_channel_or_language_are_errors() {
    let config = r#"{"otp-messages": {"mail": "{code}", "sms": {"german please": "{code}", "de": 5}, "call": ["{code}"]}}"#;
    let errors = World::with_config(config).errors();
    assert_eq!(errors.len(), 4, "{errors:#?}");
    let all = errors.join("\n");
    says(
        &all,
        &["otp-messages.mail: a channel is", "otp-messages.sms.german please: a language is", "BCP 47"],
    );
    says(&all, &["otp-messages.sms.de = 5", "otp-messages.call = a list", "key \"otp-messages\""]);
}

#[test]
fn a_name_that_is_wrong_hides_no_text_that_is() {
    let config =
        r#"{"otp-messages": {"mail": "{code}", "sms": {"fr": 5, "de": "none", "en": "{code} {hours}"}}}"#;
    let errors = World::with_config(config).errors();
    assert_eq!(errors.len(), 4, "{errors:#?}");
    says(&errors.join("\n"), &["otp-messages.sms.de = \"none\": it must contain {code}", "\"{hours}\""]);
}

#[test]
fn one_text_under_two_names_is_one_too_many() {
    let config = r#"{"otp-messages": {"sms": {"pt-BR": "{code}", "pt_br": "{code}"}, "ANY": "{code}", "any": "{code}"}}"#;
    let errors = World::with_config(config).errors().join("\n");
    says(&errors, &["otp-messages.sms.pt_br: it means the same as otp-messages.sms.pt-BR"]);
    says(&errors, &["otp-messages.any: it means the same as otp-messages.ANY"]);
}

#[test]
fn a_language_and_a_web_site_must_be_ones() {
    let errors =
        World::with_config(r#"{"default-locale": "x", "webotp-domain": "https://example.com"}"#).errors();
    let all = errors.join("\n");
    says(&all, &["default-locale = \"x\"", "BCP 47"]);
    says(&all, &["webotp-domain = \"https://example.com\"", "without a scheme"]);
}

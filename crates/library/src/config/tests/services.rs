//! `services`, `templates` and the account.

use std::time::Duration;

use super::*;
use crate::config::services::{ConfiguredService, Resend, ServiceSettings};
use crate::config::template_sid;
use crate::config::templates::{Template, filled};
use crate::domain::{Channel, Locale, Timestamp};
use crate::engine::LockoutRule;

fn service(members: &str) -> World {
    World::with_config(&format!("{{\"services\": {{\"shop\": {{{members}}}}}}}"))
}

fn template(members: &str) -> World {
    World::with_config(&format!("{{\"templates\": {{\"login\": {{{members}}}}}}}"))
}

impl World {
    fn shop(&self) -> ConfiguredService {
        self.settings().registry.services.remove(0)
    }

    fn login(&self) -> Template {
        self.settings().registry.templates.remove(0)
    }
}

#[test]
fn a_service_of_which_nothing_is_said_has_the_rules_of_a_new_one() {
    let ConfiguredService { name, settings, .. } = service("").shop();
    assert_eq!((name.as_str(), settings.friendly_name.as_str()), ("shop", "shop"));
    assert_eq!((settings.code_length.get(), settings.code_life), (6, Duration::from_secs(600)));
    let sends = settings.max_sends;
    assert_eq!((settings.max_checks, sends, settings.lockout), (5, Some(5), LockoutRule::Verification));
    assert!(settings.resend == Resend::Keep && !settings.cooling_down);
    assert!(!settings.custom_code && !settings.do_not_share_warning);
    assert_eq!((settings.locale, settings.workflow, settings.default_template), (None, None, None));
}

#[test]
fn every_member_may_be_a_text_or_its_own_type() {
    let typed = service(
        r#""friendly-name": "Acme", "code-length": 8, "code-life": 90, "max-checks": 3, "max-sends": 2, "lockout": 5,
           "resend": "new", "cooling-down": true, "locale": "pt-br", "workflow": ["sms:20s", "call"],
           "custom-code": true, "do-not-share-warning": true, "default-template": "onceward-plain""#,
    );
    let texts = service(
        r#""friendly-name": "Acme", "code-length": "8", "code-life": "1m30s", "max-checks": "3", "max-sends": "2",
           "lockout": "300s", "resend": "New", "cooling-down": "true", "locale": "pt_BR", "workflow": "sms:20s,call",
           "custom-code": "true", "do-not-share-warning": "TRUE", "default-template": "onceward-plain""#,
    );
    let [typed, texts] = [typed.shop().settings, texts.shop().settings];
    assert_eq!(typed, texts);
    assert_eq!(
        (typed.code_life.as_secs(), typed.lockout),
        (90, LockoutRule::Fixed(Duration::from_secs(300)))
    );
    assert_eq!(typed.workflow.as_deref(), Some("sms:20s,call:20s"));
    assert_eq!(typed.locale.map(|locale| locale.to_string()).as_deref(), Some("pt-BR"));
    assert_eq!(typed.default_template, Some(template_sid("onceward-plain")));
}

#[test]
fn a_refused_request_hears_of_times_and_nothing_of_config_json() {
    let refused = |key: &str, value: &str| {
        let given = [(key.to_owned(), value.into())].into_iter().collect();
        ServiceSettings::default().with(given).expect_err("an error").why
    };
    for (key, value, words) in [
        ("code-life", "0s", "must be a number of seconds from 30 to 3600, or a time such as"),
        (
            "lockout",
            "growing",
            "must be \"verification\" or a number of seconds from 1 to 2592000, or a time such as",
        ),
        ("locale", "german", "must be a language such as \"de\""),
    ] {
        says(&refused(key, value), &[words]);
    }
}

#[test]
fn a_test_number_has_a_pattern_a_code_and_an_end() {
    let world = service(
        r#""test-numbers": [{"pattern": "+1415555012X", "code": "012345", "expires": "2027-01-31"},
            {"pattern": "+14155552671", "code": 123456, "expires": "2027-01-31T12:00:00Z", "force": true}]"#,
    );
    let numbers = world.shop().test_numbers;
    assert_eq!((numbers[0].pattern.as_str(), numbers[0].code.as_str()), ("+1415555012x", "012345"));
    assert_eq!(numbers[0].expires, Timestamp::from_millis(1_801_353_600_000));
    assert_eq!(numbers[1].expires, Timestamp::from_millis(1_801_396_800_000));
}

#[test]
fn a_template_has_texts_by_language() {
    let login =
        template(r#""translations": {"de": "{code} für {{who}}", "en": "{code}"}, "default-locale": "de""#)
            .login();
    assert_eq!((login.friendly_name.as_str(), &login.channels[..]), ("login", &[Channel::Sms][..]));
    assert_eq!(login.default_locale().map(|locale| locale.to_string()).as_deref(), Some("de"));
    assert_eq!(login.translations[0].text, "{code} für {{who}}");
    let one = template(
        r#""translations": {"en": "{{code}}"}, "channels": ["call", "sms"], "friendly-name": "Log in""#,
    );
    let one = one.login();
    assert_eq!((one.default_locale(), one.channels.len()), (Locale::parse("en"), 2));
    let used = World::with_config(
        r#"{"services": {"shop": {"default-template": "login"}}, "templates": {"login": {"translations": {"en": "{code}"}}}}"#,
    );
    assert_eq!(used.shop().settings.default_template, Some(template_sid("login")));
}

#[test]
fn both_spellings_of_a_place_are_filled_in_and_the_rest_stays() {
    let filled = |text| filled(text, "Acme", |name| (name == "who").then_some("me"));
    let places = "{{friendly_name}}: {code}, {{code}} {{who}} {minutes}";
    assert_eq!(filled(places).as_deref(), Ok("Acme: {code}, {code} me {minutes}"));
    for text in ["", "plain", "{", "{{", "{{a b}}", "{minutes}", "{{}}", "}}{"] {
        assert_eq!(filled(text).as_deref(), Ok(text));
    }
    assert_eq!(filled("{{other}} {{third}}"), Err("other"));
}

#[test]
fn the_account_comes_from_the_environment_with_both_of_its_parts() {
    let world =
        World::empty().variable("ONCEWARD_ACCOUNT_SID", ACCOUNT).variable("ONCEWARD_AUTH_TOKEN", TOKEN);
    let account = world.settings().registry.account.expect("an account");
    assert_eq!((account.sid.to_string().as_str(), account.token.expose()), (ACCOUNT, TOKEN));
    assert_eq!(world.shows("ONCEWARD_AUTH_TOKEN").0, "(set, not shown)");
    assert_eq!(world.warnings(), Vec::<String>::new());
    assert!(World::empty().settings().registry.account.is_none());
    let by_file = World::empty()
        .variable("ONCEWARD_ACCOUNT_SID", ACCOUNT)
        .file("token", &format!("{TOKEN}\n"))
        .variable("ONCEWARD_AUTH_TOKEN_FILE", "token");
    assert_eq!(by_file.settings().registry.account.expect("an account").token.expose(), TOKEN);
    assert_eq!(by_file.warnings(), Vec::<String>::new());
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

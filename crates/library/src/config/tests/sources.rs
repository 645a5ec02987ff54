//! What only secrets may be given by, and no output shows; the spellings of values; the gateways of older servers. `cases`
//! has the errors, and `src/cli/calls.txt` the order of the sources.

use secrecy::ExposeSecret as _;

use super::*;
use crate::gateway::ProviderSettings;

#[test]
fn a_file_with_a_secret_that_others_can_read_is_a_warning() {
    let in_a_file = |mode| {
        let world = World::with_twilio().without("TWILIO_AUTH_TOKEN").file("secret", TOKEN);
        world.mode("secret", mode).variables("TWILIO_AUTH_TOKEN_FILE=secret")
    };
    let in_env =
        |name: &str, mode| World::with_twilio().file(".env", &format!("{name}={TOKEN}\n")).mode(".env", mode);
    for (world, named) in [
        (in_a_file(0o644), Some("TWILIO_AUTH_TOKEN_FILE")),
        (in_a_file(0o444), Some("TWILIO_AUTH_TOKEN_FILE")),
        (in_a_file(0o640), None),
        (in_env("TWILIO_AUTH_TOKEN", 0o644), Some(".env")),
        (in_env("TWILIO_AUTHTOKEN", 0o644), Some(".env")),
        (in_env("TWILIO_AUTH_TOKEN", 0o640), None),
        (in_env("ONCEWARD_BRAND", 0o644), None),
    ] {
        let warnings = world.warnings().join("\n");
        let is_warned = warnings.contains("every user of this machine can read the file");
        assert_eq!(is_warned, named.is_some(), "{named:?}: {warnings}");
        assert!(warnings.contains(named.unwrap_or_default()) && !warnings.contains(TOKEN), "{warnings}");
    }
}

#[test]
fn the_token_of_the_highest_source_counts_and_its_usual_name_first() {
    let in_a_file =
        || World::with_twilio().without("TWILIO_AUTH_TOKEN").file("token", &format!("  {TOKEN}\n"));
    for world in [
        World::with_twilio().variables("TWILIO_AUTHTOKEN=hunter2"),
        World::with_twilio().file(".env", "TWILIO_AUTHTOKEN=hunter2"),
        World::with_twilio().file(".env", "TWILIO_AUTH_TOKEN_FILE=absent"),
        in_a_file().variables("TWILIO_AUTH_TOKEN_FILE=token").file(".env", "TWILIO_AUTH_TOKEN=hunter2"),
        in_a_file().file(".env", "TWILIO_AUTHTOKEN_FILE=token"),
    ] {
        let gateways = world.settings().gateways;
        let twilio = gateways.twilio_messages().expect("Twilio Messages");
        assert_eq!(twilio.account.auth_token.expose_secret(), TOKEN);
    }
}

#[test]
fn a_line_end_behind_a_value_of_any_source_is_no_part_of_it() {
    for end in ["\n", "\r\n", " \n\n"] {
        let mut of_process = World::with_twilio();
        of_process.sources.environment.insert("TWILIO_AUTH_TOKEN".to_owned(), format!("{TOKEN}{end}"));
        let quoted =
            format!("TWILIO_AUTH_TOKEN=\"{TOKEN}{}\"\n", end.replace('\n', "\\n").replace('\r', "\\r"));
        let of_env = World::with_twilio().without("TWILIO_AUTH_TOKEN").file(".env", &quoted);
        let of_file =
            World::with_twilio().without("TWILIO_AUTH_TOKEN").file("token", &format!("\u{feff}{TOKEN}{end}"));
        for world in [of_process, of_env, of_file.variables("TWILIO_AUTH_TOKEN_FILE=token")] {
            let gateways = world.settings().gateways;
            let twilio = gateways.twilio_messages().expect("Twilio Messages");
            assert_eq!(twilio.account.auth_token.expose_secret(), TOKEN, "{end:?}");
        }
    }
}

#[test]
fn a_setting_of_a_recipe_keeps_no_line_end_from_any_source() {
    let recipe = r#"{"gateways": {"one": {"recipe": {"url": "https://x.example/{to}/{text}", "form": {"k": "{password}"},
        "settings": {"password": {"secret": true}}}PASSWORD}}}"#;
    let (plain, variable) = (recipe.replace("PASSWORD", ""), "ONCEWARD_GATEWAYS_ONE_PASSWORD");
    let of_process = |text: &str| {
        let mut world = World::with_config(&plain);
        world.sources.environment.insert(variable.to_owned(), text.to_owned());
        world
    };
    for (n, world) in [
        of_process("abc\n"),
        of_process("\u{feff} abc\r\n"),
        World::with_config(&plain).file(".env", &format!("{variable}=\"abc\\n\"\r\n")),
        World::with_config(&plain).file("p", "abc\r\n\0").variables(&format!("{variable}_FILE=p\r")),
        World::with_config(&recipe.replace("PASSWORD", ", \"password\": \"abc\\r\\n\"")),
    ]
    .into_iter()
    .enumerate()
    {
        let providers = world.settings().gateways.providers;
        let [ProviderSettings::Http(http)] = &providers[..] else { panic!("{n}: {providers:?}") };
        assert_eq!(http.values["password"].expose_secret(), "abc", "{n}");
    }
}

#[test]
fn a_value_may_be_a_text_or_its_own_type_and_have_an_older_name() {
    let read = |text: &str| {
        let world = World::with_config(text);
        format!("{:?}", world.settings()).replace(&*world.directory.path().to_string_lossy(), "")
    };
    let typed = read(
        r#"{"test-port": 8080, "brand": 42, "otp-timeout": 45, "otp-lock-timeout": 2, "send-budget": 3, "otp-length": 7,
            "otp-max-attempts": 4, "sms": {"retry": true, "max_retries": 3}, "workflow": ["sms:8s", "whatsapp"],
            "guard": {"messages-per-day": 5}}"#,
    );
    let texts = read(
        r#"{"test-port": "8080", "brand": "42", "otp-timeout": "45", "otp-lock-timeout": "2", "send-budget": "3",
            "authentication": {"otp_length": "7"}, "otp-max-trials": "4", "sms.retry": "true", "sms.max_retries": "3",
            "workflow": "sms:8, whatsapp", "guard.messages-per-day": "5"}"#,
    );
    let with_units = read(
        r#"{"test-port": 8080, "brand": "42", "otp-timeout": "45s", "otp-lock-timeout": "2m", "send-budget": "3000ms",
            "otp-length": 7, "otp-max-attempts": 4, "sms.retry": true, "sms.max_retries": 3,
            "workflow": "sms:8s, whatsapp:20s", "guard.messages-per-day": 5}"#,
    );
    assert_eq!(typed, texts);
    assert_eq!(typed, with_units);
}

#[test]
fn a_base_url_can_point_elsewhere_and_twilios_own_leads_to_the_right_host() {
    for (given, base) in [
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://api.twilio.com", "https://verify.twilio.com"),
        ("https://api.dublin.ie1.twilio.com", "https://verify.dublin.ie1.twilio.com"),
    ] {
        let world = World::with_twilio().without("TWILIO_PHONE_NUMBER");
        let world = world.variables(&format!("TWILIO_BASE_URL={given}\nTWILIO_SERVICES_ID={VERIFY}"));
        let providers = world.settings().gateways.providers;
        let [ProviderSettings::TwilioVerify(verify)] = &providers[..] else { panic!("{providers:?}") };
        assert_eq!((verify.account.base_url.as_str(), verify.service_sid.as_str()), (base, VERIFY));
    }
}

#[test]
fn gateways_of_older_servers_have_recipes() {
    let sinch = format!("SINCH_APP_ID=app\nSINCH_APP_SECRET={TOKEN}\nONCEWARD_OTP_SMS_PROVIDER=Sinch\n");
    let mada = format!(
        "MADA_USERNAME=me\nMADA_PASSWORD={TOKEN}\nMADA_URL=127.0.0.1:1/soap\nMADA_SOURCE_NAME=Acme\n\
         ONCEWARD_OTP_SMS_PROVIDER=Mada\n"
    );
    let elsewhere = sinch.clone() + "SINCH_VERIFICATION_URL=http://gateway.example/v1/\n";
    let usual = "https://verification.api.sinch.com/verification/v1/verifications";
    for (variables, expected) in [
        (sinch, &[("app_id", "app"), ("app_secret", TOKEN), ("url", usual)][..]),
        (elsewhere, &[("url", "http://gateway.example/v1/")]),
        (
            mada,
            &[
                ("username", "me"),
                ("password", TOKEN),
                ("url", "http://127.0.0.1:1/soap"),
                ("source_name", "Acme"),
            ],
        ),
    ] {
        let providers = World::empty().variables(&variables).settings().gateways.providers;
        let [ProviderSettings::Http(recipe)] = &providers[..] else { panic!("{providers:?}") };
        for (setting, value) in expected {
            assert_eq!(recipe.values[*setting].expose_secret(), *value, "{setting}");
        }
    }
}

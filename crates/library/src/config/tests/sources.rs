//! The sources of settings, their precedence, and what only secrets may be given by; no output shows one.

use secrecy::ExposeSecret as _;

use super::*;

/// Of the warning about a file.
const READABLE: &str = "every user of this machine can read the file";

#[test]
fn a_secret_may_be_in_a_file_that_a_variable_names() {
    let world = World::with_twilio()
        .without("TWILIO_AUTH_TOKEN")
        .file("token", &format!("  {TOKEN}\n"))
        .variable("TWILIO_AUTH_TOKEN_FILE", "token");
    assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
    let (value, origin) = world.shows("TWILIO_AUTH_TOKEN");
    assert_eq!(value, "(not shown)");
    says(&origin, &["token", "the environment, TWILIO_AUTH_TOKEN_FILE"]);
}

#[test]
fn a_file_with_a_secret_that_others_can_read_is_a_warning() {
    let mut world = World::with_twilio()
        .without("TWILIO_AUTH_TOKEN")
        .file("secret", TOKEN)
        .variable("TWILIO_AUTH_TOKEN_FILE", "secret");
    for (mode, expected) in [(0o644, true), (0o444, true), (0o640, false), (0o600, false)] {
        world = world.mode("secret", mode);
        let warnings = world.warnings().join("\n");
        let is_named = warnings.contains(READABLE) && warnings.contains("TWILIO_AUTH_TOKEN_FILE");
        assert_eq!(is_named, expected, "{mode:o}: {warnings}");
        assert!(!warnings.contains(TOKEN));
    }
}

#[test]
fn an_env_file_with_a_secret_that_others_can_read_is_a_warning() {
    for (name, mode, expected) in [
        ("TWILIO_AUTH_TOKEN", 0o644, true),
        ("TWILIO_AUTHTOKEN", 0o644, true),
        ("TWILIO_AUTH_TOKEN", 0o640, false),
        ("ONCEWARD_BRAND", 0o644, false),
    ] {
        let world = World::with_twilio().file(".env", &format!("{name}={TOKEN}\n")).mode(".env", mode);
        let warnings = world.warnings().join("\n");
        assert_eq!(warnings.contains(READABLE) && warnings.contains(".env"), expected, "{name} {mode:o}");
        assert!(!warnings.contains(TOKEN));
    }
}

#[test]
fn the_token_of_the_highest_source_counts_and_its_usual_name_first() {
    let in_a_file = || World::with_twilio().without("TWILIO_AUTH_TOKEN").file("token", TOKEN);
    for world in [
        World::with_twilio().variable("TWILIO_AUTHTOKEN", "hunter2"),
        World::with_twilio().file(".env", "TWILIO_AUTHTOKEN=hunter2"),
        World::with_twilio().file(".env", "TWILIO_AUTH_TOKEN_FILE=absent"),
        in_a_file().variable("TWILIO_AUTH_TOKEN_FILE", "token").file(".env", "TWILIO_AUTH_TOKEN=hunter2"),
        in_a_file().file(".env", "TWILIO_AUTHTOKEN_FILE=token"),
    ] {
        assert_eq!(world.twilio().account.auth_token.expose_secret(), TOKEN);
    }
}

#[test]
fn relative_paths_begin_in_the_working_directory() {
    let world = World::with_config(r#"{"data-dir": "store", "key-file": "keys/server"}"#);
    assert_eq!(world.settings().storage.data_dir, world.path("store"));
    assert_eq!(world.settings().storage.server_key_file, Some(world.path("keys/server")));
    let world = World::empty().variable("ONCEWARD_KEY_FILE", "/run/keys/server");
    assert_eq!(world.settings().storage.server_key_file, Some(PathBuf::from("/run/keys/server")));
}

#[test]
fn every_source_beats_those_below_it_and_a_value_says_where_it_came_from() {
    let mut world = World::with_config(r#"{"log-level": "error"}"#);
    let shows = |world: &World, value: &str, origin: &str| {
        assert_eq!(world.shows("log-level"), (format!("{value:?}"), origin.to_owned()));
    };
    let file = world.path("config.json").display().to_string();
    shows(&world, "error", &format!("{file}, key \"log-level\""));
    world = world.file(".env", "ONCEWARD_LOG_LEVEL=warn");
    shows(&world, "warn", ".env, ONCEWARD_LOG_LEVEL");
    world = world.variable("ONCEWARD_LOG_LEVEL", "debug");
    shows(&world, "debug", "the environment, ONCEWARD_LOG_LEVEL");
    world = world.flag("log-level", "trace");
    shows(&world, "trace", "the command line, --log-level");
}

#[test]
fn a_variable_of_the_process_hides_one_of_the_file_even_when_it_is_empty() {
    let world = World::empty().file(".env", "ONCEWARD_OTP_LENGTH=8").variable("ONCEWARD_OTP_LENGTH", "");
    assert_eq!(world.settings().policy.code.length.get(), 6);
    let world = world.file("config.json", r#"{"otp-length": 9}"#);
    assert_eq!(world.settings().policy.code.length.get(), 9, "an empty one counts as not given");
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

#[test]
fn a_value_may_be_a_text_or_its_own_type_and_have_an_older_name() {
    let read = |text: &str| {
        let Settings { listen, policy, bounds, brand, delivery, guard, .. } =
            World::with_config(text).settings();
        let times = [policy.code.life, policy.lockout_time(), bounds.send_budget].map(|time| time.as_secs());
        let steps: Vec<String> = delivery.workflow.iter().map(ToString::to_string).collect();
        let retries = (delivery.sms_retry, delivery.max_retries);
        let of_codes = (policy.code.length.get(), policy.max_attempts);
        (listen.port, brand, times, of_codes, retries, steps.join(","), guard.messages_per_day)
    };
    let typed = read(
        r#"{"test-port": 8080, "brand": 42, "otp-timeout": 45, "otp-lock-timeout": 2, "send-budget": 3, "otp-length": 7,
            "otp-max-attempts": 4, "sms": {"retry": true, "max_retries": 3}, "workflow": ["sms:8s", "whatsapp"],
            "guard": {"messages-per-day": 5}}"#,
    );
    let texts = read(
        r#"{"test-port": "8080", "brand": "42", "otp-timeout": "45s", "otp-lock-timeout": "2", "send-budget": "3s",
            "authentication": {"otp_length": "7"}, "otp-max-trials": "4", "sms.retry": "true", "sms.max_retries": "3",
            "workflow": "sms:8, whatsapp", "guard.messages-per-day": "5"}"#,
    );
    let workflow = "sms:8s,whatsapp:20s".to_owned();
    assert_eq!(typed, (8080, "42".to_owned(), [45, 120, 3], (7, 4), (true, 3), workflow, Some(5)));
    assert_eq!(typed, texts);
}

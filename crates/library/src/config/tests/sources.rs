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
    assert_eq!(value, "(set, not shown)");
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
    let mut world = World::empty();
    let shows = |world: &World, value: &str, origin: &str| {
        assert_eq!(world.shows("log-level"), (format!("{value:?}"), origin.to_owned()));
    };
    shows(&world, "info", "the default");
    world = world.file("config.json", r#"{"log-level": "error"}"#);
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

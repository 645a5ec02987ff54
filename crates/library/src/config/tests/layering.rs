//! The precedence of sources.

use crate::template::Wording;
use std::time::Duration;

use tracing::Level;

use super::*;
use crate::config::{AnswerSet, Bounds, ListenAddress, LogFormat};

#[test]
fn with_no_source_at_all_the_defaults_of_the_contract_hold() {
    let settings = World::empty().settings();
    assert_eq!(settings.listen, ListenAddress { host: "localhost".to_owned(), port: 3000 });
    assert!(!settings.production);
    assert_eq!(settings.log.level, Level::INFO);
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.policy.code.life, Duration::from_secs(30));
    assert_eq!(settings.policy.code.length.get(), 6);
    assert_eq!(settings.policy.max_attempts, 5);
    assert_eq!(settings.policy.lockout_time(), Duration::from_secs(30 * 60));
    assert_eq!(settings.answers, AnswerSet::Documented);
    assert_eq!(settings.templates.text(&Wording::Api), "onceward: your code is {code}.");
    assert_eq!(
        settings.templates.text(&Wording::Tutorial),
        "Hello from onceward! Your verification code is: {code}"
    );
    assert!(settings.gateways.has_simulator());
    assert_eq!(settings.storage.default_region, None);
    assert_eq!(settings.storage.server_key_file, None);
    assert_eq!(settings.bounds, Bounds::default());
    assert_eq!(settings.shards, 2);
    assert_eq!(World::empty().warnings(), Vec::<String>::new());
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
fn every_source_beats_those_below_it() {
    let world = World::with_config(r#"{"log-level": "error"}"#);
    assert_eq!(world.settings().log.level, Level::ERROR);
    let world = world.file(".env", "ONCEWARD_LOG_LEVEL=warn");
    assert_eq!(world.settings().log.level, Level::WARN);
    let world = world.variable("ONCEWARD_LOG_LEVEL", "debug");
    assert_eq!(world.settings().log.level, Level::DEBUG);
    let world = world.flags(Overrides { log_level: Some("trace".to_owned()), ..Overrides::default() });
    assert_eq!(world.settings().log.level, Level::TRACE);
}

#[test]
fn every_value_says_where_it_came_from() {
    let world = World::with_config(r#"{"otp-length": 8, "otp-max-trials": "7"}"#)
        .file(".env", "ONCEWARD_OTP_TIMEOUT=2m")
        .variable("ONCEWARD_BRAND", "Acme")
        .flags(Overrides { data_dir: Some("d".to_owned()), ..Overrides::default() });
    let file = world.path("config.json").display().to_string();
    for (key, value, origin) in [
        ("otp-length", "8", format!("{file}, key \"otp-length\"")),
        ("otp-max-attempts", "7", format!("{file}, key \"otp-max-trials\"")),
        ("otp-timeout", "\"2m\"", ".env, ONCEWARD_OTP_TIMEOUT".to_owned()),
        ("brand", "\"Acme\"", "the environment, ONCEWARD_BRAND".to_owned()),
        ("data-dir", "\"d\"", "the command line, --data-dir".to_owned()),
        ("otp-lock-timeout", "\"30m\"", "the default".to_owned()),
        (
            "key-file",
            "(not set)",
            "the default: server.key in data-dir, created at the first start".to_owned(),
        ),
    ] {
        assert_eq!(world.shows(key), (value.to_owned(), origin), "{key}");
    }
}

#[test]
fn a_variable_of_the_process_hides_one_of_the_file_even_when_it_is_empty() {
    let world = World::empty().file(".env", "ONCEWARD_OTP_LENGTH=8").variable("ONCEWARD_OTP_LENGTH", "");
    assert_eq!(world.settings().policy.code.length.get(), 6);
    let world = world.file("config.json", r#"{"otp-length": 9}"#);
    assert_eq!(world.settings().policy.code.length.get(), 9, "an empty one counts as not given");
}

#[test]
fn a_named_file_is_read_instead_of_the_usual_one() {
    let mut world = World::with_config(r#"{"otp-length": 8}"#).file("other.json", r#"{"otp-length": 9}"#);
    world.sources.config_file = Some(PathBuf::from("other.json"));
    assert_eq!(world.settings().policy.code.length.get(), 9);
    world.sources.config_file = Some(world.path("other.json"));
    assert_eq!(world.settings().policy.code.length.get(), 9);
}

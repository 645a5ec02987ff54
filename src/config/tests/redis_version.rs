//! An unchanged configuration of the Redis version.

use secrecy::ExposeSecret as _;

use crate::template::Wording;
use std::time::Duration;

use tracing::Level;

use super::*;
use crate::config::ListenAddress;
use crate::gateway::TwilioSender;

/// There, every value is a string.
const CONFIG: &str = r#"{
    "service_name": "otp-service",
    "test-hostname": "localhost",
    "test-port": "3000",
    "production": "false",
    "prod-domain": "",
    "log-level": "debug",
    "otp-timeout": "30",
    "otp-max-trials": "5",
    "otp-lock-timeout": "30",
    "redis-db-address": "localhost:6379"
}"#;

const ENV: &str = "\
REDIS_DB_PASSWORD=
TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef
TWILIO_AUTHTOKEN=0f1e2d3c4b5a69788796a5b4c3d2e1f0
TWILIO_SERVICES_ID=VA0123456789abcdef0123456789abcdef
TWILIO_PHONE_NUMBER=+14155552671
";

#[test]
fn its_files_start_unchanged() {
    let world = World::with_config(CONFIG).file(".env", ENV);
    let settings = world.settings();
    assert_eq!(settings.listen, ListenAddress { host: "localhost".to_owned(), port: 3000 });
    assert!(!settings.production);
    assert_eq!(settings.log.level, Level::DEBUG);
    assert_eq!(settings.policy.code.life, Duration::from_secs(30));
    assert_eq!(settings.policy.max_attempts, 5);
    assert_eq!(settings.policy.lockout_time(), Duration::from_secs(1_800));
    assert_eq!(settings.brand, "otp-service");
    assert_eq!(settings.templates.text(&Wording::Api), "OTP message is {code}");
    let twilio = world.twilio();
    assert_eq!(twilio.account.account_sid, ACCOUNT);
    assert_eq!(twilio.account.auth_token.expose_secret(), TOKEN);
    assert_eq!(twilio.sender, TwilioSender::Number("+14155552671".to_owned()));
}

#[test]
fn its_text_stays_unless_another_is_given_or_its_keys_are_removed() {
    let text = |world: &World| world.settings().templates.text(&Wording::Api).to_owned();
    let world = World::with_config(CONFIG);
    let (value, origin) = world.shows("otp-message");
    assert_eq!(value, r#""OTP message is {code}""#);
    says(&origin, &["redis-db-address", "config.json"]);
    let given = world.variable("ONCEWARD_OTP_MESSAGE", "{brand} code: {code}");
    assert_eq!(text(&given), "otp-service code: {code}");
    let removed = CONFIG.replace("\"redis-db-address\": \"localhost:6379\"", "\"brand\": \"Acme\"");
    let removed = World::with_config(&removed);
    assert_eq!(text(&removed), "Acme: your code is {code}.", "its codes live 30 s");
}

#[test]
fn everything_about_redis_is_ignored_with_one_warning() {
    let config = CONFIG.replace("\"service_name\"", "\"REDIS_DB_PASSWORD\": \"hunter2\", \"service_name\"");
    let world = World::with_config(&config)
        .file(".env", "REDIS_DB_PASSWORD=hunter3")
        .variable("REDIS_URL", "redis://:hunter4@localhost:6379");
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    says(&warnings[0], &["REDIS_DB_PASSWORD", "REDIS_URL", "redis-db-address", "ignored"]);
    assert!(!warnings[0].contains("hunter"));
}

#[test]
fn its_production_setting_needs_only_the_line_that_the_error_names() {
    let config = CONFIG
        .replace("\"false\"", "\"true\"")
        .replace("\"prod-domain\": \"\"", "\"prod-domain\": \":8080\"");
    let world = World::with_config(&config).file(".env", ENV);
    says(&world.unless_keys(), &["\"allow-unauthenticated\": true"]);
    let mended = config.replace("\"service_name\"", "\"allow-unauthenticated\": true, \"service_name\"");
    let world = world.file("config.json", &mended);
    assert_eq!(world.settings().listen, ListenAddress { host: String::new(), port: 8080 });
    assert!(world.settings().registry.unless_keys.is_none());
    assert!(world.settings().production);
}

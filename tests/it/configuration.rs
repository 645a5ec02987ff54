//! Files and outputs of commands: what cannot be written is said, nothing of others is removed, and the files of the Redis
//! version start unchanged.

use std::fs::OpenOptions;
use std::process::Command;

use crate::support::prelude::*;

#[tokio::test]
async fn a_secret_that_cannot_be_printed_is_an_error() {
    let said = fails_to_print(&Setup::bare(), &["keys", "create"]);
    assert!(said.contains("No space left on device"), "{said}");
}

/// The error of a command that cannot write its output.
fn fails_to_print(setup: &Setup, arguments: &[&str]) -> String {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut command = Command::new(env!("CARGO_BIN_EXE_onceward"));
    command.args(arguments).current_dir(setup.home()).env_clear().stdout(full);
    let ran = command.output().expect("the program");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(70), "{said}");
    said
}

/// Spelled as the Redis version spells it: every value is a string. Only the port differs, because tests share a
/// machine.
const CONFIG: &str = r#"{
  "production": "false",
  "test-hostname": "localhost",
  "test-port": "0",
  "prod-domain": "",
  "service_name": "otp-service",
  "log-level": "debug",
  "redis-db-address": "localhost:6379",
  "REDIS_DB_PASSWORD": "the-password-of-Redis",
  "otp-timeout": "30",
  "otp-max-attempts": "3",
  "otp-lock-timeout": "30"
}
"#;

#[tokio::test]
async fn a_config_json_and_a_dot_env_of_the_redis_version_start_unchanged() {
    let twilio = Twilio::start().await;
    let variables = format!(
        "TWILIO_ACCOUNT_SID={ACCOUNT_SID}\nTWILIO_AUTHTOKEN={AUTH_TOKEN}\nTWILIO_PHONE_NUMBER={SENDER}\n\
         TWILIO_SERVICES_ID=VA0123456789abcdef0123456789abcdef\nREDIS_DB_PASSWORD=another-password-of-Redis\n"
    );
    let server = Setup::bare()
        .file("config.json", CONFIG)
        .file(".env", variables)
        .env("TWILIO_BASE_URL", twilio.base_url())
        .args(["--log-format", "json"])
        .start()
        .await;

    let number = Numbers::default().next();
    server.client.send(&number).await.expects(sent(&number, 3));
    let code = twilio.code_for(&number);
    let received = twilio.received_for(&number);
    assert_eq!(received[0].field("Body"), format!("OTP message is {code}"));
    let seconds: u64 = received[0].field("ValidityPeriod").parse().expect("seconds");
    assert!(Duration::from_secs(seconds) <= Duration::from_secs(30));

    for trials in [2, 1] {
        server.client.verify(&number, &wrong(&code)).await.expects(incorrect(&number, trials));
    }
    server.client.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));

    server.event("Redis is ignored", |event| event.to_string().to_lowercase().contains("redis")).await;
    assert!(!server.output().text().contains("password-of-Redis"));
}

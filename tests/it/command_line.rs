//! Settings from the command line, the environment, `.env` and `config.json`, and the messages about wrong ones.

use serde_json::json;

use crate::support::documented::sent;
use crate::support::{ACCOUNT_SID, AUTH_TOKEN, Finished, Numbers, SENDER, Setup, Twilio, World};

/// `EX_USAGE` of sysexits.
const WRONG_SETTINGS: Option<i32> = Some(64);

#[tokio::test]
async fn check_says_that_good_settings_are_good_and_exits() {
    let finished = Setup::bare().config("otp-timeout", "5m").args(["--check"]).run().await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    assert!(!finished.output.contains("listening"));
}

#[tokio::test]
async fn check_makes_no_data_directory() {
    let setup = Setup::bare().args(["--check"]);
    assert_eq!(setup.run().await.status.code(), Some(0));
    assert!(!setup.data_dir().exists());
}

#[tokio::test]
async fn all_wrong_values_are_named_at_once_with_origin_and_accepted_values() {
    let setup = Setup::new()
        .config("otp-timeout", "soon")
        .config("otp-max-attempts", 0)
        .config("redis-version-answers", "both")
        .env("ONCEWARD_OTP_LENGTH", "99");
    for setup in [setup.clone(), setup.args(["--check"])] {
        let finished = setup.run().await;
        assert_eq!(finished.status.code(), WRONG_SETTINGS, "{}", finished.output);
        names(&finished, &["otp-timeout", "soon", "config.json"]);
        names(&finished, &["otp-max-attempts", "0"]);
        names(&finished, &["redis-version-answers", "both", "documented", "as-built"]);
        names(&finished, &["otp-length", "99", "10", "ONCEWARD_OTP_LENGTH"]);
    }
}

#[tokio::test]
async fn a_command_whose_output_cannot_be_written_fails() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let home = tempfile::tempdir().expect("a directory");
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_onceward"))
        .arg("--print-config")
        .current_dir(home.path())
        .env_clear()
        .stdout(full)
        .output()
        .expect("the program");
    assert_eq!(ran.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("could not be written"), "{ran:?}");
}

#[tokio::test]
async fn a_key_whose_secret_could_not_be_written_is_named_to_be_revoked() {
    let home = tempfile::tempdir().expect("a directory");
    let keys = |arguments: &[&str], stdout: std::process::Stdio| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_onceward"));
        command.arg("keys").args(arguments).current_dir(home.path()).env_clear().stdout(stdout);
        command.output().expect("the program")
    };
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into();
    let ran = keys(&["create"], full());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(70), "{said}");
    let revoke = said.split('`').nth(1).expect("a command").strip_prefix("onceward keys ").expect("for keys");
    let revoked = keys(&revoke.split(' ').collect::<Vec<_>>(), std::process::Stdio::piped());
    assert!(String::from_utf8_lossy(&revoked.stdout).contains("is refused since"), "{revoked:?}");

    let ran = keys(&["root", "--new"], full());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.code() == Some(70) && said.contains("the new one is in"), "{said}");
}

#[tokio::test]
async fn an_export_removes_no_file_of_others_from_the_data_directory() {
    let (world, _) = World::of(Setup::new()).await.restart().await;
    let theirs = world.setup.data_dir().join("copy.tmp");
    std::fs::write(&theirs, "theirs").expect("a file");
    let export = world.setup.command(["export", "--out", "all.jsonl"]).await;
    assert_eq!(export.status.code(), Some(0), "{}", export.output);
    assert_eq!(std::fs::read_to_string(&theirs).expect("the file is still there"), "theirs");
}

#[tokio::test]
async fn a_config_file_that_is_not_json_stops_the_start_and_says_where() {
    let finished = Setup::bare().file("config.json", "{\n  \"otp-timeout\": 30,\n  oops\n}").run().await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    names(&finished, &["config.json", "3"]);
}

#[tokio::test]
async fn a_named_config_file_must_be_there() {
    let finished = Setup::bare().args(["--config", "elsewhere.json"]).run().await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    names(&finished, &["elsewhere.json"]);
}

#[tokio::test]
async fn an_unknown_argument_is_a_configuration_error() {
    let finished = Setup::bare().args(["--lisen", "127.0.0.1:0"]).run().await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    names(&finished, &["--lisen"]);
}

#[tokio::test]
async fn an_unknown_key_gets_a_warning_with_the_nearest_one() {
    let server = Setup::new().config("otp-max-atempts", 3).start().await;
    let warning = server.output().event(|event| {
        let text = event.to_string();
        event["level"] == "WARN" && text.contains("otp-max-atempts") && text.contains("otp-max-attempts")
    });
    assert!(crate::support::soon("the warning", warning).await.is_some());
}

#[tokio::test]
async fn strict_stops_the_start_at_an_unknown_key() {
    let setup = Setup::bare().config("otp-max-atempts", 3);
    assert_eq!(setup.command(["--check"]).await.status.code(), Some(0));
    for arguments in [&["--check", "--strict"][..], &["--strict"], &["serve", "--strict"]] {
        let finished = setup.command(arguments.iter().copied()).await;
        assert_eq!(finished.status.code(), WRONG_SETTINGS, "{}", finished.output);
        names(&finished, &["config.json", "otp-max-atempts", "did you mean \"otp-max-attempts\"?"]);
    }
}

#[tokio::test]
async fn serve_does_what_the_program_does_without_a_command() {
    let server =
        Setup::bare().args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]).start().await;
    assert_eq!(server.client.get("/healthz").await.status(), 200);
    let setup = Setup::bare().config("otp-timeout", "5m");
    let [before, after] =
        [setup.command(["--print-config"]).await, setup.command(["serve", "--print-config"]).await];
    assert_eq!(before.output, after.output);
}

#[tokio::test]
async fn settings_come_from_command_line_environment_file_default_in_that_order() {
    let setup =
        Setup::new().config("otp-length", 7).config("otp-max-attempts", 7).env("ONCEWARD_OTP_LENGTH", "8");
    let world = World::of(setup.clone()).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 7));
    assert_eq!(world.twilio.code_for(&number).len(), 8);

    // The default arguments say `--log-format json`; the environment does not change that.
    let server = Setup::new().env("ONCEWARD_LOG_FORMAT", "text").start().await;
    assert!(!server.output().events().is_empty());
}

#[tokio::test]
async fn a_dot_env_file_counts_as_environment() {
    let twilio = Twilio::start().await;
    let variables = format!(
        "# Secrets\nTWILIO_ACCOUNT_SID={ACCOUNT_SID}\nexport TWILIO_AUTH_TOKEN=\"{AUTH_TOKEN}\"\n\
         TWILIO_PHONE_NUMBER='{SENDER}'\nTWILIO_BASE_URL={}\nONCEWARD_OTP_LENGTH=9\n",
        twilio.base_url()
    );
    let server = Setup::new().file(".env", variables).start().await;
    let number = Numbers::default().next();
    server.client.send(&number).await.expects(sent(&number, 5));
    assert_eq!(twilio.code_for(&number).len(), 9);
}

#[tokio::test]
async fn a_secret_can_come_from_a_file() {
    let twilio = Twilio::start().await;
    let setup = Setup::new()
        .file("token", format!("{AUTH_TOKEN}\n"))
        .env("TWILIO_ACCOUNT_SID", ACCOUNT_SID)
        .env("TWILIO_AUTH_TOKEN_FILE", "token")
        .env("TWILIO_PHONE_NUMBER", SENDER)
        .env("TWILIO_BASE_URL", twilio.base_url());
    let server = setup.start().await;
    let number = Numbers::default().next();
    server.client.send(&number).await.expects(sent(&number, 5));
    assert!(twilio.received()[0].authorization.starts_with("Basic "));
}

#[tokio::test]
async fn half_of_the_credentials_stop_the_start() {
    let finished = Setup::new().env("TWILIO_ACCOUNT_SID", ACCOUNT_SID).run().await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    names(&finished, &["TWILIO_AUTH_TOKEN"]);
}

#[tokio::test]
async fn an_address_that_is_not_loopback_needs_permission() {
    let setup = Setup::bare()
        .args(["--listen", "0.0.0.0:0", "--log-format", "json"])
        .config("simulator-in-production", true);
    let finished = setup.run().await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    names(&finished, &["0.0.0.0", "allow-unauthenticated", "onceward keys create"]);

    let server = setup.config("allow-unauthenticated", true).start().await;
    assert_eq!(server.client.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn production_refuses_the_simulator_unless_told_so() {
    let setup = Setup::new().config("production", true).config("prod-domain", "127.0.0.1:0");
    let finished = setup.run().await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    names(&finished, &["simulator", "production", "TWILIO_ACCOUNT_SID"]);

    let setup = setup.config("simulator-in-production", true).config("allow-unauthenticated", true);
    let server = setup.start().await;
    assert_eq!(server.client.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn the_tutorials_host_and_port_are_read() {
    let setup = Setup::bare()
        .env("HOST", "http://localhost")
        .env("PORT", "0")
        .env("REDIS_URL", "redis://localhost:6379")
        .args(["--log-format", "json"]);
    let server = setup.start().await;
    assert_eq!(server.client.get("/healthz").await.status(), 200);
    assert!(server.output().text().contains("REDIS_URL"), "one line about what is ignored");
}

#[tokio::test]
async fn message_and_brand_are_templates() {
    let setup =
        Setup::new().config("otp-message", "{brand}: _CODE_ is your code").config("brand", "Ada & Co");
    let world = World::of(setup).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    let received = world.twilio.received_for(&number);
    assert_eq!(
        received[0].field("Body"),
        format!("Ada & Co: {} is your code", world.twilio.code_for(&number))
    );

    let finished = Setup::new().config("otp-message", "no place for it").run().await;
    assert_eq!(finished.status.code(), WRONG_SETTINGS);
    names(&finished, &["otp-message", "{code}"]);
}

#[tokio::test]
async fn every_code_length_works() {
    for length in 4..=10 {
        let world = World::with([("otp-length", json!(length))]).await;
        let (number, code) = world.number_with_code().await;
        assert_eq!(code.len(), length);
        assert_eq!(world.verify(&number, &code).await.status(), 200);
    }
}

/// Asserts that one line or entry of the output has all of these words.
#[track_caller]
fn names(finished: &Finished, words: &[&str]) {
    for word in words {
        assert!(finished.output.contains(word), "{word:?} is missing in:\n{}", finished.output);
    }
}

//! Settings from the command line, the environment, `.env` and `config.json`, and the messages about wrong ones.

use crate::support::documented::sent;
use crate::support::{Setup, World};

#[tokio::test]
async fn check_makes_no_data_directory() {
    let setup = Setup::bare().args(["--check"]);
    assert_eq!(setup.run().await.status.code(), Some(0));
    assert!(!setup.data_dir().exists());
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
    world.setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    assert_eq!(std::fs::read_to_string(&theirs).expect("the file is still there"), "theirs");
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

//! Settings from the command line, the environment, `.env` and `config.json`, and the messages about wrong ones.

use std::fs::OpenOptions;
use std::process::Command;

use crate::support::documented::sent;
use crate::support::{Says, Setup, World};

#[tokio::test]
async fn check_makes_no_data_directory() {
    let setup = Setup::bare();
    setup.command(["--check"]).await.exits(0);
    assert!(!setup.data_dir().exists());
}

#[tokio::test]
async fn a_command_whose_output_cannot_be_written_fails() {
    let said = fails_to_print(&Setup::bare(), &["--print-config"]);
    assert!(said.contains("could not be written"), "{said}");
}

#[tokio::test]
async fn a_key_whose_secret_could_not_be_written_is_named_to_be_revoked() {
    let setup = Setup::bare();
    let said = fails_to_print(&setup, &["keys", "create"]);
    let revoke = said.split('`').nth(1).and_then(|command| command.strip_prefix("onceward "));
    let revoke = revoke.expect("a command").split(' ').map(str::to_owned);
    setup.command(revoke).await.says(["is refused since"]);
    let said = fails_to_print(&setup, &["keys", "root", "--new"]);
    assert!(said.contains("the new one is in"), "{said}");
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

#[tokio::test]
async fn an_export_removes_no_file_of_others_from_the_data_directory() {
    let (world, _) = World::of(Setup::new()).await.restart().await;
    let theirs = world.setup.data_dir().join("copy.tmp");
    std::fs::write(&theirs, "theirs").expect("a file");
    world.setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    assert_eq!(std::fs::read_to_string(&theirs).expect("the file is still there"), "theirs");
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

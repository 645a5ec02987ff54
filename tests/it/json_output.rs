//! `--json`: what each command prints on standard output, field by field as the manual has it.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use crate::support::prelude::*;

const MANUAL: &str = include_str!("../../docs/reference/cli.md");

/// Fields of what other pages describe.
const ATTEMPT: &str = "time, type, to, gateway, send_status, receipt_status, attempt";
const ITEM: &str = "type, service, subject, details";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_the_fields_that_the_manual_names() {
    let (world, _, _) = World::with_service(Setup::new()).await;
    let number = world.number();
    world.send(&number).await;
    world.verify(&number, &wrong(&world.twilio().code_for(&number))).await;
    let listed = async || world.setup.tracked(&[]).await;
    until("the message", listed, |rows| rows.len() == 1).await;
    let key = world.setup.new_key(&["--name", "program"]).await;
    let key = text(&key, "sid");

    let mut shown = BTreeSet::new();
    for (command, elsewhere) in [
        ("doctor", ""),
        ("check-data", ""),
        ("tracker", ATTEMPT),
        ("gateways try TwilioMessages NUMBER --yes --wait 0", ATTEMPT),
        ("status NUMBER", ""),
        ("status +14155550100", ""),
        ("unlock NUMBER", ""),
        ("audit", "date_created, action, actor"),
        ("keys list", ""),
        ("keys create", ""),
        ("keys revoke KEY", ""),
        ("gateways", ""),
        ("gateways results", ""),
        ("export --out all.jsonl", ""),
        ("health", "message"),
        ("cluster release", ""),
        ("guard explain NUMBER", "service, refused, rule"),
        ("guard allow NUMBER", ITEM),
        ("guard block TJ", ITEM),
        ("guard known-only on", ITEM),
        ("guard list", ITEM),
        ("guard remove TJ", ""),
        ("erase NUMBER", ""),
    ] {
        let command = command.replace("NUMBER", &number).replace("KEY", key);
        shown.insert(prints(&world.setup, &command, elsewhere));
    }
    let (setup, server) = (world.setup.clone(), world.server);
    server.stop().await;
    for command in ["check-data", "keys list", "import all.jsonl --data-dir other --key-file data/server.key"]
    {
        shown.insert(prints(&setup, command, ""));
    }
    let bare = Setup::bare();
    bare.new_key(&[]).await;
    shown.insert(prints(&bare, "keys root --new", ""));

    let commands = MANUAL.lines().filter_map(|line| line.strip_prefix("* `")?.split('`').next());
    let is_answered = |command: &&str| !["serve", "openapi", "--check", "--print-config"].contains(command);
    let missing: Vec<&str> =
        commands.filter(is_answered).filter(|command| !shown.contains(*command)).collect();
    assert_eq!(missing, [""; 0], "commands without JSON");
}

/// Runs the program with `--json`, on the setup's data directory unless the command names another one.
fn onceward(setup: &Setup, command: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_onceward"));
    program.args(["--data-dir", "data", "--json"]).args(command.split(' '));
    program.current_dir(setup.home()).env_clear().output().expect("the program")
}

/// Asserts that a command prints its fields, some of which are given if the manual has them elsewhere. Returns the name of
/// the command in the manual.
#[track_caller]
fn prints(setup: &Setup, command: &str, elsewhere: &str) -> String {
    let ran = onceward(setup, command);
    let out = String::from_utf8(ran.stdout).expect("UTF-8");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{command}: {out}{said}");
    assert!(said.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{command}: {said}");
    let (name, is_list, fields) = documented(command).unwrap_or_else(|| panic!("no {command} in the manual"));
    let objects: Vec<Value> = out.lines().map(parsed).collect();
    assert!(if is_list { !objects.is_empty() } else { objects.len() == 1 }, "{command}: {out}");
    let fields = if elsewhere.is_empty() { fields.as_str() } else { elsewhere };
    let (optional, always): (Vec<&str>, Vec<&str>) =
        fields.split(", ").partition(|field| field.starts_with('('));
    for object in objects {
        let names: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
        assert!(always.iter().all(|name| names.contains(name)), "{command}: {object} lacks one of {fields}");
        let is_known = |name: &&str| always.contains(name) || optional.contains(&&*format!("({name})"));
        assert!(!elsewhere.is_empty() || names.iter().all(is_known), "{command}: {object}, {fields}");
    }
    name
}

/// The name of a command in the manual, whether its output is a list, and its fields.
fn documented(command: &str) -> Option<(String, bool, String)> {
    let (_, section) = MANUAL.split_once("\n## JSON\n")?;
    let list = section.split("\n\n").find_map(|block| block.strip_prefix("* "))?;
    let items = list.split("\n* ").filter_map(|item| {
        let item = item.split_whitespace().collect::<Vec<_>>().join(" ");
        let (commands, fields) = item.split_once(": ")?;
        let mut names = commands.split('`').skip(1).step_by(2);
        let name = names.find(|name| format!("{command} ").starts_with(&format!("{name} ")))?;
        Some((name.to_owned(), commands.contains(&format!("`{name}`, a list")), fields.to_owned()))
    });
    // `gateways try`, not `gateways`.
    items.max_by_key(|(name, ..)| name.len())
}

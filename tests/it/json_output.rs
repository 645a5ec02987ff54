//! `--json`: what each command prints on standard output, field by field as the manual has it.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use crate::support::prelude::*;

const MANUAL: &str = include_str!("../../docs/reference/cli.md");

/// Fields of what other pages describe.
const ATTEMPT: &str = "time, type, to, gateway, send_status, receipt_status, attempt";
const ITEM: &str = "type, service, subject, details";

/// Of each command its item in the manual, its arguments, and some of its fields if the item has none.
type Case<'a> = (&'a str, Vec<&'a str>, Option<&'a str>);

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_the_fields_that_the_manual_names() {
    let (world, _, _) = World::with_service(Setup::new()).await;
    let number = world.number();
    world.send(&number).await;
    let listed = async || world.setup.tracked(&[]).await;
    until("the message", listed, |rows| rows.len() == 1).await;
    let sent = onceward(&world.setup, &["tracker"]);
    std::fs::write(world.setup.home().join("sent.jsonl"), sent.stdout).expect("a file");
    let key = world.setup.new_key(&["--name", "program"]).await;
    let key = text(&key, "sid");

    let on_the_server: Vec<Case<'_>> = vec![
        ("doctor", vec!["doctor"], None),
        ("check-data", vec!["check-data"], None),
        ("tracker", vec!["tracker"], Some(ATTEMPT)),
        (
            "gateways try",
            vec!["gateways", "try", "TwilioMessages", &number, "--yes", "--wait", "0"],
            Some(ATTEMPT),
        ),
        ("status", vec!["status", &number], None),
        ("status", vec!["status", "+14155550100"], None),
        ("unlock", vec!["unlock", &number], None),
        ("audit", vec!["audit"], Some("date_created, action, actor")),
        ("keys list", vec!["keys", "list"], None),
        ("keys create", vec!["keys", "create"], None),
        ("keys revoke", vec!["keys", "revoke", key], None),
        ("gateways", vec!["gateways"], None),
        ("gateways results", vec!["gateways", "results"], None),
        ("export", vec!["export", "--out", "all.jsonl"], None),
        ("health", vec!["health"], Some("message")),
        ("cluster release", vec!["cluster", "release"], None),
        ("guard explain", vec!["guard", "explain", &number], Some("service, refused, rule")),
        ("guard allow", vec!["guard", "allow", &number], Some(ITEM)),
        ("guard block", vec!["guard", "block", "TJ"], Some(ITEM)),
        ("guard known-only on", vec!["guard", "known-only", "on"], Some(ITEM)),
        ("guard list", vec!["guard", "list"], Some(ITEM)),
        ("guard remove", vec!["guard", "remove", "TJ"], None),
        ("erase", vec!["erase", &number], None),
    ];
    let mut shown = BTreeSet::new();
    for case in on_the_server {
        shown.insert(prints(&world.setup, &case));
    }
    let (setup, server) = (world.setup.clone(), world.server);
    let log = server.stop().await.json();
    for event in ["API key created", "API key revoked"] {
        assert!(log.iter().any(|line| line["message"] == event && line["key"] == key), "{event}");
    }
    for case in [
        ("check-data", vec!["check-data"], None),
        ("keys list", vec!["keys", "list"], None),
        ("import", vec!["import", "all.jsonl", "--data-dir", "other", "--key-file", "data/server.key"], None),
    ] {
        shown.insert(prints(&setup, &case));
    }
    let bare = Setup::bare();
    bare.new_key(&[]).await;
    shown.insert(prints(&bare, &("keys root", vec!["keys", "root", "--new"], None)));

    let commands = MANUAL.lines().filter_map(|line| line.strip_prefix("* `")?.split('`').next());
    let is_answered = |command: &&str| !["serve", "openapi", "--check", "--print-config"].contains(command);
    let missing: Vec<&str> =
        commands.filter(is_answered).filter(|command| !shown.contains(*command)).collect();
    assert_eq!(missing, [""; 0], "commands without JSON");
}

#[tokio::test]
async fn serve_has_no_answer_and_an_error_is_no_json() {
    let setup = Setup::bare();
    for (arguments, part) in
        [(&["serve"][..], "--log-format json"), (&["status", "+14155550100"], "control.sock")]
    {
        let ran = onceward(&setup, arguments);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && ran.stdout.is_empty(), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains(part), "{arguments:?}: {said}");
    }
    for described in ["openapi", "--print-schema"] {
        let ran = onceward(&setup, &[described]);
        let is_json = serde_json::from_slice::<Value>(&ran.stdout).is_ok();
        assert!(ran.status.success() && is_json, "{described}");
    }
}

/// Runs the program with `--json`, on the setup's data directory unless the arguments name another one.
fn onceward(setup: &Setup, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onceward"));
    command.args(["--data-dir", "data", "--json"]).args(arguments).current_dir(setup.home()).env_clear();
    command.output().expect("the program")
}

/// Asserts that a command prints its fields, and returns its item in the manual.
#[track_caller]
fn prints(setup: &Setup, (row, arguments, elsewhere): &Case<'_>) -> String {
    let ran = onceward(setup, arguments);
    let out = String::from_utf8(ran.stdout).expect("UTF-8");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{arguments:?}: {out}{said}");
    assert!(said.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{arguments:?}: {said}");
    let (is_list, documented) = documented(row).unwrap_or_else(|| panic!("{row} has no row in the manual"));
    let object = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {line}"))
    };
    let objects: Vec<Value> = out.lines().map(object).collect();
    assert!(if is_list { !objects.is_empty() } else { objects.len() == 1 }, "{arguments:?}: {out}");
    let fields = elsewhere.unwrap_or(&documented).split(", ");
    let (optional, always): (Vec<&str>, Vec<&str>) = fields.partition(|field| field.starts_with('('));
    for object in objects {
        let names: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
        let missing = always.iter().filter(|name| !names.contains(name));
        assert_eq!(missing.collect::<Vec<_>>(), [&""; 0], "{arguments:?}: {object}");
        let is_unknown = |name: &&&str| {
            elsewhere.is_none() && !always.contains(name) && !optional.contains(&format!("({name})").as_str())
        };
        assert_eq!(names.iter().filter(is_unknown).collect::<Vec<_>>(), [&""; 0], "{arguments:?}: {object}");
    }
    (*row).to_owned()
}

/// Whether the output of a command is a list, and its fields.
fn documented(row: &str) -> Option<(bool, String)> {
    let (_, section) = MANUAL.split_once("\n## JSON\n")?;
    let list = section.split("\n\n").find_map(|block| block.strip_prefix("* "))?;
    list.split("\n* ").find_map(|item| {
        let item = item.split_whitespace().collect::<Vec<_>>().join(" ");
        let (commands, fields) = item.split_once(": ")?;
        let names = commands.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        names.contains(&row).then(|| (commands.contains(&format!("`{row}`, a list")), fields.to_owned()))
    })
}

//! Calls of the program: arguments in, text and an exit code out.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;

#[test]
fn without_arguments_it_serves() {
    let ran = World::empty().runs(&[""; 0]);
    assert_eq!((ran.exit, ran.out.as_str(), ran.err.as_str()), (None, "", ""));
}

#[test]
fn the_options_of_serve_are_read_with_and_without_its_name() {
    for arguments in [
        &["--listen", "127.0.0.1:4", "--log-level", "debug"][..],
        &["serve", "--listen", "127.0.0.1:4", "--log-level", "debug"],
    ] {
        let settings = World::empty().runs(arguments).served.expect("a configuration").settings;
        assert_eq!(settings.listen.to_string(), "127.0.0.1:4", "{arguments:?}");
        assert_eq!(settings.log.level, tracing::Level::DEBUG, "{arguments:?}");
    }
    let world = World::empty();
    for option in ["--check", "--print-config", "--print-schema"] {
        let (before, after) = (world.runs(&[option]), world.runs(&["serve", option]));
        assert_eq!((before.exit, after.exit), (Some(0), Some(0)));
        assert_eq!(before.out, after.out);
    }
}

#[test]
fn strict_refuses_unknown_keys_and_variables() {
    let world = World::with_config(r#"{"otp_timeout": 3, "retries": {"oops": 1}}"#)
        .variable("ONCEWARD_LOGLEVEL", "debug");
    assert_eq!(world.runs(&["--check"]).exit, Some(0));
    for arguments in [&["--check", "--strict"][..], &["serve", "--strict"]] {
        let ran = world.runs(arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (Some(64), ""), "{arguments:?}");
        for part in [
            "config.json, key \"otp_timeout\": it is unknown; did you mean \"otp-timeout\"?",
            "key \"retries\": it is unknown",
            "the environment, ONCEWARD_LOGLEVEL: it is unknown; did you mean \"ONCEWARD_LOG_LEVEL\"?",
        ] {
            assert!(ran.err.contains(part), "no {part:?} in:\n{}", ran.err);
        }
    }
    let known = World::with_config(r#"{"otp-timeout": 3, "redis-db-address": "localhost:6379"}"#);
    assert_eq!(known.runs(&["--check", "--strict"]).exit, Some(0));
}

#[test]
fn the_manual_has_every_command() {
    const MANUAL: &str = include_str!("../../docs/reference/cli.md");
    let mut commands = vec![(String::new(), command())];
    while let Some((title, command)) = commands.pop() {
        let is_named = |line: &str| {
            let rest = line.strip_prefix("* `").and_then(|line| line.strip_prefix(&title));
            rest.is_some_and(|rest| rest.starts_with([' ', '`']))
        };
        assert!(command.has_subcommands() || MANUAL.lines().any(is_named), "{title} is not documented");
        commands.extend(command.get_subcommands().map(|below| {
            let path = if title.is_empty() { String::new() } else { format!("{title} ") };
            (path + below.get_name(), below.clone())
        }));
    }
}

#[test]
fn the_program_takes_every_command_of_the_documents() {
    use clap::error::ErrorKind::{
        DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, MissingRequiredArgument,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut documents, mut folders, mut found) = (vec![root.join("README.md")], vec![root.join("docs")], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() { &mut folders } else { &mut documents }.push(entry);
        }
    }
    for document in documents.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        for command in commands_in(&fs::read_to_string(document).expect("a document")) {
            let ends = |word: &&str| !word.starts_with(['>', '<', '|', '&']) && !word.starts_with("2>");
            let words = command.split_whitespace().take_while(ends).map(|word| word.trim_end_matches(')'));
            let refused = super::command().try_get_matches_from(words).err().filter(|error| {
                let names_no_subject = [DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument];
                !names_no_subject.contains(&error.kind()) && error.kind() != DisplayVersion
            });
            assert!(refused.is_none(), "{}: {command}: {}", document.display(), refused.expect("an error"));
            found += 1;
        }
    }
    assert!(found > 60, "{found}");
}

/// Those in blocks and code spans, with a word in place of each quoted text.
fn commands_in(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (place, part) in document.split("```").enumerate() {
        if place % 2 == 1 {
            found.extend(part.split(['\n', '(', ';']).flat_map(|line| line.split("-- ")).map(str::to_owned));
        } else {
            found.extend(part.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")));
        }
    }
    found.retain(|text| {
        let rest = text.trim_start().strip_prefix("onceward ");
        rest.is_some_and(|rest| !rest.starts_with(['=', 'C']))
    });
    let unquoted = |text: String| {
        let parts = text.split('"').enumerate().map(|(i, part)| if i % 2 == 1 { "x" } else { part });
        parts.collect()
    };
    found.into_iter().map(unquoted).collect()
}

#[test]
fn the_help_lists_every_exit_code() {
    let (_, section) = args::MORE.split_once("Exit codes:\n").expect("a section");
    let (section, _) = section.split_once("\n\n").expect("a further section");
    let number = |line: &str| line.split_whitespace().next().and_then(|word| word.parse::<u8>().ok());
    let listed: Vec<u8> = section.lines().filter_map(number).collect();
    assert_eq!(listed, [0, 1, EXIT_CONFIGURATION, EXIT_DAMAGED, EXIT_FAILED, crate::server::EXIT_LEASE_LOST]);
}

#[test]
fn no_help_is_wider_than_a_terminal_of_80_columns() {
    let mut calls = vec![vec!["-h".to_owned()]];
    let mut commands = vec![(Vec::new(), command())];
    while let Some((path, command)) = commands.pop() {
        calls.push([&path[..], &["--help".to_owned()]].concat());
        let below =
            |below: &clap::Command| ([&path[..], &[below.get_name().to_owned()]].concat(), below.clone());
        commands.extend(command.get_subcommands().map(below));
    }
    for arguments in calls {
        let ran = World::empty().runs(&arguments);
        assert_eq!((ran.exit, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
        let wide: Vec<_> = ran.out.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, <[&str; 0]>::default(), "{arguments:?}");
    }
    // A longer line would be broken a second time, and a single word would have its own line.
    for (arguments, lines) in [(&["--help"][..], args::MORE.as_str()), (&["keys", "--help"], keys::MORE)] {
        let ran = World::empty().runs(arguments);
        assert!(ran.out.contains(lines), "{}", ran.out);
    }
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    for wrong in [&["--prot", "1"][..], &["serv"], &["--listen"], &["--check", "--print-config"]] {
        let ran = World::empty().runs(wrong);
        assert_eq!((ran.exit, ran.out.as_str()), (Some(64), ""), "{wrong:?}");
        assert!(ran.err.contains("error"), "{}", ran.err);
    }
}

#[test]
fn a_key_file_that_cannot_be_used_is_found_by_the_check() {
    let world = World::with_config(r#"{"key-file": "key"}"#);
    for contents in [None, Some("too short")] {
        if let Some(contents) = contents {
            std::fs::write(world.directory.path().join("key"), contents).expect("a file");
        }
        let ran = world.runs(&["--check"]);
        assert_eq!((ran.exit, ran.out.as_str()), (Some(64), ""));
        assert!(ran.err.contains("key"), "{}", ran.err);
    }
    std::fs::write(world.directory.path().join("key"), "0f".repeat(32)).expect("a file");
    assert_eq!(world.runs(&["--check"]).exit, Some(0));
}

#[test]
fn a_wrong_configuration_exits_with_64_and_prints_every_error() {
    let world = World::with_config(r#"{"otp-length": 3, "otp_timeout": 3, "max-numbers": "many"}"#);
    for arguments in [&[][..], &["--check"], &["--print-config"]] {
        let ran = world.runs(arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (Some(64), ""), "{arguments:?}");
        for part in ["2 errors", "otp-length = 3", "max-numbers = \"many\"", "warning", "otp-timeout"] {
            assert!(ran.err.contains(part), "no {part:?} in:\n{}", ran.err);
        }
    }
}

#[test]
fn print_config_shows_every_value_and_its_origin_and_no_secret() {
    let world = World::with_config(r#"{"otp-timeout": "5m"}"#)
        .variable("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef")
        .variable("TWILIO_AUTHTOKEN", "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
        .variable("TWILIO_PHONE_NUMBER", "+14155552671");
    let ran = world.runs(&["--print-config"]);
    assert_eq!((ran.exit, ran.err.as_str()), (Some(0), ""));
    let line =
        |key: &str| ran.out.lines().find(|line| line.split(' ').next() == Some(key)).unwrap_or_default();
    assert!(line("otp-timeout").contains("= \"5m\""), "{}", ran.out);
    assert!(line("otp-timeout").contains("config.json, key \"otp-timeout\""), "{}", ran.out);
    assert!(line("otp-length").contains("= 6") && line("otp-length").contains("the default"), "{}", ran.out);
    assert!(line("TWILIO_AUTH_TOKEN").contains("not shown"), "{}", ran.out);
    assert!(line("TWILIO_AUTH_TOKEN").contains("the environment, TWILIO_AUTHTOKEN"), "{}", ran.out);
    assert!(!ran.out.contains("0f1e2d3c") && !ran.out.contains("5552671"), "{}", ran.out);
}

#[test]
fn the_tracker_knows_its_options_and_what_they_may_be() {
    let help = World::empty().runs(&["tracker", "--help"]);
    assert_eq!((help.exit, help.err.as_str()), (Some(0), ""));
    for part in ["--number", "--status", "--limit", "--json", "--config", "--data-dir", "whole numbers"] {
        assert!(help.out.contains(part), "no {part:?} in:\n{}", help.out);
    }
    for (wrong, part) in [
        (&["tracker", "--status", "lost"][..], "unsendable"),
        (&["tracker", "--limit=-1"], "limit"),
        (&["tracker", "--limit=0"], "a whole number from 1"),
        (&["tracker", "--number", "unknown"], "--number unknown: not a phone number"),
        (&["tracker", "--number", "0171 1234567"], "E.164"),
        (&["tracker", "--check"], "--check"),
    ] {
        let ran = World::empty().runs(wrong);
        assert_eq!((ran.exit, ran.out.as_str()), (Some(64), ""), "{wrong:?}");
        assert!(ran.err.contains(part), "no {part:?} in:\n{}", ran.err);
    }
}

#[test]
fn an_option_of_the_server_before_another_command_is_refused() {
    let world = World::empty();
    for option in
        [&["--check"][..], &["--print-config"], &["--print-schema"], &["--strict"], &["--listen", ":1"]]
    {
        // The check of health knows an address too.
        let health: &[&str] = if option[0] == "--listen" { &["erase", "+1"] } else { &["health"] };
        for command in [&["keys", "create"][..], &["export"], health] {
            let ran = world.runs(&[option, command].concat());
            assert_eq!((ran.exit, ran.out.as_str()), (Some(64), ""), "{option:?} {command:?}");
            assert!(ran.err.contains(option[0]), "{}", ran.err);
        }
    }
    assert!(!world.directory.path().join("data").exists(), "a command ran");
}

#[test]
fn the_tracker_needs_no_credentials_and_only_the_data_dir_of_the_file() {
    let incomplete =
        World::with_config(r#"{"data-dir": "elsewhere", "otp-sms-provider": "Sinch", "otp-length": 99}"#)
            .variable("TWILIO_ACCOUNT_SID", "AC1")
            .variable("MADA_PASSWORD_FILE", "unreadable");
    assert_eq!(incomplete.runs(&["--check"]).exit, Some(64));
    let ran = incomplete.runs(&["tracker"]);
    assert_eq!(ran.exit, Some(70), "{}", ran.err);
    assert!(ran.err.contains("no server answers on") && ran.err.contains("elsewhere"), "{}", ran.err);

    let wrong = World::with_config(r#"{"default-region": "Atlantis"}"#).runs(&["tracker"]);
    assert_eq!(wrong.exit, Some(64));
    assert!(wrong.err.contains("Atlantis"), "{}", wrong.err);
    assert_eq!(World::with_config("{").runs(&["tracker"]).exit, Some(64));
}

#[test]
fn a_check_and_the_doctor_know_whether_the_data_holds_a_key() {
    let world = World::with_config(
        r#"{"production": true, "prod-domain": "127.0.0.1:3000", "simulator-in-production": true}"#,
    );
    let exposed = "the server starts only if the data directory holds an API key";
    let checked = world.runs(&["--check"]);
    assert!(checked.err.contains(exposed) && !checked.err.contains("1 error"), "{}", checked.err);
    assert!(world.runs(&["doctor"]).out.contains(&format!("warn  access: {exposed}")));

    let made = world.runs(&["keys", "create", "--json"]);
    let sid: serde_json::Value = serde_json::from_str(&made.out).expect("JSON");
    assert!(!world.runs(&["--check"]).err.contains(exposed));
    assert!(world.runs(&["doctor"]).out.contains("ok    access: callers need an API key, and there is one"));

    assert_eq!(world.runs(&["keys", "revoke", sid["sid"].as_str().expect("an id")]).exit, Some(0));
    assert!(world.runs(&["--check"]).err.contains(exposed), "a revoked key does not count");
}

#[test]
fn a_key_that_makes_a_data_directory_says_where() {
    let world = World::empty();
    let made = world.runs(&["keys", "create"]);
    let directory = world.directory.path().join("data");
    assert!(
        made.err.contains(&format!("created the data directory {}", directory.display())),
        "{}",
        made.err
    );
    assert_eq!(world.runs(&["keys", "create"]).err, "");
}

#[test]
fn a_server_key_in_the_place_of_its_file_is_refused_and_not_shown() {
    let key = "0f".repeat(32);
    let world = World::empty().variable("ONCEWARD_KEY_FILE", &key);
    for arguments in [&["--check"][..], &["--print-config"], &["check-data"], &["keys", "list"]] {
        let ran = world.runs(arguments);
        assert_eq!(ran.exit, Some(64), "{arguments:?}");
        assert!(ran.err.contains("it must be the path of a file") && !ran.err.contains(&key), "{}", ran.err);
    }
    let ran = World::empty().runs(&["import", "backup.jsonl", "--key-file", &key]);
    assert_eq!(ran.exit, Some(64));
    assert!(ran.err.contains("it must be the path of a file"), "{}", ran.err);
    assert!(!ran.err.contains(&key) && !ran.out.contains(&key), "{}", ran.err);
}

struct World {
    directory: TempDir,
    environment: BTreeMap<String, String>,
}

struct Ran {
    exit: Option<u8>,
    served: Option<Loaded>,
    out: String,
    err: String,
}

impl World {
    fn empty() -> Self {
        let directory = TempDir::new().expect("a directory");
        Self { directory, environment: BTreeMap::new() }
    }

    fn with_config(text: &str) -> Self {
        let world = Self::empty();
        std::fs::write(world.directory.path().join("config.json"), text).expect("a file");
        world
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn runs(&self, arguments: &[impl AsRef<str>]) -> Ran {
        let arguments = arguments.iter().map(|argument| OsString::from(argument.as_ref()));
        let arguments = std::iter::once(OsString::from("onceward")).chain(arguments);
        let sources = Sources {
            config_file: None,
            working_dir: self.directory.path().to_owned(),
            environment: self.environment.clone(),
            overrides: Overrides::default(),
            parallelism: 2,
        };
        match run(arguments, sources) {
            CommandOutcome::Output(CommandOutput { code, out, err, if_lost: _ }) => {
                Ran { exit: Some(code), served: None, out, err }
            }
            CommandOutcome::Serve(loaded) => {
                Ran { exit: None, served: Some(*loaded), out: String::new(), err: String::new() }
            }
        }
    }
}

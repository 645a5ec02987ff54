//! Calls of the program: arguments in, text and an exit code out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::error::EXIT_DAMAGED;
use super::*;
use crate::server::{EXIT_LEASE_LOST, EXIT_STORE_FAILED};

/// A case of `calls.txt` has a title, files and variables, and calls: the exit code, what is printed (`>`), what is not (`!`).
#[test]
fn every_call_prints_and_exits_as_expected() {
    for case in include_str!("calls.txt").trim_end().split("\n\n") {
        let (mut world, mut ran, mut printed) = (World::empty(), None, String::new());
        for line in case.lines() {
            let (mark, rest) = line.split_once(' ').expect("a mark");
            match mark {
                "#" => {}
                "file" => world.file(rest.split_once(' ').expect("a name and a text")),
                "set" => world
                    .variables
                    .extend(rest.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))),
                "$" => {
                    let call = world.runs(&rest.split(' ').skip(1).collect::<Vec<_>>());
                    printed = format!("{}{}", call.out, call.err)
                        .replace(&*world.directory.path().to_string_lossy(), "HOME");
                    ran = Some(call);
                }
                "=" => {
                    let Ran { exit, out, .. } = ran.as_ref().expect("a call");
                    let code = exit.map_or_else(|| "serves".to_owned(), |code| code.to_string());
                    let is_plain = code != "64" || out.is_empty() || out.starts_with('{');
                    assert!(code == rest && is_plain, "{case}\n{code}: {printed}");
                }
                ">" => assert!(printed.contains(rest), "no {rest:?} in {printed}\n{case}"),
                "!" => assert!(!printed.contains(rest), "{rest:?} in {printed}\n{case}"),
                other => panic!("{other} in {case}"),
            }
        }
    }
}

#[test]
fn the_manual_has_every_command() {
    const MANUAL: &str = include_str!("../../docs/reference/cli.md");
    for title in titles(&command(), "") {
        let is_named = [' ', '`'].iter().any(|end| MANUAL.contains(&format!("\n* `{title}{end}")));
        assert!(is_named, "{title} is not documented");
    }
}

/// The words that lead to each command below this one.
fn titles(command: &clap::Command, above: &str) -> Vec<String> {
    let below = command.get_subcommands().flat_map(|below| {
        let title = format!("{above} {}", below.get_name()).trim_start().to_owned();
        if below.has_subcommands() { titles(below, &title) } else { vec![title] }
    });
    below.collect()
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
    let (_, section) = MORE.split_once("Exit codes:\n").expect("a section");
    let (section, _) = section.split_once("\n\n").expect("a further section");
    let number = |line: &str| line.split_whitespace().next().and_then(|word| word.parse::<u8>().ok());
    let listed: Vec<u8> = section.lines().filter_map(number).collect();
    let of_a_store = [EXIT_STORE_FAILED, EXIT_LEASE_LOST];
    assert_eq!(listed, [&[0, 1, EXIT_CONFIGURATION, EXIT_DAMAGED, EXIT_FAILED][..], &of_a_store].concat());
}

struct World {
    directory: TempDir,
    variables: BTreeMap<String, String>,
}

struct Ran {
    /// `None` if it serves.
    exit: Option<u8>,
    out: String,
    err: String,
}

impl World {
    fn empty() -> Self {
        Self { directory: TempDir::new().expect("a directory"), variables: BTreeMap::new() }
    }

    fn file(&self, (name, text): (&str, &str)) {
        fs::write(self.directory.path().join(name), text).expect("a file");
    }

    fn runs(&self, arguments: &[impl AsRef<str>]) -> Ran {
        let arguments = arguments.iter().map(|argument| OsString::from(argument.as_ref()));
        let arguments = std::iter::once(OsString::from("onceward")).chain(arguments);
        let (working_dir, environment) = (self.directory.path().to_owned(), self.variables.clone());
        let sources = Sources { working_dir, environment, parallelism: 2, ..Sources::default() };
        match run(arguments, sources) {
            CommandOutcome::Output(CommandOutput { code, out, err }) => Ran { exit: Some(code), out, err },
            CommandOutcome::Serve(_) => Ran { exit: None, out: String::new(), err: String::new() },
        }
    }
}

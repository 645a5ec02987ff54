//! The documents name what exists, and what exists is named in the documents.

use super::{exists, expect_none, read, source_folders, text_files};

/// Folders whose paths the code map may name.
const MAPPED: &[&str] = &["src/", "tests/", "benches/", "examples/", "scripts/", "docs/", ".ci/"];

#[test]
fn the_code_map_names_every_folder_and_every_layer() {
    let map = code_map();
    let top_files =
        text_files("src", &[".rs"]).into_iter().map(|f| f.path).filter(|p| p.matches('/').count() == 1);
    let findings: Vec<String> = source_folders()
        .into_iter()
        .chain(top_files)
        .filter(|path| !map.contains(path))
        .map(|path| format!("ARCHITECTURE.md, Code map: `{path}` is missing"))
        .collect();
    expect_none(&findings, "say in one sentence what it decides, and what it is deliberately without.");
}

#[test]
fn the_code_map_names_nothing_that_is_gone() {
    let findings: Vec<String> = code_map().into_iter().filter(|path| !exists(path)).collect();
    expect_none(&findings, "mend the path in the code map of ARCHITECTURE.md, or take the entry out.");
}

#[test]
fn the_crate_documentation_names_every_module() {
    let library = read("src/lib.rs");
    let findings: Vec<String> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .filter(|module| !library.contains(&format!("[`{module}`]")))
        .map(|module| format!("src/lib.rs: the layout does not name [`{module}`]"))
        .collect();
    expect_none(&findings, "add it to the `# Layout` section at the top of src/lib.rs.");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for file in text_files("", &[".md"]) {
        for (line, target) in links(&file.text) {
            if let Some(problem) = broken(&file.path, &target) {
                findings.push(format!("{}:{line}: ({target}) {problem}", file.path));
            }
        }
    }
    expect_none(&findings, "mend the link, or write the document that it promises.");
}

#[test]
fn the_index_lists_every_document() {
    let listed: Vec<String> = links(&read("docs/README.md")).into_iter().map(|(_, target)| target).collect();
    let findings: Vec<String> = text_files("docs", &[".md"])
        .into_iter()
        .filter_map(|file| file.path.strip_prefix("docs/").map(str::to_owned))
        .filter(|path| path != "README.md" && !listed.contains(path))
        .map(|path| format!("docs/{path}"))
        .collect();
    expect_none(&findings, "add the document to docs/README.md, with a line that says what it answers.");
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut findings = Vec::new();
    for (index, file) in text_files("docs/decisions", &[".md"]).iter().enumerate() {
        let expected = format!("docs/decisions/{:04}-", index + 1);
        if !file.path.starts_with(&expected) {
            findings.push(format!("{} does not begin with {expected}", file.path));
        }
    }
    expect_none(
        &findings,
        "call it NNNN-title.md with the next free number; a decision is never renumbered.",
    );
}

#[test]
fn the_changelog_has_a_place_for_what_comes_next() {
    let version = manifest_value("version");
    let changelog = read("CHANGELOG.md");
    let headings = ["## [Unreleased]".to_owned(), format!("## [{version}]")];
    let missing = !changelog.lines().any(|line| headings.iter().any(|heading| line.starts_with(heading)));
    let findings: Vec<String> =
        missing.then(|| format!("CHANGELOG.md has neither {}", headings.join(" nor "))).into_iter().collect();
    expect_none(&findings, "add the section, and say in it what a user will notice.");
}

#[test]
fn the_readme_asks_for_the_rust_version_that_the_manifest_asks_for() {
    let wanted = format!("Rust {}", manifest_value("rust-version"));
    let findings: Vec<String> = ["README.md", "CONTRIBUTING.md"]
        .iter()
        .filter(|path| !read(path).contains(&wanted))
        .map(|path| format!("{path} does not say {wanted}"))
        .collect();
    expect_none(&findings, "write the version of Cargo.toml's rust-version into the document.");
}

#[test]
fn every_library_has_its_reason() {
    let reasons = read("docs/decisions/0001-architecture.md");
    let findings: Vec<String> = libraries()
        .into_iter()
        .filter(|name| !reasons.contains(&format!("`{name}`")))
        .map(|name| format!("docs/decisions/0001-architecture.md: `{name}` is missing"))
        .collect();
    expect_none(&findings, "add a line that says what it does that std or a library we have does not.");
}

/// What Cargo.toml depends on, for tests and benchmarks too.
fn libraries() -> Vec<String> {
    let mut in_dependencies = false;
    let mut names = Vec::new();
    for line in read("Cargo.toml").lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if let Some((name, _)) =
            line.split_once('=').filter(|_| in_dependencies && !line.starts_with('#'))
        {
            names.push(name.trim().to_owned());
        }
    }
    names
}

/// The paths that the code map names.
fn code_map() -> Vec<String> {
    let architecture = read("ARCHITECTURE.md");
    let after = architecture.split("\n## Code map\n").nth(1).unwrap_or_default();
    let section = after.split("\n## ").next().unwrap_or_default();
    let quoted = section.split('`').skip(1).step_by(2);
    quoted.filter(|name| MAPPED.iter().any(|folder| name.starts_with(folder))).map(str::to_owned).collect()
}

fn manifest_value(key: &str) -> String {
    let manifest = read("Cargo.toml");
    let prefix = format!("{key} = \"");
    let value = manifest.lines().find_map(|line| line.strip_prefix(&prefix)?.strip_suffix('"'));
    value.unwrap_or_else(|| panic!("Cargo.toml has no line {prefix}..\"")).to_owned()
}

/// The targets of a document's links, with their line numbers; code is not looked into.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let outside_code: String = line.split('`').step_by(2).collect();
        for after in outside_code.split("](").skip(1) {
            let target = after.split(')').next().unwrap_or_default();
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// The lines that are not in a fenced block, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fence && !fenced).then_some((index + 1, line))
    })
}

/// What is wrong with a link, if anything.
fn broken(from: &str, target: &str) -> Option<String> {
    let elsewhere = ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if elsewhere {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { from.to_owned() } else { resolved(from, path) };
    if !exists(&path) {
        return Some(format!("leads to {path}, which does not exist"));
    }
    let has_anchor = anchor.is_empty() || anchors(&read(&path)).iter().any(|a| a == anchor);
    (!has_anchor).then(|| format!("leads to no heading of {path}"))
}

/// A path as written in the document `from`, relative to the root.
fn resolved(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a document's headings, as code hosts make them: lower case, no punctuation,
/// hyphens for spaces.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_and_anchors_are_read_as_a_code_host_reads_them() {
    let text = "# A `b`, c!\n[x](y.md#z) and `[not](this)`\n```\n# no heading\n[no](link)\n```\n[w](#a-b-c)";
    let targets: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
    assert_eq!(targets, ["y.md#z", "#a-b-c"]);
    assert_eq!(anchors(text), ["a-b-c"]);
    assert_eq!(resolved("docs/decisions/0001-x.md", "../../README.md"), "README.md");
}

//! Checks that neither the compiler nor a linter makes: links between documents, the order of the server's modules, the
//! log lines of a document. Each failure says how to fix it.

use std::fs;
use std::path::Path;

/// The modules of the library and of the server from the bottom up, and in `http` its rooms, and files that are below
/// their room. A file uses only its own place and those before it. The compiler orders the crates.
const MODULES: &str = "clock config observe shard registry limits delivery webhook verification node otp \
    http/response http/error http/tls http/request http/values http/form http/admin/session \
    http/admin/lockouts http/hosted/captcha http/below http/app http/connection \
    http/call http/api/paging http/openapi \
    http/compatible http/health http/pages http/service http/api http/hooks http/hosted http/local http/admin http/routes \
    http/server http server cli";

#[test]
fn links_between_documents_lead_somewhere() {
    let (manifest, mut findings) = (read("Cargo.toml"), Vec::new());
    for file in text_files("", &[".md"]) {
        let is_for_users = file.path.starts_with("docs/") && !file.path.contains("/internals/");
        for (line, target) in links(&file.text) {
            let left_out = (is_for_users && !is_packaged(&manifest, &target))
                .then(|| "is no asset of the Debian package in Cargo.toml".to_owned());
            if let Some(problem) = broken(&file.path, &target).or(left_out) {
                findings.push(format!("{}:{line}: ({target}) {problem}", file.path));
            }
        }
    }
    expect_none(&findings, "correct the link, or add what it promises.");
}

/// Whether a reader of the package's documents has it beside them, if it is an example or a file of `dist`.
fn is_packaged(manifest: &str, target: &str) -> bool {
    let place = target.trim_start_matches("../");
    let folder = place.split('/').take(2).collect::<Vec<_>>().join("/");
    !place.starts_with("examples/") && !place.starts_with("dist/")
        || manifest.contains(&format!("[\"{folder}/*\", "))
}

#[test]
fn modules_use_only_modules_below_them() {
    let place = |path: &str| {
        let is_of = |place: &&str| path.strip_prefix(*place).is_some_and(|rest| !rest.starts_with(is_word));
        let places = MODULES.split_whitespace().enumerate().filter(|(_, place)| is_of(place));
        places.max_by_key(|(_, place)| place.len())
    };
    let mut findings = Vec::new();
    for (folder, file) in ["src", "crates/library/src"]
        .map(|folder| sources(folder).map(move |file| (folder, file)))
        .into_iter()
        .flatten()
    {
        let path = module_path(folder, &file.path);
        let Some((own, _)) = place(&path).filter(|(_, place)| *place != "http" || path == "http") else {
            if !path.is_empty() {
                findings.push(format!(
                    "{}: not in MODULES of tests/tidy.rs; add it behind what it uses",
                    file.path
                ));
            }
            continue;
        };
        let used = named(&path, &file.text).into_iter();
        let above = used.filter(|used| place(used).is_some_and(|(height, _)| height > own));
        findings.extend(above.map(|above| format!("{}: uses {above}", file.path)));
    }
    expect_none(&findings, "move the type to the lower module, or hand it in as a parameter or a trait.");
}

fn sources(folder: &str) -> impl Iterator<Item = TextFile> {
    text_files(folder, &[".rs"]).into_iter().filter(|file| !is_test(&file.path))
}

/// Such as `http/api/error`; empty for the root of the crate.
fn module_path(folder: &str, file: &str) -> String {
    let path = file.strip_prefix(folder).unwrap_or(file).trim_start_matches('/').trim_end_matches(".rs");
    let path = path.strip_suffix("mod").unwrap_or(path).trim_end_matches('/');
    if ["lib", "main"].contains(&path) { String::new() } else { path.to_owned() }
}

/// The items of its crate that a module names outside its tests, such as `http/api/error/Error`.
fn named(module: &str, text: &str) -> Vec<String> {
    let above = module.rsplit_once('/').map_or("", |(above, _)| above);
    let code =
        text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().replace("pub(in crate::", "");
    let code: String = code.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let mut named = Vec::new();
    for (from, begin) in [("crate::", ""), ("super::", above)] {
        for item in code.split(from).skip(1) {
            let (path, rest) =
                item.split_at(item.find(|c: char| !is_word(c) && c != ':').unwrap_or(item.len()));
            let group = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            let item = |name: &str| format!("{begin}/{path}{}", name.trim()).replace("::", "/");
            named.extend(group.split(',').map(|name| item(name).trim_start_matches('/').to_owned()));
        }
    }
    named
}

#[test]
fn the_log_lines_that_an_operator_looks_for_are_in_the_source() {
    let sources =
        ["src", "crates/library/src", "crates/cluster/src", "crates/gateway/src", "crates/store/src"]
            .map(|folder| text_files(folder, &[".rs"]));
    let sources = sources.iter().flatten().filter(|file| !is_test(&file.path));
    // Joins the lines of a broken literal.
    let joined = |text: &str| {
        let lines = text.lines().map(str::trim);
        lines.map(|line| line.strip_suffix('\\').unwrap_or(line)).collect::<String>().replace('`', "")
    };
    let sources: String = sources.map(|file| joined(&file.text)).collect();
    let (mut findings, mut lines) = (Vec::new(), 0);
    for (number, line) in prose(&read("docs/operate/monitoring.md")) {
        let levels = [" (error): ", " (warn): ", " (info): "];
        let Some((messages, _)) = levels.iter().find_map(|level| line.split_once(level)) else { continue };
        lines += 1;
        // A span with = is a field.
        for message in messages.split('`').skip(1).step_by(2).filter(|span| !span.contains('=')) {
            let constant =
                message.split("...").next().unwrap_or_default().trim_end_matches([' ', ':', ';', ',']);
            if !sources.contains(constant) {
                findings.push(format!("docs/operate/monitoring.md:{number}: {message}"));
            }
        }
    }
    expect_none(&findings, "write the message as the source has it.");
    assert!(lines > 10, "{lines} lines of the log in the document");
}

struct TextFile {
    /// Relative to the root of the repository, with `/`.
    path: String,
    text: String,
}

/// Every text file below `folder` (`""` for all) whose name ends in one of `endings`, in order.
fn text_files(folder: &str, endings: &[&str]) -> Vec<TextFile> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    paths.retain(|path| endings.iter().any(|ending| path.ends_with(ending)));
    paths.into_iter().map(|path| TextFile { text: read(&path), path }).collect()
}

/// Walks the directories and does not ask git: the rules hold for uncommitted files too.
fn collect(path: &Path, found: &mut Vec<String>) {
    let relative = path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/");
    if ["target", "data", ".git"].contains(&relative.as_str()) {
        return;
    }
    if path.is_file() {
        found.push(relative);
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        collect(&entry.path(), found);
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[track_caller]
fn expect_none(findings: &[String], what_to_do: &str) {
    assert!(findings.is_empty(), "\n  {}\n\nWhat to do: {what_to_do}\n", findings.join("\n  "));
}

/// The link targets of a document outside code, with their line numbers.
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

/// Why the link is broken, if it is.
fn broken(from: &str, target: &str) -> Option<String> {
    if ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = if path.is_empty() { from.to_owned() } else { format!("./{folder}/{path}") };
    if !root().join(&path).exists() {
        return Some(format!("leads to {path}, which does not exist"));
    }
    let has_anchor = anchor.is_empty() || anchors(&read(&path)).iter().any(|a| a == anchor);
    (!has_anchor).then(|| format!("leads to no heading of {path}"))
}

/// The anchors of a document's headings, as code hosts make them: lower case, no punctuation, hyphens for spaces.
fn anchors(text: &str) -> Vec<String> {
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line)).collect()
}

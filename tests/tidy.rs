//! Checks that neither the compiler nor a linter makes: links between documents, the syntax of examples, the order of the
//! server's modules, marks of unfinished work, paths of one machine. Each failure says how to fix it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use syn::visit::Visit;

/// The modules of the library and of the server from the bottom up, and in `http` its rooms, and files that are below
/// their room. A file uses only its own place and those before it. The compiler orders the crates.
const MODULES: &str = "clock config observe shard registry limits delivery webhook verification node otp \
    http/response http/error http/tls http/request http/events http/values http/form http/admin/session \
    http/admin/lockouts http/hosted/captcha http/app http/connection \
    http/call http/api/paging http/openapi http/callbacks \
    http/compatible http/health http/pages http/service http/api http/hooks http/hosted http/local http/admin http/routes \
    http/server http server cli";

/// Marks of unfinished work that clippy does not find, in two parts, because this file must pass its own rule.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("#[ig", "nore")];

/// Home directories.
const HOMES: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

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
    expect_none(&findings, "correct the link, or write the document that it promises.");
}

/// Who reads the documents of the package has no repository beside them.
#[test]
fn examples_and_files_that_users_documents_link_to_are_packaged() {
    let (manifest, mut findings) = (read("Cargo.toml"), Vec::new());
    let documents =
        text_files("docs", &[".md"]).into_iter().filter(|file| !file.path.contains("/internals/"));
    for file in documents {
        for (line, target) in links(&file.text) {
            let target = target.trim_start_matches("../").trim_end_matches('/');
            let is_file = target.starts_with("examples/") || target.starts_with("dist/");
            let folder = target.rsplit_once('/').map_or(target, |(folder, _)| folder);
            let is_packaged = [target, folder].iter().any(|of| manifest.contains(&format!("[\"{of}/*\", ")))
                || manifest.contains(&format!("[\"{target}\", "));
            if is_file && !is_packaged {
                findings.push(format!("{}:{line}: {target}", file.path));
            }
        }
    }
    expect_none(&findings, "add the file or its folder to the assets of the Debian package in Cargo.toml.");
}

/// Other tests run many of the examples. Files of `.env` are no commands.
#[test]
fn examples_can_be_parsed() {
    let mut findings = Vec::new();
    for file in text_files("docs", &[".md"]).into_iter().chain(text_files("", &["README.md"])) {
        for (line, language, text) in blocks(&file.text) {
            let problem = match language {
                "json" => {
                    serde_json::from_str::<serde_json::Value>(text).err().map(|error| error.to_string())
                }
                "sh" if !text.starts_with("# .env") => refused_by(&["bash", "-n"], text),
                "python" => refused_by(PYTHON, text),
                "js" => refused_by(NODE, text),
                _ => None,
            };
            findings.extend(problem.map(|problem| format!("{}:{line}: {problem}", file.path)));
        }
    }
    for (ending, reader) in [(".py", PYTHON), (".js", NODE), (".mjs", NODE)] {
        for file in text_files("examples", &[ending]) {
            findings
                .extend(refused_by(reader, &file.text).map(|problem| format!("{}: {problem}", file.path)));
        }
    }
    expect_none(&findings, "correct the example.");
}

const PYTHON: &[&str] = &["python3", "-c", "import ast, sys; ast.parse(sys.stdin.read())"];
const NODE: &[&str] = &["node", "--input-type=module", "--check"];

/// What a program says about its input if it refuses it. `None` where the program is not installed, which it prints; in CI
/// it must be.
#[expect(clippy::print_stdout, reason = "a test that does not run has to say so")]
fn refused_by(program: &[&str], input: &str) -> Option<String> {
    let (name, arguments) = program.split_first()?;
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut started = match command.spawn() {
        Ok(started) => started,
        Err(error) if env::var_os("CI").is_some() => return Some(format!("CI must have {name}: {error}")),
        Err(error) => {
            println!("SKIPPED: cannot run {name}: {error}");
            return None;
        }
    };
    // A program that ends early does not read all of it.
    let _ = started.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let ended = started.wait_with_output().ok()?;
    (!ended.status.success()).then(|| String::from_utf8_lossy(&ended.stderr).into_owned())
}

/// The fenced blocks that name a language, with the number of their first line.
fn blocks(text: &str) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    let (mut pieces, mut line) = (text.split("```"), 1);
    while let (Some(prose), Some(block)) = (pieces.next(), pieces.next()) {
        line += prose.matches('\n').count();
        let (language, text) = block.split_once('\n').unwrap_or_default();
        found.push((line + 1, language, text));
        line += block.matches('\n').count();
    }
    found
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
        let used = Uses::of(folder, &file).items.into_iter();
        let above = used.filter(|used| place(used).is_some_and(|(height, _)| height > own));
        findings.extend(above.map(|above| format!("{}: uses {above}", file.path)));
    }
    expect_none(&findings, "move the type to the lower module, or hand it in as a parameter or a trait.");
}

/// A re-export uses nothing: a file that names it uses the file that defines it.
#[test]
fn files_of_a_crate_use_each_other_in_no_circle() {
    let mut findings = Vec::new();
    for folder in SOURCES {
        let files: BTreeMap<String, Uses> =
            sources(folder).map(|file| (module_path(folder, &file.path), Uses::of(folder, &file))).collect();
        let passed_on: Vec<&(String, String)> = files.values().flat_map(|uses| &uses.passed_on).collect();
        let defines = |item: &String| {
            let mut item = item.clone();
            // A name that is passed on is longer where it is defined, or it is passed on again.
            for _ in 0..8 {
                let doors = passed_on.iter().filter(|(name, _)| is_below(&item, name));
                let Some((name, target)) = doors.max_by_key(|(name, _)| name.len()) else { break };
                item = format!("{target}{}", &item[name.len()..]);
            }
            let of_crate = files.keys().filter(|file| !item.starts_with(OTHER) && is_below(&item, file));
            of_crate.max_by_key(|file| file.len())
        };
        let mut uses: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
        for (file, Uses { items, .. }) in &files {
            uses.insert(file, items.iter().filter_map(defines).filter(|used| *used != file).collect());
        }
        let uses_itself = |file: &String| {
            let mut reached = uses[file].clone();
            loop {
                let further: BTreeSet<_> = reached.iter().flat_map(|file| &uses[*file]).copied().collect();
                if further.is_subset(&reached) {
                    return reached.contains(file);
                }
                reached.extend(further);
            }
        };
        let in_circles: BTreeSet<_> = uses.keys().copied().filter(|file| uses_itself(file)).collect();
        for file in &in_circles {
            let others: Vec<_> = uses[*file].intersection(&in_circles).collect();
            findings.push(format!("{folder}: {file} uses {others:?}"));
        }
    }
    expect_none(&findings, "these are in circles: move what both need into the file that is used.");
}

/// Stands for another crate.
const OTHER: &str = "::";

/// The crates of the product.
const SOURCES: [&str; 7] = [
    "src",
    "crates/library/src",
    "crates/core/src",
    "crates/gateway/src",
    "crates/store/src",
    "crates/cluster/src",
    "crates/bench/src",
];

fn sources(folder: &str) -> impl Iterator<Item = TextFile> {
    text_files(folder, &[".rs"]).into_iter().filter(|file| !is_test(&file.path))
}

/// Such as `http/api/error`; empty for the root of the crate.
fn module_path(folder: &str, file: &str) -> String {
    let path = file.strip_prefix(folder).unwrap_or(file).trim_start_matches('/').trim_end_matches(".rs");
    let path = path.strip_suffix("mod").unwrap_or(path).trim_end_matches('/');
    if ["lib", "main"].contains(&path) { String::new() } else { path.to_owned() }
}

/// Whether an item is this one, or in it.
fn is_below(item: &str, path: &str) -> bool {
    item.strip_prefix(path).is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

/// The items of its crate that a file names, such as `http/api/error/Error`, but for those that only tests use.
#[derive(Default)]
struct Uses {
    items: Vec<String>,
    /// The first parts of all paths in it.
    named: BTreeSet<String>,
    /// What it passes on to others, by the name there.
    passed_on: Vec<(String, String)>,
    /// Its module, and the modules in it.
    module: String,
    children: Vec<String>,
}

impl Uses {
    fn of(folder: &str, file: &TextFile) -> Self {
        let parsed = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
        let children = parsed.items.iter().filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        });
        let mut uses =
            Self { module: module_path(folder, &file.path), children: children.collect(), ..Self::default() };
        uses.visit_file(&parsed);
        // A file that names what it re-exports also uses it.
        let own =
            |(name, _): &&(String, String)| uses.named.contains(name.rsplit('/').next().unwrap_or(name));
        let targets: Vec<String> =
            uses.passed_on.iter().filter(own).map(|(_, target)| target.clone()).collect();
        uses.items.extend(targets);
        uses
    }

    fn note(&mut self, parts: &[String]) {
        self.named.extend(parts.first().cloned());
        self.items.extend(self.in_crate(parts).filter(|_| parts.len() > 1));
    }

    /// The paths in what only a macro reads.
    fn note_tokens(&mut self, tokens: &impl ToString) {
        let text = tokens.to_string().replace(" :: ", "::");
        for path in text.split(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter))) {
            self.note(&path.split("::").map(str::to_owned).collect::<Vec<_>>());
        }
    }

    /// `None` for what is not of this crate, or in this file.
    fn in_crate(&self, path: &[String]) -> Option<String> {
        let (first, rest) = path.split_first()?;
        let own = || self.module.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
        let mut absolute: Vec<String> = match first.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => own().collect(),
            child if self.children.iter().any(|known| known == child) => {
                own().chain([child.to_owned()]).collect()
            }
            _ => return None,
        };
        let above = path.iter().take_while(|part| *part == "super").count();
        absolute.truncate(absolute.len().saturating_sub(above));
        absolute.extend(rest.iter().skip(above.saturating_sub(1)).cloned());
        Some(absolute.join("/"))
    }

    /// The paths of a `use` declaration, each with the name that it gives.
    fn branches(tree: &syn::UseTree, before: &[String]) -> Vec<(Vec<String>, String)> {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => Self::branches(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => {
                group.items.iter().flat_map(|item| Self::branches(item, before)).collect()
            }
            // `a::{self}` gives the name `a`.
            syn::UseTree::Name(name) if name.ident == "self" => {
                vec![(before.to_vec(), before.last().cloned().unwrap_or_default())]
            }
            syn::UseTree::Name(name) => vec![(with(&name.ident), name.ident.to_string())],
            syn::UseTree::Rename(name) => vec![(with(&name.ident), name.rename.to_string())],
            syn::UseTree::Glob(_) => vec![(before.to_vec(), String::new())],
        }
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        let is_of_tests = |attribute: &syn::Attribute| {
            matches!(&attribute.meta, syn::Meta::List(list)
                if list.path.is_ident("cfg") && list.tokens.to_string().contains("test"))
        };
        if !attributes.iter().any(is_of_tests) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for (path, name) in Self::branches(&item.tree, &[]) {
            let target = self.in_crate(&path);
            if matches!(item.vis, syn::Visibility::Inherited) {
                self.items.extend(target);
            } else {
                let name = format!("{}/{name}", self.module).trim_start_matches('/').to_owned();
                self.passed_on.push((name, target.unwrap_or_else(|| OTHER.to_owned())));
            }
        }
    }

    // `pub(in path)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&parts);
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.note_tokens(&call.tokens);
        syn::visit::visit_macro(self, call);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.note_tokens(&list.tokens);
        syn::visit::visit_meta_list(self, list);
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let scripts = text_files("scripts", &[""]).into_iter().chain(text_files(".ci", &[""]));
    let files = text_files("", &[".rs"]).into_iter().chain(scripts);
    let findings = lines_with(files, |line| UNFINISHED.iter().any(|mark| has_mark(line, mark)));
    expect_none(&findings, "finish it or take it out; what is for later is an issue, not a comment.");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let endings = [".rs", ".md", ".toml", ".json", ".yml", ".yaml", ".html", ".sample", "/test", "/run"];
    let files = text_files("", &endings).into_iter();
    let findings = lines_with(files, |line| HOMES.iter().any(|home| line.contains(home)));
    expect_none(&findings, "write a path relative to the repository, or one that every machine has.");
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

/// The places of bad lines.
fn lines_with(files: impl Iterator<Item = TextFile>, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for TextFile { path, text } in files {
        let bad = text.lines().enumerate().filter(|(_, line)| is_bad(line));
        found.extend(bad.map(|(number, line)| format!("{path}:{}: {}", number + 1, line.trim())));
    }
    found
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

/// Whether `mark` is in the line and not part of a longer word.
fn has_mark(line: &str, mark: &str) -> bool {
    let ends_in_letter = mark.ends_with(char::is_alphanumeric);
    line.match_indices(mark).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + mark.len()..]);
        let goes_on = ends_in_letter && after.starts_with(char::is_alphanumeric);
        !goes_on && !before.ends_with(char::is_alphanumeric)
    })
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

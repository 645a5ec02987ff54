//! Which layer may know which, and which may know what from outside.

use super::reader::{UsedPath, paths_used, test_modules_declared};
use super::{expect_none, text_files};

/// Each layer and what it may use, from the bottom up. A layer may always use itself. Only test
/// modules may cross layers.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("engine", &["domain"]),
    ("clock", &["domain"]),
    ("store", &["domain", "clock"]),
    ("gateway", &["domain", "clock"]),
    ("template", &["domain"]),
    ("config", &["domain", "engine", "gateway", "template"]),
    ("telemetry", &["config"]),
    ("registry", &["domain", "engine", "clock", "store", "template", "config"]),
    ("limit", &["domain", "clock", "store"]),
    ("webhook", &["domain", "clock", "store", "gateway", "registry"]),
    ("delivery", &["domain", "engine", "clock", "store", "gateway", "template", "config"]),
    ("shard", &["domain", "engine", "clock", "store", "template", "config", "delivery"]),
    (
        "verify",
        &[
            "domain", "engine", "clock", "store", "template", "config", "registry", "webhook", "limit",
            "delivery", "shard",
        ],
    ),
    ("backup", &["domain", "engine", "store", "template", "delivery", "shard"]),
    ("control", &["domain", "store", "config", "registry", "delivery"]),
    ("web", &["domain", "gateway"]),
    (
        "http",
        &[
            "domain",
            "store",
            "template",
            "config",
            "telemetry",
            "registry",
            "webhook",
            "shard",
            "verify",
            "web",
        ],
    ),
    ("app", EVERYTHING_BELOW),
    ("otp", EVERYTHING_BELOW),
    ("lifecycle", EVERYTHING_BELOW),
    ("bench", EVERYTHING_BELOW),
    ("cli", EVERYTHING_BELOW),
    ("main", &["cli"]),
];

/// The composition root and what stands on it tie the layers together, so they may know each.
const EVERYTHING_BELOW: &[&str] = &["*"];

const SPEAKS_HTTP: &str = "only the front end, gateways, and the bench's own servers speak HTTP";

/// Libraries, and types that stand for an idea, with the layers that may name them.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("reqwest", &["bench"], "the bench's servers are made as others make theirs"),
    ("hyper", &["http", "gateway", "bench"], SPEAKS_HTTP),
    ("hyper_util", &["http", "gateway", "bench"], SPEAKS_HTTP),
    ("http_body_util", &["http", "gateway", "bench"], SPEAKS_HTTP),
    ("redis", &["bench"], "there is no second copy of the state; the bench has a server to compare with"),
    (
        "StatusCode",
        &["http", "web", "gateway", "bench"],
        "outcomes become statuses in one place, src/http; gateways read their provider's",
    ),
    ("ractor", &["shard"], "everyone else knows the Verifier"),
    ("rlibphonenumber", &["domain"], "everyone else knows PhoneNumber"),
    ("figment", &["config"], "everyone else knows Settings"),
    ("dotenvy", &["config"], "the environment is input, read once"),
    ("schemars", &["config"], "only config.json has a schema"),
    ("tracing_subscriber", &["telemetry"], "everyone else only emits events"),
    ("clap", &["cli"], "everyone else knows Settings"),
    ("indicatif", &["cli"], "only people at terminals see a bar"),
    ("askama", &["bench", "web"], "pages are made where they belong, with every text escaped"),
    ("utoipa", &["http"], "only the front end describes its routes"),
    ("comfy_table", &["bench"], "only people at terminals see a table"),
];

/// The files that may read a clock, each with its reason. Nothing else may, whatever its #[expect]
/// says: a decision that rests on a clock of its own cannot be tested or repeated.
const CLOCK_READERS: &[(&str, &str)] = &[
    ("src/clock/system.rs", "the one reader of wall time"),
    ("src/bench/moments.rs", "the time of a measurement; nothing that the server decides rests on it"),
    ("src/delivery/budget.rs", "measures a wait, in tokio's time, which a test can stop; it dates nothing"),
    ("src/http/stopwatch.rs", "a duration in a log line; nothing is decided by it"),
];

/// What pure decisions must not name: anything that waits, does I/O, reads a clock, draws
/// randomness or puts their types on a wire or a disk.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["ractor"],
    &["hyper"],
    &["reqwest"],
    &["tracing"],
    &["rand"],
    &["serde"],
    &["async"],
    &["SystemTime"],
    &["Instant"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
];

#[test]
fn every_layer_uses_only_layers_below_it() {
    let mut findings = Vec::new();
    for (file, layer, paths) in product_code() {
        for path in paths {
            if let Some(used) = layer_used(&path).filter(|used| !may_use(&layer, used)) {
                findings.push(format!("{file}:{}: {layer} uses crate::{used}", path.line));
            }
        }
    }
    expect_none(
        &findings,
        "move the type down to the layer that both know, or hand it in as a parameter or a trait. If the \
         dependency is right, it is a decision: change the table in tests/tidy/layers.rs and ARCHITECTURE.md.",
    );
}

#[test]
fn the_table_of_layers_points_down_and_names_what_exists() {
    let mut present: Vec<String> = product_code().into_iter().map(|(_, layer, _)| layer).collect();
    present.dedup();
    let mut findings = Vec::new();
    for layer in present.iter().filter(|layer| height(layer) == usize::MAX) {
        findings.push(format!("the layer {layer} is not in the table"));
    }
    for (layer, allowed) in LAYERS {
        if !present.iter().any(|p| p == layer) {
            findings.push(format!("the layer {layer} is not under src"));
        }
        for below in allowed.iter().filter(|name| **name != "*") {
            if height(below) >= height(layer) {
                findings.push(format!("{layer} may use {below}, which does not stand below it"));
            }
        }
    }
    expect_none(&findings, "mend the table in tests/tidy/layers.rs.");
}

#[test]
fn the_crate_root_is_reached_by_its_name() {
    let mut findings = Vec::new();
    for (file, _, paths) in product_code() {
        let depth = module_depth(&file);
        for path in paths {
            let supers = path.segments.iter().take_while(|s| *s == "super").count();
            if supers > 0 && supers >= depth {
                findings.push(format!("{file}:{}: {}", path.line, path.segments.join("::")));
            }
        }
    }
    expect_none(&findings, "write `crate::layer::..` instead, so that a reader sees the layer.");
}

#[test]
fn libraries_stay_in_the_layers_that_own_them() {
    let mut findings = Vec::new();
    for (file, layer, paths) in product_code() {
        for (name, owners, reason) in
            CONFINED.iter().filter(|(_, owners, _)| !owners.contains(&layer.as_str()))
        {
            for path in paths.iter().filter(|path| names(path, name)) {
                let owners = owners.join(", ");
                findings.push(format!("{file}:{}: {name} belongs to {owners}: {reason}", path.line));
            }
        }
    }
    expect_none(&findings, "do this in the layer that owns it, behind a function that speaks our types.");
}

#[test]
fn pure_layers_do_no_io_and_read_neither_clock_nor_randomness() {
    let mut findings = Vec::new();
    for (file, _, paths) in
        product_code().iter().filter(|(_, layer, _)| matches!(layer.as_str(), "engine" | "domain"))
    {
        for path in paths {
            if IMPURE.iter().any(|impure| path.starts_with(impure)) {
                findings.push(format!("{file}:{}: {}", path.line, path.segments.join("::")));
            }
        }
    }
    expect_none(
        &findings,
        "take time and randomness as parameters, return an outcome for the shell to carry out, and give \
         records and bodies types of their own in store, shard or http.",
    );
}

#[test]
fn a_clock_is_read_where_it_is_excused_and_nowhere_else() {
    let mut findings = Vec::new();
    let allowed = |file: &str| CLOCK_READERS.iter().any(|(reader, _)| *reader == file);
    for (file, _, paths) in product_code().iter().filter(|(file, ..)| !allowed(file)) {
        for path in paths.iter().filter(|path| path.mentions("now")) {
            if path.mentions("SystemTime") || path.mentions("Instant") {
                findings.push(format!("{file}:{}: {}", path.line, path.segments.join("::")));
            }
        }
    }
    expect_none(
        &findings,
        "take a Clock or a Timestamp. What only measures a wait can be excused, with its reason, in \
         CLOCK_READERS of tests/tidy/layers.rs.",
    );
}

/// Every file under src that is not for tests only: its path, its layer, the paths it uses.
fn product_code() -> Vec<(String, String, Vec<UsedPath>)> {
    let files = text_files("src", &[".rs"]);
    let for_tests: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let folder = children_of(&file.path);
            test_modules_declared(&file.text).into_iter().map(move |name| format!("{folder}{name}"))
        })
        .collect();
    files
        .iter()
        .filter(|file| file.path != "src/lib.rs")
        .filter(|file| {
            !for_tests
                .iter()
                .any(|t| file.path == format!("{t}.rs") || file.path.starts_with(&format!("{t}/")))
        })
        .map(|file| (file.path.clone(), layer_of(&file.path).to_owned(), paths_used(&file.text)))
        .collect()
}

/// The folder that the modules declared in a file are found in.
fn children_of(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    let stem = ["/mod", "/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
    format!("{stem}/")
}

fn layer_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// How many modules a file's own module is below the crate root.
fn module_depth(path: &str) -> usize {
    children_of(path).matches('/').count() - 1
}

fn may_use(layer: &str, used: &str) -> bool {
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else { return false };
    let below = *allowed == EVERYTHING_BELOW && height(used) < height(layer);
    used == layer || below || allowed.contains(&used)
}

/// The part of our own crate that a path leads to.
fn layer_used(path: &UsedPath) -> Option<&str> {
    let inside_the_crate = path.starts_with(&["crate"]) || path.starts_with(&["onceward"]);
    path.segments.get(1).filter(|_| inside_the_crate).map(String::as_str)
}

fn height(layer: &str) -> usize {
    LAYERS.iter().position(|(name, _)| *name == layer).unwrap_or(usize::MAX)
}

/// A library is named at the start of a path, a type anywhere in it. A word alone is a name of
/// our own that happens to be spelled like a library.
fn names(path: &UsedPath, name: &str) -> bool {
    let is_type = name.starts_with(char::is_uppercase);
    if is_type { path.mentions(name) } else { path.starts_with(&[name]) && path.segments.len() > 1 }
}

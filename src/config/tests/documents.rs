//! The documents match the program. These tests generate the lists of `docs/reference/configuration.md`, and
//! `config.schema.json`, from the fields of the settings: `UPDATE_DOCS=1 cargo test --lib config::tests::documents`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use onceward_core::guard::{GuardRules, Mode};
use serde_json::{Map, Value};

use super::*;
use crate::config::gateways::PREFIXES;
use crate::config::json_schema;
use crate::config::kind::{ACCEPTED, UNIT};
use crate::config::schema::{ALIASES, Names, default_of};

/// Of docs/reference, written again first if `UPDATE_DOCS` is set: every test of a run sees the new text.
static SCHEMA: LazyLock<String> = LazyLock::new(|| current("config.schema.json", |_| json_schema()));
static MANUAL: LazyLock<String> = LazyLock::new(|| current("configuration.md", manual));

/// Documents whose JSON blocks are configurations.
const GUIDES: [&str; 10] = [
    include_str!("../../../docs/concepts/guard.md"),
    include_str!("../../../docs/concepts/delivery.md"),
    include_str!("../../../docs/concepts/verifications.md"),
    include_str!("../../../docs/guides/message-templates.md"),
    include_str!("../../../docs/guides/older-servers.md"),
    include_str!("../../../docs/guides/test-numbers.md"),
    include_str!("../../../docs/operate/cluster.md"),
    include_str!("../../../docs/operate/deploy.md"),
    include_str!("../../../docs/operate/proxy.md"),
    include_str!("../../../docs/operate/tls.md"),
];
const VERIFICATIONS: &str = include_str!("../../../docs/concepts/verifications.md");
const TEST_NUMBERS: &str = include_str!("../../../docs/guides/test-numbers.md");
const SAMPLE: &str = include_str!("../../../config.json");

const GATEWAYS: &str = include_str!("../../../docs/reference/gateways.md");
const CUSTOM_GATEWAY: &str = include_str!("../../../docs/guides/custom-gateway.md");

#[test]
fn the_committed_schema_is_current() {
    assert_eq!(parsed(&SCHEMA), parsed(&json_schema()), "config.schema.json is stale: {UPDATE}");
}

#[test]
fn configuration_md_says_what_the_settings_say() {
    assert!(*MANUAL == manual(&MANUAL), "configuration.md is stale: {UPDATE}");
}

const UPDATE: &str =
    "run `UPDATE_DOCS=1 cargo test --lib config::tests::documents` and review the difference";

/// A file of docs/reference.
fn current(file: &str, make: impl Fn(&str) -> String) -> String {
    let path = format!("{}/docs/reference/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(&path).expect("the document");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        text = make(&text);
        std::fs::write(&path, &text).expect("write the document");
    }
    text
}

#[test]
fn the_schema_knows_every_default_and_describes_every_key() {
    let schema = parsed(&SCHEMA);
    for (key, default) in &defaults() {
        let place = format!("/properties/{}/default", key.replace('.', "/properties/"));
        assert_eq!(schema.pointer(&place), Some(default), "{key}");
    }
    described(&schema, "");
}

/// Asserts that every property at every depth has a description.
fn described(schema: &Value, path: &str) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let alike = path.starts_with(".otp-messages.")
            || path == ".sms.twilio"
            || path == ".sms.sinch"
            || path == ".sms.mada";
        assert!(alike || property["description"].as_str().is_some_and(|text| text.len() > 10), "{path}");
        described(property, &path);
    }
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let names = Names::known();
    let mut variables: Vec<String> = names.own_variables().map(|(_, variable)| variable).collect();
    for name in ["OTP_LENGTH", "OTP_MAX_TRIALS", "SERVICE_NAME", "SMS_MAX_RETRIES", "REDIS_DB_PASSWORD"] {
        assert!(variables.contains(&format!("ONCEWARD_{name}")), "{name}");
    }
    for part in ["SCHEMA", "TWILIO", "AUTHENTICATION"] {
        assert!(!variables.iter().any(|variable| variable.contains(part)), "{part}");
    }
    let count = variables.len();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), count);
}

#[test]
fn every_default_is_a_key_that_a_file_may_have() {
    let names = Names::known();
    let config = Value::Object(defaults());
    assert!(defaults().keys().all(|key| names.keys.contains_key(key)));
    assert_eq!(World::with_config(&config.to_string()).warnings(), Vec::<String>::new());
}

#[test]
fn the_manual_names_every_key_and_variable() {
    let names = Names::known();
    let is_member = |key: &str| !names.keys.contains_key(key) && key.contains('.');
    for (key, variable) in names.own_variables().filter(|(key, _)| !is_member(key)) {
        assert!(MANUAL.contains(&format!("\n* `{key}`")), "{key} has no row");
        let as_described = key.replace(['-', '.'], "_").to_uppercase();
        assert_eq!(variable, format!("ONCEWARD_{as_described}"), "the manual says how variables are named");
    }
    for key in RULES_OF_A_SERVICE {
        let is_described = match key {
            "test-numbers" => TEST_NUMBERS.contains("\"test-numbers\":"),
            key => VERIFICATIONS.contains(&format!("`{key}`")),
        };
        assert!(is_described, "{key} is not described");
    }
    let others = ["HOST", "PORT", "REDIS_URL", "REDIS_DB_PASSWORD", "$schema", "sms", "authentication"];
    for name in names.credentials().chain(others).chain(ALIASES.map(|(alias, _)| alias)) {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_sample_in_the_manual_loads_without_a_warning_about_its_keys() {
    for guide in GUIDES {
        assert!(blocks_of(guide, "json").next().is_some(), "{:?} has no sample", guide.lines().next());
    }
    let others = GUIDES.into_iter().flat_map(|document| blocks_of(document, "json"));
    let of_gateways = [GATEWAYS, CUSTOM_GATEWAY].into_iter().flat_map(|document| blocks_of(document, "json"));
    let of_gateways = of_gateways.filter(|block| block.contains("otp-sms-provider"));
    let samples: Vec<&str> = blocks("json").chain(others).chain(of_gateways).collect();
    assert!(samples.len() >= 7, "{samples:?}");
    for sample in samples {
        let mut world = all_gateways();
        for (places, variable) in [
            (["{token}", "{token}"], "HTTP_GATEWAY_TOKEN"),
            (["{username}", "{basic}"], "HTTP_GATEWAY_USERNAME"),
            (["{password}", "{basic}"], "HTTP_GATEWAY_PASSWORD"),
        ] {
            if places.iter().any(|place| sample.contains(place)) {
                world = world.variable(variable, TOKEN);
            }
        }
        if sample.contains("\"acme-sms\"") {
            world = world.variable("ONCEWARD_GATEWAYS_ACME_SMS_SECRET", TOKEN);
            world = world.variable("ONCEWARD_GATEWAYS_BACKUP_KEY", TOKEN);
        }
        let world = world.file("config.json", sample);
        for warning in world.warnings() {
            assert!(!warning.contains("unknown"), "{warning}\n{sample}");
        }
    }
}

#[test]
fn every_env_sample_in_the_manual_is_read() {
    let samples: Vec<&str> = blocks("sh").filter(|block| block.contains("TWILIO_AUTH")).collect();
    assert!(!samples.is_empty());
    for sample in samples {
        let world = World::empty().file(".env", sample).file("token", TOKEN);
        assert!(world.settings().gateways.twilio_messages().is_some(), "{sample}");
    }
}

/// A world with every variable that a sample may need.
fn all_gateways() -> World {
    World::with_twilio()
        .variable("TWILIO_WHATSAPP_NUMBER", "+14155552671")
        .variable("TWILIO_SERVICES_ID", VERIFY)
        .variable("SINCH_APP_ID", "app")
        .variable("SINCH_APP_SECRET", TOKEN)
        .variable("MADA_USERNAME", "me")
        .variable("MADA_PASSWORD", TOKEN)
        .variable("MADA_URL", "localhost:1/soap")
        .variable("MADA_SOURCE_NAME", "Acme")
}

#[test]
fn the_env_sample_about_quotes_means_what_the_manual_says() {
    let sample = blocks("sh").find(|block| block.contains("ONCEWARD_BRAND")).expect("a sample");
    let world = World::empty().file(".env", sample);
    assert_eq!(world.settings().brand, "Joe's Shop");
    assert_eq!(
        world.settings().templates.text(&crate::template::Wording::Api),
        "Joe's Shop: your code is {code}\nIt costs $0"
    );
    assert_eq!(world.settings().storage.data_dir, world.path("data # 2"));
    assert_eq!(world.warnings(), Vec::<String>::new());
}

#[test]
fn the_sample_file_is_the_defaults() {
    let sample: Map<String, Value> = serde_json::from_str(SAMPLE).expect("an object");
    let defaults = defaults();
    for (key, value) in sample.iter().filter(|(key, _)| *key != "$schema") {
        assert_eq!(defaults.get(key), Some(value), "{key}");
    }
    assert_eq!(sample["$schema"], "docs/reference/config.schema.json");
    assert_eq!(World::with_config(SAMPLE).warnings(), Vec::<String>::new());
}

/// The defaults, in the form of config.json. Other keys have no fixed default.
fn defaults() -> Map<String, Value> {
    Names::known().keys.into_iter().filter_map(|(key, schema)| Some((key, default_of(&schema)?))).collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The fenced blocks of a language in the manual.
fn blocks(language: &'static str) -> impl Iterator<Item = &'static str> {
    blocks_of(&MANUAL, language)
}

fn blocks_of(text: &'static str, language: &'static str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}\n");
    let parts = text.split("\n```").filter(move |part| format!("```{part}").starts_with(&fence));
    parts.filter_map(|part| part.split_once('\n')).map(|(_, body)| body)
}

/// The section where new keys are listed.
const FURTHER: &str = "Further keys";

/// The manual with its lists written again. The prose, and the order and sections of the keys, are the document's own.
fn manual(document: &str) -> String {
    let names = Names::known();
    let key_of = |line: &str| line.strip_prefix("* `")?.split('`').next().map(str::to_owned);
    let listed: Vec<String> = document.lines().filter_map(key_of).collect();
    let further: Vec<String> = names.keys.keys().filter(|key| !listed.contains(key)).cloned().collect();
    let mut title = "";
    let mut blocks = Vec::new();
    for block in document.trim_end().split("\n\n") {
        if block.starts_with('#') {
            title = block.trim_start_matches(['#', ' ']);
        }
        if !block.starts_with("* ") {
            blocks.push(block.to_owned());
            continue;
        }
        let mut list = String::new();
        match MEMBER_TABLES.iter().find(|table| table.1 == title) {
            Some(table) => members(&mut list, &names.keys[table.0], *table, document),
            None if title == "Credentials" => credentials(&mut list, &names),
            None if title == "Other names" => ALIASES.iter().for_each(|(alias, name)| {
                let _ = writeln!(list, "* `{alias}`: `{name}`");
            }),
            None => {
                let further = if title == FURTHER { further.as_slice() } else { &[] };
                let keys = block.lines().filter_map(key_of).chain(further.iter().cloned());
                for key in keys.filter(|key| names.keys.contains_key(key)) {
                    row_of_key(&mut list, &key, &names.keys[&key]);
                }
            }
        }
        blocks.push(list.trim_end().to_owned());
    }
    blocks.join("\n\n") + "\n"
}

/// The names of the credentials, by what they are for.
fn credentials(text: &mut String, names: &Names) {
    let mut variables: Vec<&String> = names.variables.keys().collect();
    variables.sort();
    let account = ("ONCEWARD_".to_owned(), "this server's own [account](../operate/keys.md)".to_owned());
    let hooks = ["Supabase", "Zitadel", "Logto"].map(|system| {
        let what = format!("[hook](../guides/identity-systems.md#{}) of {system}", system.to_lowercase());
        (format!("{}_HOOK_", system.to_uppercase()), what)
    });
    for (prefix, what) in PREFIXES.iter().chain(&hooks).chain([&account]) {
        let own: Vec<String> = variables
            .iter()
            .filter(|name| name.starts_with(prefix))
            .map(|name| format!("`{name}`"))
            .collect();
        let _ = writeln!(text, "* {what}: {}", own.join(", "));
    }
}

fn row_of_key(text: &mut String, key: &str, schema: &Value) {
    row(text, key, &value(&default(schema), schema), schema);
}

fn row(text: &mut String, name: &str, value: &str, schema: &Value) {
    let value = if value.is_empty() { String::new() } else { format!(" ({value})") };
    let _ = writeln!(text, "* `{name}`{value}: {}", description(schema));
}

/// The default, and what is accepted.
fn value(default: &str, schema: &Value) -> String {
    let accepts = accepts(schema);
    let others: Vec<&str> = accepts.split(", ").filter(|name| *name != default).collect();
    match (default, others.join(", ").as_str()) {
        (default, "") => default.to_owned(),
        ("", accepts) => accepts.to_owned(),
        (default, accepts) => format!("{default}; {accepts}"),
    }
}

/// The names of a choice, or the limits of a number or a time.
fn accepts(schema: &Value) -> String {
    let accepted = schema[ACCEPTED].as_str().unwrap_or_default();
    let range =
        ["a whole number from ", "a time from "].iter().find_map(|start| accepted.strip_prefix(start));
    if let Some(range) = range {
        return range.split([':', ',']).next().unwrap_or_default().replace(" to ", "–");
    }
    let names = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The objects with a table of their members: the key, the title, and the members as a JSON pointer into the schema.
const MEMBER_TABLES: [(&str, &str, &str); 3] = [
    ("guard", "Members of `guard`", "/properties"),
    ("services", "Members of a service", "/additionalProperties/properties"),
    ("templates", "Members of a template", "/additionalProperties/properties"),
];

const NO_EFFECT: &str = "Kept and shown without effect";

/// Members of a service that other pages describe.
const RULES_OF_A_SERVICE: [&str; 21] = [
    "accent-color",
    "code-length",
    "code-life",
    "cooling-down",
    "custom-code",
    "default-template",
    "do-not-share-warning",
    "embed-origins",
    "locale",
    "lockout",
    "logo-url",
    "max-checks",
    "max-sends",
    "privacy-url",
    "resend",
    "return-urls",
    "send-budget",
    "skip-sms-to-landlines",
    "terms-url",
    "test-numbers",
    "workflow",
];

fn members(text: &mut String, schema: &Value, (_, title, pointer): (&str, &str, &str), document: &str) {
    let properties = schema.pointer(pointer).and_then(Value::as_object);
    let mut properties: Vec<(&String, &Value)> = properties.expect("members").iter().collect();
    properties.sort_by_key(|(name, _)| *name);
    let is_of_service = title == "Members of a service";
    for (name, schema) in properties {
        if description(schema).starts_with(NO_EFFECT) {
            assert!(document.contains(&format!("`{name}`")), "{name} is not named");
        } else if !is_of_service || !RULES_OF_A_SERVICE.contains(&name.as_str()) {
            let default = if title == "Members of `guard`" { guard_default(name) } else { default(schema) };
            row(text, name, &value(&default, schema), schema);
        }
    }
}

/// What holds without the member, also where a service without it has the server's rules.
fn guard_default(name: &str) -> String {
    let rules = GuardRules::default();
    let mode = |mode: Mode| format!("`{mode}`");
    match name {
        "mode" => mode(rules.mode),
        "landlines" => mode(rules.landlines),
        "number-types" => mode(rules.number_types),
        "tolerance" => format!("`{}`", rules.tolerance),
        "unproven" => format!("`{}`", rules.unproven),
        "sends-per-number" => format!("`{}`", rules.sends_per_number),
        "messages-per-hour" | "messages-per-day" | "money-per-day" => "`off`".to_owned(),
        "allowed-countries" | "blocked-countries" => String::new(),
        other => panic!("no default of {other} is known"),
    }
}

fn default(schema: &Value) -> String {
    let unit = match schema[UNIT].as_u64() {
        Some(60) => "m",
        Some(_) => "s",
        None => "",
    };
    match default_of(schema) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}{unit}`"),
    }
}

/// The meaning. A second paragraph is for the schema: the introduction of the section says it here.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split("\n\n").next().unwrap_or_default().replace('\n', " ")
}

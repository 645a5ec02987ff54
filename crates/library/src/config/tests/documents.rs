//! The documents match the program. These tests generate the lists of `docs/reference/configuration.md`, and
//! `config.schema.json`, from the fields of the settings: `UPDATE_DOCS=1 cargo test -p onceward-library --lib config::tests::documents`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use onceward_core::guard::GuardRules;
use serde_json::Value;

use super::*;
use crate::config::json_schema;
use crate::config::load::names;
use crate::config::sources::{aliases, variable};

/// Of docs/reference, written again first if `UPDATE_DOCS` is set: every test of a run sees the new text.
static SCHEMA: LazyLock<String> = LazyLock::new(|| current("config.schema.json", |_| json_schema()));
static MANUAL: LazyLock<String> = LazyLock::new(|| current("configuration.md", manual));

/// Documents below docs whose JSON blocks are configurations.
const GUIDES: &str = "guides/hosted-page concepts/guard concepts/delivery concepts/verifications guides/message-templates \
                      guides/older-servers operate/cluster operate/deploy operate/proxy operate/tls";
const SAMPLE: &str = include_str!("../../../../../config.json");

#[test]
fn the_committed_schema_is_current() {
    assert_eq!(parsed(&SCHEMA), parsed(&json_schema()), "config.schema.json is stale: {UPDATE}");
}

#[test]
fn configuration_md_says_what_the_settings_say() {
    assert!(*MANUAL == manual(&MANUAL), "configuration.md is stale: {UPDATE}");
}

const UPDATE: &str = "run `UPDATE_DOCS=1 cargo test -p onceward-library --lib config::tests::documents` and review the difference";

/// A document below docs.
fn document(name: &str) -> String {
    let path = format!("{}/../../docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the document")
}

/// A file of docs/reference.
fn current(file: &str, make: impl Fn(&str) -> String) -> String {
    let path = format!("{}/../../docs/reference/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(&path).expect("the document");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        text = make(&text);
        std::fs::write(&path, &text).expect("write the document");
    }
    text
}

#[test]
fn every_key_has_a_description_and_a_variable_of_its_own() {
    let names = names();
    for (key, schema) in parsed(&json_schema())["properties"].as_object().expect("keys") {
        assert_eq!(names.get(&variable(key)), Some(key), "a variable of its own");
        assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{key}");
        assert!(MANUAL.contains(&format!("\n* `{key}`")), "{key} has no row");
    }
    for key in RULES_OF_A_SERVICE.split(' ') {
        let is_described = document("concepts/verifications").contains(&format!("`{key}`"));
        assert!(is_described, "{key} is not described");
    }
    let others = ["HOST", "PORT", "REDIS_URL", "REDIS_DB_PASSWORD", "$schema", "sms", "authentication"];
    let is_variable = |name: &String| *name == name.to_ascii_uppercase();
    let variables = names.into_values().filter(is_variable);
    let all = variables.chain(others.map(str::to_owned));
    for name in all.chain(aliases().map(|(alias, _)| alias)) {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not in configuration.md");
    }
}

#[test]
fn every_sample_in_the_manual_loads_without_a_warning_about_its_keys() {
    let guides: Vec<String> = GUIDES.split(' ').map(document).collect();
    for guide in &guides {
        assert!(blocks_of(guide, "json").next().is_some(), "{:?} has no sample", guide.lines().next());
    }
    let of_gateways = ["reference/gateways", "guides/custom-gateway", "guides/add-a-recipe"].map(document);
    let of_gateways = of_gateways.iter().flat_map(|document| blocks_of(document, "json"));
    let of_gateways = of_gateways.filter(|block| block.contains("otp-sms-provider"));
    let of_guides = guides.iter().flat_map(|guide| blocks_of(guide, "json"));
    for sample in blocks_of(&MANUAL, "json").chain(of_guides).chain(of_gateways) {
        let world = all_gateways().file("config.json", sample);
        for warning in world.warnings() {
            // Not every sample has every gateway.
            let is_variable = warning.starts_with("ONCEWARD_GATEWAYS_");
            assert!(is_variable || !warning.contains("unknown"), "{warning}\n{sample}");
        }
    }
}

#[test]
fn every_env_sample_in_the_manual_is_read() {
    let samples: Vec<&str> = blocks_of(&MANUAL, "sh").filter(|block| block.contains("TWILIO_AUTH")).collect();
    assert!(!samples.is_empty());
    for sample in samples {
        let world = World::empty().file(".env", sample).file("token", TOKEN);
        assert!(world.settings().gateways.twilio_messages().is_some(), "{sample}");
    }
}

/// A world with every variable that a sample may need.
fn all_gateways() -> World {
    let world = World::with_twilio()
        .and_sinch()
        .and_mada()
        .variable("TWILIO_WHATSAPP_NUMBER", "+14155552671")
        .variable("TWILIO_SERVICES_ID", VERIFY)
        .variable("CAPTCHA_SECRET", TOKEN);
    let settings = "HTTP_TOKEN HTTP_USERNAME HTTP_PASSWORD ACME_SMS_SECRET BACKUP_KEY MINE_KEY".split(' ');
    settings.fold(world, |world, name| world.variable(&format!("ONCEWARD_GATEWAYS_{name}"), TOKEN))
}

#[test]
fn the_env_sample_about_quotes_means_what_the_manual_says() {
    let sample = blocks_of(&MANUAL, "sh").find(|block| block.contains("ONCEWARD_BRAND")).expect("a sample");
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
fn the_sample_file_is_the_defaults_but_for_the_life_of_a_code() {
    let (sample, schema) = (parsed(SAMPLE), parsed(&json_schema()));
    assert_eq!(World::with_config(SAMPLE).warnings(), Vec::<String>::new());
    let mut given = sample.as_object().expect("an object").clone();
    given.retain(|key, value| schema["properties"][key]["default"] != *value);
    let others = serde_json::json!({
        "$schema": "docs/reference/config.schema.json", "otp-timeout": "5m", "otp-lock-timeout": 30, "prod-domain": ""
    });
    assert_eq!(Value::from(given), others, "a bare number is minutes");
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The fenced blocks of a language.
fn blocks_of<'t>(text: &'t str, language: &str) -> impl Iterator<Item = &'t str> {
    let fence = format!("```{language}\n");
    let parts = text.split("\n```").filter(move |part| format!("```{part}").starts_with(&fence));
    parts.filter_map(|part| part.split_once('\n')).map(|(_, body)| body)
}

/// The section where new keys are listed.
const FURTHER: &str = "Further keys";

/// The manual with its lists written again. The prose, and the order and sections of the keys, are the document's own.
fn manual(document: &str) -> String {
    let schema = parsed(&json_schema());
    let (keys, definitions) = (&schema["properties"], &schema["$defs"]);
    let key_of = |line: &str| line.strip_prefix("* `")?.split('`').next().map(str::to_owned);
    let listed: Vec<String> = document.lines().filter_map(key_of).collect();
    let all = keys.as_object().expect("keys");
    let further: Vec<String> = all.keys().filter(|key| !listed.contains(key)).cloned().collect();
    let mut title = "";
    let mut blocks = Vec::new();
    for block in document.trim_end().split("\n\n") {
        if block.starts_with('#') {
            title = block.trim_start_matches(['#', ' ']);
        }
        if !block.starts_with("* ") || ["Bounds", "Credentials"].contains(&title) {
            blocks.push(block.to_owned());
            continue;
        }
        let mut list = String::new();
        match title {
            "Members of `guard`" => members(&mut list, &definitions["GuardSettings"], document),
            "Members of a service" => {
                members(&mut list, &definitions["ServiceObject"], document);
            }
            "Members of a template" => members(&mut list, &definitions["Template"], document),
            "Other names" => aliases().for_each(|(alias, name)| {
                let _ = writeln!(list, "* `{alias}`: `{name}`");
            }),
            title => {
                let further = if title == FURTHER { further.as_slice() } else { &[] };
                let keys = block.lines().filter_map(key_of).chain(further.iter().cloned());
                for (key, schema) in keys.filter_map(|key| Some((key.clone(), all.get(&key)?))) {
                    row(&mut list, &key, schema, definitions);
                }
            }
        }
        blocks.push(list.trim_end().to_owned());
    }
    blocks.join("\n\n") + "\n"
}

fn row(text: &mut String, name: &str, schema: &Value, definitions: &Value) {
    let of = |schema: &Value| {
        let target = schema["$ref"].as_str().or_else(|| schema["anyOf"][0]["$ref"].as_str());
        target.and_then(|target| target.rsplit('/').next()).map(|name| definitions[name].clone())
    };
    let inner = of(schema).unwrap_or_default();
    let default = match &schema["default"] {
        Value::Null => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    let names = schema["enum"].as_array().or_else(|| inner["enum"].as_array()).into_iter().flatten();
    let names =
        names.filter_map(Value::as_str).map(|name| format!("`{name}`")).filter(|name| *name != default);
    let mut accepts = names.collect::<Vec<_>>().join(", ");
    if let Some(limits) = schema["title"].as_str().and_then(|title| title.strip_prefix("a time from ")) {
        accepts = limits.replace(" to ", "–");
    } else if let (Value::Number(min), Value::Number(max)) = (&schema["minimum"], &schema["maximum"]) {
        accepts = format!("{min}–{max}");
    }
    let both = [default, accepts].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    let both = if both.is_empty() { both } else { format!(" ({both})") };
    let _ = writeln!(text, "* `{name}`{both}: {}", description(schema));
}

const NO_EFFECT: &str = "Kept and shown without effect";

/// Members of a service that other pages describe.
const RULES_OF_A_SERVICE: &str = "accent-color code-length code-life cooling-down custom-code default-template \
                                  do-not-share-warning embed-origins locale lockout logo-url max-checks max-sends privacy-url \
                                  resend return-urls send-budget sender skip-sms-to-landlines terms-url workflow";

fn members(text: &mut String, schema: &Value, document: &str) {
    let is_of_service = schema["properties"].get("guard").is_some();
    for (name, schema) in schema["properties"].as_object().expect("members") {
        if description(schema).starts_with(NO_EFFECT) {
            assert!(document.contains(&format!("`{name}`")), "{name} is not named");
        } else if !is_of_service || !RULES_OF_A_SERVICE.split(' ').any(|rule| rule == name) {
            let mut schema = schema.clone();
            let rules = GuardRules::default();
            // What holds without the member.
            if name == "tolerance" {
                schema["default"] = rules.tolerance.into();
            } else if schema["enum"][0] == "off" {
                schema["default"] = rules.mode.as_str().into();
            }
            row(text, name, &schema, &Value::Null);
        }
    }
}

/// The meaning. A second paragraph is for the schema: the introduction of the section says it here.
fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split("\n\n").next().unwrap_or_default().to_owned()
}

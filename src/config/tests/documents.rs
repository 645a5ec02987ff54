//! The documents say what the program does.

use serde_json::{Map, Value};

use super::*;
use crate::config::json_schema;
use crate::config::schema::{ALIASES, Names, default_of};

const SCHEMA: &str = include_str!("../../../docs/config.schema.json");
const MANUAL: &str = include_str!("../../../docs/configuration.md");
/// Documents whose JSON blocks are configurations.
const GUIDES: [&str; 6] = [
    include_str!("../../../docs/concepts/verifications.md"),
    include_str!("../../../docs/guides/from-otpgateway.md"),
    include_str!("../../../docs/guides/from-redis.md"),
    include_str!("../../../docs/guides/from-tutorial.md"),
    include_str!("../../../docs/guides/message-templates.md"),
    include_str!("../../../docs/guides/test-numbers.md"),
];
const SAMPLE: &str = include_str!("../../../config.json");

#[test]
fn the_committed_schema_is_current() {
    let [committed, current] = [SCHEMA, json_schema().as_str()].map(parsed);
    assert_eq!(
        committed, current,
        "docs/config.schema.json is out of date: cargo run -- --print-schema > docs/config.schema.json"
    );
}

#[test]
fn the_schema_knows_every_default_and_describes_every_key() {
    let schema = parsed(SCHEMA);
    for (key, default) in &defaults() {
        let place = format!("/properties/{}/default", key.replace('.', "/properties/"));
        assert_eq!(schema.pointer(&place), Some(default), "{key}");
    }
    described(&schema, "");
}

/// Every property at every depth says what it is.
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
fn every_default_is_a_key_that_a_file_may_have() {
    let names = Names::known();
    let config = Value::Object(defaults());
    assert!(defaults().keys().all(|key| names.keys.contains_key(key)));
    assert_eq!(World::with_config(&config.to_string()).warnings(), Vec::<String>::new());
}

#[test]
fn the_manual_names_every_key_with_its_variable_and_default() {
    let names = Names::known();
    for (key, variable) in names.own_variables() {
        assert!(MANUAL.contains(&format!("| `{key}` |")), "{key} has no row");
        assert!(MANUAL.contains(&format!("`{variable}`")), "{variable} is not named");
    }
    for (key, default) in &defaults() {
        let shown = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let shown = if shown.is_empty() { "empty".to_owned() } else { format!("`{shown}`") };
        let row = MANUAL.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).expect("a row");
        assert_eq!(row.split(" | ").nth(1), Some(shown.as_str()), "{key}");
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
    let samples: Vec<&str> = blocks("json").chain(others).collect();
    assert!(samples.len() >= 8, "{samples:?}");
    for sample in samples {
        let world = if sample.contains("{token}") {
            all_gateways().variable("HTTP_GATEWAY_TOKEN", TOKEN)
        } else {
            all_gateways()
        };
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
        assert!(world.settings().gateways.twilio_messages.is_some(), "{sample}");
    }
}

/// Every variable that a sample may rely on.
fn all_gateways() -> World {
    World::with_twilio()
        .variable("TWILIO_WHATSAPP_NUMBER", "+14155552671")
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
    assert_eq!(world.settings().data_dir, world.path("data # 2"));
    assert_eq!(world.warnings(), Vec::<String>::new());
}

#[test]
fn the_sample_file_is_the_defaults() {
    let sample: Map<String, Value> = serde_json::from_str(SAMPLE).expect("an object");
    let defaults = defaults();
    for (key, value) in sample.iter().filter(|(key, _)| *key != "$schema") {
        assert_eq!(defaults.get(key), Some(value), "{key}");
    }
    assert_eq!(sample["$schema"], "docs/config.schema.json");
    assert_eq!(World::with_config(SAMPLE).warnings(), Vec::<String>::new());
}

/// The defaults, as a config.json would spell them. Keys that are not here have no fixed default.
fn defaults() -> Map<String, Value> {
    Names::known().keys.into_iter().filter_map(|(key, schema)| Some((key, default_of(&schema)?))).collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The fenced blocks of a language in the manual.
fn blocks(language: &'static str) -> impl Iterator<Item = &'static str> {
    blocks_of(MANUAL, language)
}

fn blocks_of(text: &'static str, language: &'static str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}\n");
    let parts = text.split("\n```").filter(move |part| format!("```{part}").starts_with(&fence));
    parts.filter_map(|part| part.split_once('\n')).map(|(_, body)| body)
}

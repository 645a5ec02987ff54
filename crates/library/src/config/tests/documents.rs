//! The documents match the program. `UPDATE_DOCS=1 cargo test -p onceward-library --lib config::tests::documents` writes
//! `docs/reference/config.schema.json` from the settings, and names the lines of `configuration.md` that are wrong.

use std::collections::BTreeSet;

use onceward_core::guard::GuardRules;
use serde_json::Value;

use super::*;
use crate::config::json_schema;
use crate::config::load::names;
use crate::config::sources::{aliases, variable};
use crate::domain::{Channel, Code, CodeLength, PhoneNumber};
use crate::template::MessageStyle;

const MANUAL: &str = include_str!("../../../../../docs/reference/configuration.md");
const SAMPLE: &str = include_str!("../../../../../config.json");

/// Documents below docs with configurations in JSON.
const GUIDES: &str = "reference/configuration reference/gateways guides/custom-gateway guides/hosted-page \
                      guides/message-templates guides/older-servers concepts/guard concepts/delivery \
                      concepts/verifications operate/cluster operate/deploy operate/proxy operate/tls";

/// A document below docs.
fn document(name: &str) -> String {
    let path = format!("{}/../../docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the document")
}

#[test]
fn the_committed_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.schema.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, json_schema()).expect("written");
    }
    let committed = std::fs::read_to_string(path).expect("the schema");
    assert_eq!(parsed(&committed), parsed(&json_schema()), "set UPDATE_DOCS=1, and review the difference");
}

/// The order of the lines, and their sections, are the manual's own.
#[test]
fn configuration_md_says_what_the_settings_say() {
    let schema = parsed(&json_schema());
    let definitions = &schema["$defs"];
    let of = |object: &Value| object["properties"].as_object().expect("members").clone();
    let mut expected: BTreeSet<_> =
        of(&schema).iter().map(|(key, about)| row(key, about, definitions)).collect();
    for object in ["GuardSettings", "ServiceObject", "Template"] {
        let is_elsewhere =
            |name: &str| object == "ServiceObject" && RULES_OF_A_SERVICE.split(' ').any(|rule| rule == name);
        for (name, mut about) in of(&definitions[object]) {
            let rules = GuardRules::default();
            // What holds without the member.
            if name == "tolerance" {
                about["default"] = rules.tolerance.into();
            } else if about["enum"][0] == "off" {
                about["default"] = rules.mode.as_str().into();
            }
            if description(&about).starts_with("Kept and shown without effect") {
                assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not named");
            } else if !is_elsewhere(&name) {
                expected.insert(row(&name, &about, &Value::Null));
            }
        }
    }
    expected.extend(aliases().map(|(alias, name)| format!("* `{alias}`: `{name}`")));
    let is_of_settings =
        |section: &&str| !section.starts_with("Bounds\n") && !section.starts_with("Credentials\n");
    let lines = MANUAL.split("\n## ").filter(is_of_settings).flat_map(str::lines);
    let written: BTreeSet<_> = lines.filter(|line| line.starts_with("* ")).map(str::to_owned).collect();
    let only_in =
        |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(
        only_in(&written, &expected),
        only_in(&expected, &written),
        "only the manual, only the settings"
    );
}

#[test]
fn every_key_has_a_variable_of_its_own_and_every_name_is_in_the_documents() {
    let (names, rules) = (names(), document("concepts/verifications"));
    for key in parsed(&json_schema())["properties"].as_object().expect("keys").keys() {
        assert_eq!(names.get(&variable(key)), Some(key), "a variable of its own");
    }
    for rule in RULES_OF_A_SERVICE.split(' ') {
        assert!(rules.contains(&format!("`{rule}`")), "{rule} is not described");
    }
    let variables = names.into_values().filter(|name| *name == name.to_ascii_uppercase());
    for name in variables.chain(["HOST", "REDIS_URL", "sms", "authentication"].map(str::to_owned)) {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name} is not in configuration.md");
    }
}

#[test]
fn every_sample_loads_without_a_warning_about_its_keys() {
    for (guide, text) in GUIDES.split(' ').map(|guide| (guide, document(guide))) {
        let samples: Vec<&str> = blocks_of(&text, "json").collect();
        assert!(!samples.is_empty(), "{guide} has no sample");
        for sample in samples {
            for warning in all_gateways().file("config.json", sample).warnings() {
                // Not every sample has every gateway.
                let is_variable = warning.starts_with("ONCEWARD_GATEWAYS_");
                assert!(is_variable || !warning.contains("unknown"), "{guide}: {warning}\n{sample}");
            }
        }
    }
}

/// A world with every variable that a sample may need.
fn all_gateways() -> World {
    let names = "HTTP_TOKEN HTTP_USERNAME HTTP_PASSWORD ACME_SMS_SECRET BACKUP_KEY MINE_KEY".split(' ');
    let of_gateways: Vec<_> = names.map(|name| format!("ONCEWARD_GATEWAYS_{name}={TOKEN}")).collect();
    World::with_twilio().variables(&of_gateways.join("\n")).variables(&format!(
        "TWILIO_WHATSAPP_NUMBER=+14155552671\nTWILIO_SERVICES_ID={VERIFY}\nCAPTCHA_SECRET={TOKEN}\n\
         SINCH_APP_ID=app\nSINCH_APP_SECRET={TOKEN}\nMADA_USERNAME=me\nMADA_PASSWORD={TOKEN}\n\
         MADA_URL=127.0.0.1:1/soap\nMADA_SOURCE_NAME=Acme"
    ))
}

#[test]
fn the_samples_of_env_files_mean_what_the_manual_says() {
    let with_sample = |word: &str| {
        let sample = blocks_of(MANUAL, "sh").find(|block| block.contains(word)).expect("a sample");
        World::empty().file("token", TOKEN).file(".env", sample)
    };
    assert!(with_sample("TWILIO_AUTH_TOKEN").settings().gateways.twilio_messages().is_some());
    let world = with_sample("ONCEWARD_BRAND");
    let settings = world.settings();
    assert_eq!(settings.brand, "Joe's Shop");
    let (style, code) = (MessageStyle::default(), Code::from_value(0, CodeLength::SIX));
    let number = PhoneNumber::from_e164(PhoneNumber::EXAMPLE).expect("a number");
    let said = settings.templates.render(&style, Channel::WhatsApp, number, &code, settings.policy.code.life);
    assert_eq!(said.text, "Joe's Shop: your code is 000000\nIt costs $0");
    assert_eq!(settings.storage.data_dir, world.path("data # 2"));
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

/// The line about a key or a member: its default, what it accepts, and its meaning.
fn row(name: &str, schema: &Value, definitions: &Value) -> String {
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
    format!("* `{name}`{both}: {}", description(schema))
}

/// Members of a service that other pages describe.
const RULES_OF_A_SERVICE: &str = "accent-color code-length code-life cooling-down custom-code default-template \
                                  do-not-share-warning embed-origins locale lockout logo-url max-checks max-sends privacy-url \
                                  resend return-urls send-budget sender skip-sms-to-landlines terms-url workflow";

/// The meaning. A second paragraph is for the schema: the introduction of the section says it here.
fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default().split("\n\n").next().unwrap_or_default()
}

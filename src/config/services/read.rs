//! `services` and `templates` of config.json, read and checked.

use schemars::{JsonSchema, Schema, json_schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use serde_path_to_error::Segment;

use super::settings::{ConfiguredService, ServiceSettings, TestNumber, service_parameters};
use super::template::Template;
use super::values::{IN_REQUESTS, IS_TIME};
use crate::config::kind::{Kind, object_of, quoted, shown_json};
use crate::config::report::{ConfigError, Report};
use crate::config::schema::{nearest, suggestion};
use crate::template::Templates;

/// Services or templates in one file: those beyond are better made over the API.
const MOST: usize = 1_000;

/// The service of the compatible routes has this name already.
const DEFAULT: &str = "default";

const TEST_NUMBERS: &str = "test-numbers";

/// Services by their names, before they are read.
pub struct ServicesObject;

/// Templates by their names, before they are read.
pub struct TemplatesObject;

impl Kind for ServicesObject {
    type Value = Map<String, Value>;

    fn of(value: &Value) -> Option<Self::Value> {
        object_of(value)
    }

    /// Their names.
    fn shown(members: &Self::Value) -> Value {
        names(members)
    }

    fn accepted() -> String {
        "an object of services by name, such as {\"shop\": {\"friendly-name\": \"Acme Shop\", \"code-length\": 6}}"
            .to_owned()
    }

    fn schema() -> Schema {
        let mut service = object_schema::<ServiceSettings>();
        let test_numbers = json!({
            "type": "array",
            "maxItems": TestNumber::MOST,
            "items": object_schema::<TestNumber>(),
            "description": "Numbers that are never sent anything, with a known code.",
        });
        if let Some(properties) = service.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert(TEST_NUMBERS.to_owned(), test_numbers);
        }
        let mut schema = by_name(&service);
        // Test numbers have codes.
        schema.insert("writeOnly".to_owned(), true.into());
        schema
    }
}

impl Kind for TemplatesObject {
    type Value = Map<String, Value>;

    fn of(value: &Value) -> Option<Self::Value> {
        object_of(value)
    }

    /// Their names.
    fn shown(members: &Self::Value) -> Value {
        names(members)
    }

    fn accepted() -> String {
        "an object of templates by name, such as {\"login\": {\"translations\": {\"en\": \"{code} opens {friendly_name}\"}}}"
            .to_owned()
    }

    fn schema() -> Schema {
        let mut template = object_schema::<Template>();
        template.insert("required".to_owned(), json!(["translations"]));
        by_name(&template)
    }
}

fn names(members: &Map<String, Value>) -> Value {
    json!(members.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
}

fn by_name(object: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
        "additionalProperties": object,
    })
}

/// The schema of an object inside config.json.
fn object_schema<T: JsonSchema>() -> Schema {
    let mut schema = schemars::schema_for!(T);
    for name in ["$schema", "title", "description", "additionalProperties"] {
        schema.remove(name);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        property.remove(IN_REQUESTS);
        property.remove(IS_TIME);
        if property.get("default").is_some_and(|default| default.is_null() || default == "") {
            property.remove("default");
        }
    }
    schema
}

/// The services, each with its default for everything that is not given. What is wrong is noted.
pub fn services(
    services: Map<String, Value>,
    origin: &str,
    templates: &[Template],
    report: &mut Report,
) -> Vec<ConfiguredService> {
    let built_in: Vec<Template> = Template::built_in().collect();
    let templates: Vec<&Template> = built_in.iter().chain(templates).collect();
    let is_free = |name: &str| {
        let taken = name.eq_ignore_ascii_case(DEFAULT);
        let why = "the service \"default\" is described by the top-level keys, such as otp-length";
        if taken { Err(why.to_owned()) } else { Ok(()) }
    };
    let services: Vec<ConfiguredService> = named_objects("services", services, is_free, origin, report)
        .into_iter()
        .filter_map(|(name, members)| service(name, members, &templates, origin, report))
        .collect();
    warn_of_same_names(&services, origin, report);
    services
}

/// The templates. What is wrong is noted.
pub fn templates(
    templates: Map<String, Value>,
    origin: &str,
    checks: &Templates,
    report: &mut Report,
) -> Vec<Template> {
    let is_free = |name: &str| {
        let taken = Template::built_in().any(|template| template.name == name);
        let why = "a template of this name is built in; choose another";
        if taken { Err(why.to_owned()) } else { Ok(()) }
    };
    let templates = named_objects("templates", templates, is_free, origin, report);
    templates
        .into_iter()
        .filter_map(|(name, members)| template(&name, members, checks, origin, report))
        .collect()
}

/// The objects with a name that one may have.
fn named_objects(
    key: &str,
    objects: Map<String, Value>,
    is_free: impl Fn(&str) -> Result<(), String>,
    origin: &str,
    report: &mut Report,
) -> Vec<(String, Map<String, Value>)> {
    if objects.len() > MOST {
        let problem = format!("it has {} {key}, and may have {MOST}", objects.len());
        report.problem(key, problem, origin.to_owned());
    }
    let mut named = Vec::new();
    for (name, value) in objects {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let problem = match (is_free(&name), value) {
            (Err(why), _) => why,
            _ if !plain || !(1..=64).contains(&name.len()) => {
                "a name has 1 to 64 letters, digits, hyphens and underscores".to_owned()
            }
            (Ok(()), Value::Object(members)) => {
                named.push((name, members));
                continue;
            }
            (Ok(()), value) => format!("it must be an object, and is {}", shown_json(&value)),
        };
        report.problem(format!("{key}.{name}"), problem, origin.to_owned());
    }
    named
}

fn service(
    name: String,
    mut members: Map<String, Value>,
    templates: &[&Template],
    origin: &str,
    report: &mut Report,
) -> Option<ConfiguredService> {
    let path = format!("services.{name}");
    members.retain(|_, value| !value.is_null());
    let is_named = members.contains_key("friendly-name");
    members.entry("friendly-name").or_insert_with(|| name.clone().into());
    let test_numbers =
        members.remove(TEST_NUMBERS).map(|numbers| test_numbers(&path, numbers, origin, report));
    // As in requests.
    members.retain(|key, value| {
        let is_empty = value == "" || value.as_array().is_some_and(Vec::is_empty);
        !is_empty
            || !service_parameters().iter().any(|parameter| parameter.key == *key && parameter.is_removable)
    });
    let known = service_parameters().iter().map(|parameter| parameter.key.as_str()).chain([TEST_NUMBERS]);
    let given = members.clone();
    let object = Object { path: &path, members, origin };
    let (settings, _) = object.read::<ServiceSettings>(&known, true, report)?;
    for error in settings.validate(templates).err().into_iter().flatten() {
        let hint = if error.key == "friendly-name" && !is_named {
            ". Without a friendly-name the service's name is it"
        } else {
            ""
        };
        report.error(ConfigError {
            subject: format!("{path}.{}", error.key),
            given: given.get(error.key).map(shown_json),
            problem: format!("it {}{hint}", error.why),
            origin: Some(origin.to_owned()),
        });
    }
    let test_numbers = test_numbers.unwrap_or_default();
    Some(ConfiguredService { name, settings, test_numbers, origin: origin.to_owned() })
}

/// What was given is not shown: it may be a code, or the number of a person.
fn test_numbers(path: &str, value: Value, origin: &str, report: &mut Report) -> Vec<TestNumber> {
    let path = format!("{path}.{TEST_NUMBERS}");
    let Value::Array(values) = value else {
        report.problem(path, "it must be a list of objects", origin.to_owned());
        return Vec::new();
    };
    if values.len() > TestNumber::MOST {
        let problem = format!("it has {}, and may have {}", values.len(), TestNumber::MOST);
        report.problem(path.as_str(), problem, origin.to_owned());
    }
    let mut numbers: Vec<TestNumber> = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Value::Object(members) = value else {
            report.problem(path, "it must be an object with pattern, code and expires", origin.to_owned());
            continue;
        };
        let object = Object { path: &path, members, origin };
        let known = ["pattern", "code", "expires", "force"].into_iter();
        let Some((number, _)) = object.read::<TestNumber>(&known, false, report) else { continue };
        match number.checked() {
            Ok(number) if numbers.iter().any(|other| other.pattern == number.pattern) => {
                let problem = "there is another with this pattern. Remove one of them";
                report.problem(path, problem, origin.to_owned());
            }
            Ok(number) => numbers.push(number),
            Err((field, why)) => {
                report.problem(format!("{path}.{field}"), format!("it {why}"), origin.to_owned());
            }
        }
    }
    numbers
}

/// Two with one name cannot be told apart in messages, nor on the command line.
fn warn_of_same_names(services: &[ConfiguredService], origin: &str, report: &mut Report) {
    for (at, service) in services.iter().enumerate() {
        let same =
            |other: &&ConfiguredService| other.settings.friendly_name == service.settings.friendly_name;
        if let Some(other) = services[..at].iter().find(same) {
            report.warn(format!(
                "services.{} and services.{} have the same friendly-name; given by {origin}",
                other.name, service.name
            ));
        }
    }
}

fn template(
    name: &str,
    mut members: Map<String, Value>,
    checks: &Templates,
    origin: &str,
    report: &mut Report,
) -> Option<Template> {
    let path = format!("templates.{name}");
    members.entry("friendly-name").or_insert_with(|| name.into());
    let known = ["friendly-name", "channels", "translations", "default-locale"];
    let object = Object { path: &path, members, origin };
    let (template, is_complete) = object.read::<Template>(&known.into_iter(), true, report)?;
    for (member, given, problem) in template.problems(checks) {
        // What is missing may be what was wrong.
        if !is_complete && matches!(member.as_str(), "translations" | "default-locale") {
            continue;
        }
        let subject = format!("{path}.{member}");
        let given = given.as_deref().map(quoted);
        report.error(ConfigError { subject, given, problem, origin: Some(origin.to_owned()) });
    }
    Some(template.named(name))
}

/// An object inside config.json.
struct Object<'a> {
    path: &'a str,
    members: Map<String, Value>,
    origin: &'a str,
}

impl Object<'_> {
    /// Deserialises it. Each mistake is noted, with the value unless it may be secret; unknown members get a warning. The
    /// result lacks what is wrong, and says whether it is complete; `None` when a member is missing.
    fn read<'k, T: DeserializeOwned>(
        self,
        known: &(impl Iterator<Item = &'k str> + Clone),
        shows: bool,
        report: &mut Report,
    ) -> Option<(T, bool)> {
        let Self { path, mut members, origin } = self;
        members.retain(|name, _| {
            let is_known = known.clone().any(|known| known == name);
            if !is_known {
                let hint = suggestion(nearest(name, known.clone()).map(|known| format!("{path}.{known}")));
                report.warn(format!("{origin}: {:?} is unknown and ignored{hint}", format!("{path}.{name}")));
            }
            is_known
        });
        let mut wrong: Vec<String> = Vec::new();
        let mut object = Value::Object(members);
        loop {
            let error = match serde_path_to_error::deserialize(&object) {
                Ok(read) => return Some((read, wrong.is_empty())),
                Err(error) => error,
            };
            let mut place: Vec<String> = error.path().iter().map(Segment::to_string).collect();
            let why = error.inner().to_string();
            let missing = why.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
            place.extend(missing.map(str::to_owned));
            let subject = format!("{path}.{}", place.join("."));
            if missing.is_some() {
                // One that was wrong was noted.
                if !wrong.contains(&subject) {
                    report.problem(subject, "it is missing", origin.to_owned());
                }
                return None;
            }
            let given = remove(&mut object, &place)?;
            let is_shown = shows && !given.is_array() && !given.is_object() && !given.is_null();
            report.error(ConfigError {
                subject: subject.clone(),
                given: is_shown.then(|| shown_json(&given)),
                problem: why
                    .rsplit_once(", expected ")
                    .map_or_else(|| format!("it {why}"), |(_, expected)| format!("it must be {expected}")),
                origin: Some(origin.to_owned()),
            });
            wrong.push(subject);
        }
    }
}

/// Takes the member at this place out of nested objects.
fn remove(object: &mut Value, place: &[String]) -> Option<Value> {
    let (last, outer) = place.split_last()?;
    outer.iter().try_fold(object, |value, name| value.get_mut(name))?.as_object_mut()?.remove(last)
}

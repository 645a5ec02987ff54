//! Services and templates: their types, how config.json spells them, and how they are read and checked.

mod settings;
pub mod template;
mod values;

use schemars::{Schema, json_schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::kind::{objects, quoted, shown_json};
use super::load::read_members;
use super::report::Report;
use super::schema;
use crate::template::Templates;

pub use settings::{
    AccountSettings, ConfiguredService, RegistrySettings, ServiceParameter, ServiceSettings, SettingError,
    TestNumber, service_parameters,
};
pub use template::{Template, Translation, template_sid};
pub use values::{LockoutRule, Resend, friendly_name, note, one_line, short_name};

/// Services or templates in one file: those beyond are better made over the API.
const MOST: usize = 1_000;

/// The service of the compatible routes has this name already.
const DEFAULT: &str = "default";

const TEST_NUMBERS: &str = "test-numbers";

objects! {
    /// Services by their names, before they are read.
    ServicesObject {
        accepted: "an object of services by name, such as {\"shop\": {\"friendly-name\": \"Acme Shop\", \"code-length\": 6}}",
        schema: {
            let mut test_number = schema::object::<TestNumber>();
            test_number.insert("required".to_owned(), json!(["pattern", "code", "expires"]));
            let mut service = schema::object::<ServiceSettings>().to_value();
            service["properties"][TEST_NUMBERS] = json!({
                "type": "array",
                "maxItems": TestNumber::MOST,
                "items": test_number,
                "description": "Numbers that are never sent anything, with a known code.",
            });
            let mut schema = by_name(&service);
            // Test numbers have codes.
            schema.insert("writeOnly".to_owned(), true.into());
            schema
        },
        shown: |services| names(services),
    }

    /// Templates by their names, before they are read.
    TemplatesObject {
        accepted: "an object of templates by name, such as {\"login\": {\"translations\": {\"en\": \"{code} opens \
                   {friendly_name}\"}}}",
        schema: {
            let mut template = schema::object::<Template>();
            template.insert("required".to_owned(), json!(["translations"]));
            by_name(template.as_value())
        },
        shown: |templates| names(templates),
    }
}

fn names(members: &Map<String, Value>) -> Value {
    json!(members.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
}

fn by_name(object: &Value) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
        "additionalProperties": object,
    })
}

/// Reads and checks services and templates, and notes what is wrong.
pub(crate) struct Reader<'a> {
    pub(crate) origin: &'a str,
    pub(crate) report: &'a mut Report,
}

impl Reader<'_> {
    /// The services, each with its default for everything that is not given.
    pub(crate) fn services(
        &mut self,
        services: Map<String, Value>,
        templates: &[Template],
    ) -> Vec<ConfiguredService> {
        let built_in: Vec<Template> = Template::built_in().collect();
        let templates: Vec<&Template> = built_in.iter().chain(templates).collect();
        let why = "the service \"default\" is described by the top-level keys, such as otp-length";
        let named = self.named_objects("services", services, why, |name| name.eq_ignore_ascii_case(DEFAULT));
        let services: Vec<ConfiguredService> =
            named.into_iter().filter_map(|(name, members)| self.service(name, members, &templates)).collect();
        // Two with one name cannot be distinguished in messages, nor on the command line.
        for (at, service) in services.iter().enumerate() {
            let same =
                |other: &&ConfiguredService| other.settings.friendly_name == service.settings.friendly_name;
            if let Some(other) = services[..at].iter().find(same) {
                self.report.warn(format!(
                    "services.{} and services.{} have the same friendly-name; given by {}",
                    other.name, service.name, self.origin
                ));
            }
        }
        services
    }

    pub(crate) fn templates(&mut self, templates: Map<String, Value>, checks: &Templates) -> Vec<Template> {
        let why = "a template of this name is built in; choose another";
        let is_built_in = |name: &str| Template::built_in().any(|template| template.name == name);
        let named = self.named_objects("templates", templates, why, is_built_in);
        named.into_iter().filter_map(|(name, members)| self.template(&name, members, checks)).collect()
    }

    /// The objects with a name that one may have; `why` others may not have those that are taken.
    fn named_objects(
        &mut self,
        key: &str,
        objects: Map<String, Value>,
        why: &str,
        is_taken: impl Fn(&str) -> bool,
    ) -> Vec<(String, Map<String, Value>)> {
        if objects.len() > MOST {
            self.problem(key, format!("it has {} {key}, and may have {MOST}", objects.len()));
        }
        let mut named = Vec::new();
        for (name, value) in objects {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            let problem = match value {
                _ if is_taken(&name) => why.to_owned(),
                _ if !plain || !(1..=64).contains(&name.len()) => {
                    "a name has 1 to 64 letters, digits, hyphens and underscores".to_owned()
                }
                Value::Object(members) => {
                    named.push((name, members));
                    continue;
                }
                value => format!("it must be an object, and is {}", shown_json(&value)),
            };
            self.problem(format!("{key}.{name}"), problem);
        }
        named
    }

    fn service(
        &mut self,
        name: String,
        mut members: Map<String, Value>,
        templates: &[&Template],
    ) -> Option<ConfiguredService> {
        let path = format!("services.{name}");
        // A request removes a value with null, and config.json leaves the key out.
        members.retain(|key, value| {
            let known = service_parameters().iter().find(|known| known.key == *key && value.is_null());
            if let Some(ServiceParameter { accepted_in_file, .. }) = known {
                let (path, problem) = (format!("{path}.{key}"), format!("it must be {accepted_in_file}"));
                self.report.wrong(path, "null".to_owned(), problem, self.origin.to_owned());
            }
            known.is_none()
        });
        let is_named = members.contains_key("friendly-name");
        members.entry("friendly-name").or_insert_with(|| name.clone().into());
        let test_numbers = members.remove(TEST_NUMBERS).map(|numbers| self.test_numbers(&path, numbers));
        // As in requests.
        members.retain(|key, value| {
            let is_empty = value == "" || value.as_array().is_some_and(Vec::is_empty);
            !is_empty || !service_parameters().iter().any(|known| known.key == *key && known.is_removable)
        });
        let known = service_parameters().iter().map(|parameter| parameter.key.as_str()).chain([TEST_NUMBERS]);
        let given = members.clone();
        let (settings, _) = self.read::<ServiceSettings>(&path, members, &known, true)?;
        for error in settings.validate(templates).err().into_iter().flatten() {
            let hint = if error.key == "friendly-name" && !is_named {
                ". Without a friendly-name the service's name is it"
            } else {
                ""
            };
            let (given, problem) = (given.get(error.key).map(shown_json), format!("it {}{hint}", error.why));
            self.report.wrong(format!("{path}.{}", error.key), given, problem, self.origin.to_owned());
        }
        let test_numbers = test_numbers.unwrap_or_default();
        Some(ConfiguredService { name, settings, test_numbers, origin: self.origin.to_owned() })
    }

    /// What was given is not shown: it may be a code, or the number of a person.
    fn test_numbers(&mut self, path: &str, value: Value) -> Vec<TestNumber> {
        let path = format!("{path}.{TEST_NUMBERS}");
        let Value::Array(values) = value else {
            self.problem(path, "it must be a list of objects");
            return Vec::new();
        };
        if values.len() > TestNumber::MOST {
            self.problem(&path, format!("it has {}, and may have {}", values.len(), TestNumber::MOST));
        }
        let mut numbers: Vec<TestNumber> = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Value::Object(members) = value else {
                self.problem(path, "it must be an object with pattern, code and expires");
                continue;
            };
            let known = ["pattern", "code", "expires", "force"].into_iter();
            let Some((number, _)) = self.read::<TestNumber>(&path, members, &known, false) else {
                continue;
            };
            match number.checked() {
                Ok(number) if numbers.iter().any(|other| other.pattern == number.pattern) => {
                    self.problem(path, "there is another with this pattern. Remove one of them");
                }
                Ok(number) => numbers.push(number),
                Err((field, why)) => self.problem(format!("{path}.{field}"), format!("it {why}")),
            }
        }
        numbers
    }

    fn template(
        &mut self,
        name: &str,
        mut members: Map<String, Value>,
        checks: &Templates,
    ) -> Option<Template> {
        let path = format!("templates.{name}");
        members.entry("friendly-name").or_insert_with(|| name.into());
        let known = ["friendly-name", "channels", "translations", "default-locale"].into_iter();
        let (template, is_complete) = self.read::<Template>(&path, members, &known, true)?;
        for (member, given, problem) in template.problems(checks) {
            // What is missing may be what was wrong.
            if is_complete || !matches!(member.as_str(), "translations" | "default-locale") {
                let given = given.as_deref().map(quoted);
                self.report.wrong(format!("{path}.{member}"), given, problem, self.origin.to_owned());
            }
        }
        Some(template.named(name))
    }

    /// Reads an object inside config.json. Each mistake is noted, with the value unless it may be secret; unknown members get
    /// a warning. The result lacks what is wrong, and says whether it is complete; `None` when a member is missing.
    fn read<'k, T: DeserializeOwned>(
        &mut self,
        path: &str,
        mut members: Map<String, Value>,
        known: &(impl Iterator<Item = &'k str> + Clone),
        shows: bool,
    ) -> Option<(T, bool)> {
        members.retain(|name, _| {
            let is_known = known.clone().any(|known| known == name);
            if !is_known {
                self.report.warn_of_unknown(self.origin, path, name, known.clone());
            }
            is_known
        });
        let mut is_complete = true;
        let read = read_members(members, |member, value, problem| {
            is_complete = false;
            let is_shown = |value: &&Value| shows && !(value.is_array() || value.is_object());
            let given = value.filter(is_shown).map(shown_json);
            self.report.wrong(format!("{path}.{member}"), given, problem, self.origin.to_owned());
        });
        Some((read?, is_complete))
    }

    fn problem(&mut self, subject: impl Into<String>, problem: impl Into<String>) {
        self.report.problem(subject, problem, self.origin.to_owned());
    }
}

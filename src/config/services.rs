//! Services: a service as its user sets it, in config.json, over the API, in records and in answers; and how the
//! services of config.json are read and checked.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use smart_default::SmartDefault;

use super::context::{ConfigErrors, Part, is_scalar};
use super::guard::{self, GuardObject, GuardSettings};
use super::kind::{
    ACCEPTED, Attempts, Choice, Flag, IN_REQUESTS, Kind as _, Messages, Named, ServiceTime, Stored, Text,
    UNIT, kinds, names, object_of, shown_json,
};
use super::schema::{by_name, object, properties};
use super::settings::{DEFAULT_AUDIT_RETENTION, NumberRule};
use super::templates::Template;
use super::values::{
    CodeDigits, CodeLife, FriendlyName, LocaleTag, LockoutKind, Moment, TemplateId, TtsName, WorkflowText,
    friendly_name,
};
use crate::domain::{
    ApiSecret, Code, CodeLength, Locale, NumberPattern, PhoneNumber, ServiceId, Sid, Timestamp,
};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};

/// Everything that a user can set on a service. A field is a key of `services` in config.json (`code-length`), a
/// parameter of requests (`CodeLength`), a part of the record, and, where Twilio's service has it, a field of answers
/// (`code_length`). Its doc comment describes all of them.
#[derive(Debug, Clone, PartialEq, Eq, SmartDefault, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceSettings {
    /// The name of the service in its messages: 1 to 30 characters, at most 4 of them digits, no braces. By default
    /// the service's own name in config.json.
    #[serde(with = "Stored::<FriendlyName>")]
    pub friendly_name: String,
    /// Digits of a code.
    #[serde(with = "Stored::<CodeDigits>")]
    #[default(SendOptions::DEFAULT.length)]
    pub code_length: CodeLength,
    /// The lifetime of a code.
    #[serde(with = "Stored::<CodeLife>")]
    #[default(SendOptions::DEFAULT.life)]
    pub code_life: Duration,
    /// Wrong codes of one verification, or of a number where the lockout is fixed.
    #[serde(with = "Stored::<Attempts>")]
    #[default(Policy::DEFAULT_MAX_ATTEMPTS)]
    pub max_checks: u8,
    /// Messages of one verification.
    // The default service has no limit.
    #[serde(with = "Stored::<Option<Messages<u8>>>")]
    #[default(Some(SendRules::DEFAULT_MAX))]
    pub max_sends: Option<u8>,
    /// verification (the default): a verification takes max-checks wrong codes. Or the time for which too many wrong
    /// codes lock a number: a bare number is seconds in requests.
    #[serde(with = "Stored::<LockoutKind>")]
    #[default(LockoutRule::Verification)]
    pub lockout: LockoutRule,
    /// keep: a further message has the same code. new: it has a new one.
    #[serde(with = "Stored::<Choice<Resend>>")]
    #[default(Resend::Keep)]
    pub resend: Resend,
    /// Whether a further message has to wait: 30, 60, 120, then 300 s.
    #[serde(with = "Stored::<Flag>")]
    pub cooling_down: bool,
    /// Language where neither the request nor the number's country leads to one.
    #[serde(with = "Stored::<Option<LocaleTag>>")]
    pub locale: Option<Locale>,
    /// Channels in order; by default those of the key `workflow`.
    #[serde(with = "Stored::<Option<WorkflowText>>")]
    pub workflow: Option<String>,
    /// Whether a request may bring its own code.
    #[serde(with = "Stored::<Flag>")]
    pub custom_code: bool,
    /// Whether text messages warn that the code is not to be shared.
    #[serde(with = "Stored::<Flag>")]
    pub do_not_share_warning: bool,
    /// Name or id of the template where a request names none.
    #[serde(with = "Stored::<Option<TemplateId>>")]
    pub default_template: Option<Sid>,
    /// Whether text messages to numbers known to be landlines are refused.
    #[serde(with = "Stored::<Flag>")]
    pub skip_sms_to_landlines: bool,
    /// Kept and shown without effect.
    #[serde(with = "Stored::<Flag>")]
    pub lookup_enabled: bool,
    /// Kept and shown without effect: see the key voice-gate.
    #[serde(with = "Stored::<Flag>")]
    #[default(true)]
    pub dtmf_input_required: bool,
    /// Kept and shown without effect.
    #[serde(with = "Stored::<Option<TtsName>>")]
    pub tts_name: Option<String>,
    /// Kept and shown without effect.
    #[serde(with = "Stored::<Flag>")]
    pub verify_event_subscription_enabled: bool,
}

/// Keys whose name in requests and answers is not theirs in other letters: Twilio chose it.
const TWILIO_NAMES: [(&str, &str); 3] = [
    ("custom-code", "custom_code_enabled"),
    ("do-not-share-warning", "do_not_share_warning_enabled"),
    ("default-template", "default_template_sid"),
];

/// A setting that cannot have the given value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    pub key: &'static str,
    /// The reason, as the end of a sentence that begins with the setting.
    pub why: String,
}

impl ServiceSettings {
    /// These settings with the given members, by their keys, in the place of their present values.
    ///
    /// # Errors
    /// The first member that is not accepted.
    pub fn with(&self, given: Map<String, Value>) -> Result<Self, SettingError> {
        let mut members = match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        members.extend(given);
        serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| {
            let path = error.path().to_string();
            match service_parameters().iter().find(|parameter| parameter.key == path) {
                Some(ServiceParameter { key, accepted, .. }) => {
                    SettingError { key, why: format!("must be {accepted}") }
                }
                None => SettingError { key: "", why: error.inner().to_string() },
            }
        })
    }

    /// Checks what a value alone does not tell. The default service is not checked: the top-level keys may say more.
    ///
    /// # Errors
    /// Every setting that cannot be as it is.
    pub fn validate(
        &self,
        templates: &[&Template],
        test_numbers: &[TestNumber],
    ) -> Result<(), Vec<SettingError>> {
        // The default service may have another life.
        let life = |life| {
            if ServiceTime::has(life) { Ok(()) } else { Err(format!("must be {}", ServiceTime::limits())) }
        };
        let template = |sid: Sid| {
            if templates.iter().any(|template| template.sid == sid) {
                return Ok(());
            }
            let names: Vec<&str> = templates.iter().map(|template| template.name.as_str()).collect();
            Err(format!("must be the name or the SID of a template. The templates are {}", names.join(", ")))
        };
        let checks = [
            ("friendly-name", friendly_name(&self.friendly_name).map(|_| ())),
            ("code-life", life(self.code_life)),
            ("default-template", self.default_template.map_or(Ok(()), template)),
            ("lockout", self.check_lockout(test_numbers)),
        ];
        let wrong =
            checks.into_iter().filter_map(|(key, check)| Some(SettingError { key, why: check.err()? }));
        let wrong: Vec<SettingError> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// The service of the compatible routes, which the top-level keys describe.
    pub fn of_policy(friendly_name: String, policy: &Policy) -> Self {
        Self {
            friendly_name,
            code_length: policy.code.length,
            code_life: policy.code.life,
            max_checks: policy.max_attempts,
            max_sends: policy.sends.max,
            lockout: policy.lockout,
            resend: if policy.sends.keeps_code { Resend::Keep } else { Resend::New },
            cooling_down: policy.sends.cools_down,
            ..Self::default()
        }
    }

    /// Checks the lockout against the shortest codes that the service can have, those of its test numbers included.
    fn check_lockout(&self, test_numbers: &[TestNumber]) -> Result<(), String> {
        let length = if self.custom_code { CodeLength::SHORTEST } else { self.code_length };
        self.check_strength_of(length)?;
        test_numbers
            .iter()
            .try_for_each(|number| self.check_test_code(number))
            .map_err(|why| format!("{why}. A test number of this service has such a code"))
    }

    /// Checks that the lockout leaves too few guesses for the code of a test number.
    ///
    /// # Errors
    /// The reason, as the end of a sentence that begins with the code.
    pub fn check_test_code(&self, number: &TestNumber) -> Result<(), String> {
        let length = u8::try_from(number.code.len()).ok().and_then(CodeLength::new);
        self.check_strength_of(length.unwrap_or(CodeLength::SHORTEST))
    }

    fn check_strength_of(&self, length: CodeLength) -> Result<(), String> {
        let policy = self.policy();
        Policy { code: SendOptions { length, ..policy.code }, ..policy }.check_strength()
    }

    pub fn policy(&self) -> Policy {
        Policy {
            max_attempts: self.max_checks,
            lockout: self.lockout,
            code: SendOptions { life: self.code_life, length: self.code_length },
            sends: SendRules {
                max: self.max_sends,
                keeps_code: self.resend == Resend::Keep,
                cools_down: self.cooling_down,
            },
        }
    }
}

/// A setting of services as a parameter of requests.
#[derive(Debug)]
pub struct ServiceParameter {
    /// Its key in config.json: `code-length`.
    pub key: String,
    /// Its name in answers and errors: `code_length`.
    pub field: String,
    /// Its name in requests: `CodeLength`.
    pub name: String,
    pub description: String,
    /// The values that requests may give: the end of a sentence that begins with "must be".
    pub accepted: String,
    /// The JSON Schema of a value in a request: a boolean, an integer or a string.
    pub schema: Value,
    /// A bare number is seconds.
    pub is_time: bool,
    /// An empty text removes the value.
    pub is_removable: bool,
}

/// Every setting of services, in the order of their keys.
pub fn service_parameters() -> &'static [ServiceParameter] {
    static PARAMETERS: LazyLock<Vec<ServiceParameter>> = LazyLock::new(|| {
        properties::<ServiceSettings>().iter().map(|(key, property)| parameter(key, property)).collect()
    });
    &PARAMETERS
}

fn parameter(key: &str, property: &Value) -> ServiceParameter {
    let twilio = TWILIO_NAMES.iter().find(|(own, _)| *own == key);
    let field = twilio.map_or_else(|| key.replace('-', "_"), |(_, name)| (*name).to_owned());
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    let json_type = property["anyOf"].get(0).unwrap_or(property);
    let mut schema = property.get(IN_REQUESTS).unwrap_or(json_type).clone();
    let text = |schema: &Value, name: &str| schema.get(name).and_then(Value::as_str).map(str::to_owned);
    let accepted = text(&schema, ACCEPTED).or_else(|| text(property, ACCEPTED)).unwrap_or_default();
    if let Some(members) = schema.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "description" | "default" | ACCEPTED));
    }
    ServiceParameter {
        key: key.to_owned(),
        name: field.split('_').map(capital).collect(),
        field,
        description: text(property, "description").unwrap_or_default().replace('\n', " "),
        accepted,
        schema,
        is_time: property.get(UNIT).is_some(),
        is_removable: is_removable(property),
    }
}

/// Whether a setting may be without a value. max-sends has a default, and may not.
fn is_removable(property: &Value) -> bool {
    property.get("default").is_none()
}

/// Numbers that are never sent anything, and whose code is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestNumber {
    /// A number in E.164 form; x stands for any digit.
    #[serde(with = "Stored::<Text>")]
    #[schemars(regex(pattern = r"^\s*\+[0-9xX]{7,15}\s*$"))]
    pub pattern: String,
    /// The code: 4 to 10 digits, as a text where it begins with 0.
    #[serde(with = "Stored::<Text>")]
    #[schemars(schema_with = "code_schema")]
    pub code: String,
    /// The end (RFC 3339, or a day in UTC), at most a year ahead.
    #[serde(with = "Stored::<Moment>")]
    pub expires: Timestamp,
    /// `true` accepts a pattern that could match a subscriber's number.
    #[serde(default, with = "Stored::<Flag>")]
    pub force: bool,
}

impl TestNumber {
    /// The longest lifetime of a test number.
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    pub const MOST: usize = 50;

    /// With its pattern in one form.
    ///
    /// # Errors
    /// A field, and what is wrong with it as the end of a sentence.
    pub fn checked(self) -> Result<Self, (&'static str, String)> {
        let pattern = NumberPattern::parse(&self.pattern).map_err(|error| ("pattern", error.to_string()))?;
        if !self.force && pattern.could_be_real() {
            let why = "means a number that a person could own. The owner would receive no message, and every caller who \
                       knows the code would be verified as the owner. Use a range for fiction such as +1415555012x, or say \"force\": true if it is \
                       yours";
            return Err(("pattern", why.to_owned()));
        }
        if Code::parse(&self.code).is_none() {
            return Err(("code", format!("must be {} to {} digits", CodeLength::MIN, CodeLength::MAX)));
        }
        Ok(Self { pattern: pattern.as_str().to_owned(), ..self })
    }

    /// Returns `true` if it is a test number for more than a year from `now`.
    pub fn lasts_too_long(&self, now: Timestamp) -> bool {
        self.expires > now.plus(Self::LONGEST)
    }

    /// Returns `true` if `number` matches at `now`.
    pub fn is(&self, number: PhoneNumber, now: Timestamp) -> bool {
        let text = number.e164();
        now < self.expires
            && text.len() == self.pattern.len()
            && self.pattern.bytes().zip(text.bytes()).all(|(p, digit)| p == b'x' || p == digit)
    }
}

impl fmt::Debug for TestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestNumber(***)")
    }
}

fn code_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9]{4,10}$" })
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConfiguredService {
    /// Its name there, to which its id is bound.
    pub name: String,
    pub settings: ServiceSettings,
    pub test_numbers: Vec<TestNumber>,
    pub guard: GuardSettings,
    /// Where it was given, for errors that only the clock brings to light.
    pub origin: String,
}

/// The configuration of the registry.
#[derive(Debug, Clone, SmartDefault)]
pub struct RegistrySettings {
    pub services: Vec<ConfiguredService>,
    pub templates: Vec<Template>,
    pub account: Option<AccountSettings>,
    /// The error of an address that unauthenticated clients can reach, unless the data directory holds an
    /// API key. `None` where only this machine does, the operator has allowed it, or the account's credentials were
    /// given.
    pub unless_keys: Option<ConfigErrors>,
    /// Whether only this machine reaches the server: the address is loopback, and no proxy is in front (`production`).
    pub local_only: bool,
    /// Whether unauthenticated clients may be served (`allow-unauthenticated`).
    pub allows_unauthenticated: bool,
    /// Which numbers verifications are sent to. With the simulator as the only gateway, all possible ones.
    pub numbers: NumberRule,
    /// Retention of the audit log.
    #[default(DEFAULT_AUDIT_RETENTION)]
    pub audit_retention: Duration,
}

#[derive(Debug, Clone)]
pub struct AccountSettings {
    pub sid: Sid,
    pub token: ApiSecret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resend {
    /// It sends the same code, which ends when it would have.
    Keep,
    /// It sends a new code with a new life.
    New,
}

impl Named for Resend {
    const NAMES: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("new", Self::New)];
}

const TEST_NUMBERS: &str = "test-numbers";
const GUARD: &str = "guard";

kinds! {
    /// Services by their names, before they are read.
    ServicesObject -> Map<String, Value> {
        accepted: "an object of services by name, such as {\"shop\": {\"friendly-name\": \"Acme Shop\", \"code-length\": 6}}",
        schema: {
            let mut test_number = object::<TestNumber>();
            test_number.insert("required".to_owned(), json!(["pattern", "code", "expires"]));
            let mut service = object::<ServiceSettings>().to_value();
            service["properties"][TEST_NUMBERS] = json!({
                "type": "array",
                "maxItems": TestNumber::MOST,
                "items": test_number,
                "description": "Numbers that are never sent anything, with a known code.",
            });
            service["properties"][GUARD] = object::<GuardSettings>().to_value();
            service["properties"][GUARD]["description"] =
                json!("Rules against SMS pumping, by default those of the key `guard`, and further budgets.");
            let mut schema = by_name(&service);
            // Test numbers have codes.
            schema.insert("writeOnly".to_owned(), true.into());
            schema
        },
        of: |value| object_of(value),
        shown: |services| names(services),
    }
}

/// Reads and checks the services, each with its default for everything that is not given.
pub(super) fn read(
    services: Map<String, Value>,
    templates: &[Template],
    part: &mut Part<'_>,
) -> Vec<ConfiguredService> {
    let built_in: Vec<Template> = Template::built_in().collect();
    let templates: Vec<&Template> = built_in.iter().chain(templates).collect();
    let mut known = properties::<ServiceSettings>();
    known.insert(TEST_NUMBERS.to_owned(), Value::Null);
    known.insert(GUARD.to_owned(), Value::Null);
    let why = "the service \"default\" is described by the top-level keys, such as otp-length";
    let named = part
        .named_objects("services", services, why, |name| name.eq_ignore_ascii_case(ServiceId::DEFAULT_NAME));
    let services: Vec<ConfiguredService> = named
        .into_iter()
        .filter_map(|(name, members)| service(name, members, &known, &templates, part))
        .collect();
    // Two with one name cannot be distinguished in messages, nor on the command line.
    for (at, service) in services.iter().enumerate() {
        let same =
            |other: &&ConfiguredService| other.settings.friendly_name == service.settings.friendly_name;
        if let Some(other) = services[..at].iter().find(same) {
            let (one, two) = (&other.name, &service.name);
            part.report.warn(format!(
                "services.{one} and services.{two} have the same friendly-name; given by {}",
                part.origin
            ));
        }
    }
    services
}

fn service(
    name: String,
    mut members: Map<String, Value>,
    known: &Map<String, Value>,
    templates: &[&Template],
    part: &mut Part<'_>,
) -> Option<ConfiguredService> {
    let path = format!("services.{name}");
    let test_numbers = members.remove(TEST_NUMBERS).map(|numbers| test_numbers(&path, numbers, part));
    let guard = match members.remove(GUARD) {
        Some(Value::Object(members)) => guard::read(&format!("{path}.{GUARD}"), members, part),
        Some(other) => {
            part.wrong(
                format!("{path}.{GUARD}"),
                shown_json(&other),
                format!("it must be {}", GuardObject::accepted()),
            );
            GuardSettings::default()
        }
        None => GuardSettings::default(),
    };
    members.retain(|key, value| {
        let Some(schema) = known.get(key) else { return true };
        // In exports null is a missing value, and in config.json it is none.
        if value.is_null() {
            let accepted = schema[ACCEPTED].as_str().unwrap_or_default();
            part.wrong(format!("{path}.{key}"), "null".to_owned(), format!("it must be {accepted}"));
            return false;
        }
        // As in requests, an empty text or list is a missing value.
        !(value == "" || value.as_array().is_some_and(Vec::is_empty)) || !is_removable(schema)
    });
    let is_named = members.contains_key("friendly-name");
    members.entry("friendly-name").or_insert_with(|| name.clone().into());
    let given = members.clone();
    let (settings, _) = part.read::<ServiceSettings>(&path, members, known, is_scalar)?;
    let test_numbers = test_numbers.unwrap_or_default();
    for error in settings.validate(templates, &test_numbers).err().into_iter().flatten() {
        let hint = if error.key == "friendly-name" && !is_named {
            ". Without a friendly-name the service's name is it"
        } else {
            ""
        };
        let given = given.get(error.key).map(shown_json);
        part.wrong(format!("{path}.{}", error.key), given, format!("it {}{hint}", error.why));
    }
    Some(ConfiguredService { name, settings, test_numbers, guard, origin: part.origin.clone() })
}

/// Given values are not shown: it may be a code, or the number of a person.
fn test_numbers(path: &str, value: Value, part: &mut Part<'_>) -> Vec<TestNumber> {
    let path = format!("{path}.{TEST_NUMBERS}");
    let Value::Array(values) = value else {
        part.wrong(path, None, "it must be a list of objects");
        return Vec::new();
    };
    if values.len() > TestNumber::MOST {
        part.wrong(&path, None, format!("it has {}, and may have {}", values.len(), TestNumber::MOST));
    }
    let known = properties::<TestNumber>();
    let mut numbers: Vec<TestNumber> = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Value::Object(members) = value else {
            part.wrong(path, None, "it must be an object with pattern, code and expires");
            continue;
        };
        let Some((number, _)) = part.read::<TestNumber>(&path, members, &known, |_, _| false) else {
            continue;
        };
        match number.checked() {
            Ok(number) if numbers.iter().any(|other| other.pattern == number.pattern) => {
                part.wrong(path, None, "there is another with this pattern. Remove one of them");
            }
            Ok(number) => numbers.push(number),
            Err((field, why)) => part.wrong(format!("{path}.{field}"), None, format!("it {why}")),
        }
    }
    numbers
}

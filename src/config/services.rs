//! Services: a service as its user sets it, in config.json, over the API, in records and in answers; and how the
//! services of config.json are read and checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::context::{ConfigErrors, Context};
use super::guard::GuardSettings;
use super::kind::{
    ACCEPTED, Choice, Flag, IN_REQUESTS, MaxChecks, Messages, SendTime, ServiceTime, Spelled, Stored, Text,
    UNIT, settings,
};
use super::schema::properties;
use super::settings::{DEFAULT_AUDIT_RETENTION, NumberRule};
use super::templates::Template;
use super::values::{
    CodeDigits, CodeLife, EmbedOrigins, FriendlyName, LocaleTag, LockoutKind, Moment, PageColor, PageUrl,
    ReturnUrls, TemplateId, TtsName, WorkflowText, friendly_name,
};
use crate::domain::{
    ApiSecret, Code, CodeLength, Locale, NumberPattern, PhoneNumber, ServiceId, Sid, Timestamp,
};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};
use crate::template::StandardMessage;

settings! {
    /// Everything that a user can set on a service. A field is a key of `services` in config.json (`code-length`), a
    /// parameter of requests (`CodeLength`), a part of the record, and, where Twilio's service has it, a field of answers
    /// (`code_length`). Its doc comment describes all of them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct ServiceSettings {
        /// The name of the service in its messages: 1 to 30 characters, at most 4 of them digits, no braces. By default
        /// the service's own name in config.json.
        pub friendly_name: String as "Stored::<FriendlyName>",
        /// Digits of a code.
        pub code_length: CodeLength as "Stored::<CodeDigits>" = SendOptions::DEFAULT.length,
        /// The lifetime of a code.
        pub code_life: Duration as "Stored::<CodeLife>" = SendOptions::DEFAULT.life,
        /// Wrong codes of one verification, or of a number where the lockout is fixed.
        pub max_checks: u8 as "Stored::<MaxChecks>" = Policy::DEFAULT_MAX_ATTEMPTS,
        /// Requests for messages of one verification.
        // The default service has no limit.
        pub max_sends: Option<u8> as "Stored::<Option<Messages<u8>>>" = Some(SendRules::DEFAULT_MAX),
        /// verification (the default): a verification takes max-checks wrong codes. Or the time for which too many wrong
        /// codes lock a number: a bare number is seconds in requests.
        pub lockout: LockoutRule as "Stored::<LockoutKind>" = LockoutRule::Verification,
        /// keep: a further message has the same code. new: it has a new one.
        pub resend: Resend as "Stored::<Choice<Resend>>" = Resend::Keep,
        /// Whether a further message has to wait: 30, 60, 120, then 300 s.
        pub cooling_down: bool as "Stored::<Flag>",
        /// Language where neither the request nor the number's country leads to one: of the standard message, or of the
        /// service's template.
        pub locale: Option<Locale> as "Stored::<Option<LocaleTag>>",
        /// Channels in order; by default those of the key `workflow`.
        pub workflow: Option<String> as "Stored::<Option<WorkflowText>>",
        /// The time for one send, where it is shorter than the key send-budget: less than the application waits.
        pub send_budget: Option<Duration> as "Stored::<Option<SendTime>>",
        /// Whether a request may bring its own code.
        pub custom_code: bool as "Stored::<Flag>",
        /// Whether text messages warn that the code is not to be shared, where that needs no further message.
        pub do_not_share_warning: bool as "Stored::<Flag>",
        /// Name or id of the template where a request names none.
        pub default_template: Option<Sid> as "Stored::<Option<TemplateId>>",
        /// Whether text messages to numbers known to be landlines are refused.
        pub skip_sms_to_landlines: bool as "Stored::<Flag>",
        /// Kept and shown without effect.
        pub lookup_enabled: bool as "Stored::<Flag>",
        /// Kept and shown without effect: see the key voice-gate.
        pub dtmf_input_required: bool as "Stored::<Flag>" = true,
        /// Kept and shown without effect.
        pub tts_name: Option<String> as "Stored::<Option<TtsName>>",
        /// Kept and shown without effect.
        pub verify_event_subscription_enabled: bool as "Stored::<Flag>",
        /// Addresses that the hosted page may return to, between spaces. A session names one of them exactly.
        pub return_urls: Option<String> as "Stored::<Option<ReturnUrls>>",
        /// Origins of the web pages that may show the hosted page in a frame, between spaces.
        pub embed_origins: Option<String> as "Stored::<Option<EmbedOrigins>>",
        /// Logo of the hosted page, at most 48 px high.
        pub logo_url: Option<String> as "Stored::<Option<PageUrl>>",
        /// Color of the buttons of the hosted page. Their text is black or white, whichever is easier to read.
        pub accent_color: Option<String> as "Stored::<Option<PageColor>>",
        /// Link at the foot of the hosted page.
        pub privacy_url: Option<String> as "Stored::<Option<PageUrl>>",
        /// Link at the foot of the hosted page.
        pub terms_url: Option<String> as "Stored::<Option<PageUrl>>",
    }
}

/// Keys whose name in requests and answers is not theirs in other letters: Twilio chose it.
const TWILIO_NAMES: [(&str, &str); 3] = [
    ("custom-code", "custom_code_enabled"),
    ("do-not-share-warning", "do_not_share_warning_enabled"),
    ("default-template", "default_template_sid"),
];

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
            ("locale", self.check_locale(templates)),
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

    /// Checks that the service's template or the standard message is in its language: else its messages would be in
    /// another one.
    fn check_locale(&self, templates: &[&Template]) -> Result<(), String> {
        let own = templates.iter().find(|template| self.default_template == Some(template.sid));
        let has = |tag| own.is_some_and(|template| template.has(tag));
        match self.locale {
            Some(locale) if StandardMessage::nearest(locale).is_none() && !locale.lookup().any(has) => {
                Err("must be a language of the standard message, or of the service's template".to_owned())
            }
            _ => Ok(()),
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
        // max-sends has a default, and may not be without a value.
        is_removable: property.get("default").is_none(),
    }
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
                       knows the code would be verified as the owner. Use a range for fiction such as +1415555012x, or, if it is yours, set \
                       \"force\": true (over the API Force=true)";
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
        now < self.expires && NumberPattern::covers(&self.pattern, &number.e164())
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

#[derive(Debug, Clone)]
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
    pub audit_retention: Duration,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        let (numbers, audit_retention) = (NumberRule::default(), DEFAULT_AUDIT_RETENTION);
        let (services, templates, account) = Default::default();
        let (unless_keys, local_only, allows_unauthenticated) = Default::default();
        Self {
            services,
            templates,
            account,
            unless_keys,
            local_only,
            allows_unauthenticated,
            numbers,
            audit_retention,
        }
    }
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

impl Spelled for Resend {
    const NAMES: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("new", Self::New)];
}

/// A service in config.json.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct ServiceObject {
    #[serde(flatten)]
    settings: ServiceSettings,
    /// Numbers that are never sent anything, with a known code.
    #[schemars(length(max = TestNumber::MOST))]
    #[schemars(extend("writeOnly" = true, "x-accepted" = "a list of objects with pattern, code and expires"))]
    test_numbers: Vec<TestNumber>,
    /// Rules against SMS pumping, by default those of the key `guard`, and further budgets.
    #[schemars(extend("x-accepted" = "an object such as {\"messages-per-day\": 1000}"))]
    guard: GuardSettings,
}

/// Checks the services, and gives each its name where it has no other.
pub(super) fn check(
    services: BTreeMap<String, ServiceObject>,
    templates: &[Template],
    c: &mut Context,
) -> Vec<ConfiguredService> {
    let built_in: Vec<Template> = Template::built_in().collect();
    let templates: Vec<&Template> = built_in.iter().chain(templates).collect();
    let why = "the service \"default\" is described by the top-level keys, such as otp-length";
    let is_taken = |name: &str| name.eq_ignore_ascii_case(ServiceId::DEFAULT_NAME);
    let mut known = BTreeMap::new();
    let mut checked = Vec::new();
    for (name, ServiceObject { mut settings, test_numbers, guard }) in
        c.named("services", services, why, is_taken)
    {
        let path = format!("services.{name}");
        let is_named = !settings.friendly_name.is_empty();
        if !is_named {
            settings.friendly_name.clone_from(&name);
        }
        let test_numbers = check_test_numbers(&format!("{path}.test-numbers"), test_numbers, c);
        for error in settings.validate(&templates, &test_numbers).err().into_iter().flatten() {
            let hint = if error.key == "friendly-name" && !is_named {
                ". Without a friendly-name the service's name is it"
            } else {
                ""
            };
            let path = format!("{path}.{}", error.key);
            c.wrong(&path, c.raw.given(&path), format!("it {}{hint}", error.why));
        }
        let origin = c.origin("services");
        // Two with one name cannot be distinguished in messages, nor on the command line.
        if let Some(other) = known.insert(settings.friendly_name.clone(), name.clone()) {
            let warning = "have the same friendly-name; given by";
            c.report.warn(format!("services.{other} and services.{name} {warning} {origin}"));
        }
        checked.push(ConfiguredService { name, settings, test_numbers, guard, origin });
    }
    checked
}

/// Given values are not shown: it may be a code, or the number of a person.
fn check_test_numbers(path: &str, given: Vec<TestNumber>, c: &mut Context) -> Vec<TestNumber> {
    if given.len() > TestNumber::MOST {
        c.wrong(path, None, format!("it has {}, and may have {}", given.len(), TestNumber::MOST));
    }
    let mut numbers: Vec<TestNumber> = Vec::new();
    for (index, number) in given.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        match number.checked() {
            Ok(number) if numbers.iter().any(|other| other.pattern == number.pattern) => {
                c.wrong(&path, None, "there is another with this pattern. Remove one of them");
            }
            Ok(number) => numbers.push(number),
            Err((field, why)) => c.wrong(&format!("{path}.{field}"), None, format!("it {why}")),
        }
    }
    numbers
}

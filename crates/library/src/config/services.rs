//! Services: a service as its user sets it, in config.json, over the API, in records and in answers; and how the
//! services of config.json are read and checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use smart_default::SmartDefault;

use super::guard::GuardSettings;
use super::load::ConfigErrors;
use super::read::read;
use super::sources::Config;
use super::templates::Template;
use super::values::{is_origin, read_page_url, template_sid};
use crate::domain::{
    Channel, Code, CodeLength, DAY, Locale, LockoutTime, MINUTE, PhoneNumber, SECOND, ServiceId, ServiceTime,
    Sid, SidKind, Time, Timestamp, Whole, WorkflowStep, checked, friendly_name, is_of_fiction,
    number_pattern, optional, pattern_covers, short_name, time_text, workflow_text,
};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};
use crate::template::StandardMessage;

/// Everything that a user can set on a service. A field is a key of `services` in config.json (`code-length`), a parameter
/// of requests (`CodeLength`), a part of the record, and, where Twilio's service has it, a field of answers
/// (`code_length`). Its doc comment describes all of them; its schema is that of the parameter.
#[derive(SmartDefault, Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key")]
pub struct ServiceSettings {
    /// The name of the service in its messages: 1 to 30 characters, at most 4 of them digits, no braces. By default
    /// the service's own name in config.json.
    #[schemars(length(max = 30), regex(pattern = NAME), extend("example" = "Owl Bank"))]
    pub friendly_name: String,
    /// Digits of a code.
    #[default(SendOptions::DEFAULT.length)]
    pub code_length: CodeLength,
    /// The lifetime of a code.
    // The default service may have a life that others may not have.
    #[serde(deserialize_with = "code_life", serialize_with = "ServiceTime::serialize")]
    #[schemars(with = "u32", range(min = 30, max = 3600), extend("example" = 600))]
    #[default(SendOptions::DEFAULT.life)]
    pub code_life: Duration,
    /// Wrong codes of one verification, or of a number where the lockout is fixed.
    #[serde(with = "Whole::<1, 100>")]
    #[schemars(with = "u8", range(min = 1, max = 100))]
    #[default(Policy::DEFAULT_MAX_ATTEMPTS)]
    pub max_checks: u8,
    /// Requests for messages of one verification.
    // The default service has no limit.
    #[serde(deserialize_with = "Whole::<1, 20>::option")]
    #[schemars(with = "u8", range(min = 1, max = 20), extend("default" = SendRules::DEFAULT_MAX))]
    #[default(Some(SendRules::DEFAULT_MAX))]
    pub max_sends: Option<u8>,
    /// verification (the default): a verification takes max-checks wrong codes. Or the time for which too many wrong
    /// codes lock a number: a bare number is seconds in requests.
    #[serde(deserialize_with = "lockout", serialize_with = "lockout_text")]
    #[schemars(with = "String", regex(pattern = "^(verification|[0-9]{1,7})?$"), extend("example" = VERIFICATION))]
    #[default(LockoutRule::Verification)]
    pub lockout: LockoutRule,
    /// keep: a further message has the same code. new: it has a new one.
    pub resend: Resend,
    /// Whether a further message has to wait: 30, 60, 120, then 300 s.
    pub cooling_down: bool,
    /// Language where neither the request nor the number's country leads to one: of the standard message, or of the
    /// service's template.
    #[schemars(with = "String", regex(pattern = LANGUAGE), extend("example" = "de"))]
    pub locale: Option<Locale>,
    /// Channels in order; by default those of the key `workflow`.
    #[serde(deserialize_with = "workflow")]
    #[schemars(with = "String", extend("pattern" = workflow_pattern(), "example" = "sms"))]
    pub workflow: Option<String>,
    /// The time for one send, where it is shorter than the key send-budget: less than the application waits.
    #[serde(with = "Time::<SECOND, MINUTE>")]
    #[schemars(with = "u32", range(min = 1, max = 60))]
    pub send_budget: Option<Duration>,
    /// How the gateways of a number are ordered: order or results, by default as the key `sender` says.
    #[schemars(with = "String", extend("enum" = ["", "order", "results"]))]
    pub sender: Option<Sender>,
    /// Whether a request may bring its own code.
    pub custom_code: bool,
    /// Whether text messages warn that the code is not to be shared, where that needs no further message.
    pub do_not_share_warning: bool,
    /// Name or id of the template where a request names none.
    #[serde(deserialize_with = "template")]
    #[schemars(with = "String", regex(pattern = "^(HJ[0-9a-fA-F]{32})?$"))]
    #[schemars(extend("example" = "HJ0123456789abcdef0123456789abcdef"))]
    pub default_template: Option<Sid>,
    /// Whether text messages to numbers known to be landlines are refused.
    pub skip_sms_to_landlines: bool,
    /// Kept and shown without effect.
    pub lookup_enabled: bool,
    /// Kept and shown without effect: see the key voice-gate.
    #[default = true]
    pub dtmf_input_required: bool,
    /// Kept and shown without effect.
    #[schemars(with = "String", length(max = TTS_NAME_LONGEST), regex(pattern = LINE), extend("example" = "Owl Bank"))]
    pub tts_name: Option<String>,
    /// Kept and shown without effect.
    pub verify_event_subscription_enabled: bool,
    /// Addresses that the hosted page may return to, between spaces. A session names one of them exactly.
    #[schemars(with = "String", length(max = LONGEST_URLS), extend("example" = "https://app.example.com/verified"))]
    pub return_urls: Option<String>,
    /// Origins of the web pages that may show the hosted page in a frame, between spaces.
    #[schemars(with = "String", length(max = LONGEST_URLS), extend("example" = "https://app.example.com"))]
    pub embed_origins: Option<String>,
    /// Logo of the hosted page, at most 48 px high.
    #[schemars(with = "String", length(max = LONGEST_URLS), extend("example" = "https://app.example.com/privacy"))]
    pub logo_url: Option<String>,
    /// Color of the buttons of the hosted page. Their text is black or white, whichever is easier to read.
    #[schemars(with = "String", regex(pattern = "^(#[0-9a-fA-F]{6})?$"), extend("example" = "#1d5688"))]
    pub accent_color: Option<String>,
    /// Link at the foot of the hosted page.
    #[schemars(with = "String", length(max = LONGEST_URLS), extend("example" = "https://app.example.com/privacy"))]
    pub privacy_url: Option<String>,
    /// Link at the foot of the hosted page.
    #[schemars(with = "String", length(max = LONGEST_URLS), extend("example" = "https://app.example.com/privacy"))]
    pub terms_url: Option<String>,
}

/// Language, script and region in requests; empty for none.
const LANGUAGE: &str = "^([A-Za-z]{1,8}([-_#]+[A-Za-z0-9]{1,8})*([.@][A-Za-z0-9.@_-]*)?)?$";

fn code_life<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let problem = format!("must be {}", ServiceTime::must_be());
    Time::<SECOND, DAY>::deserialize(from).map_err(|_: D::Error| D::Error::custom(problem))
}

/// `verification`, or a time.
fn lockout<'de, D: Deserializer<'de>>(from: D) -> Result<LockoutRule, D::Error> {
    if !from.is_human_readable() {
        return LockoutRule::deserialize(from);
    }
    let must_be = format!("\"{VERIFICATION}\" or {}", LockoutTime::must_be());
    let verification =
        |text: &str| text.eq_ignore_ascii_case(VERIFICATION).then_some(LockoutRule::Verification);
    checked(from, &must_be, |text| {
        verification(text).or_else(|| LockoutTime::read(text).map(LockoutRule::Fixed))
    })
}

fn lockout_text<S: Serializer>(rule: &LockoutRule, to: S) -> Result<S::Ok, S::Error> {
    match rule {
        _ if !to.is_human_readable() => rule.serialize(to),
        LockoutRule::Verification => to.serialize_str(VERIFICATION),
        LockoutRule::Fixed(time) => to.serialize_str(&time_text(*time)),
    }
}

const VERIFICATION: &str = "verification";

const TTS_NAME_LONGEST: usize = 64;

/// A text without control characters and braces.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f{}]*$";

/// The same with so few digits that they cannot be taken for a code.
pub const NAME: &str = r"^[^0-9\x00-\x1f\x7f-\x9f{}]*([0-9][^0-9\x00-\x1f\x7f-\x9f{}]*){0,4}$";

/// Channels, each perhaps with the seconds to wait for a receipt; empty for none.
fn workflow_pattern() -> String {
    let step = format!("({})(:[1-9][0-9]?s)?", Channel::names("|"));
    format!("^({step}(,{step}){{0,9}})?$")
}

/// Channels one after another, as the setting `workflow` spells them, kept as one text, which exports have too.
fn workflow<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    if !from.is_human_readable() {
        return Option::deserialize(from);
    }
    // An import reads records without the reader of settings.
    let (Steps(steps), _) = read(Value::deserialize(from)?).map_err(D::Error::custom)?;
    Ok((!steps.is_empty()).then(|| workflow_text(&steps)))
}

#[derive(Deserialize)]
struct Steps(#[serde(deserialize_with = "crate::domain::workflow")] Vec<WorkflowStep>);

/// The id of a template. A user may write the template's name as well.
fn template<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sid>, D::Error> {
    if !from.is_human_readable() {
        return Option::deserialize(from);
    }
    optional(from, "the name or the id of a template", |text| {
        Some(Sid::parse(SidKind::Template, text).unwrap_or_else(|| template_sid(text)))
    })
}

/// The longest text with addresses.
const LONGEST_URLS: usize = 2_048;

/// Whether a text is addresses of pages between white space.
fn are_urls(text: &str, most: usize, fits: impl Fn(&str) -> bool) -> bool {
    let urls: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_page = |url: &&str| read_page_url(url).is_some() && fits(url);
    (1..=most).contains(&urls.len()) && text.len() <= LONGEST_URLS && urls.iter().all(is_page)
}

fn is_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
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
    /// Their members, by their keys.
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }

    /// These settings with the given members, by their keys, in the place of their present values.
    ///
    /// # Errors
    /// The first member that is not accepted.
    pub fn with(&self, given: Map<String, Value>) -> Result<Self, SettingError> {
        let mut members = self.members();
        members.extend(given);
        let (read, unknown) = read(Value::Object(members)).map_err(|wrong| {
            // `workflow[0]` is of `workflow`.
            let key = wrong.path.split('[').next().unwrap_or_default();
            let known = service_parameters().iter().find(|parameter| parameter.key == key);
            SettingError { key: known.map_or("", |parameter| &parameter.key), why: wrong.problem }
        })?;
        match unknown.first() {
            Some((path, _)) => Err(SettingError { key: "", why: format!("has no setting {path}") }),
            None => Ok(read),
        }
    }

    /// Checks what a value alone does not tell. The default service is not checked: the top-level keys may say more.
    ///
    /// Returns every setting that cannot be as it is.
    pub fn validate(&self, templates: &[Template]) -> Vec<SettingError> {
        let mut wrong = Vec::new();
        let mut check =
            |key, problem: Option<String>| wrong.extend(problem.map(|why| SettingError { key, why }));
        check("friendly-name", friendly_name(&self.friendly_name).err());
        // The default service may have another life.
        let fits = ServiceTime::has(self.code_life);
        check("code-life", (!fits).then(|| format!("must be {}", ServiceTime::must_be())));
        if self.default_template.is_some_and(|sid| !templates.iter().any(|template| template.sid == sid)) {
            let names: Vec<&str> = templates.iter().map(|template| template.name.as_str()).collect();
            let names = names.join(", ");
            let why = format!("must be the name or the SID of a template. The templates are {names}");
            check("default-template", Some(why));
        }
        check("locale", self.check_locale(templates).err());
        check("lockout", self.check_lockout().err());
        let spoken = self.tts_name.as_deref().map(|name| short_name(name, TTS_NAME_LONGEST));
        check("tts-name", spoken.and_then(Result::err));
        let is_color = self.accent_color.as_deref().is_none_or(is_color);
        check("accent-color", (!is_color).then(|| "must be a color such as #1d5688".to_owned()));
        let url = "a URL without a user name or a fragment";
        let urls = "at most 10 URLs without a user name or a fragment";
        let origins = "at most 10 origins: a scheme, a host and perhaps a port";
        for (key, given, most, what) in [
            ("return-urls", &self.return_urls, 10, urls),
            ("embed-origins", &self.embed_origins, 10, origins),
            ("logo-url", &self.logo_url, 1, url),
            ("privacy-url", &self.privacy_url, 1, url),
            ("terms-url", &self.terms_url, 1, url),
        ] {
            let fits = |url: &str| key != "embed-origins" || is_origin(url);
            let is_wrong = given.as_deref().is_some_and(|given| !are_urls(given, most, fits));
            let why = "with https:// or, on this machine, http://, at most 2048 characters in all";
            check(key, is_wrong.then(|| format!("must be {what}, {why}")));
        }
        wrong
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
    fn check_locale(&self, templates: &[Template]) -> Result<(), String> {
        let own = templates.iter().find(|template| self.default_template == Some(template.sid));
        let has = |tag| own.is_some_and(|template| template.has(tag));
        match self.locale {
            Some(locale) if StandardMessage::nearest(locale).is_none() && !locale.lookup().any(has) => {
                Err("must be a language of the standard message, or of the service's template".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Checks the lockout against the shortest codes that the service can have.
    fn check_lockout(&self) -> Result<(), String> {
        let (length, policy) = (self.custom_code.then_some(CodeLength::SHORTEST), self.policy());
        let code = SendOptions { length: length.unwrap_or(self.code_length), ..policy.code };
        Policy { code, ..policy }.check_strength()
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
    /// The JSON Schema of a value in a request: a boolean, an integer or a string. Without a default, an empty text removes
    /// the value: max-sends has one, and may not be without a value.
    pub schema: Value,
}

/// Every setting of services, in the order of their keys.
pub fn service_parameters() -> &'static [ServiceParameter] {
    static PARAMETERS: LazyLock<Vec<ServiceParameter>> = LazyLock::new(|| {
        let properties = schemars::schema_for!(ServiceSettings).remove("properties");
        let properties = properties.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let parameter = |(key, schema): (String, Value)| {
            let twilio = TWILIO_NAMES.iter().find(|(own, _)| *own == key);
            let field = twilio.map_or_else(|| key.replace('-', "_"), |(_, name)| (*name).to_owned());
            ServiceParameter { key, name: parameter_name(&field), field, schema }
        };
        properties.into_iter().map(parameter).collect()
    });
    &PARAMETERS
}

/// The spelling in requests of a field of an answer: `code_length` is `CodeLength`.
pub fn parameter_name(field: &str) -> String {
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    field.split('_').map(capital).collect()
}

/// Numbers that are never sent anything, and whose code is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestNumber {
    /// A number in E.164 form; x stands for any digit.
    pub pattern: String,
    /// 4 to 10 digits.
    pub code: String,
    /// At most a year ahead.
    pub expires: Timestamp,
    /// Accepts a pattern that could match a subscriber's number.
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
        let pattern = number_pattern(&self.pattern).ok_or_else(|| {
            let why = "must be + and 7 to 15 digits, with x in the place of any digit, such as +1415555012x";
            ("pattern", why.to_owned())
        })?;
        if !self.force && !is_of_fiction(&pattern) {
            let why = "means a number that a person could own. The owner would receive no message, and every caller who \
                       knows the code would be verified as the owner. Use a range for fiction such as +1415555012x, or, if it is yours, \
                       Force=true";
            return Err(("pattern", why.to_owned()));
        }
        if Code::parse(&self.code).is_none() {
            return Err(("code", format!("must be {} to {} digits", CodeLength::MIN, CodeLength::MAX)));
        }
        Ok(Self { pattern, ..self })
    }

    /// Returns `true` if it is a test number for more than a year from `now`.
    pub fn lasts_too_long(&self, now: Timestamp) -> bool {
        self.expires > now.plus(Self::LONGEST)
    }

    /// Returns `true` if `number` matches at `now`.
    pub fn is(&self, number: PhoneNumber, now: Timestamp) -> bool {
        now < self.expires && pattern_covers(&self.pattern, &number.e164())
    }
}

impl fmt::Debug for TestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestNumber(***)")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConfiguredService {
    /// Its name there, to which its id is bound.
    pub name: String,
    pub settings: ServiceSettings,
    pub guard: GuardSettings,
}

/// Which numbers `/v2` sends to: those that the numbering plan of their country has, or those with a length that numbers
/// of their country can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NumberRule {
    #[default]
    Valid,
    Possible,
}

#[derive(SmartDefault, Debug, Clone)]
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
}

#[derive(Debug, Clone)]
pub struct AccountSettings {
    pub sid: Sid,
    pub token: SecretString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Resend {
    // It sends the same code, which ends when it would have.
    #[default]
    Keep,
    // It sends a new code with a new life.
    New,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Sender {
    // As `otp-sms-provider` has them.
    #[default]
    Order,
    // By what came of their messages, and by price.
    Results,
}

/// A service in config.json, as the schema describes it.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its members are read one by one: flattened ones could not be texts")]
pub struct ServiceObject {
    #[serde(flatten)]
    settings: ServiceSettings,
    /// Rules against SMS pumping, by default those of the key `guard`, and further budgets.
    #[serde(default)]
    guard: GuardSettings,
}

/// Checks the services, and gives each its name where it has no other.
pub(super) fn check(
    services: BTreeMap<String, Map<String, Value>>,
    templates: &[Template],
    c: &mut Config,
) -> Vec<ConfiguredService> {
    let templates: Vec<Template> = Template::built_in().chain(templates.iter().cloned()).collect();
    let why = "the service \"default\" is described by the top-level keys, such as otp-length";
    let is_taken = |name: &str| name.eq_ignore_ascii_case(ServiceId::DEFAULT_NAME);
    let mut checked = Vec::new();
    for (name, mut members) in c.named("services", services, why, is_taken) {
        let path = format!("services.{name}");
        let guard = members
            .remove("guard")
            .and_then(|guard| c.object(&format!("{path}.guard"), guard))
            .unwrap_or_default();
        let mut settings: ServiceSettings = c.object(&path, members.into()).unwrap_or_default();
        let is_named = !settings.friendly_name.is_empty();
        if !is_named {
            settings.friendly_name.clone_from(&name);
        }
        for SettingError { key, why } in settings.validate(&templates) {
            let is_name = key == "friendly-name" && !is_named;
            let hint = if is_name { ". Without a friendly-name the service's name is it" } else { "" };
            c.wrong(&format!("{path}.{key}"), format!("it {why}{hint}"));
        }
        checked.push(ConfiguredService { name, settings, guard });
    }
    checked
}

//! The values of requests: each with what it must be, how it is read, its schema and an example. And what answers share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::request::read_address;
use crate::delivery::attempts::StatusFilter;
use crate::domain::{self, CodeLength, Sid, SidKind};
use crate::limits::guard::operator;
use crate::limits::guard::{self, Dimension};
use crate::registry;
use crate::registry::audit::Action;
use crate::template;
use crate::verification::{self as verify, VerificationTarget};
use crate::webhook;

const NUMBER: &str = r"\+[1-9][0-9]{6,14}";

/// Longest key of a request.
const LONGEST_KEY: usize = 255;
/// E.164's fifteen digits.
const LONGEST_PREFIX: usize = 15;

/// The schema of a value, which stands where the value does. A pattern is without `^` and `$`.
macro_rules! schemas {
    ($($name:ident $(<$(const $generic:ident: $of:ty),+>)?: $schema:expr, $example:expr;)+) => {$(
        impl $(<$(const $generic: $of),+>)? JsonSchema for $name $(<$($generic),+>)? {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema($schema, $example)
            }
        }
    )+};
}

/// Types whose values are texts: what they must be, how they are read, their schema and an example.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $(<const $generic:ident>)? ($inner:ty): $must_be:expr, $parse:expr, $schema:expr, $example:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name $(<const $generic: usize>)? (pub $inner);

        impl<'de $(, const $generic: usize)?> Deserialize<'de> for $name $(<$generic>)? {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let parse: fn(&str) -> Option<$inner> = $parse;
                let wrong = || de::Error::custom(format_args!("must be {}", $must_be));
                parse(&String::deserialize(from)?).map(Self).ok_or_else(wrong)
            }
        }

        schemas! { $name $(<const $generic: usize>)?: $schema, $example; }
    )+};
}

fn schema(mut schema: Value, example: impl Into<Value>) -> Schema {
    schema["examples"] = json!([example.into()]);
    schema.try_into().unwrap_or_default()
}

fn matching(pattern: impl Into<String>) -> Value {
    json!({ "type": "string", "pattern": pattern.into() })
}

fn at_most(longest: usize) -> Value {
    json!({ "type": "string", "maxLength": longest })
}

fn text_of(longest: usize, pattern: &str) -> Value {
    json!({ "type": "string", "maxLength": longest, "pattern": pattern })
}

fn one_of(words: impl IntoIterator<Item = &'static str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

const DAY_OR_MOMENT: &str = "(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
const MOMENT: &str = "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z";

texts! {
    Timestamp(domain::Timestamp): "a date such as 2015-07-30T20:00:00Z", domain::Timestamp::parse_day_or_moment,
        matching(format!("{DAY_OR_MOMENT}({MOMENT})?")), "2026-01-31T12:00:00Z";
    Locale(domain::Locale): "a language tag such as de or pt-BR", domain::Locale::parse,
        matching("[A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?"), "de";
    AppHash(template::AppHash): "11 characters of A-Z, a-z, 0-9, + and /", template::AppHash::parse,
        matching("[A-Za-z0-9+/]{11}"), "FA+9qCX9VSu";
    Region(domain::Region): "two letters of ISO 3166-1", domain::Region::parse, matching("[A-Za-z]{2}"), "DE";
    Address(IpAddr): "an IP address", read_address, at_most(45), "192.0.2.7";
    Channel(domain::Channel): format_args!("one of {}", domain::Channel::names(", ")), domain::Channel::parse,
        one_of(domain::Channel::ALL.map(domain::Channel::as_str)), "sms";
    /// The channel that a request asks for, or `auto` for the one that the service begins with.
    BeginChannel(Option<domain::Channel>): format_args!("one of {}, {AUTO}", domain::Channel::names(", ")),
        |text| if text == AUTO { Some(None) } else { domain::Channel::parse(text).map(Some) },
        one_of(domain::Channel::ALL.map(domain::Channel::as_str).into_iter().chain([AUTO])), "sms";
    Code(domain::Code): format_args!("{} to {} letters or digits", CodeLength::MIN, CodeLength::MAX),
        domain::Code::parse_alphanumeric, matching(digits("[A-Za-z0-9]")), "123456";
    SendDigits(template::SendDigits): format_args!("at most {} of 0-9, w, W, * and #", template::SendDigits::MOST),
        template::SendDigits::parse, matching(format!("[0-9w*#]{{1,{}}}", template::SendDigits::MOST)), "www12";
    GatewayName(domain::GatewayName): domain::GatewayName::known().map(domain::GatewayName::as_str).collect::<Vec<_>>().join(", "),
        |text| domain::GatewayName::known().find(|known| known.as_str().eq_ignore_ascii_case(text)),
        one_of(domain::GatewayName::known().map(domain::GatewayName::as_str)), "Http";
    Status(StatusFilter): StatusFilter::accepted(), StatusFilter::parse, at_most(40), "receipt:failed";
    AuditAction(Action): Action::ALL.map(Action::as_str).join(", "),
        |text| Action::ALL.into_iter().find(|known| known.as_str() == text), one_of(Action::ALL.map(Action::as_str)), "key.created";
    Rule(guard::Rule): "the name of a rule", |text| guard::Rule::ALL.into_iter().find(|known| known.as_str() == text),
        one_of(guard::Rule::ALL.map(guard::Rule::as_str)), "budget";
    EventId(webhook::EventId): "evt_ and 32 hexadecimal digits", webhook::EventId::parse, matching("evt_[0-9a-f]{32}"),
        format!("evt_{HEX}");
    EventType(webhook::EventType): "the name of an event", webhook::EventType::parse,
        one_of(webhook::EventType::ALL.map(webhook::EventType::as_str)), "verification.approved";
    /// A time in the filters of a page.
    UtcTime(domain::Timestamp): "a day or a moment of UTC such as 2027-01-31, 2027-01-31 12:00 or 2027-01-31T12:00:00Z", utc_time,
        matching(format!("{DAY_OR_MOMENT}({MOMENT}|[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)?")), "2026-01-31";
    /// The last digits of numbers.
    NumberEnding(String): "1 to 4 digits", |text| (text.len() <= 4 && is_digits(text)).then(|| text.to_owned()),
        matching("[0-9]{1,4}"), "71";
    GuardSubject(Dimension): operator::SUBJECTS, |text| operator::subject(text, None),
        matching("all|\\+[0-9]{1,11}\\*{4}|\\+[1-9][0-9]{6,14}|[A-Za-z]{2}|[0-9a-fA-F:.]{2,45}(/64|/48|/24)?"), "+99290000****";
    /// The last segment of a verification's path: its id or its number.
    IdOrNumber(VerificationTarget): "VE and 32 hexadecimal digits, or a phone number in E.164 form", id_or_number,
        matching(format!("{}|{NUMBER}", sid_pattern(SidKind::Verification))), format!("VE{HEX}");
    Channels(Vec<domain::Channel>): format_args!("{}, each at most once, between commas", domain::Channel::names(", ")), channels,
        matching({
            let name = domain::Channel::names("|");
            format!("({name})(,({name})){{0,{}}}", domain::Channel::ALL.len() - 1)
        }), "sms,call";
    /// The first digits of numbers.
    NumberPrefix(String): format_args!("1 to {LONGEST_PREFIX} digits, perhaps behind a +"), prefix,
        matching(format!(r"\+?[0-9]{{1,{LONGEST_PREFIX}}}")), "49";
    /// The moment at which the first page of a list was requested.
    PageToken(domain::Timestamp): "PT and digits, from the address of a page", page_token, matching("PT[0-9]{1,19}"),
        "PT1700000000000";
    /// A text of at most `LONGEST` characters, without control characters.
    Note<const LONGEST>(String): format_args!("at most {LONGEST} characters, without control characters"),
        |text| is_note(text, LONGEST).then(|| text.to_owned()), text_of(LONGEST, r"[^\x00-\x1f\x7f-\x9f]*"), "billing";
    /// A text that the registry checks: a name that can stand in a path.
    UniqueName(String): "a text of at most 64 characters", |text| Some(text.to_owned()), text_of(64, "[A-Za-z0-9._-]*"), "session";
    /// A text that the registry checks: at most `LONGEST` characters.
    Text<const LONGEST>(String): format_args!("a text of at most {LONGEST} characters"), |text| Some(text.to_owned()),
        at_most(LONGEST), "name";
    /// A number, or any other text in its place.
    NumberText<const LONGEST>(String): format_args!("a text of at most {LONGEST} characters"), |text| Some(text.to_owned()),
        at_most(LONGEST), "+14155552671";
    /// A text that the registry checks: a number in which `x` is any digit.
    Pattern(String): "a number in E.164 form, in which x is any digit", |text| Some(text.to_owned()),
        matching("\\+[0-9xX]{7,15}"), "+1415555012x";
    /// The key that makes a repetition of a request harmless.
    IdempotencyKey(String): format_args!("1 to {LONGEST_KEY} visible ASCII characters"), |text| {
        let fits = (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| text.to_owned())
    },
        matching(format!("[!-~]{{1,{LONGEST_KEY}}}")), "7d5f4c7e-54a6-4b0e-8f6e-2f1f8c1b7a10";
    /// A text that the registry checks: the code of a test number.
    TestCode(String): "digits", |text| Some(text.to_owned()), matching(digits("[0-9]")), "123456";
    Ending(verify::Ending): "canceled or approved",
        |text| word(text, [("canceled", verify::Ending::Canceled), ("approved", verify::Ending::Approved)]),
        one_of(["canceled", "approved"]), "canceled";
    DeliveryState(webhook::DeliveryState): "pending or delivered or failed", |text| word(text, [
        ("pending", webhook::DeliveryState::Pending), ("delivered", webhook::DeliveryState::Delivered),
        ("failed", webhook::DeliveryState::Failed),
    ]), one_of(["pending", "delivered", "failed"]), "pending";
    WebhookStatus(registry::WebhookStatus): "enabled or disabled",
        |text| registry::WebhookStatus::ALL.into_iter().find(|known| known.as_str() == text),
        one_of(registry::WebhookStatus::ALL.map(registry::WebhookStatus::as_str)), "enabled";
    EntryAction(guard::EntryAction): "allow or block or known-only",
        |text| guard::EntryAction::ALL.into_iter().find(|known| known.as_str() == text),
        one_of(guard::EntryAction::ALL.map(guard::EntryAction::as_str)), "allow";
    /// The form of a webhook's events: there is one.
    WebhookVersion(()): "v2", |text| word(text, [("v2", ())]), one_of(["v2"]), "v2";
    /// Whether to check a request for fraud.
    RiskCheck(bool): "enable or disable", |text| word(text, [("enable", true), ("disable", false)]),
        one_of(["enable", "disable"]), "enable";
    /// Whether an API key is live.
    /// A time span of the dashboard, by its place among them.
    RangeName(usize): RANGES.join(" or "), |text| RANGES.iter().position(|name| *name == text), one_of(RANGES), "today";
    /// Whether an attempt led to a verified number.
    Converted(bool): CONVERTED.join(" or "), |text| CONVERTED.iter().position(|name| *name == text).map(|at| at % 2 == 0),
        one_of(CONVERTED), "converted";
    /// A submitted code as it was sent: [`domain::Code::submitted`] reads it.
    SubmittedCode(Zeroizing<String>): format_args!("{} to {} characters", CodeLength::MIN, CodeLength::MAX),
        |text| Some(Zeroizing::new(text.to_owned())), matching(digits(".")), "123456";
}

/// The value of a word.
fn word<T, const COUNT: usize>(text: &str, words: [(&str, T); COUNT]) -> Option<T> {
    words.into_iter().find(|(word, _)| *word == text).map(|(_, value)| value)
}

const RANGES: [&str; 4] = ["today", "day", "14d", "30d"];
const CONVERTED: [&str; 4] = ["converted", "unconverted", "CONVERTED", "UNCONVERTED"];
const AUTO: &str = "auto";

fn id_or_number(text: &str) -> Option<VerificationTarget> {
    let sid = Sid::parse(SidKind::Verification, text).map(VerificationTarget::Sid);
    sid.or_else(|| domain::PhoneNumber::parse(text, None).ok().map(VerificationTarget::Number))
}

fn prefix(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['+', ' ']).unwrap_or(text);
    (digits.len() <= LONGEST_PREFIX && is_digits(digits)).then(|| digits.to_owned())
}

fn channels(text: &str) -> Option<Vec<domain::Channel>> {
    let channels: Vec<domain::Channel> =
        text.split(',').map(domain::Channel::parse).collect::<Option<_>>()?;
    let is_twice = |(index, channel): (usize, &domain::Channel)| channels[..index].contains(channel);
    (!channels.iter().enumerate().any(is_twice)).then_some(channels)
}

/// A time as pages show it, in whole minutes or seconds, or in the forms of the API.
pub fn utc_time(text: &str) -> Option<domain::Timestamp> {
    domain::Timestamp::parse_day_or_moment(text).or_else(|| {
        let (day, time) = text.split_once([' ', 'T'])?;
        let time = time.trim_end_matches('Z');
        let seconds = if time.len() == "12:00".len() { ":00" } else { "" };
        domain::Timestamp::parse(&format!("{day}T{time}{seconds}Z"))
    })
}

fn page_token(text: &str) -> Option<domain::Timestamp> {
    let digits = text.strip_prefix("PT").filter(|digits| is_digits(digits))?;
    digits.parse().ok().map(domain::Timestamp::from_millis)
}

/// Whether a text has at most `longest` characters and no control characters.
fn is_note(text: &str, longest: usize) -> bool {
    text.chars().take(longest + 1).count() <= longest && !text.chars().any(char::is_control)
}

fn digits(class: &str) -> String {
    format!("{class}{{{},{}}}", CodeLength::MIN, CodeLength::MAX)
}

pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number in E.164 form, or as people write it with a plus.
#[derive(Clone, Copy)]
pub struct PhoneNumber(pub domain::PhoneNumber);

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        domain::PhoneNumber::parse(&String::deserialize(from)?, None).map(Self).map_err(de::Error::custom)
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy)]
pub struct Whole<const LEAST: u32, const MOST: u32>(pub u32);

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        const WHOLE: &str = "must be a whole number";
        let most = if MOST < u32::MAX { format!(" to {MOST}") } else { String::new() };
        let ranged = |problem: &str| problem.replace(WHOLE, &format!("{WHOLE} from {LEAST}{most}"));
        let number = u64::deserialize(from).map_err(|error| de::Error::custom(ranged(&error.to_string())))?;
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let is_in_range = (LEAST..=MOST).contains(&number);
        is_in_range.then_some(Self(number)).ok_or_else(|| de::Error::custom(ranged(WHOLE)))
    }
}

/// Texts: repeated, or an array in JSON.
#[derive(Clone, Deserialize)]
pub struct Events(pub Vec<String>);

/// Names and texts: at most `MOST`, each of at most `LONGEST` characters. A JSON object, as a text or, in a JSON body,
/// as it is.
pub struct Pairs<const MOST: usize, const LONGEST: usize>(pub BTreeMap<String, String>);

impl<'de, const MOST: usize, const LONGEST: usize> Deserialize<'de> for Pairs<MOST, LONGEST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let must_be = "must be a JSON object whose values are texts or numbers";
        let pairs = BTreeMap::<String, String>::deserialize(from);
        let pairs = pairs.map_err(|_| de::Error::custom(must_be))?;
        let fit = |text: &String| is_note(text, LONGEST);
        if pairs.len() > MOST {
            return Err(de::Error::custom(format_args!("must have at most {MOST} names")));
        }
        if !pairs.iter().all(|(key, text)| !key.is_empty() && fit(key) && fit(text)) {
            return Err(de::Error::custom(format_args!(
                "its names and values must have at most {LONGEST} characters, and a name one at least"
            )));
        }
        Ok(Self(pairs))
    }
}

schemas! {
    PhoneNumber: matching(NUMBER), "+14155552671";
    Whole<const LEAST: u32, const MOST: u32>: whole(LEAST, MOST), LEAST.max(1);
    Events: json!({ "type": "array", "items": one_of(webhook::EventType::ALL.map(webhook::EventType::as_str)
        .into_iter().chain([webhook::EventType::EVERY])) }), json!(["verification.approved"]);
    Pairs<const MOST: usize, const LONGEST: usize>: json!({ "type": "string", "contentMediaType": "application/json" }),
        r#"{"order":"42"}"#;
}

fn whole(least: u32, most: u32) -> Value {
    match most {
        u32::MAX => json!({ "type": "integer", "minimum": least }),
        _ => json!({ "type": "integer", "minimum": least, "maximum": most }),
    }
}

const HEX: &str = "0123456789abcdef0123456789abcdef";

/// An id of the kind with this index in [`SidKind::ALL`], in parameters and in answers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Id<const KIND: usize>(pub Sid);

pub type AccountSid = Id<{ SidKind::Account as usize }>;
pub type ServiceSid = Id<{ SidKind::Service as usize }>;
pub type VerificationSid = Id<{ SidKind::Verification as usize }>;
pub type AttemptSid = Id<{ SidKind::Attempt as usize }>;
pub type RateLimitSid = Id<{ SidKind::RateLimit as usize }>;
pub type BucketSid = Id<{ SidKind::Bucket as usize }>;
pub type TemplateSid = Id<{ SidKind::Template as usize }>;
pub type WebhookSid = Id<{ SidKind::Webhook as usize }>;
pub type SafeNumberSid = Id<{ SidKind::SafeNumber as usize }>;
pub type HostedSessionSid = Id<{ SidKind::HostedSession as usize }>;
pub type MessagingServiceSid = Id<{ SidKind::MessagingService as usize }>;

impl<'de, const KIND: usize> Deserialize<'de> for Id<KIND> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let kind = SidKind::ALL[KIND];
        let wrong = || de::Error::custom(format_args!("must be {} and 32 hexadecimal digits", kind.as_str()));
        Sid::parse(kind, &String::deserialize(from)?).map(Self).ok_or_else(wrong)
    }
}

impl<const KIND: usize> JsonSchema for Id<KIND> {
    fn schema_name() -> Cow<'static, str> {
        format!("{:?}Sid", SidKind::ALL[KIND]).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let kind = SidKind::ALL[KIND];
        if schemas.contract().is_deserialize() {
            return schema(matching(sid_pattern(kind)), format!("{}{HEX}", kind.as_str()));
        }
        let pattern = format!("^{}[0-9a-f]{{32}}$", kind.as_str());
        schemars::json_schema!({ "type": "string", "pattern": pattern })
    }
}

fn sid_pattern(kind: SidKind) -> String {
    format!("{}[0-9a-fA-F]{{32}}", kind.as_str())
}

/// A moment in responses, to the second.
#[derive(Clone, Copy, JsonSchema)]
#[schemars(extend("format" = "date-time"))]
pub struct Date(#[schemars(with = "String")] domain::Timestamp);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0.rfc3339_seconds())
    }
}

impl From<domain::Timestamp> for Date {
    fn from(at: domain::Timestamp) -> Self {
        Self(at)
    }
}

/// An address in responses.
#[derive(Clone, Default, Serialize, JsonSchema)]
#[schemars(extend("format" = "uri"))]
pub struct Url(pub String);

//! The values of requests: each with what it must be, how it is read, its schema and an example. And what answers share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::request::read_address;
use crate::config::TWICE;
use crate::delivery::attempts::StatusFilter;
use crate::domain::{self, CodeLength, Sid, SidKind};
use crate::limits::guard::operator;
use crate::limits::guard::{self, Dimension};
use crate::registry;
use crate::registry::audit::Action;
use crate::template;
use crate::verification::{self as verify, VerificationTarget};
use crate::webhook;

/// Longest key of a request.
const LONGEST_KEY: usize = 255;
/// E.164's fifteen digits.
const LONGEST_PREFIX: usize = 15;

/// The place at which a page begins, as `next_page_url` has it.
#[derive(Clone, Copy)]
pub struct PageToken(pub ListPlace);

impl<'de> Deserialize<'de> for PageToken {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let place = ListPlace::parse(&String::deserialize(from)?);
        place.map(Self).ok_or_else(|| de::Error::custom("must be that of a next_page_url"))
    }
}

/// A place in a list that is newest first: behind so many items of this moment, which an earlier page has shown.
#[derive(Clone, Copy)]
pub struct ListPlace {
    pub last: domain::Timestamp,
    pub shown: usize,
}

impl ListPlace {
    /// As [`Display`](fmt::Display) writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (last, shown) =
            text.split_once('-').filter(|(last, shown)| is_digits(last) && is_digits(shown))?;
        Some(Self { last: domain::Timestamp::from_millis(last.parse().ok()?), shown: shown.parse().ok()? })
    }
}

impl fmt::Display for ListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.last.as_millis(), self.shown)
    }
}

/// The schema of a value, which stands where the value does. Its title is what the value must be.
macro_rules! schemas {
    ($($name:ident $(<$(const $generic:ident: $of:ty),+>)?: $schema:expr;)+) => {$(
        impl $(<$(const $generic: $of),+>)? JsonSchema for $name $(<$($generic),+>)? {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema.try_into().unwrap_or_default()
            }
        }
    )+};
}

/// Types whose values are texts: what they must be, and how they are read.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $(<const $generic:ident>)? ($inner:ty): $must_be:expr, $parse:expr;)+) => {$(
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

        schemas! { $name $(<const $generic: usize>)?: json!({ "type": "string", "title": $must_be.to_string() }); }
    )+};
}

/// Types with a value for each of some words.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident ($inner:ty): $words:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                let given = $words.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
                let wrong = || de::Error::custom(format_args!("must be {}", names($words).join(" or ")));
                given.map(|(_, value)| Self(value)).ok_or_else(wrong)
            }
        }

        schemas! { $name: json!({ "type": "string", "enum": names($words) }); }
    )+};
}

fn names<T>(words: impl IntoIterator<Item = (&'static str, T)>) -> Vec<&'static str> {
    words.into_iter().map(|(word, _)| word).collect()
}

texts! {
    Timestamp(domain::Timestamp): "a date such as 2015-07-30T20:00:00Z", domain::Timestamp::parse_day_or_moment;
    Locale(domain::Locale): "a language tag such as de or pt-BR", domain::Locale::parse;
    AppHash(template::AppHash): "11 characters of A-Z, a-z, 0-9, + and /", template::AppHash::parse;
    Region(domain::Region): "two letters of ISO 3166-1", domain::Region::parse;
    Address(IpAddr): "an IP address", read_address;
    Code(domain::Code): format_args!("{} to {} letters or digits", CodeLength::MIN, CodeLength::MAX),
        domain::Code::parse_alphanumeric;
    SendDigits(template::SendDigits): format_args!("at most {} of 0-9, w, W, * and #", template::SendDigits::MOST),
        template::SendDigits::parse;
    Status(StatusFilter): StatusFilter::accepted(), StatusFilter::parse;
    EventId(webhook::EventId): "evt_ and 32 hexadecimal digits", webhook::EventId::parse;
    /// A time in the filters of a page.
    UtcTime(domain::Timestamp): "a day or a moment of UTC such as 2027-01-31, 2027-01-31 12:00 or 2027-01-31T12:00:00Z", utc_time;
    /// The last digits of numbers.
    NumberEnding(String): "1 to 4 digits", |text| (text.len() <= 4 && is_digits(text)).then(|| text.to_owned());
    /// In milliseconds since 1970.
    Moment(domain::Timestamp): "milliseconds since 1970", |text| text.parse().ok().map(domain::Timestamp::from_millis);
    GuardSubject(Dimension): operator::SUBJECTS, |text| operator::subject(text, None);
    /// The last segment of a verification's path: its id or its number.
    IdOrNumber(VerificationTarget): "VE and 32 hexadecimal digits, or a phone number in E.164 form", id_or_number;
    Channels(Vec<domain::Channel>): format_args!("{}, each at most once, between commas", domain::Channel::names(", ")), channels;
    /// The first digits of numbers.
    NumberPrefix(String): format_args!("1 to {LONGEST_PREFIX} digits, perhaps behind a +"), prefix;
    /// A text of at most `LONGEST` characters, without control characters.
    Note<const LONGEST>(String): format_args!("at most {LONGEST} characters, without control characters"),
        |text| is_note(text, LONGEST).then(|| text.to_owned());
    /// A text that its reader checks: at most `LONGEST` characters.
    Unchecked<const LONGEST>(String): format_args!("a text of at most {LONGEST} characters"), |text| Some(text.to_owned());
    /// The key that makes a repetition of a request harmless.
    IdempotencyKey(String): format_args!("1 to {LONGEST_KEY} visible ASCII characters"), |text| {
        let fits = (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| text.to_owned())
    };
    /// A submitted code as it was sent: [`domain::Code::submitted`] reads it.
    SubmittedCode(Zeroizing<String>): format_args!("{} to {} characters", CodeLength::MIN, CodeLength::MAX),
        |text| Some(Zeroizing::new(text.to_owned()));
}

words! {
    Channel(domain::Channel): domain::Channel::ALL.map(|channel| (channel.as_str(), channel));
    /// The channel that a request asks for, or `auto` for the one that the service begins with.
    BeginChannel(Option<domain::Channel>):
        domain::Channel::ALL.map(|channel| (channel.as_str(), Some(channel))).into_iter().chain([("auto", None)]);
    GatewayName(domain::GatewayName): domain::GatewayName::known().map(|gateway| (gateway.as_str(), gateway));
    AuditAction(Action): Action::ALL.map(|action| (action.as_str(), action));
    Rule(guard::Rule): guard::Rule::ALL.map(|rule| (rule.as_str(), rule));
    EventType(webhook::EventType): webhook::EventType::ALL.map(|event| (event.as_str(), event));
    Ending(verify::Ending): [("canceled", verify::Ending::Canceled), ("approved", verify::Ending::Approved)];
    DeliveryState(webhook::DeliveryState): [
        ("pending", webhook::DeliveryState::Pending), ("delivered", webhook::DeliveryState::Delivered),
        ("failed", webhook::DeliveryState::Failed),
    ];
    WebhookStatus(registry::WebhookStatus): registry::WebhookStatus::ALL.map(|status| (status.as_str(), status));
    EntryAction(guard::EntryAction): guard::EntryAction::ALL.map(|action| (action.as_str(), action));
    /// The form of a webhook's events: there is one.
    WebhookVersion(()): [("v2", ())];
    /// Whether to check a request for fraud.
    RiskCheck(bool): [("enable", true), ("disable", false)];
    /// A time span of the dashboard, by its place among them.
    RangeName(usize): [("today", 0), ("day", 1), ("14d", 2), ("30d", 3)];
    /// Whether an attempt led to a verified number.
    Converted(bool): [("converted", true), ("unconverted", false)];
}

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

/// Whether a text has at most `longest` characters and no control characters.
fn is_note(text: &str, longest: usize) -> bool {
    text.chars().take(longest + 1).count() <= longest && !text.chars().any(char::is_control)
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
        let is_twice = |error: &D::Error| error.to_string() == TWICE;
        let pairs =
            pairs.map_err(|error| if is_twice(&error) { error } else { de::Error::custom(must_be) })?;
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
    PhoneNumber: json!({ "type": "string", "title": "a number in E.164 form" });
    PageToken: json!({ "type": "string", "title": "that of a next_page_url", "pattern": "^[0-9]{1,15}-[0-9]{1,9}$" });
    Whole<const LEAST: u32, const MOST: u32>: whole(LEAST, MOST);
    Events: json!({ "type": "array", "items": { "type": "string", "enum":
        webhook::EventType::ALL.map(webhook::EventType::as_str).into_iter().chain([webhook::EventType::EVERY]).collect::<Vec<_>>() } });
    Pairs<const MOST: usize, const LONGEST: usize>:
        json!({ "type": "string", "contentMediaType": "application/json", "title": "a JSON object" });
}

/// A larger number than the largest one is read as that one.
fn whole(least: u32, most: u32) -> Value {
    match most {
        u32::MAX => json!({ "type": "integer", "minimum": least }),
        _ => json!({ "type": "integer", "minimum": least, "maximum": most }),
    }
}

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

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = format!("^{}[0-9a-fA-F]{{32}}$", SidKind::ALL[KIND].as_str());
        schemars::json_schema!({ "type": "string", "pattern": pattern })
    }
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

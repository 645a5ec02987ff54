//! The types that a parameter can have. Each reads a value, checks it and describes it, with the same constants.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::{Cause, Error};
use super::fields::JSON;
pub(in crate::http) use super::fields::parameters;
pub use super::fields::{Fields, Param, Parameter, Parameters};
use crate::delivery::attempts::StatusFilter;
use crate::domain::{
    Channel, Code, CodeLength, DateTime, GatewayName, Locale, PhoneNumber, Region, Sid, SidKind, Timestamp,
};
use crate::http::request::read_address;
use crate::limits::guard::operator;
use crate::limits::guard::{Dimension, EntryAction, Rule};
use crate::registry::WebhookStatus;
use crate::registry::audit::Action;
use crate::template::{AppHash, SendDigits};
use crate::verification::verify::{Ending, VerificationTarget};
use crate::webhook::{DeliveryState, EventId, EventType};

pub(super) fn matching(pattern: impl Into<String>) -> Value {
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

/// Types whose values are texts: what a handler gets, what they must be, how they are read, and their schema.
macro_rules! texts {
    ($($type:ident $(<$(const $generic:ident),+>)? => $value:ty: $must_be:expr, $parse:expr, $schema:expr;)+) => {$(
        impl$(<$(const $generic: usize),+>)? Parameter for $type$(<$($generic),+>)? {
            type Value = $value;

            fn find(fields: &Fields, name: &str) -> Result<Option<$value>, Error> {
                fields.parsed(name, $must_be, $parse)
            }

            fn schema() -> Value {
                $schema
            }
        }
    )+};
}

/// The same for types that only name a kind of text.
macro_rules! new_texts {
    ($($(#[$doc:meta])* $type:ident $(<$(const $generic:ident),+>)? => $value:ty: $must_be:expr, $parse:expr, $schema:expr;)+) => {
        $($(#[$doc])* pub struct $type $(<$(const $generic: usize),+>)?;)+
        texts! { $($type $(<$(const $generic),+>)? => $value: $must_be, $parse, $schema;)+ }
    };
}

/// Types with a few values, each with its word. A type with a comment is declared here, and only names its values.
macro_rules! words {
    ($($(#[$doc:meta])? $type:ident => $value:ty: $($word:literal => $is:expr),+;)+) => {
        $($(#[$doc] pub struct $type;)?)+
        texts! {$(
            $type => $value: [$($word),+].join(" or "), |text| match text {
                $($word => Some($is),)+
                _ => None,
            }, one_of([$($word),+]);
        )+}
    };
}

const NUMBER: &str = r"\+[1-9][0-9]{6,14}";

/// The number of digits from which a sender's name could be a code, or a number to call.
const DIGITS_IN_A_NAME: usize = 5;
/// Longest name of a sender in a message.
const LONGEST_NAME: usize = 30;
/// Longest key of a request.
const LONGEST_KEY: usize = 255;
/// E.164's fifteen digits.
const LONGEST_PREFIX: usize = 15;

texts! {
    Timestamp => Self: "a date such as 2015-07-30T20:00:00Z", Self::parse_day_or_moment, matching(
        "(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z)?"
    );
    Locale => Self: "a language tag such as de or pt-BR", Self::parse, matching(
        "[A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?"
    );
    AppHash => Self: "11 characters of A-Z, a-z, 0-9, + and /", Self::parse, matching("[A-Za-z0-9+/]{11}");
    Region => Self: "two letters of ISO 3166-1", Self::parse, matching("[A-Za-z]{2}");
    IpAddr => Self: "an IP address", read_address, at_most(45);
    Channel => Self: format_args!("one of {}", Self::names(", ")), Self::parse, one_of(Self::ALL.map(Self::as_str));
    Code => Self: format_args!("{} to {} letters or digits", CodeLength::MIN, CodeLength::MAX), Self::parse_alphanumeric,
        matching(digits("[A-Za-z0-9]"));
    SendDigits => Self: format_args!("at most {} of 0-9, w, W, * and #", Self::MOST), Self::parse, matching(
        format!("[0-9w*#]{{1,{}}}", Self::MOST)
    );
    GatewayName => Self: Self::known().map(Self::as_str).collect::<Vec<_>>().join(", "),
        |text| Self::known().find(|known| known.as_str().eq_ignore_ascii_case(text)), one_of(Self::known().map(Self::as_str));
    StatusFilter => Self: Self::accepted(), Self::parse, at_most(40);
    Action => Self: Self::ALL.map(Self::as_str).join(", "),
        |text| Self::ALL.into_iter().find(|known| known.as_str() == text), one_of(Self::ALL.map(Self::as_str));
    Rule => Self: "the name of a rule", |text| Self::ALL.into_iter().find(|known| known.as_str() == text),
        one_of(Self::ALL.map(Self::as_str));
    EventId => Self: "evt_ and 32 hexadecimal digits", Self::parse, matching("evt_[0-9a-f]{32}");
    EventType => Self: "the name of an event", Self::parse, one_of(Self::ALL.map(Self::as_str));
    Id<const KIND> => Sid: format_args!("{} and 32 hexadecimal digits", SidKind::ALL[KIND].as_str()),
        |text| Sid::parse(SidKind::ALL[KIND], text), matching(sid_pattern(SidKind::ALL[KIND]));
}

new_texts! {
    /// A time in the filters of a page.
    UtcTime => Timestamp: "a day or a moment of UTC such as 2027-01-31, 2027-01-31 12:00 or 2027-01-31T12:00:00Z", utc_time, matching(
        "(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
         (T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z|[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)?"
    );
    /// The last digits of numbers.
    NumberEnding => String: "1 to 4 digits", |text| (text.len() <= 4 && is_digits(text)).then(|| text.to_owned()), matching("[0-9]{1,4}");
    GuardSubject => Dimension: operator::SUBJECTS, |text| operator::entry_subject(text, None), matching(
        "all|\\+[0-9]{1,11}\\*{4}|\\+[1-9][0-9]{6,14}|[A-Za-z]{2}|[0-9a-fA-F:.]{2,45}(/64|/48|/24)?"
    );
    /// The last segment of a verification's path: its id or its number.
    IdOrNumber => VerificationTarget: "VE and 32 hexadecimal digits, or a phone number in E.164 form", Self::parse, matching(
        format!("{}|{NUMBER}", sid_pattern(SidKind::Verification))
    );
    ChannelList => Vec<Channel>: format_args!("{}, each at most once, between commas", Channel::names(", ")), channels,
        matching({
            let name = Channel::names("|");
            format!("({name})(,({name})){{0,{}}}", Channel::ALL.len() - 1)
        });
    /// The first digits of numbers.
    NumberPrefix => String: format_args!("1 to {LONGEST_PREFIX} digits, perhaps behind a +"), prefix, matching(
        format!(r"\+?[0-9]{{1,{LONGEST_PREFIX}}}")
    );
    /// The moment at which the first page of a list was requested.
    PageToken => Timestamp: "PT and digits, from the address of a page", page_token, matching("PT[0-9]{1,19}");
    /// A text of at most `LONGEST` characters, without control characters.
    Note<const LONGEST> => String: format_args!("at most {LONGEST} characters, without control characters"),
        |text| is_note(text, LONGEST).then(|| text.to_owned()), text_of(LONGEST, r"[^\x00-\x1f\x7f-\x9f]*");
    /// The sender's name for one message.
    SenderName => String: format_args!(
        "at most {LONGEST_NAME} characters, fewer than {DIGITS_IN_A_NAME} of them digits, without control characters"
    ), sender_name, name_schema();
    /// A text that the registry checks: a name that can stand in a path.
    UniqueName => String: "a text of at most 64 characters", |text| Some(text.to_owned()), text_of(64, "[A-Za-z0-9._-]*");
    /// A text that the registry checks: at most `LONGEST` characters.
    Text<const LONGEST> => String: format_args!("a text of at most {LONGEST} characters"), |text| Some(text.to_owned()), at_most(LONGEST);
    /// A text that the registry checks: a country that it knows.
    Country => String: "two letters of ISO 3166-1", |text| Some(text.to_owned()), matching("[A-Za-z]{2}");
    /// A text that the registry checks: a number in which `x` is any digit.
    Pattern => String: "a number in E.164 form, in which x is any digit", |text| Some(text.to_owned()), matching("\\+[0-9xX]{7,15}");
    /// The key that makes a repetition of a request harmless.
    IdempotencyKey => String: format_args!("1 to {LONGEST_KEY} visible ASCII characters"), Self::parse, matching(
        format!("[!-~]{{1,{LONGEST_KEY}}}")
    );
    /// A text that the registry checks: the code of a test number.
    TestCode => String: "digits", |text| Some(text.to_owned()), matching(digits("[0-9]"));
    /// A submitted code as it was sent: [`Code::submitted`] reads it by the rules of the service.
    SubmittedCode => Zeroizing<String>: format_args!("{} to {} characters", CodeLength::MIN, CodeLength::MAX),
        |text| Some(Zeroizing::new(text.to_owned())), matching(digits("."));
}

words! {
    Ending => Self: "canceled" => Self::Canceled, "approved" => Self::Approved;
    DeliveryState => Self: "pending" => Self::Pending, "delivered" => Self::Delivered, "failed" => Self::Failed;
    WebhookStatus => Self: "enabled" => Self::Enabled, "disabled" => Self::Disabled;
    EntryAction => Self: "allow" => Self::Allow, "block" => Self::Block, "known-only" => Self::KnownOnly;
    /// The form of a webhook's events: there is one.
    WebhookVersion => (): "v2" => ();
    /// Whether to check a request for fraud.
    RiskCheck => bool: "enable" => true, "disable" => false;
    /// Whether an API key is live.
    IsLive => bool: "live" => true, "revoked" => false;
    /// A time span of the dashboard, by its place among them.
    RangeName => usize: "today" => 0, "day" => 1, "14d" => 2, "30d" => 3;
    /// Whether an attempt led to a verified number.
    Converted => bool: "converted" => true, "unconverted" => false, "CONVERTED" => true, "UNCONVERTED" => false;
}

impl IdempotencyKey {
    pub fn parse(text: &str) -> Option<String> {
        let fits =
            (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| text.to_owned())
    }
}

impl IdOrNumber {
    pub fn parse(text: &str) -> Option<VerificationTarget> {
        let sid = Sid::parse(SidKind::Verification, text).map(VerificationTarget::Sid);
        sid.or_else(|| PhoneNumber::parse(text, None).ok().map(VerificationTarget::Number))
    }
}

fn prefix(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['+', ' ']).unwrap_or(text);
    (digits.len() <= LONGEST_PREFIX && is_digits(digits)).then(|| digits.to_owned())
}

fn channels(text: &str) -> Option<Vec<Channel>> {
    let channels: Vec<Channel> = text.split(',').map(Channel::parse).collect::<Option<_>>()?;
    let is_twice = |(index, channel): (usize, &Channel)| channels[..index].contains(channel);
    (!channels.iter().enumerate().any(is_twice)).then_some(channels)
}

/// A time as pages show it, in whole minutes or seconds, or in the forms of the API.
pub fn utc_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_day_or_moment(text).or_else(|| {
        let (day, time) = text.split_once([' ', 'T'])?;
        let time = time.trim_end_matches('Z');
        let seconds = if time.len() == "12:00".len() { ":00" } else { "" };
        Timestamp::parse(&format!("{day}T{time}{seconds}Z"))
    })
}

fn page_token(text: &str) -> Option<Timestamp> {
    let digits = text.strip_prefix("PT").filter(|digits| is_digits(digits))?;
    digits.parse().ok().map(Timestamp::from_millis)
}

/// Whether a text has at most `longest` characters and no control characters.
fn is_note(text: &str, longest: usize) -> bool {
    text.chars().take(longest + 1).count() <= longest && !text.chars().any(char::is_control)
}

fn sender_name(text: &str) -> Option<String> {
    let fits = text.chars().filter(|c| c.is_numeric()).count() < DIGITS_IN_A_NAME;
    (fits && is_note(text, LONGEST_NAME)).then(|| text.to_owned())
}

fn name_schema() -> Value {
    let other = r"[^0-9\x00-\x1f\x7f-\x9f{}]*";
    text_of(LONGEST_NAME, &format!("{other}([0-9]{other}){{0,{}}}", DIGITS_IN_A_NAME - 1))
}

fn digits(class: &str) -> String {
    format!("{class}{{{},{}}}", CodeLength::MIN, CodeLength::MAX)
}

pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Parameter for PhoneNumber {
    type Value = Self;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        let Some(text) = fields.text(name)? else { return Ok(None) };
        Self::parse(text, None).map(Some).map_err(|error| Error::parameter(name, error))
    }

    fn schema() -> Value {
        matching(NUMBER)
    }
}

/// An id of the kind with this index in [`SidKind::ALL`], in parameters and in answers.
#[derive(Debug, Clone, Copy)]
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

impl<const KIND: usize> Serialize for Id<KIND> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<const KIND: usize> JsonSchema for Id<KIND> {
    fn schema_name() -> Cow<'static, str> {
        format!("{:?}Sid", SidKind::ALL[KIND]).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let prefix = SidKind::ALL[KIND].as_str();
        json_schema!({ "type": "string", "pattern": format!("^{prefix}[0-9a-f]{{32}}$") })
    }
}

fn sid_pattern(kind: SidKind) -> String {
    format!("{}[0-9a-fA-F]{{32}}", kind.as_str())
}

/// A moment in responses.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[schemars(extend("format" = "date-time"))]
pub struct Date(#[schemars(with = "String")] DateTime);

impl From<Timestamp> for Date {
    fn from(at: Timestamp) -> Self {
        Self(at.into())
    }
}

/// An address in responses.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(extend("format" = "uri"))]
pub struct Url(pub String);

/// The addresses and ids that views are made with.
pub struct Frame<'a> {
    /// The beginning of every address, up to and with `/v2`.
    pub base: Cow<'a, str>,
    pub account: Sid,
}

impl Frame<'_> {
    /// For a view that has none.
    pub fn without_addresses(account: Sid) -> Self {
        Self { base: "".into(), account }
    }

    pub fn url(&self, path: impl Display) -> Url {
        Url(format!("{}{path}", self.base))
    }
}

/// The value of a field that Twilio has and this server does not.
#[derive(Clone, Copy, Serialize, JsonSchema)]
pub struct Null;

/// Declares a resource as responses show it: for each field its meaning, its type and its value. The name after `as` is
/// the schema's. The arguments are those of `new`, the first one being the [`Frame`](Frame).
macro_rules! view {
    ($(#[$meta:meta])* $view:ident as $schema:literal($frame:ident $(, $arg:ident: $arg_type:ty)*) {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $value:expr,)*
    }) => {
        #[derive(serde::Serialize, schemars::JsonSchema)]
        $(#[$meta])*
        #[schemars(rename = $schema)]
        pub struct $view {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $view {
            pub fn new($frame: &$crate::http::api::params::Frame<'_>, $($arg: $arg_type),*) -> Self {
                Self { $($field: $value,)* }
            }
        }
    };
}
pub(in crate::http) use view;

/// Declares views of what Twilio has and this server does not serve: every field is null.
macro_rules! nulls {
    ($($view:ident as $schema:literal: $($field:ident),+;)+) => {$(
        $crate::http::api::params::view! {
            /// Not served.
            $view as $schema(_frame) { $($field: $crate::http::api::params::Null = $crate::http::api::params::Null,)+ }
        }
    )+};
}
pub(in crate::http) use nulls;

/// The way of delivery of a verification; `None` for `auto`.
pub struct BeginChannel;

const AUTO: &str = "auto";

impl Parameter for BeginChannel {
    type Value = Option<Channel>;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self::Value>, Error> {
        // Twilio's answer to a service without an email integration, as each service here is.
        if fields.text(name)? == Some("email") {
            return Err(Error::caused(Cause::NO_EMAIL, format_args!("`{name}`: email is not served here")));
        }
        let must_be = format_args!("one of {}, {}", Channel::names(", "), AUTO);
        fields.parsed(
            name,
            must_be,
            |text| {
                if text == AUTO { Some(None) } else { Channel::parse(text).map(Some) }
            },
        )
    }

    fn schema() -> Value {
        one_of(Channel::ALL.map(Channel::as_str).into_iter().chain([AUTO]))
    }
}

/// A whole number from `LEAST` to `MOST`.
pub struct Whole<const LEAST: u32, const MOST: u32>;

impl<const LEAST: u32, const MOST: u32> Parameter for Whole<LEAST, MOST> {
    type Value = u32;

    fn find(fields: &Fields, name: &str) -> Result<Option<u32>, Error> {
        let must_be = format_args!("a whole number from {LEAST} to {MOST}");
        fields.parsed_scalar(name, must_be, |text| {
            let value = text.parse().ok().filter(|_| is_digits(text))?;
            (LEAST..=MOST).contains(&value).then_some(value)
        })
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

/// `true` or `false`, in any case.
impl Parameter for bool {
    type Value = Self;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        fields.parsed_scalar(name, "true or false", |text| text.to_ascii_lowercase().parse().ok())
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

/// Names of events, or `*` for all: repeated, or an array in JSON.
pub struct Events;

impl Parameter for Events {
    type Value = Vec<String>;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self::Value>, Error> {
        Ok(Some(fields.texts(name)?).filter(|names| !names.is_empty()))
    }

    fn schema() -> Value {
        let names = EventType::ALL.into_iter().map(EventType::as_str).chain([EventType::EVERY]);
        json!({ "type": "array", "items": one_of(names) })
    }
}

/// Names and texts: at most `MOST`, each of at most `LONGEST` characters. A JSON object, as a text or, in a JSON body,
/// as it is.
pub struct Pairs<const MOST: usize, const LONGEST: usize>;

impl<const MOST: usize, const LONGEST: usize> Parameter for Pairs<MOST, LONGEST> {
    type Value = BTreeMap<String, String>;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self::Value>, Error> {
        let Some(pairs) = fields.object(name)? else { return Ok(None) };
        if pairs.len() > MOST {
            return Err(Error::parameter(name, format!("it must have at most {MOST} names")));
        }
        let fit = |text: &String| is_note(text, LONGEST);
        if !pairs.iter().all(|(key, text)| !key.is_empty() && fit(key) && fit(text)) {
            let problem = format!(
                "its names and values must have at most {LONGEST} characters, and a name one at least"
            );
            return Err(Error::parameter(name, problem));
        }
        Ok(Some(pairs))
    }

    fn schema() -> Value {
        json!({ "type": "string", "contentMediaType": JSON })
    }
}

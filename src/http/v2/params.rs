//! Parameters of requests. Each type that a parameter can have reads it, checks it and describes it, with the same
//! constants; [`parameters!`](crate::http::v2::params::parameters) declares the parameters of a route.
//!
//! Names are Twilio's, in its case. Unknown parameters are ignored, whatever they hold. A known one that is given twice is
//! refused: a proxy in front could have read the other one.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use hyper::HeaderMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};

use super::error::Error;
use crate::domain::{Channel, Code, CodeLength, Locale, PhoneNumber, Region, Sid, SidKind, Timestamp};
use crate::http::bad_body::BadBody;
use crate::registry::{LockoutRule, Resend, WebhookStatus};
use crate::template::{AppHash, SendDigits};
use crate::verify::Ending;
use crate::webhook::{DeliveryState, EventId, EventType};

/// The parameters of a route.
pub trait Parameters: Sized {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// Reads them.
    ///
    /// # Errors
    /// 60200 with the name of the first that cannot be used.
    fn read(fields: &Fields) -> Result<Self, Error>;

    /// Describes them, in their order.
    fn describe() -> Vec<Param>;
}

/// Declares a struct with the parameters of a route: for each its meaning, its name, an example, and the field with its
/// type, which is an `Option` if the parameter may be absent. Those behind `checked` are refused if they are wrong, and have no
/// other effect. `not_served` lists what Twilio reads here and this server refuses, to tell the client that it would have no
/// effect.
macro_rules! parameters {
    ($(#[$meta:meta])* $visibility:vis struct $struct:ident {
        $($(#[doc = $about:literal])+ $name:literal = $example:literal => $field:ident: $type:ty,)*
    } $(checked {
        $($(#[doc = $checked_about:literal])+ $checked:literal = $checked_example:literal => $checked_type:ty,)*
    })? $(not_served $refused:expr)?) => {
        $(#[$meta])*
        $visibility struct $struct {
            $(pub $field: $type,)*
        }

        impl $crate::http::v2::params::Parameters for $struct {
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn read(fields: &$crate::http::v2::params::Fields) -> Result<Self, $crate::http::v2::Error> {
                $(fields.refuse(&$refused)?;)?
                $($(<$checked_type as $crate::http::v2::params::Parameter>::read(fields, $checked)?;)*)?
                Ok(Self { $($field: $crate::http::v2::params::Parameter::read(fields, $name)?,)* })
            }

            fn describe() -> Vec<$crate::http::v2::params::Param> {
                vec![
                    $($crate::http::v2::params::Param::of::<$type>($name, concat!($($about),+), $example),)*
                    $($($crate::http::v2::params::Param::of::<$checked_type>(
                        $checked,
                        concat!($($checked_about),+),
                        $checked_example,
                    ),)*)?
                ]
            }
        }
    };
}
pub(in crate::http) use parameters;

/// The description of a parameter.
pub struct Param {
    /// Its name.
    pub name: String,
    /// Whether it must be given.
    pub required: bool,
    /// Its meaning.
    pub about: String,
    /// A value.
    pub example: Value,
    /// Its values in a path, a query, a header or a form.
    pub schema: Schema,
    /// Its values in a JSON body.
    pub json_schema: Schema,
}

impl Param {
    /// Describes a parameter of this type.
    pub fn of<P: Parameter>(name: &str, about: &str, example: &str) -> Self {
        let about = about.trim();
        let finish = |schema, in_json| finished(schema, about, P::REQUIRED, in_json && !P::REQUIRED);
        Self {
            name: name.to_owned(),
            required: P::REQUIRED,
            about: about.to_owned(),
            example: P::example(example),
            schema: finish(P::schema(), false),
            json_schema: finish(P::json_schema(), true),
        }
    }

    /// Describes a variable segment of a path.
    pub fn in_path(name: &str, about: &str, example: &str, pattern: &str) -> Self {
        let schema = finished(matching(pattern), about, true, false);
        Self {
            name: name.to_owned(),
            required: true,
            about: about.to_owned(),
            example: example.into(),
            json_schema: schema.clone(),
            schema,
        }
    }

    /// The members of an object, from its schema: for JSON bodies that serde reads, and rules that have a JSON schema.
    pub fn of_object(schema: RefOr<Schema>) -> Vec<Self> {
        let RefOr::T(Schema::Object(object)) = schema else { return Vec::new() };
        let Object { properties, required, .. } = object;
        let members = properties.into_iter().filter_map(|(name, schema)| match schema {
            RefOr::T(schema) => Some((name, schema)),
            RefOr::Ref(_) => None,
        });
        members
            .map(|(name, schema)| {
                let (about, example) = match &schema {
                    Schema::Object(Object { description, example, .. }) => {
                        (description.clone(), example.clone())
                    }
                    _ => (None, None),
                };
                let (about, example) = (about.unwrap_or_default(), example.unwrap_or_default());
                let required = required.contains(&name);
                Self { name, required, about, example, schema: schema.clone(), json_schema: schema }
            })
            .collect()
    }

    /// Its values, in a few words.
    pub fn accepts(&self) -> String {
        let Schema::Object(object) = &self.schema else { return "names".to_owned() };
        if let Some(words) = &object.enum_values {
            return words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
        }
        if object.content_media_type == JSON || !object.properties.is_empty() {
            return "JSON object".to_owned();
        }
        match &object.schema_type {
            SchemaType::Type(Type::Integer) => {
                let bound = |value: &Option<_>| serde_json::to_value(value).unwrap_or_default();
                format!("{} to {}", bound(&object.minimum), bound(&object.maximum))
            }
            SchemaType::Type(Type::Boolean) => "true | false".to_owned(),
            _ => match object.max_length {
                Some(longest) => format!("text, at most {longest} characters"),
                None => "text".to_owned(),
            },
        }
    }
}

const JSON: &str = "application/json";

/// Adds what depends on the place of a type: its meaning, whether it may be empty, and whether it may be null.
fn finished(schema: Schema, about: &str, required: bool, nullable: bool) -> Schema {
    match schema {
        Schema::Object(mut object) => {
            object.description = Some(about.to_owned());
            let absent = if required { "" } else { "?" };
            object.pattern = object.pattern.map(|pattern| format!("^({pattern}){absent}$"));
            object.min_length = object.max_length.filter(|_| required).map(|_| 1);
            if nullable && let SchemaType::Type(one) = object.schema_type {
                object.schema_type = SchemaType::Array(vec![one, Type::Null]);
                object.enum_values.iter_mut().for_each(|values| values.push(Value::Null));
            }
            Schema::Object(object)
        }
        Schema::Array(mut array) => {
            array.description = Some(about.to_owned());
            array.min_items = required.then_some(1);
            Schema::Array(array)
        }
        Schema::OneOf(mut either) => {
            either.description = Some(about.to_owned());
            if nullable {
                either.items.push(Schema::from(ObjectBuilder::new().schema_type(Type::Null).build()).into());
            }
            Schema::OneOf(either)
        }
        other => other,
    }
}

/// A type that a parameter can have.
pub trait Parameter: Sized {
    /// Whether a request without it is refused.
    const REQUIRED: bool = true;

    /// Reads the parameter; `None` if it is absent, null or empty.
    ///
    /// # Errors
    /// 60200, with what it must be.
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error>;

    /// Its values in a form or a query. A pattern is without `^` and `$`.
    fn schema() -> Schema;

    /// Its values in a JSON body.
    fn json_schema() -> Schema {
        Self::schema()
    }

    /// An example from its text.
    fn example(text: &str) -> Value {
        text.into()
    }

    /// Reads the parameter.
    ///
    /// # Errors
    /// As `find`, and if it is absent and required.
    fn read(fields: &Fields, name: &str) -> Result<Self, Error> {
        Self::find(fields, name)?.ok_or_else(|| Error::missing(name))
    }
}

impl<T: Parameter> Parameter for Option<T> {
    const REQUIRED: bool = false;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        Self::read(fields, name).map(Some)
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn json_schema() -> Schema {
        T::json_schema()
    }

    fn example(text: &str) -> Value {
        T::example(text)
    }

    fn read(fields: &Fields, name: &str) -> Result<Self, Error> {
        T::find(fields, name)
    }
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn matching(pattern: impl Into<String>) -> Schema {
    string().pattern(Some(pattern)).build().into()
}

fn text_of(longest: usize, pattern: &str) -> Schema {
    string().max_length(Some(longest)).pattern(Some(pattern)).build().into()
}

fn one_of(words: impl IntoIterator<Item = &'static str>) -> Schema {
    string().enum_values(Some(words)).build().into()
}

/// Types whose values are texts: what they must be, how they are read, and their pattern.
macro_rules! texts {
    ($($type:ty: $must_be:expr, $parse:expr, $schema:expr;)+) => {$(
        impl Parameter for $type {
            fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
                fields.parsed(name, $must_be, $parse)
            }

            fn schema() -> Schema {
                $schema
            }
        }
    )+};
}

/// Types with a few values, each with its word.
macro_rules! words {
    ($($type:ty: $($word:literal => $value:expr),+;)+) => {$(
        impl Parameter for $type {
            fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
                fields.parsed(name, [$($word),+].join(" or "), |text| match text {
                    $($word => Some($value),)+
                    _ => None,
                })
            }

            fn schema() -> Schema {
                one_of([$($word),+])
            }
        }
    )+};
}

texts! {
    PhoneNumber: "a phone number in E.164 form, such as +14155552671", phone, matching(r"\+[1-9][0-9]{6,14}");
    Timestamp: "a date such as 2015-07-30T20:00:00Z", Timestamp::parse_day_or_moment, matching(
        "(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z)?"
    );
    Locale: "a language tag such as de or pt-BR", Locale::parse, matching(
        "[A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?"
    );
    AppHash: "11 characters of A-Z, a-z, 0-9, + and /", AppHash::parse, matching("[A-Za-z0-9+/]{11}");
    Region: "two letters of ISO 3166-1", Region::parse, matching("[A-Za-z]{2}");
    IpAddr: "an IP address", |text| IpAddr::from_str(text).ok(), string().max_length(Some(45)).build().into();
    Channel: "sms, call or whatsapp", Channel::parse, one_of(Channel::ALL.map(Channel::as_str));
    Code: format_args!("{} to {} digits", CodeLength::MIN, CodeLength::MAX), Code::parse, matching(digits("[0-9]"));
    SendDigits: format_args!("at most {} of 0-9, w, W, * and #", SendDigits::MOST), SendDigits::parse, matching(
        format!("[0-9w*#]{{1,{}}}", SendDigits::MOST)
    );
    EventId: "evt_ and 32 hexadecimal digits", EventId::parse, matching("evt_[0-9a-f]{32}");
    EventType: "the name of an event", EventType::parse, string().max_length(Some(64)).build().into();
    LockoutRule: "growing, or seconds", lockout, matching("growing|[0-9]{1,7}");
    NumberPrefix: format_args!("1 to {} digits, perhaps behind a +", NumberPrefix::LONGEST), NumberPrefix::parse, matching(
        format!(r"\+?[0-9]{{1,{}}}", NumberPrefix::LONGEST)
    );
    PageToken: "one of an address that a list told", PageToken::parse, matching("PT[0-9]{1,19}");
}

words! {
    Ending: "canceled" => Self::Canceled, "approved" => Self::Approved;
    Resend: "keep" => Self::Keep, "new" => Self::New;
    DeliveryState: "pending" => Self::Pending, "delivered" => Self::Delivered, "failed" => Self::Failed;
    WebhookStatus: "enabled" => Self::Enabled, "disabled" => Self::Disabled;
    WebhookVersion: "v2" => Self;
    RiskCheck: "enable" => Self, "disable" => Self;
    Converted: "converted" => Self(true), "unconverted" => Self(false), "CONVERTED" => Self(true),
        "UNCONVERTED" => Self(false);
}

/// The form of a webhook's events: there is one.
pub struct WebhookVersion;

/// Twilio's switch for its fraud checks. This server has none yet.
pub struct RiskCheck;

/// Whether an attempt led to a verified number.
pub struct Converted(pub bool);

/// The first digits of numbers.
pub struct NumberPrefix(pub String);

impl NumberPrefix {
    /// E.164's fifteen digits.
    const LONGEST: usize = 15;

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['+', ' ']).unwrap_or(text);
        let fits = (1..=Self::LONGEST).contains(&digits.len());
        (fits && is_digits(digits)).then(|| Self(digits.to_owned()))
    }
}

/// The moment at which the first page of a list was requested.
#[derive(Clone, Copy)]
pub struct PageToken(pub Timestamp);

impl PageToken {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("PT")?;
        digits.parse().ok().filter(|_| is_digits(digits)).map(|millis| Self(Timestamp::from_millis(millis)))
    }
}

impl Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PT{}", self.0.as_millis())
    }
}

fn digits(class: &str) -> String {
    format!("{class}{{{},{}}}", CodeLength::MIN, CodeLength::MAX)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number from its text. A `+` in a form means a space, and people write `To=+1415...` all the same: a space in front
/// is read as a `+`.
fn phone(text: &str) -> Option<PhoneNumber> {
    let read = |text: &str| PhoneNumber::parse(text, None).ok();
    text.strip_prefix(' ').map_or_else(|| read(text), |rest| read(&format!("+{rest}")))
}

fn lockout(text: &str) -> Option<LockoutRule> {
    if text == "growing" {
        return Some(LockoutRule::Growing);
    }
    let seconds: u32 = text.parse().ok()?;
    Some(LockoutRule::Fixed(Duration::from_secs(seconds.into())))
}

/// An id of this kind, the index of which is in [`SidKind::ALL`].
pub struct Id<const KIND: usize>(pub Sid);

/// `VA`
pub type ServiceSid = Id<{ SidKind::Service as usize }>;
/// `VE`
pub type VerificationSid = Id<{ SidKind::Verification as usize }>;
/// `HJ`
pub type TemplateSid = Id<{ SidKind::Template as usize }>;
/// `MG`
pub type MessagingServiceSid = Id<{ SidKind::MessagingService as usize }>;

/// The pattern of the ids of a kind.
pub fn sid_pattern(kind: SidKind) -> String {
    format!("{}[0-9a-fA-F]{{32}}", kind.prefix())
}

impl<const KIND: usize> Parameter for Id<KIND> {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        let kind = SidKind::ALL[KIND];
        let must_be = format_args!("{} and 32 hexadecimal digits", kind.prefix());
        fields.parsed(name, must_be, |text| Sid::parse(kind, text).map(Self))
    }

    fn schema() -> Schema {
        matching(sid_pattern(SidKind::ALL[KIND]))
    }
}

/// A text of at most so many characters, without control characters.
pub struct Note<const LONGEST: usize>(pub String);

/// Whether a text has at most so many characters and no control characters.
fn is_note(text: &str, longest: usize) -> bool {
    text.chars().take(longest + 1).count() <= longest && !text.chars().any(char::is_control)
}

impl<const LONGEST: usize> Parameter for Note<LONGEST> {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        let must_be = format_args!("at most {LONGEST} characters, without control characters");
        fields.parsed(name, must_be, |text| is_note(text, LONGEST).then(|| Self(text.to_owned())))
    }

    fn schema() -> Schema {
        text_of(LONGEST, r"[^\x00-\x1f\x7f-\x9f]*")
    }
}

/// A text that the registry checks: a name in messages, with few digits.
pub struct Name(pub String);

/// A text that the registry checks: at most so many characters, without braces and control characters.
pub struct Line<const LONGEST: usize>(pub String);

/// A text that the registry checks: at most so many characters.
pub struct Text<const LONGEST: usize>(pub String);

/// A text that the registry checks: channels, each perhaps with the seconds to wait for a receipt.
pub struct Workflow(pub String);

/// A text that the registry checks: a number in which `x` is any digit.
pub struct Pattern(pub String);

/// A text that the registry checks: a country that it knows.
pub struct Country(pub String);

/// A text that the registry checks: the code of a test number.
pub struct TestCode(pub String);

/// Longest name of a sender in a message.
const NAME: usize = 30;
/// So many digits in a sender's name could be a code, or a number to call.
const DIGITS_IN_A_NAME: usize = 5;

fn name_schema() -> Schema {
    let other = r"[^0-9\x00-\x1f\x7f-\x9f{}]*";
    text_of(NAME, &format!("{other}([0-9]{other}){{0,{}}}", DIGITS_IN_A_NAME - 1))
}

/// Texts that the registry checks.
macro_rules! checked_by_the_registry {
    ($([$($generic:tt)*] $type:ty: $schema:expr;)+) => {$(
        impl $($generic)* Parameter for $type {
            fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
                Ok(fields.text(name)?.map(Self))
            }

            fn schema() -> Schema {
                $schema
            }
        }
    )+};
}

checked_by_the_registry! {
    [] Name: name_schema();
    [<const LONGEST: usize>] Line<LONGEST>: text_of(LONGEST, r"[^\x00-\x1f\x7f-\x9f{}]*");
    [<const LONGEST: usize>] Text<LONGEST>: string().max_length(Some(LONGEST)).build().into();
    [] Workflow: matching(
        "(sms|call|whatsapp)(:[1-9][0-9]?s)?(,(sms|call|whatsapp)(:[1-9][0-9]?s)?){0,9}"
    );
    [] Country: matching("[A-Za-z]{2}");
    [] Pattern: matching(PATTERN);
    [] TestCode: matching(digits("[0-9]"));
}

/// The pattern of test numbers.
pub const PATTERN: &str = "\\+[0-9xX]{7,15}";

/// The sender's name for one message.
pub struct SenderName(pub String);

impl Parameter for SenderName {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        let Some(Note(text)) = Note::<NAME>::find(fields, name)? else { return Ok(None) };
        if text.chars().filter(|c| c.is_numeric()).count() >= DIGITS_IN_A_NAME {
            return Err(Error::parameter(name, format!("it must have fewer than {DIGITS_IN_A_NAME} digits")));
        }
        Ok(Some(Self(text)))
    }

    fn schema() -> Schema {
        name_schema()
    }
}

/// The way of delivery of a verification; `None` for `auto`.
pub struct BeginChannel(pub Option<Channel>);

impl BeginChannel {
    const AUTO: &str = "auto";
    /// Twilio's other channels, which the refusal names.
    const OTHER: [&str; 6] = ["email", "sna", "push", "totp", "rcs", "passkeys"];
}

impl Parameter for BeginChannel {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        let Some(text) = fields.text(name)? else { return Ok(None) };
        if text == Self::AUTO {
            return Ok(Some(Self(None)));
        }
        if let Some(channel) = Channel::parse(&text) {
            return Ok(Some(Self(Some(channel))));
        }
        let other = Self::OTHER.iter().find(|other| **other == text);
        let not_here = other.map(|other| format!("{other} is not served here; ")).unwrap_or_default();
        Err(Error::parameter(name, format!("{not_here}it must be sms, call, whatsapp or auto")))
    }

    fn schema() -> Schema {
        one_of(Channel::ALL.map(Channel::as_str).into_iter().chain([Self::AUTO]))
    }
}

/// A submitted code. A text of the right length that cannot be a code is a wrong code: `None`.
pub struct SubmittedCode(pub Option<Code>);

impl Parameter for SubmittedCode {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        let lengths = usize::from(CodeLength::MIN)..=usize::from(CodeLength::MAX);
        match fields.text(name)? {
            None => Ok(None),
            Some(text) if lengths.contains(&text.chars().count()) => Ok(Some(Self(Code::parse(&text)))),
            Some(_) => {
                let (least, most) = (CodeLength::MIN, CodeLength::MAX);
                Err(Error::parameter(name, format!("it must have {least} to {most} characters")))
            }
        }
    }

    fn schema() -> Schema {
        matching(digits("."))
    }
}

/// A whole number from `LEAST` to `MOST`.
pub struct Whole<const LEAST: u32, const MOST: u32>(pub u32);

/// A whole number from `LEAST` to `MOST`, which the registry checks.
pub struct Count<const LEAST: u32, const MOST: u32>(pub u64);

fn whole_schema(least: u32, most: u32) -> Schema {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most)).build().into()
}

fn whole_example(text: &str) -> Value {
    text.parse::<u32>().map_or_else(|_| text.into(), Value::from)
}

impl<const LEAST: u32, const MOST: u32> Parameter for Whole<LEAST, MOST> {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        let must_be = format_args!("a whole number from {LEAST} to {MOST}");
        fields.parsed_scalar(name, must_be, |text| {
            let value = text.parse().ok().filter(|_| is_digits(text))?;
            (LEAST..=MOST).contains(&value).then_some(Self(value))
        })
    }

    fn schema() -> Schema {
        whole_schema(LEAST, MOST)
    }

    fn example(text: &str) -> Value {
        whole_example(text)
    }
}

impl<const LEAST: u32, const MOST: u32> Parameter for Count<LEAST, MOST> {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        fields.parsed_scalar(name, "a whole number", |text| {
            text.parse().ok().filter(|_| is_digits(text)).map(Self)
        })
    }

    fn schema() -> Schema {
        whole_schema(LEAST, MOST)
    }

    fn example(text: &str) -> Value {
        whole_example(text)
    }
}

/// `true` or `false`, in any case.
impl Parameter for bool {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        fields.parsed_scalar(name, "true or false", |text| {
            if text.eq_ignore_ascii_case("true") {
                Some(true)
            } else {
                text.eq_ignore_ascii_case("false").then_some(false)
            }
        })
    }

    fn schema() -> Schema {
        ObjectBuilder::new().schema_type(Type::Boolean).build().into()
    }

    fn example(text: &str) -> Value {
        text.parse::<bool>().map_or_else(|_| text.into(), Value::from)
    }
}

/// The switch of something that is not served: only `false`.
pub struct Off;

impl Parameter for Off {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        match bool::find(fields, name)? {
            Some(true) => Err(Error::parameter(name, NOT_SERVED)),
            given => Ok(given.map(|_| Self)),
        }
    }

    fn schema() -> Schema {
        ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build().into()
    }

    fn example(_: &str) -> Value {
        false.into()
    }
}

const NOT_SERVED: &str = "it is not served here";

/// Names of events, or `*` for all: repeated, or an array in JSON.
pub struct Events(pub Vec<String>);

impl Parameter for Events {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        Ok(Some(fields.texts(name)?).filter(|names| !names.is_empty()).map(Self))
    }

    fn schema() -> Schema {
        let names = EventType::ALL.into_iter().map(EventType::as_str).chain([EventType::EVERY]);
        ArrayBuilder::new().items(RefOr::T(one_of(names))).build().into()
    }

    fn example(text: &str) -> Value {
        vec![text].into()
    }
}

/// Names and texts: at most `MOST`, each of at most `LONGEST` characters. A JSON object, as a text or, in a JSON body, as it
/// is.
#[derive(Default)]
pub struct Pairs<const MOST: usize, const LONGEST: usize>(pub BTreeMap<String, String>);

impl<const MOST: usize, const LONGEST: usize> Parameter for Pairs<MOST, LONGEST> {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
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
        Ok(Some(Self(pairs)))
    }

    fn schema() -> Schema {
        string().content_media_type(JSON).build().into()
    }

    fn json_schema() -> Schema {
        let value = ObjectBuilder::new()
            .schema_type(SchemaType::Array(vec![Type::String, Type::Number, Type::Boolean]))
            .build();
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::from(Schema::from(value))))
            .build();
        let text = string().content_media_type(JSON).build();
        OneOfBuilder::new().item(text).item(object).build().into()
    }
}

/// A value that an empty text removes.
pub struct Removable<T>(pub Option<T>);

impl<T: Parameter> Parameter for Removable<T> {
    fn find(fields: &Fields, name: &str) -> Result<Option<Self>, Error> {
        if fields.only(name)?.is_some_and(|value| value == "") {
            return Ok(Some(Self(None)));
        }
        Ok(T::find(fields, name)?.map(|value| Self(Some(value))))
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn example(text: &str) -> Value {
        T::example(text)
    }
}

/// Parameters as they were sent, in their order. Contain numbers and codes, hence no `Debug`.
pub struct Fields {
    pairs: Vec<(String, Value)>,
    /// Whether they came as JSON, which has numbers and truth values of its own.
    typed: bool,
}

impl Fields {
    /// Reads a body by its `Content-Type`; a form where none is given.
    pub fn of_body(content_type: Option<&str>, body: &[u8]) -> Result<Self, Error> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.is_empty() || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(Self::of_form(body));
        }
        if !essence.eq_ignore_ascii_case(JSON) {
            return Err(Error::media_type());
        }
        let Members(pairs) = serde_json::from_slice(body).map_err(|error| {
            let reason = BadBody::from(error);
            Error::invalid(format!("The body is not a JSON object: {reason}"))
        })?;
        Ok(Self { pairs, typed: true })
    }

    /// Reads a form or a query.
    pub fn of_form(form: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(form);
        let pairs = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Self { pairs: pairs.collect(), typed: false }
    }

    /// Reads these headers. A value that is not visible ASCII is empty.
    pub fn of_headers(headers: &HeaderMap, names: &[&str]) -> Self {
        let values =
            |name: &str| headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default());
        let pairs = names.iter().flat_map(|name| values(name).map(|text| ((*name).to_owned(), text.into())));
        Self { pairs: pairs.collect(), typed: false }
    }

    /// Reads a text; `must_be` says what it must be. `None` when it is absent, null or empty.
    fn parsed<T>(
        &self,
        name: &str,
        must_be: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| Error::parameter(name, format!("it must be {must_be}")))
    }

    /// The same for a value that is no text in JSON.
    fn parsed_scalar<T>(
        &self,
        name: &str,
        must_be: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let text = match self.only(name)? {
            Some(Value::Number(number)) => {
                // JSON has one number for 6 and 6.0.
                let text = number.to_string();
                text.strip_suffix(".0").unwrap_or(&text).to_owned()
            }
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::String(_)) if self.typed => {
                return Err(Error::parameter(name, "in JSON it must be a number, or true or false"));
            }
            _ => return self.parsed(name, must_be, parse),
        };
        parse(&text).map(Some).ok_or_else(|| Error::parameter(name, format!("it must be {must_be}")))
    }

    fn text(&self, name: &str) -> Result<Option<String>, Error> {
        match self.only(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                Err(Error::parameter(name, "it must be a text"))
            }
        }
    }

    /// A parameter that may be repeated, or an array in JSON.
    fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let wrong = || Error::parameter(name, "it must be texts");
        let mut texts = Vec::new();
        for (_, value) in self.pairs.iter().filter(|(found, _)| found == name) {
            match value {
                Value::Null => {}
                Value::String(text) => texts.push(text.clone()),
                Value::Array(values) => {
                    for value in values {
                        texts.push(value.as_str().ok_or_else(wrong)?.to_owned());
                    }
                }
                Value::Number(_) | Value::Bool(_) | Value::Object(_) => return Err(wrong()),
            }
        }
        Ok(texts)
    }

    /// A JSON object of texts, in a text or, in a JSON body, as it is. `None` when absent.
    fn object(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        let wrong = || Error::parameter(name, "it must be a JSON object whose values are texts or numbers");
        let pairs = match self.only(name)? {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => serde_json::from_str::<Members>(text).map_err(|_| wrong())?.0,
            Some(Value::Object(map)) => map.clone().into_iter().collect(),
            Some(_) => return Err(wrong()),
        };
        let mut object = BTreeMap::new();
        for (key, value) in pairs {
            let value = match value {
                Value::String(text) => text,
                value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return Err(wrong()),
            };
            if object.insert(key, value).is_some() {
                return Err(Error::parameter(name, "it has a name twice"));
            }
        }
        Ok(Some(object))
    }

    /// Refuses a request that gives one of these parameters a value.
    pub fn refuse(&self, names: &[&str]) -> Result<(), Error> {
        let is_given = |value: &Value| !value.is_null() && value != "";
        match self.pairs.iter().find(|(name, value)| names.contains(&name.as_str()) && is_given(value)) {
            Some((name, _)) => Err(Error::parameter(name, NOT_SERVED)),
            None => Ok(()),
        }
    }

    /// Those of these parameters that were given, for an address with the same filters.
    pub fn given(&self, names: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let kept = self.pairs.iter().filter(move |(name, _)| names.contains(&name.as_str()));
        kept.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// What makes two requests to one path the same: a SHA-256 over the parameters in the order of their names. Of those
    /// in `secret` only the presence counts, for no code may be kept, not even like this.
    pub fn fingerprint(&self, path: &str, secret: &[&str]) -> [u8; 32] {
        let mut lines: Vec<(&str, String)> =
            self.pairs.iter().map(|(name, value)| (name.as_str(), canonical(value))).collect();
        lines.sort();
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        add(path);
        for (name, value) in lines {
            add(name);
            add(if secret.contains(&name) { "" } else { &value });
        }
        hash.finalize().into()
    }

    fn only(&self, name: &str) -> Result<Option<&Value>, Error> {
        let mut values = self.pairs.iter().filter(|(found, _)| found == name);
        let first = values.next().map(|(_, value)| value);
        if values.next().is_some() {
            return Err(Error::parameter(name, "it is given twice"));
        }
        Ok(first)
    }
}

/// One spelling for all that mean the same: the objects of a JSON body, and the same in a text of a form.
fn canonical(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(object @ Value::Object(_)) => object.to_string(),
            _ => text.clone(),
        },
        other => other.to_string(),
    }
}

/// The members of a JSON object, repeated ones too.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

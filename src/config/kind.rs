//! Kinds of values: how each is read, what is accepted, and how it is shown.
//!
//! A field of a settings struct names its kind once, `#[serde(with = "As::<Whole<Digits>>")]`: serde reads and shows
//! the value through it, and schemars describes it. Every value may be a text or the proper JSON type.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use tracing::Level;

use super::settings::{AnswerSet, LogFormat, OnAmbiguous};

pub trait Kind {
    type Value;

    /// Reads a text; `None` when it is not accepted. Kinds that are lists or objects have [`Kind::of`] alone.
    fn read(text: &str) -> Option<Self::Value> {
        Self::of(&Value::from(text))
    }

    fn of(value: &Value) -> Option<Self::Value> {
        text_of(value).as_deref().and_then(Self::read)
    }

    /// The value as `--print-config` and the schema's defaults show it. Secrets are masked.
    fn shown(value: &Self::Value) -> Value;

    /// The accepted values and the reason: the end of a sentence that begins with "it must be".
    fn accepted() -> String;

    /// The accepted values in the reference: a range, or names. Empty if the meaning says enough.
    fn short() -> String {
        String::new()
    }

    /// The schema of the value in config.json. `writeOnly` marks values that no message repeats, [`UNIT`] times.
    fn schema() -> Schema;
}

/// The member of a time's schema that has the seconds of a bare number's unit. The schema that is printed has no
/// `x-...`.
pub const UNIT: &str = "x-unit";

/// The member of a schema that describes the value in requests, where it differs from the one in config.json.
pub const IN_REQUESTS: &str = "x-in-requests";

/// The member of a schema that says what is accepted: the end of a sentence that begins with "it must be".
pub const ACCEPTED: &str = "x-accepted";

/// The member of a schema that has [`Kind::short`].
pub const SHORT: &str = "x-short";

/// Reads, shows and describes a field by its kind, for `#[serde(with = "As::<...>")]`.
pub type As<K> = Field<K, false>;

/// The same for a field that records have too: stored raw, and not checked again, because a narrower range must not
/// make old records unreadable.
pub type Stored<K> = Field<K, true>;

pub struct Field<K, const STORED: bool>(PhantomData<K>);

impl<K: Kind> As<K> {
    pub fn deserialize<'de, T: TryFrom<K::Value>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let read = K::of(&Value::deserialize(from)?).and_then(|value| T::try_from(value).ok());
        read.ok_or_else(|| D::Error::custom(format_args!("must be {}", K::accepted())))
    }

    pub fn serialize<T, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error>
    where
        T: Clone + TryInto<K::Value>,
    {
        let shown = value.clone().try_into().map_or(Value::Null, |value| K::shown(&value));
        shown.serialize(to)
    }
}

impl<K: Kind> Stored<K> {
    pub fn deserialize<'de, T, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>
    where
        T: TryFrom<K::Value> + Deserialize<'de>,
    {
        if !from.is_human_readable() {
            return T::deserialize(from);
        }
        let value = Value::deserialize(from)?;
        // Exports have null for a value that is missing.
        match T::deserialize(Value::Null) {
            Ok(none) if value.is_null() => Ok(none),
            _ => As::<K>::deserialize(value).map_err(D::Error::custom),
        }
    }

    pub fn serialize<T, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error>
    where
        T: Clone + TryInto<K::Value> + Serialize,
    {
        if to.is_human_readable() { As::<K>::serialize(value, to) } else { value.serialize(to) }
    }
}

impl<K: Kind, const STORED: bool> JsonSchema for Field<K, STORED> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = K::schema();
        schema.insert(ACCEPTED.to_owned(), K::accepted().into());
        schema.insert(SHORT.to_owned(), K::short().into());
        schema
    }
}

/// A key that may be missing.
impl<K: Kind> Kind for Option<K> {
    type Value = Option<K::Value>;

    fn read(text: &str) -> Option<Self::Value> {
        K::read(text).map(Some)
    }

    fn of(value: &Value) -> Option<Self::Value> {
        K::of(value).map(Some)
    }

    fn shown(value: &Self::Value) -> Value {
        value.as_ref().map_or(Value::Null, K::shown)
    }

    fn accepted() -> String {
        K::accepted()
    }

    fn short() -> String {
        K::short()
    }

    fn schema() -> Schema {
        K::schema()
    }
}

/// A text, a number or a truth value as text; `None` for anything else.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(match number.as_f64().filter(|_| number.is_f64()) {
            // 30.0 is a whole number.
            Some(fraction) => fraction.to_string(),
            None => number.to_string(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value as a person would recognise it, on one line and not too long.
pub fn shown_json(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Number(_) => text_of(value).unwrap_or_default(),
    }
}

/// A text in quotes, on one line and not too long.
pub fn quoted(text: &str) -> String {
    shortened(format!("{text:?}"))
}

pub fn shortened(text: String) -> String {
    const LONGEST: usize = 100;
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}

/// An object, or a text that is one: a variable has no other way to spell it.
pub fn object_of(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// The shown part of named objects.
pub fn names(members: &Map<String, Value>) -> Value {
    json!(members.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// Declares kinds: what is accepted (`short` for the reference), the schema, how a text (`read`) or any value (`of`) is read, and how it is shown
/// where that is not as serde does.
macro_rules! kinds {
    (@shown) => { |value| serde_json::json!(value) };
    (@shown |$it:ident| $shown:expr) => { |$it| $shown };
    ($($(#[$doc:meta])* $name:ident -> $value:ty {
        accepted: $accepted:expr,
        $(short: $short:expr,)?
        schema: $schema:expr,
        $(read: |$text:ident| $read:expr,)?
        $(of: |$given:ident| $of:expr,)?
        $(shown: |$it:ident| $shown:expr,)?
    })*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl $crate::config::kind::Kind for $name {
            type Value = $value;

            $(fn read($text: &str) -> Option<Self::Value> {
                $read
            })?

            $(fn of($given: &serde_json::Value) -> Option<Self::Value> {
                $of
            })?

            fn shown(value: &Self::Value) -> serde_json::Value {
                let shown: fn(&Self::Value) -> serde_json::Value =
                    $crate::config::kind::kinds!(@shown $(|$it| $shown)?);
                shown(value)
            }

            fn accepted() -> String {
                String::from($accepted)
            }

            $(fn short() -> String {
                String::from($short)
            })?

            fn schema() -> schemars::Schema {
                $schema
            }
        }
    )*};
}
pub(super) use kinds;

kinds! {
    Flag -> bool {
        accepted: "true or false",
        schema: json_schema!({ "anyOf": [
            { "type": "boolean" },
            { "type": "string", "pattern": "^\\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\\s*$" },
        ]}),
        read: |text| text.trim().to_ascii_lowercase().parse().ok(),
    }

    Text -> String {
        accepted: "a text",
        schema: json_schema!({ "type": ["string", "number", "boolean"] }),
        read: |text| Some(text.to_owned()),
    }
}

pub trait Named: Copy + PartialEq + 'static {
    /// The names, in lower case, and what they stand for.
    const NAMES: &'static [(&'static str, Self)];
}

pub struct Choice<T>(PhantomData<T>);

impl<T: Named> Kind for Choice<T> {
    type Value = T;

    fn read(text: &str) -> Option<T> {
        T::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())).map(|(_, value)| *value)
    }

    fn shown(value: &T) -> Value {
        T::NAMES.iter().find(|(_, named)| named == value).map_or(Value::Null, |(name, _)| json!(name))
    }

    fn accepted() -> String {
        let names: Vec<String> = T::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!("one of {}", names.join(", "))
    }

    fn short() -> String {
        let names: Vec<String> = T::NAMES.iter().map(|(name, _)| format!("`{name}`")).collect();
        names.join(", ")
    }

    fn schema() -> Schema {
        let names: Vec<&str> = T::NAMES.iter().map(|(name, _)| *name).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

impl Named for Level {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
}

impl Named for LogFormat {
    const NAMES: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Named for AnswerSet {
    const NAMES: &'static [(&'static str, Self)] =
        &[("documented", Self::Documented), ("as-built", Self::AsBuilt)];
}

impl Named for OnAmbiguous {
    const NAMES: &'static [(&'static str, Self)] = &[("next", Self::Next), ("stop", Self::Stop)];
}

/// The limits of a number or time, and why: the reason is printed when a value lies outside.
pub trait Range {
    type Of: Copy + PartialOrd + 'static;
    const MIN: Self::Of;
    const MAX: Self::Of;
    /// The unit of a bare number; 0 for whole numbers.
    const UNIT: Duration;
    const WHY: &'static str;

    /// Whether a value lies within the limits.
    fn has(value: Self::Of) -> bool {
        (Self::MIN..=Self::MAX).contains(&value)
    }
}

/// A whole number within limits.
pub struct Whole<R, T = u64>(PhantomData<(R, T)>);

impl<R: Range<Of = u64>, T: TryFrom<u64> + Serialize> Kind for Whole<R, T> {
    type Value = T;

    fn read(text: &str) -> Option<T> {
        text.trim().parse().ok().filter(|number| R::has(*number))?.try_into().ok()
    }

    fn shown(number: &T) -> Value {
        json!(number)
    }

    fn accepted() -> String {
        format!("a whole number from {} to {} ({})", R::MIN, R::MAX, R::WHY)
    }

    fn short() -> String {
        format!("{} to {}", R::MIN, R::MAX)
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": R::MIN, "maximum": R::MAX },
            { "type": "string", "pattern": "^\\s*[0-9]+\\s*$" },
        ]})
    }
}

/// A time with its units; whole days as days, because months and years have no fixed length.
pub fn time_text(span: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let days = span.as_secs() / DAY;
    if days > 1 && span == Duration::from_secs(days * DAY) {
        format!("{days}days")
    } else {
        humantime::format_duration(span).to_string()
    }
}

/// A time within limits: a bare number in the range's unit, or a text with units.
pub struct Span<R>(PhantomData<R>);

impl<R: Range<Of = Duration>> Kind for Span<R> {
    type Value = Duration;

    fn read(text: &str) -> Option<Duration> {
        let text = text.trim();
        let span = if text.bytes().all(|b| b.is_ascii_digit()) {
            R::UNIT.checked_mul(text.parse().ok()?)?
        } else {
            humantime::parse_duration(text).ok()?
        };
        R::has(span).then_some(span)
    }

    fn shown(span: &Duration) -> Value {
        json!(time_text(*span))
    }

    fn accepted() -> String {
        let unit = if R::UNIT == MINUTE { "minutes" } else { "seconds" };
        let [min, max] = [R::MIN, R::MAX].map(time_text);
        format!(
            "a time from {min} to {max}: a number of {unit}, or a text with units such as \"45s\", \"5m\", \"1h30m\" or \
             \"500ms\" ({})",
            R::WHY
        )
    }

    fn short() -> String {
        format!("{} to {}", time_text(R::MIN), time_text(R::MAX))
    }

    fn schema() -> Schema {
        let units = |span: Duration| span.as_millis().div_ceil(R::UNIT.as_millis());
        let [min, max] = [R::MIN, R::MAX].map(|span| u64::try_from(units(span)).unwrap_or(u64::MAX));
        let mut schema = json_schema!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": "^\\s*[0-9][0-9A-Za-z\\s]*$" },
        ]});
        schema.insert(UNIT.to_owned(), json!(R::UNIT.as_secs()));
        schema
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

macro_rules! ranges {
    ($of:ty { $($name:ident in $unit:expr; $min:expr, $max:expr; $why:literal;)* }) => {$(
        #[doc = $why]
        #[derive(Debug)]
        pub struct $name;
        impl Range for $name {
            type Of = $of;
            const MIN: $of = $min;
            const MAX: $of = $max;
            const UNIT: Duration = $unit;
            const WHY: &'static str = $why;
        }
    )*};
}

const NONE: Duration = Duration::ZERO;

ranges! { u64 {
    Port in NONE; 0, 65_535; "0 lets the system choose a free port";
    Attempts in NONE; 1, 100; "NIST SP 800-63B-4 section 3.2.2 allows at most 100 failures in a row";
    Digits in NONE; 4, 10; "fewer are guessed too easily, more are mistyped";
    BodyBytes in NONE; 256, 1_048_576; "requests are a few hundred bytes and are held in memory";
    Connections in NONE; 1, 1_000_000; "each holds memory and a file descriptor";
    Numbers in NONE; 1, 1_000_000_000; "each holds memory until its record has ended";
    Commands in NONE; 1, 1_000_000; "each holds memory until it is answered";
    CommandsPerNumber in NONE; 1, 10_000; "one number must not be able to take every place";
    Sends in NONE; 1, 100_000; "each holds a connection to the provider";
    SendsWaiting in NONE; 0, 1_000_000; "each holds memory until it is sent or given up";
    Retries in NONE; 1, 100; "each further one waits longer, and a code does not live for days";
    WorkflowSends in NONE; 1, 20; "each message costs money, and twenty are enough for any code";
    BreakerFailures in NONE; 1, 1_000; "a gateway that fails this often in a row is dead";
    AttemptLogs in NONE; 0, 10_000_000; "each takes room on the disk and in memory";
    SendsPerNumber in NONE; 1, 1_000_000; "a person needs a few";
    Tolerance in NONE; 0, 10; "an attack costs as many times more";
    GuardFloor in NONE; 1, 1_000_000; "the first user of a place needs one";
    Shards in NONE; 1, 1_024; "each is a queue of its own; more than there are processors gains nothing";
}}

ranges! { Duration {
    CodeLife in SECOND; SECOND, DAY; "a code that lives longer is a password";
    ServiceLife in SECOND; SECOND.saturating_mul(30), HOUR; "people need a moment, and a code that lives longer is a password";
    Lockout in MINUTE; SECOND, DAY.saturating_mul(30); "a number is remembered for at least this long";
    RequestWait in SECOND; MILLISECOND.saturating_mul(10), MINUTE.saturating_mul(5); "a slow client holds a connection for this long";
    IdleWait in SECOND; MILLISECOND.saturating_mul(10), HOUR; "an idle client holds a connection for this long";
    WorkBudget in SECOND; MILLISECOND.saturating_mul(10), MINUTE; "a client waits for the answer meanwhile";
    RetryWait in SECOND; SECOND, HOUR; "a code that is sent after it has expired is useless";
    RingTime in SECOND; SECOND.saturating_mul(5), MINUTE.saturating_mul(10); "Twilio lets a telephone ring for 600 s at most";
    StepWait in SECOND; SECOND, HOUR; "a code that is sent after it has expired is useless";
    BreakerWait in SECOND; MILLISECOND.saturating_mul(100), DAY; "the gateway gets no message meanwhile";
    AttemptLogAge in SECOND; MINUTE, DAY.saturating_mul(366); "it is kept on the disk for so long";
    AuditAge in SECOND; DAY, DAY.saturating_mul(3_660); "it is kept on the disk for so long";
    StopBudget in SECOND; Duration::ZERO, MINUTE.saturating_mul(10); "the process lingers for this long";
}}

//! Kinds of values: how each is read, what is accepted, and how it is shown.
//!
//! A field of `settings!` names its kind once, `as "As::<Digits>"`: serde reads and shows the value through it, and
//! schemars describes it. Every value may be a text or the proper JSON type.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use tracing::Level;

pub mod values;

pub trait Kind {
    type Value;

    /// Reads a value; `None` when it is not accepted.
    fn of(value: &Value) -> Option<Self::Value>;

    fn read(text: &str) -> Option<Self::Value> {
        Self::of(&Value::from(text))
    }

    /// The value as `--print-config` and the schema's defaults show it. Secrets are masked.
    fn shown(value: &Self::Value) -> Value;

    /// The accepted values and the reason: the end of a sentence that begins with "it must be".
    fn accepted() -> String;

    /// The schema of the value in config.json. `writeOnly` marks values that no message repeats, [`UNIT`] times.
    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Replaces a secret in printed settings.
pub const NOT_SHOWN: &str = "(set, not shown)";

/// The member of a time's schema that has the seconds of a bare number's unit. The schema that is printed has no
/// `x-...`.
pub const UNIT: &str = "x-unit";

/// The member of a schema that describes the value in requests, where it differs from the one in config.json.
pub const IN_REQUESTS: &str = "x-in-requests";

/// The member of a schema that says what is accepted: the end of a sentence that begins with "it must be".
pub const ACCEPTED: &str = "x-accepted";

/// Reads, shows and describes a field by its kind, for `#[serde(with = "As::<...>")]`.
pub type As<K> = Field<K, false>;

/// The same for a field that records have too: stored raw, and not checked again, because a narrower range must not
/// make old records unreadable.
pub type Stored<K> = Field<K, true>;

pub struct Field<K, const STORED: bool>(PhantomData<K>);

impl<K: Kind> As<K> {
    pub fn deserialize<'de, T: TryFrom<K::Value>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let given = Value::deserialize(from)?;
        let read = K::of(&given).and_then(|value| T::try_from(value).ok());
        read.ok_or_else(|| {
            let wrong = wrong_item::<K>(&given).map(|item| format!("; {item} is not accepted"));
            D::Error::custom(format_args!("must be {}{}", K::accepted(), wrong.unwrap_or_default()))
        })
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
        schema
    }
}

/// The first item of a list that is not accepted, unless it may not be shown.
fn wrong_item<K: Kind>(list: &Value) -> Option<String> {
    let is_wrong = |item: &&Value| K::of(&Value::Array(vec![(*item).clone()])).is_none();
    let wrong = list.as_array().filter(|items| items.len() > 1)?.iter().find(is_wrong)?;
    K::schema().get("writeOnly").is_none().then(|| shown_json(wrong))
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

/// A value as a person would recognize it, on one line and not too long.
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

/// Declares kinds: the value, what is accepted, the schema if it is not that of any text; then how a trimmed `text`, a
/// `raw` one or `any` value is read, and how it is shown where that is not as serde does. The struct of a kind with
/// parameters is declared by itself.
macro_rules! kinds {
    (@struct $(#[$doc:meta])* $name:ident) => { $(#[$doc])* pub struct $name; };
    (@struct $name:ident [$($param:tt)*]) => {};
    (@of $from:ident any) => { Some($from) };
    (@of $from:ident raw) => { $crate::setting::text_of($from).as_deref() };
    (@of $from:ident text) => { $crate::setting::text_of($from).as_deref().map(str::trim) };
    (@given any) => { serde_json::Value };
    (@given $text:ident) => { str };
    (@shown) => { |value| serde_json::json!(value) };
    (@shown |$it:ident| $shown:expr) => { |$it| serde_json::json!($shown) };
    ($($(#[$doc:meta])* $([$($param:tt)*])? $name:ident $(<$($arg:ident),*>)? -> $value:ty, $accepted:expr $(, $schema:expr)?;
        $how:ident |$given:ident| $read:expr; $(|$it:ident| $shown:expr;)?
    )*) => {$(
        $crate::setting::kinds!(@struct $(#[$doc])* $name $([$($param)*])?);

        impl<$($($param)*)?> $crate::setting::Kind for $name $(<$($arg),*>)? {
            type Value = $value;

            fn of(from: &serde_json::Value) -> Option<Self::Value> {
                let read: fn(&$crate::setting::kinds!(@given $how)) -> Option<Self::Value> = |$given| $read;
                $crate::setting::kinds!(@of from $how).and_then(read)
            }

            fn shown(value: &Self::Value) -> serde_json::Value {
                let shown: fn(&Self::Value) -> serde_json::Value =
                    $crate::setting::kinds!(@shown $(|$it| $shown)?);
                shown(value)
            }

            fn accepted() -> String {
                String::from($accepted)
            }

            $(fn schema() -> schemars::Schema {
                $schema
            })?
        }
    )*};
}
pub(crate) use kinds;

/// Declares structs of settings. A field has, in this order, its key (by default its name in kebab-case), its name, its
/// type, its kind (by default that of the type) and its default (by default that of the type).
macro_rules! settings {
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$about:meta])* $($key:literal)? $seen:vis $field:ident: $type:ty $(as $kind:literal)? $(= $default:expr)?,)*
    }) => {
        #[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
        #[serde(default, rename_all = "kebab-case")]
        $(#[$meta])*
        $vis struct $name {
            $($(#[$about])* $(#[serde(rename = $key)])? $(#[serde(with = $kind)])? $seen $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::setting::settings!(@default $($default)?),)* }
            }
        }
    };
}
pub(crate) use settings;

/// Items between commas, or a JSON list of them.
pub struct List<K>(PhantomData<K>);

/// A value of a setting that has one of several spellings.
pub trait Spelled: Copy + PartialEq + 'static {
    /// The spellings, in lower case, and what they stand for.
    const NAMES: &'static [(&'static str, Self)];
}

/// One of several names.
pub struct Choice<T>(PhantomData<T>);

/// A whole number within limits.
pub struct Whole<const MIN: u64, const MAX: u64, T = u64>(PhantomData<T>);

/// A time within limits, in milliseconds: a bare number of the unit, in seconds, or a text with units.
pub struct Span<const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64 = 1>;

kinds! {
    Flag -> bool, "true or false", json_schema!({ "anyOf": [
        { "type": "boolean" },
        { "type": "string", "pattern": "^\\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\\s*$" },
    ]});
        text |text| text.to_ascii_lowercase().parse().ok();

    Text -> String, "a text", json_schema!({ "type": ["string", "number", "boolean"] });
        raw |text| Some(text.to_owned());

    // A key that may be missing.
    [K: Kind] Option<K> -> Option<K::Value>, K::accepted(), K::schema();
        any |value| K::of(value).map(Some);
        |value| value.as_ref().map(K::shown);

    [K: Kind] List<K> -> Vec<K::Value>,
        format!("a list of {}", K::accepted()),
        json_schema!({ "anyOf": [{ "type": "array", "items": K::schema() }, { "type": "string" }] });
        any |value| match value {
            Value::Array(items) => items.iter().map(K::of).collect(),
            Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
            // In a variable the list may be spelled as in the file.
            Value::String(text) if text.trim_start().starts_with('[') => {
                Self::of(&serde_json::from_str::<Vec<Value>>(text).ok()?.into())
            }
            Value::String(text) => text.split(',').map(K::read).collect(),
            one => K::of(one).map(|one| vec![one]),
        };
        |items| items.iter().filter_map(|item| text_of(&K::shown(item))).collect::<Vec<_>>().join(",");

    [T: Spelled] Choice<T> -> T,
        format!("one of {}", T::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ")),
        json_schema!({ "type": "string", "enum": (T::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>()) });
        text |text| T::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
        |value| T::NAMES.iter().find(|(_, named)| named == value).map(|(name, _)| name);

    [const MIN: u64, const MAX: u64, T: TryFrom<u64> + Serialize] Whole<MIN, MAX, T> -> T,
        format!("a whole number from {MIN} to {MAX}"),
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "pattern": "^\\s*[0-9]+\\s*$" },
        ]});
        text |text| text.parse().ok().filter(|number| (MIN..=MAX).contains(number))?.try_into().ok();

    [const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64] Span<MIN, MAX, UNIT_SECONDS> -> Duration,
        format!(
            "{}: a number of {}, or a text with units such as \"45s\", \"5m\", \"1h30m\" or \"500ms\"",
            Self::limits(),
            if UNIT_SECONDS == 60 { "minutes" } else { "seconds" }
        ),
        {
            let [min, max] = [MIN, MAX].map(|limit| limit.div_ceil(UNIT_SECONDS * SECOND));
            json_schema!({ UNIT: UNIT_SECONDS, "anyOf": [
                { "type": "integer", "minimum": min, "maximum": max },
                { "type": "string", "pattern": "^\\s*[0-9][0-9A-Za-z\\s]*$" },
            ]})
        };
        text |text| {
            let span = if text.bytes().all(|b| b.is_ascii_digit()) {
                Duration::from_secs(UNIT_SECONDS.checked_mul(text.parse().ok()?)?)
            } else {
                humantime::parse_duration(text).ok()?
            };
            Self::has(span).then_some(span)
        };
        |span| time_text(*span);
}

impl Spelled for Level {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
}

/// Wrong codes: NIST SP 800-63B-4, 3.2.2, allows at most 100 in a row.
pub type MaxChecks = Whole<1, 100>;

/// Digits of a code.
pub type Digits = Whole<4, 10>;

/// Messages of one verification.
pub type Messages<T = u64> = Whole<1, 20, T>;

/// A time with its units; whole days as days, because months and years have no fixed length.
pub fn time_text(span: Duration) -> String {
    const SECONDS_PER_DAY: u64 = DAY / SECOND;
    let days = span.as_secs() / SECONDS_PER_DAY;
    if days > 1 && span == Duration::from_secs(days * SECONDS_PER_DAY) {
        format!("{days}days")
    } else {
        humantime::format_duration(span).to_string()
    }
}

/// Spans of time, in milliseconds.
pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// The life of a code of the default service.
pub type CodeTime = Span<SECOND, DAY>;

/// The life of a code of other services.
pub type ServiceTime = Span<{ 30 * SECOND }, HOUR>;

pub type SendTime = Span<SECOND, MINUTE>;

/// The duration of a lockout. A number is remembered for at least as long.
pub type LockoutTime = Span<SECOND, { 30 * DAY }, 60>;

impl<const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64> Span<MIN, MAX, UNIT_SECONDS> {
    pub fn has(span: Duration) -> bool {
        (Duration::from_millis(MIN)..=Duration::from_millis(MAX)).contains(&span)
    }

    /// The limits, as the end of a sentence that begins with "it must be".
    pub fn limits() -> String {
        let [min, max] = [MIN, MAX].map(|limit| time_text(Duration::from_millis(limit)));
        format!("a time from {min} to {max}")
    }

    /// The limits of a number of seconds in requests.
    pub fn in_seconds() -> String {
        let [min, max] = [MIN, MAX].map(|limit| limit / SECOND);
        format!("a number of seconds from {min} to {max}, or a time such as \"90s\" or \"5m\"")
    }
}

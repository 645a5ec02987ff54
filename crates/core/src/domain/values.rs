//! What a value must be, said once: `FromStr`, whose error is the sentence, and the JSON Schema. Settings, requests and
//! imports read the same types.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, IntoDeserializer as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// What a text that is no value had to be: the end of a sentence that begins with the name of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}")]
pub struct MustBe(pub Cow<'static, str>);

/// Gives each type `FromStr` and `JsonSchema`: what a text must be, how it is read, and the schema.
#[macro_export]
macro_rules! values {
    ($($type:ty: $must_be:expr, $read:expr, $schema:tt;)+) => {$(
        impl ::std::str::FromStr for $type {
            type Err = $crate::domain::MustBe;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let read: fn(&str) -> Option<Self> = $read;
                read(text).ok_or_else(|| $crate::domain::MustBe($must_be.into()))
            }
        }

        impl ::schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!($schema)
            }
        }
    )+};
}

/// A text, a number or a truth value as text; `None` for anything else.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        // 30.0 is a whole number.
        Value::Number(number) => Some(
            number.as_f64().filter(|_| number.is_f64()).map_or(number.to_string(), |part| part.to_string()),
        ),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a value from its text, which may also be a number or a truth value.
///
/// # Errors
/// What it must be. The value is not repeated: it may be a secret.
pub fn text<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    // A record does not say what it has.
    let text = if from.is_human_readable() {
        text_of(&Value::deserialize(from)?).ok_or_else(|| D::Error::custom("must be a text"))?
    } else {
        String::deserialize(from)?
    };
    text.trim().parse().map_err(D::Error::custom)
}

/// Reads a text, a number or a truth value as what it must be.
///
/// # Errors
/// What it must be.
pub fn checked<'de, T, D: Deserializer<'de>>(
    from: D,
    must_be: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let value = optional(from, must_be, read)?;
    value.ok_or_else(|| D::Error::custom(format_args!("must be {must_be}")))
}

/// Reads a value that may be missing: then it is null or empty.
///
/// # Errors
/// What it must be.
pub fn optional<'de, T, D: Deserializer<'de>>(
    from: D,
    must_be: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    let value = Option::<Value>::deserialize(from).ok().and_then(|given| {
        let text = given.map_or(Some(String::new()), |given| text_of(&given))?;
        if text.trim().is_empty() { Some(None) } else { read(text.trim()).map(Some) }
    });
    value.ok_or_else(|| D::Error::custom(format_args!("must be {must_be}")))
}

/// A whole number within limits: `#[serde(with = "Whole::<1, 10>")]`. A record is not checked.
pub struct Whole<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    fn must_be() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn read<T: TryFrom<u64>>(text: &str) -> Option<T> {
        text.parse().ok().filter(|number| (MIN..=MAX).contains(number))?.try_into().ok()
    }

    /// # Errors
    /// What it must be.
    pub fn deserialize<'de, T: TryFrom<u64> + Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        if from.is_human_readable() {
            checked(from, &Self::must_be(), Self::read)
        } else {
            T::deserialize(from)
        }
    }

    /// A number that may be missing.
    ///
    /// # Errors
    /// What it must be.
    pub fn option<'de, T: TryFrom<u64> + Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        if from.is_human_readable() {
            optional(from, &Self::must_be(), Self::read)
        } else {
            Option::deserialize(from)
        }
    }

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Serialize, S: Serializer>(number: &T, to: S) -> Result<S::Ok, S::Error> {
        number.serialize(to)
    }
}

/// Times in milliseconds.
pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// A time within limits, or one that may be missing: a text with units, or a number of the unit, in seconds.
pub struct Time<const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64 = 1>;

/// The life of a code of services beside `default`.
pub type ServiceTime = Time<{ 30 * SECOND }, HOUR>;

/// The duration of a lockout. A number is remembered for at least as long.
pub type LockoutTime = Time<SECOND, { 30 * DAY }, 60>;

impl<const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64> Time<MIN, MAX, UNIT_SECONDS> {
    pub fn has(time: Duration) -> bool {
        (Duration::from_millis(MIN)..=Duration::from_millis(MAX)).contains(&time)
    }

    pub fn read(text: &str) -> Option<Duration> {
        let time = if text.bytes().all(|b| b.is_ascii_digit()) {
            Duration::from_secs(UNIT_SECONDS.checked_mul(text.parse().ok()?)?)
        } else {
            humantime::parse_duration(text).ok()?
        };
        Self::has(time).then_some(time)
    }

    /// The end of a sentence that begins with "it must be".
    pub fn limits() -> String {
        let [min, max] = [MIN, MAX].map(|limit| time_text(Duration::from_millis(limit)));
        format!("a time from {min} to {max}")
    }

    pub fn must_be() -> String {
        format!("{}, such as \"45s\", \"5m\", \"1h30m\" or \"500ms\"", Self::limits())
    }

    pub fn deserialize<'de, T: From<Duration> + Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        if !from.is_human_readable() {
            return T::deserialize(from);
        }
        match optional(from, &Self::must_be(), Self::read)? {
            Some(time) => Ok(time.into()),
            None => T::deserialize(().into_deserializer()).map_err(|_: serde::de::value::Error| {
                D::Error::custom(format_args!("must be {}", Self::must_be()))
            }),
        }
    }

    pub fn serialize<T: Copy + Serialize + Into<Option<Duration>>, S: Serializer>(
        time: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match (to.is_human_readable(), (*time).into()) {
            (true, Some(time)) => to.serialize_str(&time_text(time)),
            _ => time.serialize(to),
        }
    }
}

/// A time with its units; whole days as days, because months and years have no fixed length.
pub fn time_text(time: Duration) -> String {
    const SECONDS_PER_DAY: u64 = DAY / SECOND;
    let days = time.as_secs() / SECONDS_PER_DAY;
    let is_whole = days > 1 && time == Duration::from_secs(days * SECONDS_PER_DAY);
    if is_whole { format!("{days}days") } else { humantime::format_duration(time).to_string() }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: u64, const MAX: u64, const UNIT_SECONDS: u64> JsonSchema for Time<MIN, MAX, UNIT_SECONDS> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "title": Self::limits() })
    }
}

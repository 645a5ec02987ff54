//! The forms that values have in descriptions of gateways: a text or the proper JSON type.
//!
//! A field names its form, `#[serde(with = "As::<Text>")]`: serde reads and shows the value through it, and schemars
//! describes it.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub mod values;

pub trait Kind {
    type Value;

    /// Reads a value; `None` when it is not accepted.
    fn of(value: &Value) -> Option<Self::Value>;

    /// The value as `--print-config` and the schema's defaults show it. Secrets are masked.
    fn shown(value: &Self::Value) -> Value;

    /// The accepted values: the end of a sentence that begins with "it must be".
    fn accepted() -> String;

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Replaces a secret in printed settings.
pub const NOT_SHOWN: &str = "(set, not shown)";

pub struct As<K>(PhantomData<K>);

impl<K: Kind> As<K> {
    pub fn deserialize<'de, T: TryFrom<K::Value>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let read = K::of(&Value::deserialize(from)?).and_then(|value| T::try_from(value).ok());
        read.ok_or_else(|| D::Error::custom(format_args!("must be {}", K::accepted())))
    }

    pub fn serialize<T: Clone + TryInto<K::Value>, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let shown = value.clone().try_into().map_or(Value::Null, |value| K::shown(&value));
        shown.serialize(to)
    }
}

impl<K: Kind> JsonSchema for As<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
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

pub struct Text;

impl Kind for Text {
    type Value = String;

    fn of(value: &Value) -> Option<String> {
        text_of(value)
    }

    fn shown(value: &String) -> Value {
        value.as_str().into()
    }

    fn accepted() -> String {
        "a text".to_owned()
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl<K: Kind> Kind for Option<K> {
    type Value = Option<K::Value>;

    fn of(value: &Value) -> Option<Self::Value> {
        K::of(value).map(Some)
    }

    fn shown(value: &Self::Value) -> Value {
        value.as_ref().map_or(Value::Null, K::shown)
    }

    fn accepted() -> String {
        K::accepted()
    }

    fn schema() -> Schema {
        K::schema()
    }
}

/// One item or a list of them; a text may have several between commas.
pub struct List<K>(PhantomData<K>);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn of(value: &Value) -> Option<Self::Value> {
        match value {
            Value::Array(items) => items.iter().map(K::of).collect(),
            Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
            Value::String(text) => text.split(',').map(|item| K::of(&item.trim().into())).collect(),
            one => K::of(one).map(|one| vec![one]),
        }
    }

    fn shown(items: &Self::Value) -> Value {
        items.iter().map(K::shown).collect()
    }

    fn accepted() -> String {
        format!("a list of {}", K::accepted())
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "type": "array", "items": K::schema() }, { "type": "string" }] })
    }
}

/// A whole number within limits.
pub struct Whole<const MIN: u64, const MAX: u64, T = u64>(PhantomData<T>);

impl<const MIN: u64, const MAX: u64, T: TryFrom<u64> + Serialize> Kind for Whole<MIN, MAX, T> {
    type Value = T;

    fn of(value: &Value) -> Option<T> {
        let number = text_of(value)?.trim().parse().ok();
        number.filter(|number| (MIN..=MAX).contains(number))?.try_into().ok()
    }

    fn shown(value: &T) -> Value {
        serde_json::json!(value)
    }

    fn accepted() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": MIN, "maximum": MAX })
    }
}

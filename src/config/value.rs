//! One setting as it was given. Every source speaks text; config.json may use JSON's own types
//! too, and both mean the same.

use figment::value::{Num, Tag, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

/// A kind of value that a key can have.
pub trait Setting: Sized {
    /// Whether this text, which could not be read, must not be repeated in an error.
    fn is_secret(_text: &str) -> bool {
        false
    }

    /// A value that is not accepted, for the error.
    fn shown_as_given(value: &Value) -> String {
        shown(value)
    }

    /// Reads the text; `None` when it is not one of the accepted values.
    fn read(text: &str) -> Option<Self>;

    /// Reads what config.json may have here besides a text: lists and objects for the kinds that have
    /// such forms.
    fn of(value: &Value) -> Option<Self> {
        text_of(value).as_deref().and_then(Self::read)
    }

    /// The value as `--print-config` shows it: times with units, secrets masked.
    fn shown(&self) -> String;

    /// What is accepted and why, as the end of a sentence that begins with "it must be".
    fn accepted() -> String;

    /// A valid value that lets the reading go on after a wrong one, so that all errors are found.
    /// It is never used: an error stops the start.
    fn placeholder() -> Self;

    /// The same for editors: what config.json may have here.
    fn schema() -> Schema;
}

/// What the sources say about one key. Reading never fails, so that every wrong value is found.
#[derive(Debug, Default)]
pub enum Given<T> {
    /// Nothing.
    #[default]
    Absent,
    /// A value, and the layer it came from.
    Read(T, Tag),
    /// Something that is not accepted.
    Wrong {
        /// The value as text, for the error; `None` when it could be a secret.
        shown: Option<String>,
        /// The layer it came from.
        tag: Tag,
    },
}

impl<T> Given<T> {
    /// Whether no source mentions the key.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The layer that has a value, accepted or not.
    pub const fn tag(&self) -> Option<Tag> {
        match self {
            Self::Absent => None,
            Self::Read(_, tag) | Self::Wrong { tag, .. } => Some(*tag),
        }
    }
}

impl<T: Setting> From<&Value> for Given<T> {
    fn from(value: &Value) -> Self {
        let tag = value.tag();
        if let Some(read) = T::of(value) {
            return Self::Read(read, tag);
        }
        let text = text_of(value);
        let secret = text.as_deref().is_some_and(T::is_secret);
        Self::Wrong { shown: (!secret).then(|| T::shown_as_given(value)), tag }
    }
}

impl<'de, T: Setting> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Value as Deserialize>::deserialize(deserializer).map(|value| Self::from(&value))
    }
}

impl<T: Setting> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Setting".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

/// A text, a number or a truth value as text; `None` for anything else.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => Some(number_text(*number)),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

/// The value as a person would recognise it, on one line and not too long.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, c) => quoted(&c.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number_text(*number),
        Value::Empty(..) => "null".to_owned(),
        Value::Dict(..) => "an object".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}

/// The same for a value of a JSON document.
pub fn shown_json(value: &serde_json::Value) -> String {
    Value::serialize(value).map(|value| shown(&value)).unwrap_or_default()
}

/// A text in quotes, on one line and not too long.
pub fn quoted(text: &str) -> String {
    shortened(format!("{text:?}"))
}

/// A text that is not too long for a line.
pub fn shortened(text: String) -> String {
    const LONGEST: usize = 100;
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}

fn number_text(number: Num) -> String {
    match (number.to_u128(), number.to_i128(), number.to_f64()) {
        (Some(whole), _, _) => whole.to_string(),
        (None, Some(whole), _) => whole.to_string(),
        (None, None, Some(fraction)) => fraction.to_string(),
        (None, None, None) => String::new(),
    }
}

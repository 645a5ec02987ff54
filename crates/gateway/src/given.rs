//! How a description may be written: a number for a text, one value for a list of it.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};
use serde_json::{Value, json};

use crate::domain::Channel;

const TEXT: &str = "a text";
const TEXTS: &str = "a list of texts or numbers, or one of them";
const STATUSES: &str = "a list of a whole number from 200 to 599";

/// A text, or a number or a truth value as JSON writes it.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn read<'de, T, D: Deserializer<'de>>(
    from: D,
    accepted: &str,
    read: impl FnOnce(Value) -> Option<T>,
) -> Result<T, D::Error> {
    read(Value::deserialize(from)?).ok_or_else(|| D::Error::custom(format_args!("must be {accepted}")))
}

/// The items of a list; what is not one is the only item. In a variable a list may be one text.
fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::String(text) if text.trim().is_empty() => Vec::new(),
        Value::String(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str(&text).unwrap_or_else(|_| vec![Value::Null])
        }
        Value::String(text) => text.split(',').map(|item| item.trim().into()).collect(),
        one => vec![one],
    }
}

pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    read(from, TEXT, |value| as_text(&value))
}

pub(crate) fn optional_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    text(from).map(Some)
}

/// Unlike other lists, a text is one item, whatever commas it has.
pub(crate) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    read(from, TEXTS, |value| match value {
        Value::Array(items) => items.iter().map(as_text).collect(),
        one => as_text(&one).map(|text| vec![text]),
    })
}

pub(crate) fn statuses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u16>, D::Error> {
    let status = |item: &Value| as_text(item)?.parse().ok().filter(|status| (200..=599).contains(status));
    read(from, STATUSES, |value| items(value).iter().map(status).collect())
}

/// At least one, in the order of [`Channel::ALL`].
pub fn channels<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Channel>, D::Error> {
    let channel = |item: &Value| Channel::parse(item.as_str()?);
    read(from, &channels_accepted(), |value| {
        let given: Vec<Channel> = items(value).iter().map(channel).collect::<Option<_>>()?;
        let given = Channel::ALL.into_iter().filter(|channel| given.contains(channel));
        Some(given.collect()).filter(|channels: &Vec<_>| !channels.is_empty())
    })
}

fn channels_accepted() -> String {
    format!("one or more of \"{}\"", Channel::names("\", \""))
}

/// One of `item`, or a list of them.
fn list_schema(item: &Value, accepted: &str) -> Schema {
    json_schema!({ "anyOf": [item, { "type": "array", "items": item }], "x-accepted": accepted })
}

pub(crate) fn text_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "number", "boolean"], "x-accepted": TEXT })
}

pub(crate) fn texts_schema(_: &mut SchemaGenerator) -> Schema {
    list_schema(&json!({ "type": ["string", "number", "boolean"] }), TEXTS)
}

pub(crate) fn statuses_schema(_: &mut SchemaGenerator) -> Schema {
    list_schema(&json!({ "type": ["integer", "string"], "minimum": 200, "maximum": 599 }), STATUSES)
}

pub(crate) fn channels_schema(_: &mut SchemaGenerator) -> Schema {
    list_schema(&json!({ "type": "string", "enum": Channel::ALL.map(Channel::as_str) }), &channels_accepted())
}

//! From JSON values to types. Every scalar, list and object may also be a text: variables have no other values.

use schemars::{JsonSchema, schema_for};
use serde::de::value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde_json::Value;
use serde_path_to_error::{Path, Segment, Track};

use super::report::{shown, text_of};

/// What is wrong with a value.
#[derive(Debug)]
pub struct Wrong {
    /// `services.shop.code-life`; empty for the value as a whole.
    pub path: String,
    /// The value as messages may show it. `None` for lists, objects, and what is missing.
    pub given: Option<String>,
    /// The end of a sentence that begins with the value.
    pub problem: String,
}

/// Reads a value. The paths of members that no type has are added to `unknown`.
pub fn read<T: DeserializeOwned>(value: &Value, unknown: &mut Vec<String>) -> Result<T, Wrong> {
    // `?` stands for what is in an Option.
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string().replace(".?", ""));
    let reader = serde_ignored::Deserializer::new(Lenient(value.clone()), &mut note);
    let mut track = Track::new();
    T::deserialize(serde_path_to_error::Deserializer::new(reader, &mut track)).map_err(|error| {
        let (path, error) = (track.path(), error.to_string());
        // A text in the place of an object may be a secret.
        let given = shown(at(value, &path)).filter(|_| error != NO_OBJECT);
        let path = path.to_string().trim_start_matches('.').to_owned();
        match error.strip_prefix("missing field `") {
            Some(missing) => Wrong {
                path: joined(&path, missing.trim_end_matches('`')),
                given: None,
                problem: "is missing".to_owned(),
            },
            None => Wrong { path, given, problem: in_our_words(&error) },
        }
    })
}

const NO_OBJECT: &str = "must be an object";

/// `services.shop` and `[0]` or `code-life`.
pub fn joined(path: &str, below: &str) -> String {
    let between = if path.is_empty() || below.is_empty() || below.starts_with('[') { "" } else { "." };
    format!("{path}{between}{below}")
}

fn at<'a>(value: &'a Value, path: &Path) -> &'a Value {
    let member = |value: &'a Value, segment: &Segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().try_fold(value, member).unwrap_or(&Value::Null)
}

/// serde repeats the value, which may be a secret: `invalid type: string "hunter2", expected a sequence`.
fn in_our_words(error: &str) -> String {
    let (front, expected) = error.rsplit_once(", expected ").unwrap_or((error, ""));
    match (front.split(' ').next(), expected) {
        (_, "") => error.to_owned(),
        (Some("invalid"), "a string") => "must be a text".to_owned(),
        (Some("invalid"), "a sequence") => "must be a list".to_owned(),
        (Some("unknown"), known) if front.starts_with("unknown field") => {
            format!("is unknown, expected {}", known.replace('`', "\""))
        }
        (Some("invalid" | "unknown"), expected) => format!("must be {}", expected.replace('`', "\"")),
        _ => error.to_owned(),
    }
}

/// The names of a struct's members.
pub fn members<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T);
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, _)| name.clone()).collect()
}

struct Lenient(Value);

impl Lenient {
    /// The value that a text spells, if it should be a list or an object.
    fn parsed(self, opening: char) -> Value {
        match &self.0 {
            Value::String(text) if text.trim_start().starts_with(opening) => {
                serde_json::from_str(text).unwrap_or(self.0)
            }
            _ => self.0,
        }
    }

    fn text(&self, accepted: &str) -> Result<String, Error> {
        let text = text_of(&self.0).map(|text| text.trim().to_owned());
        text.ok_or_else(|| Error::custom(format_args!("must be {accepted}")))
    }
}

impl IntoDeserializer<'_, Error> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! scalars {
    ($($name:ident $visit:ident $type:ty, $accepted:literal;)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let read = self.text($accepted)?.to_ascii_lowercase().parse::<$type>();
            visitor.$visit(read.map_err(|_| Error::custom(concat!("must be ", $accepted)))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    scalars! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_u8 visit_u64 u64, "a whole number";
        deserialize_u16 visit_u64 u64, "a whole number";
        deserialize_u32 visit_u64 u64, "a whole number";
        deserialize_u64 visit_u64 u64, "a whole number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Lenient))),
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Lenient(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
            scalar => scalar.deserialize_any(visitor).map_err(Error::custom),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(text_of(&self.0).ok_or_else(|| Error::custom("must be a text"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let list = match self.parsed('[') {
            Value::String(text) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
            }
            other => other,
        };
        Lenient(list).deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.parsed('{') {
            object @ Value::Object(_) => Lenient(object).deserialize_any(visitor),
            _ => Err(Error::custom(NO_OBJECT)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // A variant with a value is an object of one member.
        if let Value::Object(members) = self.0 {
            let members = members.into_iter().map(|(name, value)| (name, Lenient(value)));
            return visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(members)));
        }
        let given = self.text(&one_of(names.iter().copied()))?;
        let name = names.iter().copied().find(|name| name.eq_ignore_ascii_case(&given)).unwrap_or(&given);
        visitor.visit_enum::<serde::de::value::StrDeserializer<'_, Error>>(name.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// `one of "text", "json"`.
pub fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
}

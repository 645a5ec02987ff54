//! From JSON values to types. Every scalar, list and object may also be a text: variables have no other values.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer};
use serde::de::{MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::{Value, json, map};

use super::report::{shown, text_of};

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Wrong {
    /// `services.shop.code-life`; empty for the value as a whole.
    pub path: String,
    /// The value as messages may show it. `None` for lists, objects, and what is missing.
    pub given: Option<String>,
    /// The end of a sentence that begins with the value.
    pub problem: String,
}

impl Wrong {
    /// The same about a value that is at `step` of another.
    fn at(self, step: &str, given: Option<String>) -> Self {
        // A text in the place of an object may be a secret.
        let is_shown = self.path.is_empty() && self.problem != NO_OBJECT;
        Self { path: joined(step, &self.path), given: if is_shown { given } else { self.given }, ..self }
    }
}

/// serde's own words would repeat the value, which may be a secret.
impl Error for Wrong {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { path: String::new(), given: None, problem: problem.to_string() }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match expected.to_string().as_str() {
            "a string" => Self::custom("must be a text"),
            "a sequence" => Self::custom("must be a list"),
            other => Self::custom(format_args!("must be {other}")),
        }
    }

    fn invalid_value(given: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(given, expected)
    }

    fn unknown_variant(_: &str, expected: Members) -> Self {
        Self::custom(format_args!("must be {}", one_of(expected)))
    }

    fn unknown_field(_: &str, expected: Members) -> Self {
        Self::custom(format_args!("is unknown, expected {}", one_of(expected)))
    }

    fn missing_field(name: &'static str) -> Self {
        Self { path: name.to_owned(), ..Self::custom("is missing") }
    }
}

/// A member that its type does not have: its path, and those that the type has.
pub type Unknown = (String, Members);

pub type Members = &'static [&'static str];

/// Reads a value, with the members that no type has.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<(T, Vec<Unknown>), Wrong> {
    let unknown = RefCell::default();
    let value = value.clone();
    let given = shown(&value);
    let read = T::deserialize(Lenient { value, path: String::new(), beside: &[], unknown: &unknown });
    let read = read.map_err(|wrong| wrong.at("", given))?;
    Ok((read, unknown.into_inner()))
}

const NO_OBJECT: &str = "must be an object";

/// `services.shop` and `[0]` or `code-life`.
pub fn joined(path: &str, below: &str) -> String {
    let between = if path.is_empty() || below.is_empty() || below.starts_with('[') { "" } else { "." };
    format!("{path}{between}{below}")
}

/// The names of a struct's members: it tells them beside one that it does not have.
pub fn members<T: DeserializeOwned>() -> Members {
    let (value, unknown) = (json!({ "": null }), RefCell::default());
    // A member may be missing.
    let _ = T::deserialize(Lenient { value, path: String::new(), beside: &[], unknown: &unknown });
    let unknown = unknown.into_inner();
    debug_assert!(!unknown.is_empty(), "a type that takes every member tells none");
    unknown.first().map_or(&[], |(_, beside)| *beside)
}

// `serde_path_to_error` and `serde_ignored` do the same in two more layers, of which each type compiles its own: an
// eighth of the program's code.
struct Lenient<'a> {
    value: Value,
    path: String,
    /// The members of the type that it is in, if it is a member.
    beside: Members,
    unknown: &'a RefCell<Vec<Unknown>>,
}

impl<'a> Lenient<'a> {
    fn with(self, value: Value) -> Self {
        Self { value, ..self }
    }

    /// The value that a text spells, if it should be a list or an object.
    fn parsed(self, opening: char) -> Self {
        let spelled = match &self.value {
            Value::String(text) if text.trim_start().starts_with(opening) => serde_json::from_str(text).ok(),
            _ => None,
        };
        match spelled {
            Some(spelled) => self.with(spelled),
            None => self,
        }
    }

    fn text(&self, accepted: &str) -> Result<String, Wrong> {
        let text = text_of(&self.value).map(|text| text.trim().to_owned());
        text.ok_or_else(|| Wrong::custom(format_args!("must be {accepted}")))
    }

    fn parts<I>(self, known: Members, rest: I) -> Parts<'a, I> {
        Parts { of: self, known, rest, value: None }
    }
}

/// The members of an object, or the items of a list.
struct Parts<'a, I> {
    of: Lenient<'a>,
    /// The members of the object's type.
    known: Members,
    rest: I,
    value: Option<(String, Value)>,
}

impl<I> Parts<'_, I> {
    /// Reads the part at `step`.
    fn read<'de, S: DeserializeSeed<'de>>(
        &self,
        step: &str,
        value: Value,
        seed: S,
    ) -> Result<S::Value, Wrong> {
        let (path, given) = (joined(&self.of.path, step), shown(&value));
        let part = Lenient { value, path, beside: self.known, unknown: self.of.unknown };
        seed.deserialize(part).map_err(|wrong| wrong.at(step, given))
    }
}

impl<'de> MapAccess<'de> for Parts<'_, map::IntoIter> {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        self.value = self.rest.next();
        let Some((name, value)) = &self.value else { return Ok(None) };
        let key: StrDeserializer<'_, Wrong> = name.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|wrong| wrong.at(name, shown(value)))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let (name, value) = self.value.take().unwrap_or_default();
        self.read(&name, value, seed)
    }
}

impl<'de, I: Iterator<Item = (usize, Value)>> SeqAccess<'de> for Parts<'_, I> {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let next = self.rest.next();
        next.map(|(index, value)| self.read(&format!("[{index}]"), value, seed)).transpose()
    }
}

macro_rules! scalars {
    ($($name:ident $visit:ident $type:ty, $accepted:literal;)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let read = self.text($accepted)?.to_ascii_lowercase().parse::<$type>();
            visitor.$visit(read.map_err(|_| Wrong::custom(concat!("must be ", $accepted)))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = Wrong;

    scalars! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_u8 visit_u64 u64, "a whole number";
        deserialize_u16 visit_u64 u64, "a whole number";
        deserialize_u32 visit_u64 u64, "a whole number";
        deserialize_u64 visit_u64 u64, "a whole number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value.take() {
            Value::Array(items) => visitor.visit_seq(self.parts(&[], items.into_iter().enumerate())),
            Value::Object(members) => visitor.visit_map(self.parts(&[], members.into_iter())),
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::String(text) => visitor.visit_string(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
        }
    }

    /// A member that no type has.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.unknown.borrow_mut().push((self.path, self.beside));
        visitor.visit_unit()
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(text_of(&self.value).ok_or_else(|| Wrong::custom("must be a text"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let list = self.parsed('[');
        let list = match &list.value {
            Value::String(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                let items = items.map(Value::from).collect();
                list.with(items)
            }
            _ => list,
        };
        list.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: Members,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let mut object = self.parsed('{');
        match object.value.take() {
            Value::Object(members) => visitor.visit_map(object.parts(known, members.into_iter())),
            _ => Err(Wrong::custom(NO_OBJECT)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        names: Members,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        // A variant with a value is an object of one member.
        if let Value::Object(members) = &mut self.value {
            let members = std::mem::take(members).into_iter();
            return visitor.visit_enum(MapAccessDeserializer::new(self.parts(&[], members)));
        }
        let given = self.text(&one_of(names))?;
        let name = names.iter().copied().find(|name| name.eq_ignore_ascii_case(&given)).unwrap_or(&given);
        visitor.visit_enum::<StrDeserializer<'_, Wrong>>(name.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// `one of "sms", "call", "whatsapp"`, or `"text" or "json"`.
pub fn one_of(names: &[&str]) -> String {
    match names {
        [one, other] => format!("{one:?} or {other:?}"),
        names => {
            format!("one of {}", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
        }
    }
}

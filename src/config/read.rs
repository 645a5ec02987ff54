//! From JSON values to types. Every scalar, list and object may also be a text: variables have no other values.

use std::cell::RefCell;

use schemars::{JsonSchema, schema_for};
use serde::de::value::{Error, MapAccessDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, map};

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

/// Reads a value, with the paths of members that no type has.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<(T, Vec<String>), Wrong> {
    let notes = RefCell::default();
    let read = T::deserialize(Lenient { value: value.clone(), notes: &notes });
    let Notes { unknown, failed, .. } = notes.into_inner();
    let error = match read {
        Ok(read) => return Ok((read, unknown)),
        Err(error) => error.to_string(),
    };
    let failed = failed.unwrap_or_default();
    // A text in the place of an object may be a secret.
    let given = shown(at(value, &failed)).filter(|_| error != NO_OBJECT);
    let path = written(&failed);
    Err(match error.strip_prefix("missing field `") {
        Some(missing) => Wrong {
            path: joined(&path, missing.trim_end_matches('`')),
            given: None,
            problem: "is missing".to_owned(),
        },
        None => Wrong { path, given, problem: in_our_words(&error) },
    })
}

const NO_OBJECT: &str = "must be an object";

/// `services.shop` and `[0]` or `code-life`.
pub fn joined(path: &str, below: &str) -> String {
    let between = if path.is_empty() || below.is_empty() || below.starts_with('[') { "" } else { "." };
    format!("{path}{between}{below}")
}

#[derive(Clone)]
enum Step {
    Member(String),
    Item(usize),
}

/// What is noted while a value is read.
#[derive(Default)]
struct Notes {
    /// Where the reader is.
    place: Vec<Step>,
    /// Where it failed first. `None` is the value as a whole.
    failed: Option<Vec<Step>>,
    unknown: Vec<String>,
}

fn written(place: &[Step]) -> String {
    place.iter().fold(String::new(), |path, step| match step {
        Step::Member(name) => joined(&path, name),
        Step::Item(index) => joined(&path, &format!("[{index}]")),
    })
}

fn at<'a>(value: &'a Value, place: &[Step]) -> &'a Value {
    let below = |value: &'a Value, step: &Step| match step {
        Step::Member(name) => value.get(name),
        Step::Item(index) => value.get(index),
    };
    place.iter().try_fold(value, below).unwrap_or(&Value::Null)
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

// `serde_path_to_error` and `serde_ignored` do the same in two more layers, of which each type compiles its own: an
// eighth of the program's code.
struct Lenient<'a> {
    value: Value,
    notes: &'a RefCell<Notes>,
}

impl Lenient<'_> {
    fn with(&self, value: Value) -> Self {
        Self { value, notes: self.notes }
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

    fn text(&self, accepted: &str) -> Result<String, Error> {
        let text = text_of(&self.value).map(|text| text.trim().to_owned());
        text.ok_or_else(|| Error::custom(format_args!("must be {accepted}")))
    }

    fn within<T>(&self, step: Step, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.notes.borrow_mut().place.push(step);
        let read = read();
        let mut notes = self.notes.borrow_mut();
        if read.is_err() && notes.failed.is_none() {
            notes.failed = Some(notes.place.clone());
        }
        notes.place.pop();
        read
    }
}

/// The members of an object, or the items of a list.
struct Parts<'a, I> {
    of: Lenient<'a>,
    rest: I,
    value: Option<(String, Value)>,
}

impl<'a> Parts<'a, map::IntoIter> {
    fn members(of: Lenient<'a>, members: Map<String, Value>) -> Self {
        Self { of, rest: members.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Parts<'_, map::IntoIter> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.value = self.rest.next();
        let Some((name, _)) = &self.value else { return Ok(None) };
        let read = || seed.deserialize(name.as_str().into_deserializer());
        self.of.within(Step::Member(name.clone()), read).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (name, value) = self.value.take().unwrap_or_default();
        self.of.within(Step::Member(name), || seed.deserialize(self.of.with(value)))
    }
}

impl<'de, I: Iterator<Item = (usize, Value)>> SeqAccess<'de> for Parts<'_, I> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let next = self.rest.next();
        let read = |value| seed.deserialize(self.of.with(value));
        next.map(|(index, value)| self.of.within(Step::Item(index), || read(value))).transpose()
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

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = Error;

    scalars! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_u8 visit_u64 u64, "a whole number";
        deserialize_u16 visit_u64 u64, "a whole number";
        deserialize_u32 visit_u64 u64, "a whole number";
        deserialize_u64 visit_u64 u64, "a whole number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        match self.value.take() {
            Value::Array(items) => {
                visitor.visit_seq(Parts { of: self, rest: items.into_iter().enumerate(), value: None })
            }
            Value::Object(members) => visitor.visit_map(Parts::members(self, members)),
            scalar => scalar.deserialize_any(visitor).map_err(Error::custom),
        }
    }

    /// A member that no type has.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut notes = self.notes.borrow_mut();
        let path = written(&notes.place);
        notes.unknown.push(path);
        visitor.visit_unit()
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(text_of(&self.value).ok_or_else(|| Error::custom("must be a text"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
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

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let object = self.parsed('{');
        match object.value {
            Value::Object(_) => object.deserialize_any(visitor),
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
        mut self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // A variant with a value is an object of one member.
        if self.value.is_object()
            && let Value::Object(members) = self.value.take()
        {
            return visitor.visit_enum(MapAccessDeserializer::new(Parts::members(self, members)));
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
        i8 i16 i32 i64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// `one of "text", "json"`.
pub fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
}

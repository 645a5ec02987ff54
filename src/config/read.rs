//! From JSON values to types. Every scalar, list and object may also be a text: variables have no other values. Errors name
//! the place of the value; members that a struct does not have are noted.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::{Map, Value};

use super::report::text_of;
use super::report::{nearest, shown_json, suggestion};

/// The way to a value: names of members, and `[0]` for items.
type Place = Vec<String>;

/// `services.shop.test-numbers[0]`.
fn path(place: &[String]) -> String {
    place.join(".").replace(".[", "[")
}

/// What is wrong with a value.
#[derive(Debug)]
pub struct Wrong {
    place: Option<Place>,
    /// The member that is missing there.
    missing: Option<&'static str>,
    given: Option<String>,
    problem: String,
}

impl Wrong {
    fn new(problem: impl Into<String>) -> Self {
        Self { place: None, missing: None, given: None, problem: problem.into() }
    }

    /// The first place that an error passes is its own.
    fn at(self, place: &[String], given: Option<String>) -> Self {
        if self.place.is_some() { self } else { Self { place: Some(place.to_vec()), given, ..self } }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(words: T) -> Self {
        let words = words.to_string();
        // serde's own words: `invalid type: a sequence, expected a string`.
        match words.rsplit_once(", expected ").filter(|_| words.starts_with("invalid ")) {
            Some((_, "a string")) => Self::new("must be a text"),
            Some((_, expected)) if expected.starts_with("struct ") => Self::new("must be an object"),
            Some((_, expected)) => Self::new(format!("must be {expected}")),
            None => Self::new(words),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new("is missing") }
    }
}

/// Finds of one reading.
pub struct Found<T> {
    /// `None` if nothing is left without what is wrong.
    pub value: Option<T>,
    /// The path of each wrong value, the value as messages may show it, and the end of a sentence about it.
    pub wrong: Vec<(String, Option<String>, String)>,
    /// The path of each unknown member, and a hint at the nearest known one.
    pub unknown: Vec<(String, String)>,
}

/// Reads a value at a path, without all that is wrong in it.
pub fn read<T: DeserializeOwned>(at: &str, mut whole: Value) -> Found<T> {
    let mut wrong: Vec<(String, Option<String>, String)> = Vec::new();
    let root: Place = if at.is_empty() { Vec::new() } else { vec![at.to_owned()] };
    loop {
        let unknown = RefCell::default();
        let reader = Reader { value: whole.clone(), place: root.clone(), unknown: &unknown };
        let error = match T::deserialize(reader) {
            Ok(value) => return Found { value: Some(value), wrong, unknown: unknown.into_inner() },
            Err(error) => error,
        };
        let place = error.place.unwrap_or_else(|| root.clone());
        let missing = error.missing.map(str::to_owned);
        let named = path(&[&place[..], missing.as_slice()].concat());
        // What lies around a wrong value that was taken out seems to lack it.
        if !wrong.iter().any(|(path, ..)| *path == named) {
            wrong.push((named, error.given, error.problem));
        }
        let inner = place.get(root.len()..).unwrap_or_default();
        if !take_out(&mut whole, inner) {
            return Found { value: None, wrong, unknown: unknown.into_inner() };
        }
    }
}

/// Takes out a value; of a list, all of the list.
fn take_out(whole: &mut Value, place: &[String]) -> bool {
    let is_index = |name: &String| name.starts_with('[');
    let end = place.iter().position(is_index).unwrap_or(place.len());
    let Some((last, outer)) = place[..end].split_last() else { return false };
    let holder = outer.iter().try_fold(whole, |value, name| value.get_mut(name));
    holder.and_then(Value::as_object_mut).is_some_and(|members| members.remove(last).is_some())
}

/// The names of a struct's members, other names included.
pub fn members<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = Wrong;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Wrong> {
            Err(Wrong::new("no struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            members: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Wrong> {
            *self.0 = members;
            Err(Wrong::new("only asked"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut found: &'static [&'static str] = &[];
    let _ = T::deserialize(Probe(&mut found));
    found
}

struct Reader<'a> {
    value: Value,
    place: Place,
    unknown: &'a RefCell<Vec<(String, String)>>,
}

impl Reader<'_> {
    fn below(&self, name: String, value: Value) -> Self {
        Reader { value, place: [&self.place[..], &[name]].concat(), unknown: self.unknown }
    }

    /// The value as text, trimmed.
    fn text(&self, accepted: &str) -> Result<String, Wrong> {
        text_of(&self.value).map(|text| text.trim().to_owned()).ok_or_else(|| self.wrong(accepted))
    }

    fn wrong(&self, accepted: &str) -> Wrong {
        Wrong::new(format!("must be {accepted}")).at(&self.place, Some(shown_json(&self.value)))
    }

    fn visited<T>(place: &[String], given: &Value, result: Result<T, Wrong>) -> Result<T, Wrong> {
        result.map_err(|wrong| wrong.at(place, text_of(given).map(|_| shown_json(given))))
    }

    /// A list or an object that a text spells.
    fn parsed(&mut self, opening: char) {
        if let Some(text) = self.value.as_str().filter(|text| text.trim_start().starts_with(opening))
            && let Ok(parsed) = serde_json::from_str(text)
        {
            self.value = parsed;
        }
    }

    fn visit_members<'de, V: Visitor<'de>>(
        self,
        members: Map<String, Value>,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let place = self.place.clone();
        let result = visitor.visit_map(Members { reader: &self, left: members.into_iter(), value: None });
        Self::visited(&place, &Value::Null, result)
    }

    fn visit_items<'de, V: Visitor<'de>>(self, items: Vec<Value>, visitor: V) -> Result<V::Value, Wrong> {
        let place = self.place.clone();
        let given = Value::Array(items.clone());
        let items = items.into_iter().enumerate();
        let result = visitor.visit_seq(Items { reader: &self, left: items });
        result.map_err(|wrong| wrong.at(&place, Some(shown_json(&given))))
    }

    fn object(mut self) -> Result<(Self, Map<String, Value>), Wrong> {
        self.parsed('{');
        match std::mem::take(&mut self.value) {
            Value::Object(members) => Ok((self, members)),
            // Not shown: a text in the place of an object may be a secret.
            _ => Err(Wrong::new("must be an object").at(&self.place, None)),
        }
    }
}

macro_rules! scalars {
    ($($name:ident $visit:ident $type:ty, $accepted:literal;)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let read = self.text($accepted)?.to_ascii_lowercase().parse::<$type>();
            let read = read.map_err(|_| self.wrong($accepted))?;
            Self::visited(&self.place, &self.value, visitor.$visit(read))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
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
        match std::mem::take(&mut self.value) {
            Value::Array(items) => self.visit_items(items, visitor),
            Value::Object(members) => self.visit_members(members, visitor),
            scalar => {
                let result =
                    scalar.clone().deserialize_any(visitor).map_err(|error| de::Error::custom(&error));
                Self::visited(&self.place, &scalar, result)
            }
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = text_of(&self.value).ok_or_else(|| self.wrong("a text"))?;
        Self::visited(&self.place, &self.value, visitor.visit_string(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Wrong> {
        self.parsed('[');
        match std::mem::take(&mut self.value) {
            Value::Array(items) => self.visit_items(items, visitor),
            Value::String(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                self.visit_items(items.map(Value::from).collect(), visitor)
            }
            other => Err(Wrong::new("must be a list").at(&self.place, Some(shown_json(&other)))),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let (reader, members) = self.object()?;
        reader.visit_members(members, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let (reader, mut members) = self.object()?;
        members.retain(|name, _| {
            let is_known = known.contains(&name.as_str());
            if !is_known {
                let place = path(&[&reader.place[..], std::slice::from_ref(name)].concat());
                let hint = suggestion(nearest(name, known.iter().copied()));
                reader.unknown.borrow_mut().push((place, hint));
            }
            is_known
        });
        reader.visit_members(members, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let accepted = one_of(names.iter().copied());
        let text = self.text(&accepted)?.to_ascii_lowercase();
        if !names.contains(&text.as_str()) {
            return Err(self.wrong(&accepted));
        }
        visitor.visit_enum::<StringDeserializer<Wrong>>(text.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// `one of "text", "json"`.
pub fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
}

struct Members<'r, 'a> {
    reader: &'r Reader<'a>,
    left: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members<'_, '_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.left.next();
        let name = self.value.as_ref().map(|(name, _)| name.clone());
        name.map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self.value.take().unwrap_or_default();
        let (place, given) = (self.reader.below(name, Value::Null).place, value.clone());
        let reader = Reader { value, place: place.clone(), unknown: self.reader.unknown };
        Reader::visited(&place, &given, seed.deserialize(reader))
    }
}

struct Items<'r, 'a, I> {
    reader: &'r Reader<'a>,
    left: I,
}

impl<'de, I: Iterator<Item = (usize, Value)>> SeqAccess<'de> for Items<'_, '_, I> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some((index, value)) = self.left.next() else { return Ok(None) };
        let given = value.clone();
        let reader = self.reader.below(format!("[{index}]"), value);
        let place = reader.place.clone();
        Reader::visited(&place, &given, seed.deserialize(reader)).map(Some)
    }
}

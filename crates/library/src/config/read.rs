//! The one reader of named values, of settings and of requests: what serde's derives make of JSON values, where a text may
//! stand for every other kind of value. Errors have the path of a value and never the value.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde_json::{Map, Value};

use crate::domain::text_of;

/// How values are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// A text may be a number or a truth value too, and a list its items between commas.
    Settings,
    /// Everything is a text. What was given more than once is a list.
    Form,
    /// Only texts are in quotes.
    Json,
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Wrong {
    /// `services.shop.code-life`; empty for the value as a whole.
    pub path: String,
    /// The end of a sentence that begins with the path.
    pub problem: String,
}

impl Wrong {
    fn of_member(name: &'static str, problem: &str) -> Self {
        Self { path: name.to_owned(), ..Self::custom(problem) }
    }

    /// The outermost name of the path. What is below a parameter has names of the client's.
    pub fn parameter(&self) -> &str {
        self.path.split(['.', '[']).next().unwrap_or_default()
    }

    fn below(self, step: &str) -> Self {
        Self { path: joined(step, &self.path), ..self }
    }
}

/// serde's own words would repeat the value, which may be a secret.
impl Error for Wrong {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { path: String::new(), problem: problem.to_string() }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match expected.to_string().as_str() {
            "a string" => Self::custom("must be a text"),
            "a sequence" => Self::custom("must be a list"),
            "a boolean" => Self::custom("must be true or false"),
            "u8" | "u16" | "u32" | "u64" | "usize" => Self::custom("must be a whole number"),
            "f64" => Self::custom("must be a number"),
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
        Self::of_member(name, "is missing")
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::of_member(name, TWICE)
    }
}

pub const TWICE: &str = "is given twice";

/// The names that a struct has.
pub type Members = &'static [&'static str];

/// A member that its type does not have: its path, and those that the type has.
pub type Unknown = (String, Members);

/// Reads a value, with the members that no type has.
///
/// # Errors
/// The first value that is not accepted.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<(T, Vec<Unknown>), Wrong> {
    let unknown = RefCell::default();
    let read = T::deserialize(Given::new(value, Spelling::Settings, &unknown))?;
    Ok((read, unknown.into_inner()))
}

/// Reads the members that a struct has, in their order, each as `given` has it.
///
/// # Errors
/// The first value that is not accepted.
pub fn read_members<T: DeserializeOwned>(
    spelling: Spelling,
    given: impl Fn(&'static str) -> Result<Option<Value>, Wrong>,
) -> Result<T, Wrong> {
    let unknown = RefCell::default();
    T::deserialize(Given { members: Some(&given), ..Given::new(Value::Null, spelling, &unknown) })
}

/// Reads the value of one name.
///
/// # Errors
/// It is not accepted.
pub fn read_one<T: DeserializeOwned>(spelling: Spelling, value: Value) -> Result<T, Wrong> {
    T::deserialize(Given::new(value, spelling, &RefCell::default()))
}

/// Reads a whole number, which is `expected`.
///
/// # Errors
/// It is none.
pub fn read_whole(spelling: Spelling, value: Value, expected: &str) -> Result<u64, Wrong> {
    Given::new(value, spelling, &RefCell::default()).scalar(&expected, whole)
}

/// The names of a struct's members: it tells them beside one that it does not have.
pub fn members<T: Deserialize<'static>>() -> Members {
    let unknown = RefCell::default();
    let value = Map::from_iter([(String::new(), Value::Null)]).into();
    // A member may be missing.
    let _ = T::deserialize(Given::new(value, Spelling::Settings, &unknown));
    unknown.into_inner().first().map_or(&[], |(_, beside)| *beside)
}

/// `services.shop` and `[0]` or `code-life`.
pub fn joined(path: &str, below: &str) -> String {
    let between = if path.is_empty() || below.is_empty() || below.starts_with('[') { "" } else { "." };
    format!("{path}{between}{below}")
}

fn one_of(names: Members) -> String {
    format!("one of {}", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
}

/// Reads JSON in which no object has a name twice: people mean one of both, and serde takes the last.
///
/// # Errors
/// It is no JSON, or the path of a name that is given twice.
pub fn json(text: &str) -> Result<Value, Option<Wrong>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = At("").deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| twice_in(&error))
}

/// The path that an error of [`At`] names.
pub fn twice_in(error: &serde_json::Error) -> Option<Wrong> {
    let message = error.to_string();
    let (path, _) = message.split_once(&format!(" {TWICE}"))?;
    Some(Wrong { path: path.to_owned(), ..Wrong::custom(TWICE) })
}

/// Reads the value at a path.
#[derive(Clone, Copy)]
struct At<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(At(&format!("{}[{}]", self.0, list.len())))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = joined(self.0, &name);
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("{path} {TWICE}")));
            }
            let value = members.next_value_seed(At(&path))?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// The members of a JSON object in their order, doubles included. Below them no name is given twice.
pub struct Pairs(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(name) = members.next_key::<String>()? {
                    let value = members.next_value_seed(At(&name))?;
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }

        from.deserialize_map(InOrder)
    }
}

/// Gives the value of a struct's member.
type LookUp<'a> = dyn Fn(&'static str) -> Result<Option<Value>, Wrong> + 'a;

/// A value. `serde_path_to_error` and `serde_ignored` do the same in two more layers, of which each type compiles its own: an
/// eighth of the program's code.
struct Given<'a> {
    value: Value,
    /// Of a struct, in place of its value.
    members: Option<&'a LookUp<'a>>,
    spelling: Spelling,
    /// The members of the type that it is in, if it is a member.
    beside: Members,
    unknown: &'a RefCell<Vec<Unknown>>,
}

impl<'a> Given<'a> {
    fn new(value: Value, spelling: Spelling, unknown: &'a RefCell<Vec<Unknown>>) -> Self {
        Self { value, members: None, spelling, beside: &[], unknown }
    }

    /// The list or object that a text spells.
    fn spelled(mut self, opening: char) -> Result<Self, Wrong> {
        if let Value::String(text) = &self.value
            && text.trim_start().starts_with(opening)
        {
            match json(text) {
                Ok(value) => self.value = value,
                Err(Some(twice)) => return Err(twice),
                Err(None) => {}
            }
        }
        Ok(self)
    }

    fn wrong(&self, expected: &dyn Expected) -> Wrong {
        let wrong = Wrong::invalid_type(Unexpected::Other(""), expected);
        match (&self.value, self.spelling) {
            (Value::Array(_), Spelling::Form) => Wrong::custom(TWICE),
            (Value::String(_), Spelling::Json) => {
                Wrong::custom(format_args!("{wrong}, in JSON without quotes"))
            }
            _ => wrong,
        }
    }

    fn scalar<T>(&self, expected: &dyn Expected, read: fn(&str) -> Option<T>) -> Result<T, Wrong> {
        let is_quoted = self.spelling == Spelling::Json && self.value.is_string();
        let text = text_of(&self.value).filter(|_| !is_quoted);
        text.and_then(|text| read(&text.trim().to_ascii_lowercase())).ok_or_else(|| self.wrong(expected))
    }

    fn parts<N, I>(self, known: Members, rest: I) -> Parts<'a, N, I> {
        Parts { known, rest, spelling: Spelling::Settings, unknown: self.unknown, next: None }
    }
}

/// The members of an object, or the items of a list.
struct Parts<'a, N, I> {
    /// The members of the object's type.
    known: Members,
    rest: I,
    spelling: Spelling,
    unknown: &'a RefCell<Vec<Unknown>>,
    next: Option<(N, Value)>,
}

impl<N, I> Parts<'_, N, I> {
    fn read<'de, S: DeserializeSeed<'de>>(
        &self,
        step: &str,
        value: Value,
        seed: S,
    ) -> Result<S::Value, Wrong> {
        let Self { known, spelling, unknown, .. } = *self;
        let before = unknown.borrow().len();
        let read = seed.deserialize(Given { beside: known, ..Given::new(value, spelling, unknown) });
        for (path, _) in &mut unknown.borrow_mut()[before..] {
            *path = joined(step, path);
        }
        read.map_err(|wrong| wrong.below(step))
    }
}

impl<'de, N: AsRef<str>, I: Iterator<Item = (N, Value)>> MapAccess<'de> for Parts<'_, N, I> {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        self.next = self.rest.next();
        let Some((name, _)) = &self.next else { return Ok(None) };
        let key: StrDeserializer<'_, Wrong> = name.as_ref().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|wrong| wrong.below(name.as_ref()))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        // A value is asked for after its key.
        let (name, value) = self.next.take().ok_or_else(|| Wrong::custom("is missing"))?;
        self.read(name.as_ref(), value, seed)
    }
}

impl<'de, I: Iterator<Item = (usize, Value)>> SeqAccess<'de> for Parts<'_, usize, I> {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let next = self.rest.next();
        next.map(|(index, value)| self.read(&format!("[{index}]"), value, seed)).transpose()
    }
}

/// A number beyond all limits is the largest one.
fn whole(text: &str) -> Option<u64> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.parse().unwrap_or(u64::MAX))
}

macro_rules! scalars {
    ($($name:ident $visit:ident $read:expr;)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let read = self.scalar(&visitor, $read)?;
            visitor.$visit(read)
        }
    )*};
}

impl<'de> Deserializer<'de> for Given<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value.take() {
            Value::Array(_) if self.spelling == Spelling::Form => Err(Wrong::custom(TWICE)),
            Value::Array(items) => visitor.visit_seq(self.parts(&[], items.into_iter().enumerate())),
            Value::Object(members) => visitor.visit_map(self.parts(&[], members.into_iter())),
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::String(text) => visitor.visit_string(text),
            Value::Number(number) => match number.as_u64() {
                Some(number) => visitor.visit_u64(number),
                None => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
        }
    }

    scalars! {
        deserialize_bool visit_bool |text| text.parse().ok();
        deserialize_u8 visit_u64 whole;
        deserialize_u16 visit_u64 whole;
        deserialize_u32 visit_u64 whole;
        deserialize_u64 visit_u64 whole;
        deserialize_f64 visit_f64 |text| text.parse().ok();
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if let Value::String(text) = self.value {
            return visitor.visit_string(text);
        }
        let text = text_of(&self.value).filter(|_| self.spelling == Spelling::Settings);
        visitor.visit_string(text.ok_or_else(|| self.wrong(&"a text"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_string(visitor)
    }

    /// An empty text is no value.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            Value::String(text) if self.spelling == Spelling::Settings && text.trim().is_empty() => {
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    /// A list, or its items between commas; in requests one text is one item.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let list = if self.spelling == Spelling::Settings { self.spelled('[')? } else { self };
        let value = match list.value {
            Value::String(text) if list.spelling == Spelling::Settings => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
            }
            one @ Value::String(_) => vec![one].into(),
            other => other,
        };
        Given { value, spelling: Spelling::Settings, ..list }.deserialize_any(visitor)
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
        if let Some(given) = self.members {
            let member = |name: &&'static str| Some(given(name).transpose()?.map(|value| (*name, value)));
            let rest = known.iter().filter_map(member).collect::<Result<Vec<_>, _>>()?.into_iter();
            return visitor.visit_map(Parts { spelling: self.spelling, ..self.parts(known, rest) });
        }
        // Twilio's library for PHP writes an empty map as a list, that for Node null as a text.
        let means_nothing = match &self.value {
            Value::String(text) => matches!(text.trim(), "[]" | "null"),
            other => other.as_array().is_some_and(Vec::is_empty),
        };
        let is_empty_map = means_nothing && self.spelling != Spelling::Settings;
        let mut object = self.spelled('{')?;
        match object.value.take() {
            _ if is_empty_map => visitor.visit_map(object.parts(known, Map::new().into_iter())),
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
        let given = text_of(&self.value).unwrap_or_default();
        let given = given.trim();
        let name = names.iter().copied().find(|name| name.eq_ignore_ascii_case(given)).unwrap_or(given);
        visitor.visit_enum::<StrDeserializer<'_, Wrong>>(name.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    /// A member that no type has.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.unknown.borrow_mut().push((String::new(), self.beside));
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// The problem with a text, a number or a list in the place of an object.
pub const NO_OBJECT: &str = "must be an object";

//! Parameters of requests: a struct with serde's derive, read from a form, a query or a JSON object.
//!
//! Names are Twilio's, in its case. Unknown parameters are ignored, whatever they hold. A known one that is given twice
//! is refused: a proxy in front could have read the other one. Errors name the parameter, and never its value.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

use axum::extract::{FromRequest, Request};
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer as _,
};
use serde::de::{MapAccess, Unexpected, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::{BadBody, Error};
use super::response;
use super::values::{NO_EMAIL, is_digits};

pub const FORM: &str = "application/x-www-form-urlencoded";
pub const JSON: &str = "application/json";

/// Parameters as they were sent, in their order. Contain numbers and codes, hence no `Debug`.
#[derive(Default, Clone)]
pub struct Form {
    pairs: Vec<(String, Value)>,
    /// Whether they came as JSON, which has numbers and truth values of its own.
    is_json: bool,
}

/// The parameters of a request: in the body of a `POST`, else in the query.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Params<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        Form::from_request(request, state).await?.read().map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Ok(Self::of_text(head.uri.query().unwrap_or_default().as_bytes()));
        }
        let content_type = head.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
        let form = Self::of_body(content_type, &response::whole(body).unwrap_or_default())?;
        form.refuse_not_served()?;
        Ok(form)
    }
}

impl Form {
    /// Reads a body by its `Content-Type`; a form where none is given.
    fn of_body(content_type: Option<&str>, body: &[u8]) -> Result<Self, Error> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.is_empty() || essence.eq_ignore_ascii_case(FORM) {
            return Ok(Self::of_text(body));
        }
        if !essence.eq_ignore_ascii_case(JSON) {
            return Err(Error::MEDIA_TYPE);
        }
        let pairs = json_members(body).map_err(|error| {
            let reason = BadBody::from(error);
            Error::invalid(format!("The body is not a JSON object: {reason}"))
        })?;
        Ok(Self { pairs, is_json: true })
    }

    /// Reads a form or a query.
    pub fn of_text(form: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(form);
        let pairs = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Self { pairs: pairs.collect(), is_json: false }
    }

    /// Reads the parameters that are the fields of `T`, in their order.
    ///
    /// # Errors
    /// 60200 with the name of the first that cannot be used.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        let wrong = |Wrong { name, problem }| match problem.as_str() {
            NO_EMAIL => Error::NO_EMAIL.with(format_args!("`{name}`: {NO_EMAIL}")),
            _ => Error::parameter(name, problem),
        };
        let names = Cell::default();
        T::deserialize(Fields { form: self, names: &names }).map_err(wrong)
    }

    /// Reads one parameter.
    pub fn field<'a, T: Deserialize<'a>>(&'a self, name: &'static str) -> Result<T, Error> {
        T::deserialize(Given { form: self, name }).map_err(|wrong| Error::parameter(name, wrong))
    }

    /// The value of a parameter that may be given once; `None` if it is absent, null or empty.
    pub fn only(&self, name: &'static str) -> Result<Option<&Value>, Error> {
        Given { form: self, name }.only().map_err(|wrong| Error::parameter(name, wrong))
    }

    /// The text of a value that is a number or a truth value in JSON, which is `must_be`.
    pub fn scalar(&self, name: &'static str, must_be: &str) -> Result<Option<Cow<'_, str>>, Error> {
        let given = Given { form: self, name };
        let scalar = self.only(name)?.map(|_| given.scalar(&must_be)).transpose();
        scalar.map_err(|wrong| Error::parameter(name, wrong))
    }

    /// Refuses what Twilio reads and this server does not, to tell the client that it would have no effect. Switches of
    /// it may be off.
    fn refuse_not_served(&self) -> Result<(), Error> {
        let is_off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty() || !self.is_json && text.eq_ignore_ascii_case("false"),
            _ => false,
        };
        let mut refused = self.pairs.iter().filter(|(_, value)| !is_off(value));
        refused.find_map(|(name, _)| Error::not_served_parameter(name)).map_or(Ok(()), Err)
    }

    /// The parameters among `names` that the request has, for an address with the same filters.
    pub fn given(&self, names: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let kept = self.pairs.iter().filter(move |(name, _)| names.contains(&name.as_str()));
        kept.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// The first text with this name; empty without one.
    pub fn first(&self, name: &str) -> &str {
        self.given(&[name]).next().map_or("", |(_, text)| text)
    }

    /// Whether a parameter has this value, perhaps beside others.
    pub fn has(&self, name: &str, value: impl Display) -> bool {
        let value = value.to_string();
        self.given(&[name]).any(|(_, given)| given == value)
    }

    /// The fingerprint by which two requests to one path are the same: a SHA-256 over the parameters in the order of
    /// their names. Of those in `secret` only the presence counts, for no code may be kept, not even like this.
    pub fn fingerprint(&self, path: &str, secret: &[&str]) -> [u8; 32] {
        let mut lines: Vec<(&str, String)> =
            self.pairs.iter().map(|(name, value)| (name.as_str(), canonical(value))).collect();
        lines.sort();
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        add(path);
        for (name, value) in lines {
            add(name);
            add(if secret.contains(&name) { "" } else { &value });
        }
        hash.finalize().into()
    }
}

/// The names of the fields of `T`, in their order.
pub fn names<T: Deserialize<'static>>() -> &'static [&'static str] {
    static EMPTY: Form = Form { pairs: Vec::new(), is_json: false };
    let names = Cell::default();
    // A field may be missing.
    let _ = T::deserialize(Fields { form: &EMPTY, names: &names });
    names.get()
}

/// One spelling for all that mean the same: the objects of a JSON body, and the same in a text of a form.
fn canonical(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(object @ Value::Object(_)) => object.to_string(),
            _ => text.clone(),
        },
        other => other.to_string(),
    }
}

/// The members of a JSON object in their order, doubles included.
fn json_members(text: &[u8]) -> serde_json::Result<Vec<(String, Value)>> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }

    let mut json = serde_json::Deserializer::from_slice(text);
    let members = json.deserialize_map(InOrder)?;
    json.end().map(|()| members)
}

/// Why a parameter cannot be used. serde's own words would repeat its value.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Wrong {
    name: &'static str,
    problem: String,
}

impl serde::de::Error for Wrong {
    fn custom<M: Display>(problem: M) -> Self {
        Self { name: "", problem: problem.to_string() }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("it must be {expected}"))
    }

    fn invalid_value(given: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(given, expected)
    }
}

/// The fields of a struct. Each is looked up in its turn: the error is about the first of them.
struct Fields<'a, 'n> {
    form: &'a Form,
    /// The fields of the struct that was read.
    names: &'n Cell<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Fields<'de, '_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.names.set(fields);
        visitor.visit_map(Members { rest: fields, field: Given { form: self.form, name: "" } })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

struct Members<'a> {
    rest: &'static [&'static str],
    field: Given<'a>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let Some((name, rest)) = self.rest.split_first() else { return Ok(None) };
        (self.field.name, self.rest) = (name, rest);
        let key: StrDeserializer<'_, Wrong> = (*name).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let name = self.field.name;
        seed.deserialize(self.field).map_err(|wrong| Wrong { name, ..wrong })
    }
}

/// A parameter, which may be absent, or given more than once.
#[derive(Clone, Copy)]
struct Given<'a> {
    form: &'a Form,
    name: &'static str,
}

impl<'a> Given<'a> {
    fn values(self) -> impl Iterator<Item = &'a Value> {
        self.form.pairs.iter().filter(move |(name, _)| *name == self.name).map(|(_, value)| value)
    }

    /// The value of a parameter that may be given once; `None` if it is absent, null or empty.
    fn only(self) -> Result<Option<&'a Value>, Wrong> {
        let mut values = self.values();
        let first = values.next();
        if values.next().is_some() {
            return Err(Wrong::custom("it is given twice"));
        }
        Ok(first.filter(|value| !value.is_null() && value.as_str() != Some("")))
    }

    fn value(self) -> Result<&'a Value, Wrong> {
        self.only()?.ok_or_else(|| Wrong::custom("it is missing"))
    }

    /// The text of a value that is a number or a truth value in JSON.
    fn scalar(self, expected: &dyn Expected) -> Result<Cow<'a, str>, Wrong> {
        match self.value()? {
            Value::String(_) if self.form.is_json => {
                Err(Wrong::custom(format_args!("it must be {expected}, in JSON without quotes")))
            }
            Value::String(text) => Ok(text.into()),
            Value::Number(number) => {
                // JSON has one number for 6 and 6.0.
                let text = number.to_string();
                Ok(text.strip_suffix(".0").unwrap_or(&text).to_owned().into())
            }
            Value::Bool(value) => Ok(value.to_string().into()),
            _ => Err(Wrong::custom("it must be a text")),
        }
    }

    /// A JSON object of texts, in a text or, in a JSON body, as it is.
    fn object(self) -> Result<BTreeMap<String, String>, Wrong> {
        let wrong = || Wrong::custom("it must be a JSON object whose values are texts or numbers");
        let pairs = match self.value()? {
            Value::String(text) => json_members(text.as_bytes()).map_err(|_| wrong())?,
            Value::Object(map) => map.clone().into_iter().collect(),
            _ => return Err(wrong()),
        };
        let mut object = BTreeMap::new();
        for (key, value) in pairs {
            let value = match value {
                Value::String(text) => text,
                value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return Err(wrong()),
            };
            if object.insert(key, value).is_some() {
                return Err(Wrong::custom("it has a name twice"));
            }
        }
        Ok(object)
    }
}

impl<'de> Deserializer<'de> for Given<'de> {
    type Error = Wrong;

    /// A text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = self.value()?.as_str().ok_or_else(|| Wrong::custom("it must be a text"))?;
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        // A list may be given more than once.
        let is_absent = self.values().nth(1).is_none() && self.only()?.is_none();
        if is_absent { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let read = self.scalar(&"true or false")?.to_ascii_lowercase().parse();
        visitor.visit_bool(read.map_err(|_| Wrong::custom("it must be true or false"))?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let text = self.scalar(&visitor)?;
        if !is_digits(&text) {
            return Err(Wrong::invalid_type(Unexpected::Other(""), &visitor));
        }
        visitor.visit_u64(text.parse().unwrap_or(u64::MAX))
    }

    /// A parameter that may be repeated, or an array in JSON.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let mut texts = Vec::new();
        for value in self.values() {
            let values: &[Value] = match value {
                Value::Null => &[],
                Value::Array(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            for value in values {
                texts.push(value.as_str().ok_or_else(|| Wrong::custom("it must be a list of texts"))?);
            }
        }
        if texts.is_empty() {
            return Err(Wrong::custom("it is missing"));
        }
        visitor.visit_seq(SeqDeserializer::new(texts.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(MapDeserializer::new(self.object()?.into_iter()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u32 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct struct enum
        identifier ignored_any
    }
}

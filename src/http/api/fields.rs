//! Parameters of requests: how a route declares them, how they are described, and how they are read. `params` has the
//! types that a parameter can have.
//!
//! Names are Twilio's, in its case. Unknown parameters are ignored, whatever they hold. A known one that is given twice
//! is refused: a proxy in front could have read the other one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::Error;
use crate::http::response::BadBody;

pub trait Parameters: Sized {
    const NAMES: &'static [&'static str];

    /// Reads them.
    ///
    /// # Errors
    /// 60200 with the name of the first that cannot be used.
    fn read(fields: &Fields) -> Result<Self, Error>;

    fn describe() -> Vec<Param>;
}

/// A route without parameters.
impl Parameters for () {
    const NAMES: &'static [&'static str] = &[];

    fn read(_: &Fields) -> Result<Self, Error> {
        Ok(())
    }

    fn describe() -> Vec<Param> {
        Vec::new()
    }
}

/// Declares a struct with the parameters of a route: for each its meaning, its name, an example, and the field with its
/// type, which is an `Option` if the parameter may be absent.
macro_rules! parameters {
    ($(#[$meta:meta])* $visibility:vis struct $struct:ident {
        $($(#[doc = $about:literal])+ $name:literal = $example:literal => $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        $visibility struct $struct {
            $(pub $field: <$type as $crate::http::api::fields::Parameter>::Value,)*
        }

        impl $crate::http::api::fields::Parameters for $struct {
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn read(fields: &$crate::http::api::fields::Fields) -> Result<Self, $crate::http::api::error::Error> {
                Ok(Self { $($field: <$type as $crate::http::api::fields::Parameter>::read(fields, $name)?,)* })
            }

            fn describe() -> Vec<$crate::http::api::fields::Param> {
                vec![$($crate::http::api::fields::Param::of::<$type>($name, concat!($($about),+), $example),)*]
            }
        }
    };
}
pub(in crate::http) use parameters;

pub struct Param {
    pub name: String,
    pub required: bool,
    pub about: String,
    pub example: Value,
    /// Its values in a path, a query, a header or a form.
    pub schema: Value,
    /// Its values in a JSON body.
    pub json_schema: Value,
}

impl Param {
    /// Describes a parameter of this type.
    pub fn of<P: Parameter>(name: &str, about: &str, example: &str) -> Self {
        let (about, schema) = (about.trim(), P::schema());
        let example = match schema["type"].as_str() {
            Some("array") => json!([example]),
            // A number or a truth value is one in JSON too.
            Some("integer" | "boolean") => serde_json::from_str(example).unwrap_or_else(|_| example.into()),
            _ => example.into(),
        };
        Self::new(name, about, example, P::REQUIRED, schema.clone(), in_json(schema))
    }

    /// Describes a parameter by the schemas of its values in a form and in a JSON body.
    pub fn new(
        name: &str,
        about: &str,
        example: Value,
        required: bool,
        schema: Value,
        in_json: Value,
    ) -> Self {
        Self {
            name: name.to_owned(),
            required,
            about: about.to_owned(),
            example,
            json_schema: finished(in_json, about, required, !required),
            schema: finished(schema, about, required, false),
        }
    }

    /// Describes an object in a JSON body.
    pub fn of_object(name: &str, schema: Value, example: Value) -> Self {
        let (name, required, about) = (name.to_owned(), true, String::new());
        Self { name, required, about, example, json_schema: schema.clone(), schema }
    }

    /// Its values, in a few words.
    pub fn accepts(&self) -> String {
        let schema = &self.schema;
        let words = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words = words.collect::<Vec<_>>().join(" | ");
        match (schema["type"].as_str(), schema["maxLength"].as_u64()) {
            _ if !words.is_empty() => words,
            (Some("integer"), _) if schema["maximum"].is_null() => format!("from {}", schema["minimum"]),
            (Some("integer"), _) => format!("{} to {}", schema["minimum"], schema["maximum"]),
            (Some("boolean"), _) => "true | false".to_owned(),
            (Some("array"), _) => "names".to_owned(),
            _ if schema["contentMediaType"] == JSON => "JSON object".to_owned(),
            (_, Some(most)) => format!("text, at most {most} characters"),
            _ => "text".to_owned(),
        }
    }

    /// The example as the docs show it.
    pub fn example_text(&self) -> String {
        let example = self.example.get(0).unwrap_or(&self.example);
        example.as_str().map_or_else(|| example.to_string(), str::to_owned)
    }
}

pub(super) const JSON: &str = "application/json";

/// The schema of a parameter in a JSON body: an object in a text may also be an object there.
fn in_json(schema: Value) -> Value {
    if schema["contentMediaType"] != JSON {
        return schema;
    }
    let values = json!({ "type": ["string", "number", "boolean"] });
    json!({ "oneOf": [schema, { "type": "object", "additionalProperties": values }] })
}

/// Adds what depends on the place of a type: its meaning, whether it may be empty, and whether it may be null.
fn finished(mut schema: Value, about: &str, required: bool, nullable: bool) -> Value {
    schema["description"] = about.into();
    if let Some(pattern) = schema["pattern"].as_str().filter(|pattern| !pattern.starts_with('^')) {
        let absent = if required { "" } else { "?" };
        schema["pattern"] = format!("^({pattern}){absent}$").into();
    }
    if required && schema["maxLength"].is_u64() {
        schema["minLength"] = 1.into();
    }
    if required && schema["type"] == "array" {
        schema["minItems"] = 1.into();
    } else if nullable && let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.push(json!({ "type": "null" }));
    } else if nullable && schema["type"] != "array" {
        schema["type"] = match schema["type"].take() {
            Value::Array(types) => [types, vec!["null".into()]].concat().into(),
            one => json!([one, "null"]),
        };
        if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            words.push(Value::Null);
        }
    }
    schema
}

/// A type that a parameter can have.
pub trait Parameter {
    /// The value that a handler gets.
    type Value;

    /// Whether a request without it is refused.
    const REQUIRED: bool = true;

    /// Reads the parameter; `None` if it is absent, null or empty.
    fn find(fields: &Fields, name: &str) -> Result<Option<Self::Value>, Error>;

    /// Its values. A pattern is without `^` and `$`.
    fn schema() -> Value;

    /// Reads the parameter.
    fn read(fields: &Fields, name: &str) -> Result<Self::Value, Error> {
        Self::find(fields, name)?.ok_or_else(|| Error::missing(name))
    }
}

impl<T: Parameter> Parameter for Option<T> {
    type Value = Option<T::Value>;

    const REQUIRED: bool = false;

    fn find(fields: &Fields, name: &str) -> Result<Option<Self::Value>, Error> {
        Self::read(fields, name).map(Some)
    }

    fn schema() -> Value {
        T::schema()
    }

    fn read(fields: &Fields, name: &str) -> Result<Self::Value, Error> {
        T::find(fields, name)
    }
}

/// Parameters as they were sent, in their order. Contain numbers and codes, hence no `Debug`.
#[derive(Default, Clone)]
pub struct Fields {
    pairs: Vec<(String, Value)>,
    /// Whether they came as JSON, which has numbers and truth values of its own.
    typed: bool,
}

impl Fields {
    /// Reads a body by its `Content-Type`; a form where none is given.
    pub fn of_body(content_type: Option<&str>, body: &[u8]) -> Result<Self, Error> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.is_empty() || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(Self::of_form(body));
        }
        if !essence.eq_ignore_ascii_case(JSON) {
            return Err(Error::media_type());
        }
        let pairs = json_members(body).map_err(|error| {
            let reason = BadBody::from(error);
            Error::invalid(format!("The body is not a JSON object: {reason}"))
        })?;
        Ok(Self { pairs, typed: true })
    }

    /// Reads a form or a query.
    pub fn of_form(form: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(form);
        let pairs = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Self { pairs: pairs.collect(), typed: false }
    }

    /// Reads a text; `must_be` says what it must be. `None` when it is absent, null or empty.
    pub fn parsed<T>(
        &self,
        name: &str,
        must_be: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let wrong = || Error::parameter(name, format_args!("it must be {must_be}"));
        self.text(name)?.map(|text| parse(text).ok_or_else(wrong)).transpose()
    }

    /// The same for a value that is no text in JSON.
    pub fn parsed_scalar<T>(
        &self,
        name: &str,
        must_be: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        if self.typed && matches!(self.only(name)?, Some(Value::String(_))) {
            return Err(Error::parameter(name, format_args!("it must be {must_be}, in JSON without quotes")));
        }
        let wrong = || Error::parameter(name, format_args!("it must be {must_be}"));
        self.scalar(name)?.map(|text| parse(&text).ok_or_else(wrong)).transpose()
    }

    /// The text of a value that may be a number or a truth value in JSON. `None` when it is absent, null or empty.
    pub fn scalar(&self, name: &str) -> Result<Option<Cow<'_, str>>, Error> {
        Ok(match self.only(name)? {
            Some(Value::Number(number)) => {
                // JSON has one number for 6 and 6.0.
                let text = number.to_string();
                Some(text.strip_suffix(".0").unwrap_or(&text).to_owned().into())
            }
            Some(Value::Bool(value)) => Some(value.to_string().into()),
            _ => self.text(name)?.map(Cow::Borrowed),
        })
    }

    /// A text; `None` when it is absent, null or empty.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.only(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text).filter(|text| !text.is_empty())),
            Some(_) => Err(Error::parameter(name, "it must be a text")),
        }
    }

    /// A parameter that may be repeated, or an array in JSON.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let wrong = || Error::parameter(name, "it must be texts");
        let mut texts = Vec::new();
        for (_, value) in self.pairs.iter().filter(|(found, _)| found == name) {
            let values: &[Value] = match value {
                Value::Null => &[],
                Value::Array(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            for value in values {
                texts.push(value.as_str().ok_or_else(wrong)?.to_owned());
            }
        }
        Ok(texts)
    }

    /// A JSON object of texts, in a text or, in a JSON body, as it is. `None` when absent.
    pub fn object(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        let wrong = || Error::parameter(name, "it must be a JSON object whose values are texts or numbers");
        let pairs = match self.only(name)? {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => json_members(text.as_bytes()).map_err(|_| wrong())?,
            Some(Value::Object(map)) => map.clone().into_iter().collect(),
            Some(_) => return Err(wrong()),
        };
        let mut object = BTreeMap::new();
        for (key, value) in pairs {
            let value = match value {
                Value::String(text) => text,
                value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return Err(wrong()),
            };
            if object.insert(key, value).is_some() {
                return Err(Error::parameter(name, "it has a name twice"));
            }
        }
        Ok(Some(object))
    }

    /// Refuses what Twilio reads and this server does not, to tell the client that it would have no effect. Switches of
    /// it may be off.
    pub fn refuse_not_served(&self) -> Result<(), Error> {
        let is_off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty() || !self.typed && text.eq_ignore_ascii_case("false"),
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

    /// The value of a parameter that may be given once.
    pub fn only(&self, name: &str) -> Result<Option<&Value>, Error> {
        let mut values = self.pairs.iter().filter(|(found, _)| found == name);
        let first = values.next().map(|(_, value)| value);
        if values.next().is_some() {
            return Err(Error::parameter(name, "it is given twice"));
        }
        Ok(first)
    }
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

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

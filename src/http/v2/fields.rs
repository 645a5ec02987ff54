//! The parameters of a request: a form, a JSON object, or a query, read into names and values.
//!
//! Names are Twilio's, case and all. Ones that nobody asks for are passed over, whatever they hold. One that is asked
//! for and given twice is refused: a proxy in front could have read the other one.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::Error;
use crate::http::bad_body::BadBody;

/// Parameters as they were sent, in their order. Contain numbers and codes, hence no `Debug`.
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
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Error::media_type());
        }
        let Pairs(pairs) = serde_json::from_slice(body).map_err(|error| {
            let reason = BadBody::from(error);
            Error::invalid(format!("The body is not a JSON object: {reason}"))
        })?;
        Ok(Self { pairs, typed: true })
    }

    /// Reads a query.
    pub fn of_query(query: Option<&str>) -> Self {
        Self::of_form(query.unwrap_or_default().as_bytes())
    }

    fn of_form(form: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(form);
        let pairs = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Self { pairs: pairs.collect(), typed: false }
    }

    /// A parameter's value as text; `None` when it is absent, null or empty.
    pub fn text(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.text_or_empty(name)?.filter(|text| !text.is_empty()))
    }

    /// The same, where an empty text means something of its own.
    pub fn text_or_empty(&self, name: &str) -> Result<Option<String>, Error> {
        match self.only(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                Err(Error::parameter(name, "it must be a text"))
            }
        }
    }

    /// A parameter that is no text where there are other types: a number or a truth value, as text.
    pub fn scalar(&self, name: &str) -> Result<Option<String>, Error> {
        match self.only(name)? {
            Some(Value::Number(number)) => {
                // JSON has one number for 6 and 6.0.
                let text = number.to_string();
                Ok(Some(text.strip_suffix(".0").unwrap_or(&text).to_owned()))
            }
            Some(Value::Bool(value)) => Ok(Some(value.to_string())),
            Some(Value::String(_)) if self.typed => {
                Err(Error::parameter(name, "in JSON it must be a number, or true or false"))
            }
            _ => self.text(name),
        }
    }

    /// A parameter that may be repeated, or an array in JSON.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        for value in self.all(name) {
            match value {
                Value::Null => {}
                Value::String(text) => texts.push(text.clone()),
                Value::Array(values) => {
                    for value in values {
                        let text =
                            value.as_str().ok_or_else(|| Error::parameter(name, "it must be texts"))?;
                        texts.push(text.to_owned());
                    }
                }
                Value::Number(_) | Value::Bool(_) | Value::Object(_) => {
                    return Err(Error::parameter(name, "it must be texts"));
                }
            }
        }
        Ok(texts)
    }

    /// A parameter that is a JSON object of texts, in a text or, in a JSON body, as it is. `None` when absent.
    pub fn object(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        let wrong = || Error::parameter(name, "it must be a JSON object whose values are texts or numbers");
        let pairs = match self.only(name)? {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => serde_json::from_str::<Pairs>(text).map_err(|_| wrong())?.0,
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

    /// Whether the parameter was sent with a value.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).any(|value| !matches!(value, Value::Null) && value.as_str() != Some(""))
    }

    /// Those of these parameters that were given, for an address that asks for the same again.
    pub fn of(&self, names: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let kept = self.pairs.iter().filter(move |(name, _)| names.contains(&name.as_str()));
        kept.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// What makes two requests to one path the same: a SHA-256 over the parameters in the order of their names. Of those
    /// in `secret` only the presence counts, for no code may be kept, not even like this.
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

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.pairs.iter().filter(move |(found, _)| found == name).map(|(_, value)| value)
    }

    fn only(&self, name: &str) -> Result<Option<&Value>, Error> {
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

/// The members of a JSON object, repeated ones too.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

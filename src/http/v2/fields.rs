//! The parameters of a request as they were sent: a form, a query, a JSON object, or headers.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use hyper::HeaderMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::Error;
use super::params::JSON;
use crate::http::problem::BadBody;

/// What a parameter is told that has no effect here.
pub const NOT_SERVED: &str = "it is not served here";

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
        if !essence.eq_ignore_ascii_case(JSON) {
            return Err(Error::media_type());
        }
        let Members(pairs) = serde_json::from_slice(body).map_err(|error| {
            let reason = BadBody::from(error);
            Error::invalid(format!("The body is not a JSON object: {reason}"))
        })?;
        Ok(Self { pairs, typed: true })
    }

    /// Reads a form or a query.
    pub fn of_form(form: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(form);
        let pairs = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Self { pairs: pairs.collect(), typed: false }
    }

    /// Reads these headers. A value that is not visible ASCII is empty.
    pub fn of_headers(headers: &HeaderMap, names: &[&str]) -> Self {
        let values =
            |name: &str| headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default());
        let pairs = names.iter().flat_map(|name| values(name).map(|text| ((*name).to_owned(), text.into())));
        Self { pairs: pairs.collect(), typed: false }
    }

    /// Reads a text; `must_be` says what it must be. `None` when it is absent, null or empty.
    pub fn parsed<T>(
        &self,
        name: &str,
        must_be: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| Error::parameter(name, format!("it must be {must_be}")))
    }

    /// The same for a value that is no text in JSON.
    pub fn parsed_scalar<T>(
        &self,
        name: &str,
        must_be: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let text = match self.only(name)? {
            Some(Value::Number(number)) => {
                // JSON has one number for 6 and 6.0.
                let text = number.to_string();
                text.strip_suffix(".0").unwrap_or(&text).to_owned()
            }
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::String(_)) if self.typed => {
                return Err(Error::parameter(name, "in JSON it must be a number, or true or false"));
            }
            _ => return self.parsed(name, must_be, parse),
        };
        parse(&text).map(Some).ok_or_else(|| Error::parameter(name, format!("it must be {must_be}")))
    }

    /// A text; `None` when it is absent, null or empty.
    pub fn text(&self, name: &str) -> Result<Option<String>, Error> {
        match self.only(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                Err(Error::parameter(name, "it must be a text"))
            }
        }
    }

    /// A parameter that may be repeated, or an array in JSON.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let wrong = || Error::parameter(name, "it must be texts");
        let mut texts = Vec::new();
        for (_, value) in self.pairs.iter().filter(|(found, _)| found == name) {
            match value {
                Value::Null => {}
                Value::String(text) => texts.push(text.clone()),
                Value::Array(values) => {
                    for value in values {
                        texts.push(value.as_str().ok_or_else(wrong)?.to_owned());
                    }
                }
                Value::Number(_) | Value::Bool(_) | Value::Object(_) => return Err(wrong()),
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
            Some(Value::String(text)) => serde_json::from_str::<Members>(text).map_err(|_| wrong())?.0,
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

    /// Refuses a request that gives one of these parameters a value.
    pub fn refuse(&self, names: &[&str]) -> Result<(), Error> {
        let is_given = |value: &Value| !value.is_null() && value != "";
        match self.pairs.iter().find(|(name, value)| names.contains(&name.as_str()) && is_given(value)) {
            Some((name, _)) => Err(Error::parameter(name, NOT_SERVED)),
            None => Ok(()),
        }
    }

    /// Those of these parameters that were given, for an address with the same filters.
    pub fn given(&self, names: &[&str]) -> impl Iterator<Item = (&str, &str)> {
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

/// The members of a JSON object, repeated ones too.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

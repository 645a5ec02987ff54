//! Parameters of requests: a struct with serde's derive, read from a form, a query or a JSON object.
//!
//! Names are Twilio's, in its case. Unknown parameters are ignored, whatever they hold. A known one that is given twice
//! is refused: a proxy in front could have read the other one. Errors name the parameter, and never its value.

use std::fmt::Display;

use percent_encoding::percent_decode;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::{Error, reason_of};
use super::request::without_mark;
use crate::config::{Pairs, Spelling, TWICE, Wrong, json, read_members, read_one, read_whole, twice_in};

pub const FORM: &str = "application/x-www-form-urlencoded";
pub const JSON: &str = "application/json";

/// The beginnings of Twilio's parameters that are not served here: for push, TOTP, senders of a service's own, passkeys, PSD2
/// and silent network authentication.
#[rustfmt::skip] // A table.
const NOT_SERVED: [&str; 11] = [
    "Push.", "Totp.", "Whatsapp.", "Passkeys.", "Amount", "Payee", "Psd2", "EnableSna", "Sna", "ChannelConfiguration",
    "CustomMessage",
];

/// The most characters of a client's own name that an error repeats.
const LONGEST_SHOWN: usize = 64;

/// Parameters as they were sent, in their order. Contain numbers and codes, hence no `Debug`.
#[derive(Clone)]
pub struct Form {
    pairs: Vec<(String, Value)>,
    spelling: Spelling,
    /// The parameters that are not UTF-8.
    broken: Vec<String>,
}

impl Default for Form {
    fn default() -> Self {
        Self::of_text(b"")
    }
}

/// The parameters of a request: in the body of a `POST`, else in the query.
pub struct Params<T>(pub T);

impl Form {
    /// Reads a body by its `Content-Type`; a form where none is given.
    pub fn of_body(content_type: Option<&str>, body: &[u8]) -> Result<Self, Error> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.is_empty() || essence.eq_ignore_ascii_case(FORM) {
            return Ok(Self::of_text(body));
        }
        if !essence.eq_ignore_ascii_case(JSON) {
            return Err(Error::MEDIA_TYPE);
        }
        let Pairs(pairs) =
            serde_json::from_slice(without_mark(body)).map_err(|error| match twice_in(&error) {
                Some(wrong) => refused(wrong.parameter(), &wrong),
                None => Error::invalid(format!("The body is not a JSON object: {}", reason_of(&error))),
            })?;
        Ok(Self { pairs, spelling: Spelling::Json, broken: Vec::new() })
    }

    /// Reads a form or a query.
    pub fn of_text(form: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(form);
        let pairs: Vec<_> =
            pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
        // What stands for other bytes would become part of a message.
        let is_utf8 = |pair: &[u8]| percent_decode(pair).decode_utf8().is_ok();
        let raw = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let broken =
            raw.zip(&pairs).filter(|(raw, _)| !is_utf8(raw)).map(|(_, (name, _))| name.clone()).collect();
        Self { pairs, spelling: Spelling::Form, broken }
    }

    /// Reads the parameters that are the fields of `T`, in their order.
    ///
    /// # Errors
    /// 60200 with the name of the first that cannot be used.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read_members(self.spelling, |name| self.value(name))
            .map_err(|wrong| refused(wrong.parameter(), &wrong))
    }

    /// Reads one parameter, which is null if it is absent or empty.
    pub fn field<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, Error> {
        let read = |value: Option<_>| read_one(self.spelling, value.unwrap_or_default());
        self.value(name).and_then(read).map_err(|wrong| refused(name, &wrong))
    }

    /// Reads a whole number, which is `expected`.
    pub fn whole(&self, name: &'static str, expected: &str) -> Result<Option<u64>, Error> {
        let read = |value| read_whole(self.spelling, value, expected);
        self.value(name).and_then(|value| value.map(read).transpose()).map_err(|wrong| refused(name, &wrong))
    }

    /// The value of a parameter, or all of one that a form has more than once; `None` if it is absent, null or empty.
    fn value(&self, name: &'static str) -> Result<Option<Value>, Wrong> {
        if self.broken.iter().any(|broken| broken == name) {
            return Err(Wrong { path: name.to_owned(), problem: "must be UTF-8".to_owned() });
        }
        let mut values = self.pairs.iter().filter(|(given, _)| given == name).map(|(_, value)| value);
        let first = values.next().cloned();
        let others: Vec<Value> = values.cloned().collect();
        if others.is_empty() {
            return Ok(first.filter(|value| !value.is_null() && *value != ""));
        }
        match self.spelling {
            Spelling::Json => Err(Wrong::duplicate_field(name)),
            _ => Ok(Some(first.into_iter().chain(others).collect())),
        }
    }

    /// Refuses what Twilio reads and this server does not, to tell the client that it would have no effect. Switches of
    /// it may be off.
    pub fn refuse_not_served(&self) -> Result<(), Error> {
        let is_off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => {
                text.is_empty() || self.spelling == Spelling::Form && text.eq_ignore_ascii_case("false")
            }
            _ => false,
        };
        // Its address is no number, which would be refused first.
        if self.pairs.iter().any(|(name, value)| name == "Channel" && value == "email") {
            return Err(Error::NO_EMAIL.with("`Channel`: email is not served here"));
        }
        let is_not_served = |name: &str| NOT_SERVED.iter().any(|beginning| name.starts_with(beginning));
        match self.pairs.iter().find(|(name, value)| is_not_served(name) && !is_off(value)) {
            None => Ok(()),
            Some((name, _)) if name == "CustomMessage" => {
                Err(Error::CUSTOM_MESSAGE.with("use `TemplateSid` and `CustomCode`"))
            }
            Some((name, _)) => Err(Error::parameter(name, "it is not served here")),
        }
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

/// One spelling for all that mean the same: the objects of a JSON body, and the same in a text of a form.
fn canonical(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => match json(text) {
            Ok(object @ Value::Object(_)) => object.to_string(),
            _ => text.clone(),
        },
        other => other.to_string(),
    }
}

fn refused(name: &str, wrong: &Wrong) -> Error {
    let below = wrong.path.strip_prefix(name).map_or("", |below| below.trim_start_matches('.'));
    if wrong.problem == TWICE && !below.is_empty() {
        let below: String = below.chars().take(LONGEST_SHOWN).collect();
        return Error::parameter(name, format_args!("its {below:?} {TWICE}"));
    }
    match wrong.problem.as_str() {
        problem if problem.starts_with("must ") || problem.starts_with("is ") => {
            Error::parameter(name, format_args!("it {problem}"))
        }
        problem => Error::parameter(name, problem),
    }
}

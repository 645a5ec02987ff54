//! The forms of single settings of gateways.

use std::sync::Arc;

use schemars::{Schema, json_schema};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::{Kind, NOT_SHOWN, Text, text_of};
use crate::domain::Channel;
use crate::net::is_loopback_host;

/// The schema of a value that no message repeats.
fn hidden() -> Schema {
    json_schema!({ "type": "string", "writeOnly": true })
}

/// One channel or a list of them.
pub struct Channels;

impl Kind for Channels {
    type Value = Vec<Channel>;

    fn of(value: &Value) -> Option<Self::Value> {
        let names: Vec<String> = match value {
            Value::Array(items) => items.iter().map(text_of).collect::<Option<_>>()?,
            one => text_of(one)?.split(',').map(str::to_owned).collect(),
        };
        let given: Vec<Channel> =
            names.iter().map(|name| Channel::parse(name.trim())).collect::<Option<_>>()?;
        let is_given = |channel: &Channel| given.contains(channel);
        Some(Channel::ALL.into_iter().filter(is_given).collect()).filter(|_| !given.is_empty())
    }

    fn shown(channels: &Self::Value) -> Value {
        channels.iter().map(|channel| channel.as_str()).collect()
    }

    fn accepted() -> String {
        format!("one or more of \"{}\"", Channel::names("\", \""))
    }

    fn schema() -> Schema {
        let channel = json_schema!({ "type": "string", "enum": Channel::ALL.map(Channel::as_str) });
        json_schema!({ "anyOf": [channel, { "type": "array", "items": channel, "minItems": 1 }] })
    }
}

/// One text or number, or a list of them.
pub struct Texts;

impl Kind for Texts {
    type Value = Vec<String>;

    fn of(value: &Value) -> Option<Self::Value> {
        match value {
            Value::Array(values) => values.iter().map(text_of).collect(),
            value => text_of(value).map(|text| vec![text]),
        }
    }

    fn shown(texts: &Self::Value) -> Value {
        texts.iter().map(String::as_str).collect()
    }

    fn accepted() -> String {
        "a list of texts or numbers, or one of them".to_owned()
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [Text::schema(), { "type": "array", "items": Text::schema() }] })
    }
}

/// An address: scheme, host and perhaps a path, without a slash at the end.
pub struct BaseUrl;

impl BaseUrl {
    pub const FORM: &'static str =
        "a URL that begins with http:// or https://, without a user name, a query or a fragment";

    pub fn read(text: &str) -> Option<Arc<str>> {
        let url = Url::parse(text.trim()).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let ends = url.query().is_none() && url.fragment().is_none();
        let fits = matches!(url.scheme(), "http" | "https") && is_plain && ends;
        fits.then(|| url.as_str().trim_end_matches('/').into())
    }
}

impl Kind for BaseUrl {
    type Value = Arc<str>;

    fn of(value: &Value) -> Option<Self::Value> {
        Self::read(&text_of(value)?)
    }

    fn shown(url: &Self::Value) -> Value {
        (&**url).into()
    }

    fn accepted() -> String {
        Self::FORM.to_owned()
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "format": "uri" })
    }
}

/// An address that may lack its scheme, as the Go framework spells Mada's: `http://` is meant. Kept as it was given.
pub struct PlainUrl;

impl Kind for PlainUrl {
    type Value = String;

    fn of(value: &Value) -> Option<String> {
        let text = text_of(value)?.trim().to_owned();
        BaseUrl::read(&with_scheme(&text)).map(|_| text)
    }

    fn shown(url: &String) -> Value {
        url.as_str().into()
    }

    fn accepted() -> String {
        format!(
            "host, port and path such as \"sms.example.com:8080/soap\" (http:// is added), or {}",
            BaseUrl::FORM
        )
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "format": "uri-reference" })
    }
}

/// A secret on one line.
pub struct Password;

impl Kind for Password {
    type Value = SecretString;

    fn of(value: &Value) -> Option<SecretString> {
        text_of(value).filter(|text| is_line(text)).map(SecretString::from)
    }

    fn shown(_: &SecretString) -> Value {
        NOT_SHOWN.into()
    }

    fn accepted() -> String {
        "a secret of 1 to 256 characters without line breaks".to_owned()
    }

    fn schema() -> Schema {
        hidden()
    }
}

/// The name of an account. HTTP Basic authentication (RFC 7617) puts a colon behind it.
pub struct Login;

impl Kind for Login {
    type Value = String;

    fn of(value: &Value) -> Option<String> {
        let text = text_of(value)?.trim().to_owned();
        (is_line(&text) && !text.contains(':')).then_some(text)
    }

    fn shown(_: &String) -> Value {
        NOT_SHOWN.into()
    }

    fn accepted() -> String {
        "a name of 1 to 256 characters without colons and line breaks".to_owned()
    }

    fn schema() -> Schema {
        hidden()
    }
}

/// The public half of a pair of key and secret.
pub struct Identifier;

impl Kind for Identifier {
    type Value = String;

    fn of(value: &Value) -> Option<String> {
        let text = text_of(value)?.trim().to_owned();
        (is_word(&text, 1, 256) && !text.contains(':')).then_some(text)
    }

    fn shown(_: &String) -> Value {
        NOT_SHOWN.into()
    }

    fn accepted() -> String {
        "an id of at most 256 printable ASCII characters without spaces and colons".to_owned()
    }

    fn schema() -> Schema {
        hidden()
    }
}

/// Whom a message comes from: the longest address of a short message (3GPP TS 23.040, 9.1.2.5) has 20 digits.
pub struct SourceName;

impl Kind for SourceName {
    type Value = String;

    fn of(value: &Value) -> Option<String> {
        let text = text_of(value)?.trim().to_owned();
        let fits = (1..=20).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then_some(text)
    }

    fn shown(name: &String) -> Value {
        name.as_str().into()
    }

    fn accepted() -> String {
        "a sender of 1 to 20 characters, such as a name".to_owned()
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "minLength": 1, "maxLength": 20 })
    }
}

pub fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 256 && !text.chars().any(char::is_control)
}

pub fn is_word(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn with_scheme(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}

/// Whether credentials would travel unencrypted beyond this machine. Without a scheme `http` is meant.
pub fn is_exposed(url: &str) -> bool {
    let url = with_scheme(url);
    let host = || Url::parse(&url).ok().and_then(|url| url.host_str().map(is_loopback_host));
    url.starts_with("http:") && host() != Some(true)
}

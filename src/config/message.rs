//! Texts of messages: in which forms they are given. What they may contain is checked by
//! [`crate::template`].

use figment::value::Value;
use schemars::{Schema, json_schema};
use serde_json::Map;
use url::Url;

use super::object::object_of;
use super::value::Setting;
use crate::domain::Locale;
use crate::template::{CODE_PLACES, LONGEST};

/// The text of a message, before it is checked.
#[derive(Debug)]
pub struct MessageText(pub String);

impl Setting for MessageText {
    fn read(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        "a text that contains {code}".to_owned()
    }

    fn placeholder() -> Self {
        Self(CODE_PLACES[0].to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "\\{code\\}|_CODE_", "maxLength": LONGEST })
    }
}

/// Texts by channel and language, before their names and they themselves are checked.
#[derive(Debug)]
pub struct MessageTexts(pub Map<String, serde_json::Value>);

impl Setting for MessageTexts {
    fn of(value: &Value) -> Option<Self> {
        object_of(value).map(Self)
    }

    fn read(text: &str) -> Option<Self> {
        Self::of(&Value::from(text))
    }

    fn shown(&self) -> String {
        serde_json::Value::from(self.0.clone()).to_string()
    }

    fn accepted() -> String {
        "an object of texts such as {\"sms\": \"Your code is {code}\", \"call\": {\"de\": \"Ihr Code ist {code}\"}}"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self(Map::new())
    }

    fn schema() -> Schema {
        let text = MessageText::schema();
        let of_channel = json_schema!({ "anyOf": [
            text,
            { "type": "object", "additionalProperties": text },
        ]});
        json_schema!({ "type": "object", "additionalProperties": false, "properties": {
            "sms": of_channel, "call": of_channel, "whatsapp": of_channel, "any": of_channel,
        }})
    }
}

/// A language.
#[derive(Debug)]
pub struct LocaleTag(pub Option<Locale>);

impl Setting for LocaleTag {
    fn read(text: &str) -> Option<Self> {
        Locale::parse(text.trim()).map(|locale| Self(Some(locale)))
    }

    fn shown(&self) -> String {
        self.0.map(|locale| format!("{:?}", locale.to_string())).unwrap_or_default()
    }

    fn accepted() -> String {
        "a language such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)".to_owned()
    }

    fn placeholder() -> Self {
        Self(None)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*\\s*$" })
    }
}

/// The name of a web site's host.
#[derive(Debug)]
pub struct WebDomain(pub String);

impl Setting for WebDomain {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let plain = !text.is_empty() && text.len() <= 253 && text.chars().all(of_name);
        // An address in numbers is no name, and a browser binds no code to it.
        let host = Url::parse(&format!("https://{text}/")).ok()?.domain().map(str::to_owned);
        (plain && host.as_deref() == Some(text.as_str())).then_some(Self(text))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        "the host name of a web site such as \"example.com\", without a scheme, a port or a path (a name with \
         other letters in its xn-- form)"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*[A-Za-z0-9.-]+\\s*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_site_is_a_name_and_nothing_more() {
        for (text, domain) in [(" Example.com ", "example.com"), ("localhost", "localhost")] {
            assert_eq!(WebDomain::read(text).map(|domain| domain.0).as_deref(), Some(domain));
        }
        for text in ["", "https://example.com", "example.com:443", "example.com/x", "127.0.0.1", "münchen.de"]
        {
            assert!(WebDomain::read(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn texts_may_be_an_object_or_json_in_a_text() {
        let texts = MessageTexts::read(r#"{"sms": "{code}"}"#).map(|texts| texts.0.len());
        assert_eq!(texts, Some(1));
        for text in ["", "{", "[]", "sms", "3"] {
            assert!(MessageTexts::read(text).is_none(), "{text:?}");
        }
    }
}

//! The body of a request, described once and filled in for each message.

use form_urlencoded::Serializer;
use serde_json::Value;

use super::placeholder::Secrets;
use super::template::Template;
use crate::gateway::{GatewaySettingsError, HttpBody, OutgoingMessage};

/// The description. Has no `Debug`: secrets are filled in already.
pub(super) enum BodyTemplate {
    Empty,
    Json(JsonTemplate),
    Form(Vec<(String, Template)>),
}

/// A JSON value whose texts are templates. What is put in becomes part of a text, and is escaped
/// when the whole is written.
pub(super) enum JsonTemplate {
    Fixed(Value),
    Text(Template),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl BodyTemplate {
    pub(super) fn new(body: &HttpBody, secrets: &Secrets<'_>) -> Result<Self, GatewaySettingsError> {
        Ok(match body {
            HttpBody::Empty => Self::Empty,
            HttpBody::Json(value) => Self::Json(JsonTemplate::new(value, secrets)?),
            HttpBody::Form(fields) => {
                let read = |(name, value): &(String, String)| {
                    Ok((name.clone(), Template::read(value, secrets, &format!("http-gateway.form.{name}"))?))
                };
                Self::Form(fields.iter().map(read).collect::<Result<_, _>>()?)
            }
        })
    }

    pub(super) const fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::Json(_) => Some("application/json"),
            Self::Form(_) => Some("application/x-www-form-urlencoded"),
        }
    }

    pub(super) fn filled_in(&self, message: &OutgoingMessage) -> Option<String> {
        match self {
            Self::Empty => None,
            Self::Json(template) => Some(template.filled_in(message).to_string()),
            Self::Form(fields) => {
                let mut form = Serializer::new(String::with_capacity(512));
                for (name, template) in fields {
                    form.append_pair(name, &template.as_it_is(message));
                }
                Some(form.finish())
            }
        }
    }

    /// Shows every template in it.
    pub(super) fn visit(&self, visitor: &mut impl FnMut(&Template)) {
        match self {
            Self::Empty => {}
            Self::Json(template) => template.visit(visitor),
            Self::Form(fields) => fields.iter().for_each(|(_, template)| visitor(template)),
        }
    }
}

impl JsonTemplate {
    fn new(value: &Value, secrets: &Secrets<'_>) -> Result<Self, GatewaySettingsError> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::read(text, secrets, "http-gateway.json")?),
            Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::new(item, secrets)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let read = |(name, value): (&String, &Value)| Ok((name.clone(), Self::new(value, secrets)?));
                Self::Object(members.iter().map(read).collect::<Result<_, _>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Fixed(value.clone()),
        })
    }

    fn filled_in(&self, message: &OutgoingMessage) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.as_it_is(message).to_string()),
            Self::List(items) => items.iter().map(|item| item.filled_in(message)).collect(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), value.filled_in(message))).collect()
            }
        }
    }

    fn visit(&self, visitor: &mut impl FnMut(&Template)) {
        match self {
            Self::Fixed(_) => {}
            Self::Text(template) => visitor(template),
            Self::List(items) => items.iter().for_each(|item| item.visit(visitor)),
            Self::Object(members) => members.iter().for_each(|(_, value)| value.visit(visitor)),
        }
    }
}

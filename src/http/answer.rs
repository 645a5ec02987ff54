//! An answer before it becomes a response: status, JSON, and the few headers that differ.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use utoipa::ToSchema;

use crate::numbers::Refusal;
use crate::web;

/// Seconds after which a refused client may try again. What refuses (a full queue, a commit that
/// failed, a restart) is over within a second or lasts much longer.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const XML: HeaderValue = HeaderValue::from_static("text/xml; charset=utf-8");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"code","message","data"}`: all routes but the tutorial's.
    Envelope,
    /// `{"message"}`: the tutorial's API.
    Message,
    /// `{"code","message","more_info","status"}`: Twilio's API.
    Twilio,
}

/// What a client gets, but for the headers that all answers share.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: HeaderValue,
    pub body: Bytes,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The reason of a refusal, for the log.
    pub refusal: Option<Refusal>,
}

impl Answer {
    /// The envelope without `data`, status and code being the same.
    pub fn plain(status: StatusCode, message: &str) -> Self {
        Self::envelope(status, status.as_u16(), message, None::<()>)
    }

    /// The envelope; `code` differs from the status in the as-built answers only.
    pub fn envelope<D: Serialize>(status: StatusCode, code: u16, message: &str, data: Option<D>) -> Self {
        Self::json(status, &Envelope { code, message, data })
    }

    pub fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, &Message { message })
    }

    pub fn empty() -> Self {
        Self::xml(StatusCode::NO_CONTENT, Bytes::new())
    }

    pub fn xml(status: StatusCode, document: impl Into<Bytes>) -> Self {
        Self { status, content_type: XML, body: document.into(), headers: Vec::new(), refusal: None }
    }

    /// An error in Twilio's form. `code` is Twilio's number of it, under which its documentation says more.
    pub fn twilio_error(status: StatusCode, code: u32, message: &str) -> Self {
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        Self::json(status, &TwilioError { code, message, more_info, status: status.as_u16() })
    }

    pub fn json_text(status: StatusCode, text: &'static str) -> Self {
        let body = Bytes::from_static(text.as_bytes());
        Self { status, content_type: JSON, body, headers: Vec::new(), refusal: None }
    }

    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // Our bodies are texts, numbers and lists and maps of them, which serialise without fail.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { status, content_type: JSON, body: body.into(), headers: Vec::new(), refusal: None }
    }

    pub fn ok(resource: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, resource)
    }

    pub fn created(resource: &impl Serialize) -> Self {
        Self::json(StatusCode::CREATED, resource)
    }

    #[must_use]
    pub fn allowing(mut self, methods: &'static str) -> Self {
        self.headers.push((ALLOW, HeaderValue::from_static(methods)));
        self
    }

    /// Tells the client how to say who it is.
    #[must_use]
    pub fn asking_for_a_credential(mut self) -> Self {
        self.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"onceward\"")));
        self
    }

    #[must_use]
    pub fn retry_later(mut self) -> Self {
        self.headers.push((RETRY_AFTER, RETRY_AFTER_SECONDS));
        self
    }

    #[must_use]
    pub fn because(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }
}

impl From<web::Page> for Answer {
    fn from(page: web::Page) -> Self {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Self {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static(page.content_type),
            body: page.body,
            headers: page.headers.iter().map(header).collect(),
            refusal: None,
        }
    }
}

// The fields' order is part of the contract.
/// The answer of most routes that are not Twilio's.
#[derive(Serialize, ToSchema)]
#[schema(as = Envelope, bound = "")]
pub struct Envelope<'a, D = ()> {
    /// The HTTP status, unless the answers are as built.
    code: u16,
    /// What happened.
    message: &'a str,
    /// More about it, often an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    data: Option<D>,
}

/// The answer of the tutorial's routes.
#[derive(Serialize, ToSchema)]
pub struct Message<'a> {
    /// What happened.
    message: &'a str,
}

/// An error in Twilio's form.
#[derive(Serialize, ToSchema)]
pub struct TwilioError<'a> {
    /// Twilio's number of the error.
    #[schema(minimum = 20000)]
    code: u32,
    /// What happened.
    message: &'a str,
    /// Where Twilio says more.
    #[schema(format = "uri")]
    more_info: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_has_code_message_and_data_in_this_order() {
        let answer = Answer::envelope(StatusCode::OK, 200, "m", Some("d"));
        assert_eq!(answer.body, r#"{"code":200,"message":"m","data":"d"}"#);
        assert_eq!(answer.content_type, "application/json");
    }

    #[test]
    fn a_plain_envelope_has_no_data_and_the_code_of_its_status() {
        let answer = Answer::plain(StatusCode::NOT_FOUND, "no");
        assert_eq!(answer.body, r#"{"code":404,"message":"no"}"#);
    }

    #[test]
    fn a_message_is_quoted_as_json_asks() {
        let answer = Answer::message(StatusCode::OK, "id \"1\"\n");
        assert_eq!(answer.body, r#"{"message":"id \"1\"\n"}"#);
    }

    #[test]
    fn every_header_of_a_page_is_sent() {
        let page = web::inbox_page();
        assert_eq!(Answer::from(page.clone()).headers.len(), page.headers.len());
    }
}

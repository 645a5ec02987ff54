//! The replies of the doubles.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, header};
use serde_json::Value;

/// Twilio's code for a request that it is too busy for.
pub const TOO_MANY_REQUESTS: u32 = 20_429;

/// How a double reacts to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Accept,
    /// An error in the provider's wording, with the recipient's whole number in the text if the provider includes it.
    Refuse {
        status: u16,
        code: u32,
    },
    /// An error whose code is the code of the message.
    RefuseWithItsCode,
    /// A success whose message id is the message's number and code.
    AcceptWithItsCode,
    /// 429: not executed.
    Busy,
    /// This status with an HTML page, as from a proxy in front of a provider.
    ServerError(u16),
    /// Executes the request, and sends neither JSON nor XML.
    NotJson,
    /// Resets the connection instead of an answer.
    Reset,
    /// Sends no answer until the double is released; then executes the request.
    Hang,
}

/// An answer for hyper.
pub type Reaction = Response<Full<Bytes>>;

#[derive(Debug, Clone)]
pub struct Said {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Said {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string() }
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain", body: body.into() }
    }

    pub fn html(status: u16) -> Self {
        Self { status, content_type: "text/html", body: "<html>An error</html>".to_owned() }
    }

    /// Replaces Twilio's id in a JSON body.
    pub fn with_id(self, id: &str) -> Self {
        let mut resource: Value = serde_json::from_str(&self.body).expect("a provider that answers in JSON");
        resource["sid"] = id.into();
        Self { body: resource.to_string(), ..self }
    }

    /// Replaces the body by one that is not JSON.
    pub fn garbled(self) -> Self {
        Self { body: "{\"sid\": <queued>".to_owned(), ..self }
    }
}

impl From<Said> for Reaction {
    fn from(said: Said) -> Self {
        let response =
            Response::builder().status(said.status).header(header::CONTENT_TYPE, said.content_type);
        response.body(Full::from(said.body)).expect("an answer")
    }
}

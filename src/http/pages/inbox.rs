//! The simulator's inbox, as a page and as JSON. Exists in simulator mode only.

use std::sync::LazyLock;

use askama::Template;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Frame, Headers, csp_hash, html, html_headers};
use crate::domain::{NumberError, PhoneNumber, Region};
use crate::gateway::{InboxMessage, Simulator};
use crate::http::response::Response;

pub const SCRIPT: &str = include_str!("inbox.js");

/// Messages in one answer: as many as a person looks through, and little enough to be asked for every second.
pub const SHOWN: usize = 100;

static PAGE_HEADERS: LazyLock<Headers> =
    LazyLock::new(|| html_headers(&format!("script-src {}; connect-src 'self'; ", csp_hash(SCRIPT))));

const JSON_HEADERS: [(&str, &str); 2] =
    [("x-content-type-options", "nosniff"), ("cache-control", "no-store")];

/// One document with style and script inside, which loads only the messages.
#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    frame: Frame,
    script: &'static str,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// The inbox has no page under this path.
    #[error("there is no such page")]
    NoSuchPage,
    /// `to` is not a phone number.
    #[error("`to` is {0}")]
    BadNumber(NumberError),
}

/// Answers `GET /inbox` and `GET /inbox/messages?to=`. `path` and `query` are percent-encoded; `default_region` is that
/// of numbers without `+`. A `+` in a query means a space, but people write `?to=+1415...`: a leading space is read as
/// a `+`.
pub fn inbox(
    simulator: &Simulator,
    default_region: Option<Region>,
    path: &str,
    query: Option<&str>,
) -> Result<Response, InboxError> {
    match path {
        "/inbox" | "/inbox/" => Ok(inbox_page()),
        "/inbox/messages" => {
            let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            let to = pairs.find(|(name, _)| name == "to").map(|(_, text)| {
                let text = text.strip_prefix(' ').map_or_else(|| text.to_string(), |rest| format!("+{rest}"));
                PhoneNumber::parse(&text, default_region)
            });
            Ok(inbox_messages(simulator, to.transpose().map_err(InboxError::BadNumber)?))
        }
        _ => Err(InboxError::NoSuchPage),
    }
}

/// The page for `GET /inbox`. It polls `GET /inbox/messages` with its own query string, so that
/// `/inbox?to=%2B14155552671` shows one number's messages.
pub fn inbox_page() -> Response {
    html(&InboxPage { frame: Frame::new("/inbox", true), script: SCRIPT }, &PAGE_HEADERS)
}

/// The response of `GET /inbox/messages`: the newest messages, or the newest to one number. Numbers are whole here: the
/// inbox stands in for the telephone.
pub fn inbox_messages(simulator: &Simulator, to: Option<PhoneNumber>) -> Response {
    let messages = simulator.messages(to, SHOWN);
    let inbox = Inbox {
        messages: messages.iter().map(MessageJson::from).collect(),
        now_ms: simulator.now().as_millis(),
    };
    // Neither a key that is no text nor a failing writer is possible here.
    let body = serde_json::to_string(&inbox).unwrap_or_default();
    Response::page("application/json", &JSON_HEADERS, body)
}

/// The simulator's inbox.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inbox<'a> {
    /// The newest first.
    messages: Vec<MessageJson<'a>>,
    /// The server's time, in milliseconds since 1970.
    #[schema(example = 1_785_441_601_000_u64)]
    now_ms: u64,
}

/// A message of the simulator.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InboxMessage)]
struct MessageJson<'a> {
    #[schema(example = "SM5ef8732a3c49700934481addd5ce1659")]
    id: &'a str,
    /// The recipient, in E.164 form.
    #[schema(example = "+14155552671")]
    to: String,
    #[schema(example = "sms")]
    channel: &'static str,
    #[schema(example = "OTP message is 123456")]
    text: &'a str,
    #[schema(example = "123456")]
    code: &'a str,
    /// In milliseconds since 1970.
    #[schema(example = 1_785_441_600_000_u64)]
    received_at_ms: u64,
    /// When the code expires.
    #[schema(example = 1_785_441_630_000_u64)]
    expires_at_ms: u64,
}

impl<'a> From<&'a InboxMessage> for MessageJson<'a> {
    fn from(message: &'a InboxMessage) -> Self {
        Self {
            id: &message.id,
            to: message.to.e164(),
            channel: message.channel.as_str(),
            text: &message.text,
            code: message.code.expose(),
            received_at_ms: message.received.as_millis(),
            expires_at_ms: message.received.plus(message.valid_for).as_millis(),
        }
    }
}

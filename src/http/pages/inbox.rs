//! The simulator's inbox, as a page and as JSON. Exists in simulator mode only.

use askama::Template;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Frame, LIVE, html_live};
use crate::domain::{NumberError, PhoneNumber, Region, ServiceId, Timestamp, seconds_up};
use crate::gateway::{CodeStatus, InboxMessage, Simulator};
use crate::http::response::Response;

/// Messages in one answer: as many as a person looks through, and little enough to be asked for every second.
pub const SHOWN: usize = 100;

const JSON_HEADERS: [(&str, &str); 2] =
    [("x-content-type-options", "nosniff"), ("cache-control", "no-store")];

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

/// The simulator's messages, as the pages show them.
pub struct InboxView<'a> {
    pub simulator: &'a Simulator,
    /// The region of numbers without `+`.
    pub default_region: Option<Region>,
    /// Whether every message goes to the simulator.
    pub is_only: bool,
    /// The name of a service.
    pub service_name: &'a dyn Fn(ServiceId) -> String,
    /// Scheme and host of this server, in commands to try.
    pub origin: &'a str,
    /// The option of curl for the credentials that `/api` requires.
    pub credentials: &'static str,
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage<'a> {
    frame: Frame,
    script: &'static str,
    notice: &'static str,
    origin: &'a str,
    credentials: &'static str,
    query: &'a str,
    messages: Vec<MessageJson>,
    now_ms: u64,
}

impl InboxView<'_> {
    /// Answers `GET /inbox?q=` and `GET /inbox/messages?to=`. `path` and `query` are percent-encoded. A `+` in a query
    /// means a space, but people write `?to=+1415...`: a leading space is read as a `+`.
    pub fn answer(&self, path: &str, query: Option<&str>) -> Result<Response, InboxError> {
        let field = |wanted: &str| {
            let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            let (_, text) = pairs.find(|(name, _)| name == wanted)?;
            Some(text.strip_prefix(' ').map_or_else(|| text.to_string(), |rest| format!("+{rest}")))
        };
        match path {
            "/inbox" | "/inbox/" => {
                Ok(self.page(field("q").or_else(|| field("to")).unwrap_or_default().trim()))
            }
            "/inbox/messages" => {
                let to = field("to").map(|text| PhoneNumber::parse(&text, self.default_region));
                Ok(self.json(to.transpose().map_err(InboxError::BadNumber)?))
            }
            _ => Err(InboxError::NoSuchPage),
        }
    }

    fn page(&self, query: &str) -> Response {
        let now = self.simulator.now();
        let search = Search::of(query);
        let messages =
            self.simulator.messages(None, if query.is_empty() { SHOWN } else { Simulator::CAPACITY });
        let shown = messages.iter().map(|message| self.view(message, now));
        html_live(&InboxPage {
            frame: Frame::new("/inbox", true),
            script: LIVE,
            notice: self.notice(),
            origin: self.origin,
            credentials: self.credentials,
            query,
            messages: shown.filter(|message| search.finds(message)).take(SHOWN).collect(),
            now_ms: now.as_millis(),
        })
    }

    /// The newest messages, or the newest to one number. Numbers are whole here: the inbox stands in for the telephone.
    fn json(&self, to: Option<PhoneNumber>) -> Response {
        let (now, messages) = (self.simulator.now(), self.simulator.messages(to, SHOWN));
        let inbox = Inbox {
            messages: messages.iter().map(|message| self.view(message, now)).collect(),
            now_ms: now.as_millis(),
        };
        // Neither a key that is no text nor a failing writer is possible here.
        let body = serde_json::to_string(&inbox).unwrap_or_default();
        Response::page("application/json", &JSON_HEADERS, body)
    }

    /// The newest message, or the newest to one number.
    pub fn newest(&self, to: Option<PhoneNumber>) -> Option<MessageJson> {
        let newest = self.simulator.messages(to, 1);
        newest.first().map(|message| self.view(message, self.simulator.now()))
    }

    /// Says whether messages leave this machine.
    pub const fn notice(&self) -> &'static str {
        if self.is_only {
            "nothing leaves this machine."
        } else {
            "its messages are shown here; those of other gateways leave this machine."
        }
    }

    fn view(&self, message: &InboxMessage, now: Timestamp) -> MessageJson {
        let age = now.since(message.received).as_secs();
        let left = seconds_up(message.expires.since(now));
        // Rounded up, as in the script: a code that was sent just now shows its whole life.
        let left = if left < 120 { left } else { left.div_ceil(60) * 60 };
        MessageJson {
            id: message.id.clone(),
            to: message.to.e164(),
            channel: message.channel.as_str(),
            text: message.text.to_string(),
            code: message.code.expose().to_owned(),
            received_at_ms: message.received.as_millis(),
            expires_at_ms: message.expires.as_millis(),
            service: (self.service_name)(message.service()),
            status: message.status(now).as_str(),
            age: format!("{} ago", span(age)),
            life: format!("expires in {}", span(left)),
        }
    }
}

/// The simulator's inbox.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// The newest first.
    messages: Vec<MessageJson>,
    /// The server's time, in milliseconds since 1970.
    #[schema(example = 1_785_441_601_000_u64)]
    now_ms: u64,
}

/// A message of the simulator.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InboxMessage)]
pub struct MessageJson {
    #[schema(example = "SM5ef8732a3c49700934481addd5ce1659")]
    pub id: String,
    /// The recipient, in E.164 form.
    #[schema(example = "+14155552671")]
    pub to: String,
    #[schema(example = "sms")]
    pub channel: &'static str,
    #[schema(example = "Acme: your code is 123456. It is valid for 10 min.")]
    pub text: String,
    #[schema(example = "123456")]
    pub code: String,
    /// In milliseconds since 1970.
    #[schema(example = 1_785_441_600_000_u64)]
    pub received_at_ms: u64,
    /// When the code expires.
    #[schema(example = 1_785_441_630_000_u64)]
    pub expires_at_ms: u64,
    /// The friendly name of the service, with its sid if another service has the same.
    #[schema(example = "default")]
    pub service: String,
    /// Of the code.
    #[schema(pattern = "^(live|used|replaced|canceled|locked out|expired)$")]
    pub status: &'static str,
    /// For the page.
    #[serde(skip)]
    pub age: String,
    /// For the page, of a live code.
    #[serde(skip)]
    pub life: String,
}

impl MessageJson {
    pub fn is_live(&self) -> bool {
        self.status == CodeStatus::Live.as_str()
    }

    pub fn is_used(&self) -> bool {
        self.status == CodeStatus::Used.as_str()
    }
}

/// A time span for a person. Under two minutes seconds matter.
fn span(seconds: u64) -> String {
    let minutes = seconds / 60;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3600 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// The condition of a search.
struct Search {
    text: String,
    /// For a text that looks like a part of a number or of a code.
    digits: Option<String>,
}

impl Search {
    fn of(query: &str) -> Self {
        let digits: String = query.chars().filter(char::is_ascii_digit).collect();
        let is_number = query.chars().all(|c| c.is_ascii_digit() || "+-(). ".contains(c));
        Self { text: query.to_lowercase(), digits: Some(digits).filter(|d| is_number && !d.is_empty()) }
    }

    fn finds(&self, message: &MessageJson) -> bool {
        let MessageJson { to, channel, text, code, service, status, .. } = message;
        let by_digits = self.digits.as_ref().is_some_and(|digits| to.contains(digits) || code == digits);
        let texts = [text.as_str(), service, channel, status];
        by_digits || texts.iter().any(|text| text.to_lowercase().contains(&self.text))
    }
}

//! The simulator's inbox, as a page and as JSON. Exists in simulator mode only. Where every message goes to the simulator,
//! its form sends a code and checks it, through the same service as `/api`.

use askama::Template;
use axum::body::to_bytes;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Frame, LIVE_HEADERS, html, redirect, span};
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::domain::{Code, PhoneNumber, ServiceId, Timestamp, seconds_up};
use crate::gateway::{InboxMessage, Simulator};
use crate::http::call::{Call, Group};
use crate::http::compatible::{Older, checked, sent};
use crate::http::error::Error;
use crate::http::openapi::{Content, Doc, Property, Routes};
use crate::http::response;
use crate::net::form_field;
use crate::registry::Scope;
use crate::template::MessageStyle;
use crate::verification::{Check, NumberKey};

/// The status of a code that can be right.
const LIVE: &str = "live";

const EXPIRED: &str = "expired";

/// Messages in one JSON answer.
const IN_JSON: usize = 100;

/// Messages on the page: as many as a person looks through, and less than 30 kB.
const ON_PAGE: usize = 30;

const JSON_HEADERS: [(&str, &str); 2] =
    [("x-content-type-options", "nosniff"), ("cache-control", "no-store")];

/// The simulator's messages for a request that may see them.
struct InboxView<'a> {
    call: &'a Call,
    simulator: &'a Simulator,
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage<'a> {
    frame: Frame,
    view: &'a InboxView<'a>,
    /// What the form shows.
    number: String,
    failed: Option<&'a Failed>,
    /// The query has `verified`: the form has checked a right code.
    is_verified: bool,
    messages: Vec<MessageJson>,
    now_ms: u64,
}

/// `GET /inbox`.
async fn page(call: Call) -> Result<Response, Error> {
    Ok(InboxView::of(&call)?.page(None).await)
}

/// `GET /inbox/messages?to=`.
async fn messages(call: Call) -> Result<Response, Error> {
    Ok(InboxView::of(&call)?.json(call.head.uri.query()).await)
}

/// The filter of `/inbox/messages`.
fn filter(_: &[&str]) -> Vec<Property> {
    vec![Property::new(
        "to",
        json!({ "type": "string", "description": "Only messages to this number." }),
        false,
    )]
}

/// `POST /inbox`: sends a code to `number`, or checks its `code`.
async fn act(call: Call) -> Result<Response, Error> {
    let app = &call.app;
    if !app.settings.gateways.only_simulator() {
        return Err(Error::NOT_SERVED);
    }
    let view = InboxView::of(&call)?;
    if !call.has_own_form() {
        let failed = Failed { number: String::new(), message: OTHER_ORIGIN.to_owned(), is_check: false };
        let mut page = view.page(Some(&failed)).await;
        *page.status_mut() = StatusCode::FORBIDDEN;
        return Ok(page);
    }
    call.admit_compatible(&call.head)?;
    let field = |name| form_field(&call.body, name).unwrap_or_default();
    // Enter presses the first button of the form: if the form has a code, it is a check.
    let (text, code, action) = (field("number"), field("code"), field("action"));
    let is_check = action == "check" || action == "enter" && !code.trim().is_empty();
    let refused = |error: Error| response::message(error.status, &error.message);
    let answer = match PhoneNumber::parse_dialled(&text, app.settings.storage.default_region) {
        Err(error) => {
            let words = format!("The phone number cannot be used: {error}.");
            response::message(StatusCode::BAD_REQUEST, &words)
        }
        Ok(number) if is_check => {
            let key = NumberKey::new(ServiceId::DEFAULT, number);
            let reply = call.check(Check::new(key, Code::submitted(&code))).await;
            let lockout = app.settings.policy.lockout_time();
            reply.map_or_else(refused, |reply| checked(Older::TUTORIAL, &reply, number, lockout))
        }
        Ok(number) => {
            let reply = call.send(number, None, MessageStyle::default(), None).await;
            reply.map_or_else(refused, |reply| sent(Older::TUTORIAL, &reply, number))
        }
    };
    if answer.status().is_success() {
        return Ok(redirect(if is_check { "/inbox?verified=yes" } else { "/inbox#messages" }));
    }
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap_or_default();
    // The answers of the tutorial's routes are in words for people.
    let words: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = words["message"].as_str().unwrap_or_default().to_owned();
    let number = text.chars().take(LONGEST_NUMBER).collect();
    Ok(view.page(Some(&Failed { number, message, is_check })).await)
}

const OTHER_ORIGIN: &str = "The form's Origin differs from the Host header; the log has both.";

/// What a form failed with.
struct Failed {
    number: String,
    message: String,
    is_check: bool,
}

/// A field of a query. A `+` means a space, but people write `?to=+1415...`: a leading space is read as a `+`.
fn field(query: Option<&str>, name: &str) -> Option<String> {
    let text = form_field(query.unwrap_or_default().as_bytes(), name)?;
    let rest = text.strip_prefix(' ').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    Some(rest.map_or_else(|| text.clone(), |rest| format!("+{rest}")))
}

impl<'a> InboxView<'a> {
    /// For a request that may see codes: no page of another site may.
    fn of(call: &'a Call) -> Result<Self, Error> {
        let app = &call.app;
        let simulator = app.inbox.as_deref().ok_or(Error::NOT_SERVED)?;
        // Where other machines reach the server.
        if !app.settings.registry.local_only {
            call.admit(&[Scope::Admin])?;
        }
        if call.names_this_server() { Ok(Self { call, simulator }) } else { Err(Error::FOREIGN_HOST) }
    }

    /// Whether every message goes to the simulator.
    fn is_only(&self) -> bool {
        self.call.app.settings.gateways.only_simulator()
    }

    /// The page with the newest messages, and with a form that failed.
    async fn page(&self, failed: Option<&Failed>) -> Response {
        let is_verified = field(self.call.head.uri.query(), "verified").is_some();
        let now = self.simulator.now();
        let messages = self.views(None, ON_PAGE, now).await;
        let newest =
            || messages.first().map_or_else(|| PhoneNumber::EXAMPLE.to_owned(), |newest| newest.to.clone());
        let page = InboxPage {
            frame: Frame::new("/inbox", true),
            view: self,
            number: failed.map_or_else(newest, |failed| failed.number.clone()),
            failed,
            is_verified,
            messages,
            now_ms: now.as_millis(),
        };
        html(&page, LIVE_HEADERS)
    }

    /// The newest messages, or the newest to one number. Numbers are whole here: the inbox stands in for the phone.
    async fn json(&self, query: Option<&str>) -> Response {
        let to = field(query, "to")
            .map(|text| PhoneNumber::parse(&text, self.call.app.settings.storage.default_region));
        let to = match to.transpose() {
            Ok(to) => to,
            Err(error) => return response::plain(StatusCode::BAD_REQUEST, &format!("`to`: {error}")),
        };
        let now = self.simulator.now();
        let inbox = Inbox { messages: self.views(to, IN_JSON, now).await, now_ms: now.as_millis() };
        (JSON_HEADERS, Json(inbox)).into_response()
    }

    async fn views(&self, to: Option<PhoneNumber>, most: usize, now: Timestamp) -> Vec<MessageJson> {
        let messages = self.simulator.messages(to, most);
        join_all(messages.iter().map(|message| self.view(message, now))).await
    }

    /// The status of a code, as the records of its number tell it.
    async fn status(&self, message: &InboxMessage, now: Timestamp) -> &'static str {
        if now >= message.expires {
            return EXPIRED;
        }
        let Ok(running) = self.call.app.running() else { return LIVE };
        let (verifier, key) = (&running.verifier, message.attempt.key);
        let current = verifier.code_of(message.to, key).await;
        if current.is_some_and(|(code, _)| code.matches(&message.code)) {
            return LIVE;
        }
        match verifier.attempts.log(key).await {
            Ok(Some(AttemptLog { verify: VerifyStatus::Success, .. })) => "approved",
            // Another system made the code and checks it, or the shard does not answer.
            Ok(Some(AttemptLog { is_carried: true, .. })) | Err(_) => LIVE,
            Ok(_) => "ended",
        }
    }

    async fn view(&self, message: &InboxMessage, now: Timestamp) -> MessageJson {
        let (age, running) = (now.since(message.received).as_secs(), self.call.app.running());
        let (service, status) = (message.attempt.key.service, self.status(message, now).await);
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
            service: running.map(|it| it.registry.title_of(service)).unwrap_or_default(),
            status,
            age: format!("{} ago", span(age)),
            life: format!("expires in {}", span(left)),
            can_renew: self.is_only() && service == ServiceId::DEFAULT && status == EXPIRED,
        }
    }
}

/// The simulator's inbox.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// The newest first.
    messages: Vec<MessageJson>,
    /// The server's time, in milliseconds since 1970.
    now_ms: u64,
}

/// A message of the simulator.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "InboxMessage")]
pub struct MessageJson {
    pub id: String,
    /// The recipient, in E.164 form.
    pub to: String,
    pub channel: &'static str,
    pub text: String,
    pub code: String,
    /// In milliseconds since 1970.
    pub received_at_ms: u64,
    /// When the code expires.
    pub expires_at_ms: u64,
    /// The friendly name of the service.
    pub service: String,
    /// `live`, `approved`, `ended` (canceled, replaced, or no check is left) or `expired`.
    pub status: &'static str,
    /// For the page.
    #[serde(skip)]
    pub age: String,
    /// For the page, of a live code.
    #[serde(skip)]
    pub life: String,
    /// For the page: the code has expired, and the form can send the next one.
    #[serde(skip)]
    pub can_renew: bool,
}

impl MessageJson {
    pub fn is_live(&self) -> bool {
        self.status == LIVE
    }
}

/// The most characters of a number that are repeated.
const LONGEST_NUMBER: usize = 40;

pub fn routes() -> Routes {
    let about = "Only in simulator mode, and only under an IP address, localhost or the configured host name. Where other machines \
                 reach the server it requires the account's credentials or a key for all services with the scope admin.";
    let described =
        Doc::new("InboxMessages", "Read the simulator's inbox", "The messages.", Content::json::<Inbox>());
    let pages = Router::new().route("/inbox", get(page).post(act));
    Routes::new("The simulator", about, Group::OPEN)
        .served_if(|app| app.inbox.is_some())
        .get("/inbox/messages", messages, Doc { reads: filter, ..described })
        .and(pages)
}

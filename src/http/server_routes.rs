//! The routes that neither send nor check codes: health, this description, the simulator's inbox, what gateways report.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use serde::Serialize;

use super::answer::Answer;
use super::connection::CertificateHealth;
use super::deps::{CallbackAnswer, CallbackKind, CallbackRequest, Deps, GatewayHealth};
use super::openapi;
use super::problem::{BadBody, Problem};
use super::request;
use super::route::{Handler, Route};
use super::routes::GROUPS;
use super::v2::params::{Param, Text};
use crate::numbers::Usage;
use crate::web::{self, InboxError};

static X_TWILIO_SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");

pub fn hello_world() -> Answer {
    Answer::envelope(StatusCode::OK, 200, "Successful Response", Some("Hello world"))
}

#[derive(Serialize)]
struct Served {
    routes: Vec<String>,
}

/// `GET /`: names the routes, as a page of links for a browser and as JSON for others. Those below `/v2` are many, and
/// have a page.
pub fn index(headers: &HeaderMap, has_inbox: bool, has_callbacks: bool) -> Answer {
    if accepts_html(headers) {
        return web::home_page(has_inbox).into();
    }
    let is_listed = |route: &&Route| match route.handler {
        Handler::V2(_) => false,
        Handler::Inbox => has_inbox,
        Handler::Callback(_) => has_callbacks,
        _ => true,
    };
    let listed = GROUPS.iter().flat_map(|group| group.routes).filter(is_listed);
    let routes = listed.map(|route| format!("{} {}", route.verb.as_str(), route.path));
    let routes = routes.chain(["/v2/.., see GET /docs".to_owned()]).collect();
    let message = "onceward: phone verification by one-time code";
    Answer::envelope(StatusCode::OK, 200, message, Some(Served { routes }))
}

/// Whether `Accept` names `text/html`, as browsers do. Programs say `*/*` or nothing.
fn accepts_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

pub fn description() -> Answer {
    Answer::json_text(StatusCode::OK, openapi::text())
}

pub fn docs() -> Answer {
    openapi::page().into()
}

#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<GatewayHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<NumbersHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<CertificateHealth>,
}

/// The names of the fields are part of the answer.
#[derive(Serialize)]
struct NumbersHealth {
    /// Remembered numbers.
    held: usize,
    /// From this many on new ones are refused. The server stays ready: known numbers are served.
    limit: usize,
}

impl From<Usage> for NumbersHealth {
    fn from(Usage { held, limit }: Usage) -> Self {
        Self { held, limit }
    }
}

/// `GET /healthz`: the process lives.
pub fn alive() -> Answer {
    Answer::plain(StatusCode::OK, "alive")
}

/// `GET /readyz`: the server can do its work, or the reasons why not; and how the gateways and the certificate are and how
/// many numbers are remembered, if that is known.
pub fn ready<V>(deps: &Deps<V>) -> Answer {
    let details = Details {
        reasons: (deps.readiness)().err(),
        gateways: (deps.gateways)(),
        numbers: (deps.numbers)().map(NumbersHealth::from),
        tls: deps.tls.as_ref().map(|tls| tls.certificate()),
    };
    if details.reasons.is_some() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Answer::envelope(status, status.as_u16(), "not ready", Some(details)).retry_later();
    }
    let says_more = !details.gateways.is_empty() || details.numbers.is_some() || details.tls.is_some();
    let details = says_more.then_some(details);
    Answer::envelope(StatusCode::OK, StatusCode::OK.as_u16(), "ready", details)
}

/// The filter of the inbox, which its page reads.
pub fn describe_inbox() -> Vec<Param> {
    vec![Param::of::<Option<Text<40>>>("to", "Only messages to this number.", "+14155552671")]
}

/// `GET /inbox` and below. The pages show codes, so no page of another site may read them.
pub fn inbox<V>(deps: &Deps<V>, head: &Parts) -> Result<Answer, Problem> {
    let simulator = deps.inbox.as_deref().ok_or(Problem::NotFound)?;
    if !request::names_this_server(head, deps.host_name.as_deref()) {
        return Err(Problem::ForeignHost);
    }
    match web::inbox(simulator, deps.default_region, head.uri.path(), head.uri.query()) {
        Ok(page) => Ok(page.into()),
        Err(InboxError::NoSuchPage) => Err(Problem::NotFound),
        Err(error @ InboxError::BadNumber(_)) => {
            Ok(Answer::plain(StatusCode::BAD_REQUEST, &error.to_string()))
        }
    }
}

/// `POST /callbacks/twilio/..`: hands a report on as it was sent. Its signature covers the path, the query and the body.
pub async fn callback<V>(
    deps: &Deps<V>,
    kind: CallbackKind,
    head: &Parts,
    body: Bytes,
) -> Result<Answer, Problem> {
    let callbacks = deps.callbacks.as_deref().ok_or(Problem::NotFound)?;
    let path_and_query = head.uri.path_and_query().map_or("", |both| both.as_str());
    let request = CallbackRequest {
        kind,
        path_and_query: path_and_query.to_owned(),
        content_type: only(&head.headers, &CONTENT_TYPE),
        signature: only(&head.headers, &X_TWILIO_SIGNATURE),
        body,
    };
    match callbacks.receive(request).await {
        CallbackAnswer::NoContent => Ok(Answer::empty()),
        CallbackAnswer::Twiml(document) => Ok(Answer::xml(StatusCode::OK, document)),
        CallbackAnswer::BadSignature => Err(Problem::BadSignature),
        CallbackAnswer::Unreadable => Err(Problem::BadBody(BadBody::Report)),
        CallbackAnswer::Unavailable => Err(Problem::CallbackUnavailable),
    }
}

/// A header's value, if there is one and it is visible ASCII.
fn only(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(str::to_owned)
}

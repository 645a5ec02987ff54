//! `POST /callbacks/twilio/..`: what Twilio reports of messages and calls: `docs/api.md`.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;

use crate::http::answer::Answer;
use crate::http::bad_body::BadBody;
use crate::http::deps::{CallbackAnswer, CallbackKind, CallbackRequest, Deps};
use crate::http::problem::Problem;

static X_TWILIO_SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");

/// Hands a report on, as it was sent: its signature covers the path, the query and the body.
pub async fn answer<V>(
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

/// A header's value, if it has one that is visible ASCII.
fn only(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(str::to_owned)
}

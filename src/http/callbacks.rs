//! Reports of gateways: of Twilio, and of providers with a recipe.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::http::uri::PathAndQuery;

use super::call::{Call, Group};
use super::error::Error;
use super::openapi::{Content, Doc, Routes};
use crate::gateway::CallbackKind;
use crate::node::{CHALLENGE, TWIML};
use crate::verification::Refusal;

/// `POST /callbacks/..`, and `GET` for gateways with a recipe: passes a report on unchanged. Its signature covers the path, the
/// query and the body.
async fn callback(call: Call) -> Result<Response, Error> {
    let reports = call.app.reports.as_ref().ok_or(Error::NOT_SERVED)?;
    let (head, body) = (&call.head, &call.body);
    let path_and_query = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let (prefix, matched) = (reports.path_prefix(), call.matched.as_ref().map_or("", MatchedPath::as_str));
    let has_prefix = matched.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("/callbacks/"));
    let path_and_query = &format!("{}{path_and_query}", if has_prefix { prefix } else { "" });
    let running = call.app.running().ok().map(Arc::as_ref);
    match reports.record(path_and_query, &head.headers, body, running).await {
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Some((TWIML, document))) => Ok(([("content-type", TWIML)], document).into_response()),
        Ok(Some((kind, text))) => {
            Ok(([("content-type", kind), ("x-content-type-options", "nosniff")], text).into_response())
        }
        Err(StatusCode::FORBIDDEN) => Err(Error::BAD_SIGNATURE),
        Err(StatusCode::BAD_REQUEST) => Err(Error::body("it is not a report of this kind")),
        Err(StatusCode::INTERNAL_SERVER_ERROR) => Err(Refusal::OutcomeUnknown.into()),
        Err(_) => Err(Error::REPORT_NOT_TAKEN),
    }
}

const TAKEN: &str = "Accepted.";

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Reports of gateways", "The server accepts only reports with the provider's signature, or with the key of an address that only the provider \
            was told. The routes do not exist if no gateway reports.", Group::CLOSED_TO_PAGES)
        .served_if(|app| app.reports.is_some())
        .get("/callbacks/gateways/{Name}", callback, Doc::new("GatewayByGet", "Report a delivery in the query, or verify the address", "The challenge.", Content::Text(CHALLENGE))
                .about("A report gets 204, and a provider that verifies the address the text of hub.challenge."))
        .post("/callbacks/gateways/{Name}", callback, Doc { status: 204, ..Doc::new("Gateway", "Report the delivery of a message of a gateway with a recipe", TAKEN, Content::Nothing) })
        .post(CallbackKind::Message.path(), callback, Doc { status: 204, ..Doc::new("TwilioMessage", "Report the delivery of a message", TAKEN, Content::Nothing) })
        .post(CallbackKind::Call.path(), callback, Doc { status: 204, ..Doc::new("TwilioCall", "Report the end of a call", TAKEN, Content::Nothing) })
        .post(CallbackKind::Gate.path(), callback, Doc::new("TwilioGate", "Report a pressed key", "What the call does next.", Content::Text(TWIML)))
}

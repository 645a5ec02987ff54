//! Reports of gateways: of Twilio, and of providers with a recipe.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::http::uri::PathAndQuery;

use super::call::Call;
use super::response::{BadBody, Problem};
use super::route::{ApiGroup, ApiRouter, Content, Operation, Success};
use crate::gateway::CallbackKind;
use crate::node::{CHALLENGE, TWIML};
use crate::verification::numbers::Refusal;

/// `POST /callbacks/..`, and `GET` for gateways with a recipe: passes a report on unchanged. Its signature covers the path, the
/// query and the body.
async fn callback(call: Call) -> Result<Response, Problem> {
    let reports = call.app.reports.as_ref().ok_or(Problem::NotFound)?;
    let (head, body) = (&call.head, call.body()?);
    let path_and_query = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let running = call.app.running().ok().map(Arc::as_ref);
    match reports.record(path_and_query, &head.headers, &body, running).await {
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Some((TWIML, document))) => Ok(([("content-type", TWIML)], document).into_response()),
        Ok(Some((kind, text))) => {
            Ok(([("content-type", kind), ("x-content-type-options", "nosniff")], text).into_response())
        }
        Err(StatusCode::FORBIDDEN) => Err(Problem::BadSignature),
        Err(StatusCode::BAD_REQUEST) => Err(Problem::BadBody(BadBody::Report)),
        Err(StatusCode::INTERNAL_SERVER_ERROR) => Err(Problem::Refused(Refusal::OutcomeUnknown)),
        Err(_) => Err(Problem::CallbackUnavailable),
    }
}

const GROUP: ApiGroup = ApiGroup {
    is_closed_to_pages: true,
    is_served: |app| app.reports.is_some(),
    ..ApiGroup::open(
        "Reports of gateways",
        "The server accepts only reports with the provider's signature, or with the key of an address that only the provider \
         was told. The routes do not exist if no gateway reports.",
    )
};

const TAKEN: Success = Success { status: 204, about: "Accepted.", content: Content::Nothing };
const XML: Success = Success::ok("What the call does next.", Content::Text(TWIML));
const TEXT: Success = Success::ok("The challenge.", Content::Text(CHALLENGE));

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP)
        .get("/callbacks/gateways/{Name}", callback,
            Operation::new("GatewayByGet", "Report a delivery in the query, or verify the address", TEXT)
                .about("A report gets 204, and a provider that verifies the address the text of hub.challenge."))
        .post("/callbacks/gateways/{Name}", callback,
            Operation::new("Gateway", "Report the delivery of a message of a gateway with a recipe", TAKEN))
        .post(CallbackKind::Message.path(), callback,
            Operation::new("TwilioMessage", "Report the delivery of a message", TAKEN))
        .post(CallbackKind::Call.path(), callback,
            Operation::new("TwilioCall", "Report the end of a call", TAKEN))
        .post(CallbackKind::Gate.path(), callback,
            Operation::new("TwilioGate", "Report a pressed key", XML))
}

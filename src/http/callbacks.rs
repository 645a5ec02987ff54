//! Reports of gateways: of Twilio, and of providers with a recipe.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::HeaderName;

use super::call::Call;
use super::request;
use super::response::{self, BadBody, Problem};
use super::route::{ApiGroup, ApiRouter, Content, Operation, Success};
use crate::gateway::CallbackKind;
use crate::node::{CallbackAnswer, CallbackRequest};

static X_TWILIO_SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");

/// `POST /callbacks/..`, and `GET` for gateways with a recipe: passes a report on unchanged. Its signature covers the path, the
/// query and the body.
async fn callback(call: Call, kind: Option<CallbackKind>) -> Result<Response, Problem> {
    let reports = call.app.reports.as_ref().ok_or(Problem::NotFound)?;
    let (head, body) = (&call.head, call.read_body().await?);
    let path_and_query = head.uri.path_and_query().map_or("", |both| both.as_str());
    let request = CallbackRequest {
        kind,
        path_and_query: path_and_query.to_owned(),
        signature: request::only(&head.headers, &X_TWILIO_SIGNATURE).map(str::to_owned),
        headers: head.headers.clone(),
        body,
    };
    match reports.record(&request, call.app.running().ok().map(Arc::as_ref)).await {
        CallbackAnswer::NoContent => Ok(StatusCode::NO_CONTENT.into_response()),
        CallbackAnswer::Twiml(document) => Ok(response::page("text/xml; charset=utf-8", &[], document)),
        CallbackAnswer::Challenge(text) => {
            Ok(response::page("text/plain; charset=utf-8", &[("x-content-type-options", "nosniff")], text))
        }
        CallbackAnswer::BadSignature => Err(Problem::BadSignature),
        CallbackAnswer::Unreadable => Err(Problem::BadBody(BadBody::Report)),
        CallbackAnswer::Unavailable => Err(Problem::CallbackUnavailable),
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
const XML: Success = Success::ok("What the call does next.", Content::Text("text/xml; charset=utf-8"));
const TEXT: Success = Success::ok("The challenge.", Content::Text("text/plain; charset=utf-8"));

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    let of = |kind| move |call: Call| callback(call, kind);
    ApiRouter::of(GROUP)
        .get("/callbacks/gateways/{Name}", of(None),
            Operation::new("GatewayByGet", "Report a delivery in the query, or verify the address", TEXT)
                .about("A report gets 204, and a provider that verifies the address the text of hub.challenge."))
        .post("/callbacks/gateways/{Name}", of(None),
            Operation::new("Gateway", "Report the delivery of a message of a gateway with a recipe", TAKEN))
        .post(CallbackKind::Message.path(), of(Some(CallbackKind::Message)),
            Operation::new("TwilioMessage", "Report the delivery of a message", TAKEN))
        .post(CallbackKind::Call.path(), of(Some(CallbackKind::Call)),
            Operation::new("TwilioCall", "Report the end of a call", TAKEN))
        .post(CallbackKind::Gate.path(), of(Some(CallbackKind::Gate)),
            Operation::new("TwilioGate", "Report a pressed key", XML))
}

//! One request of a connection: hands it to the router.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, StatusCode, Uri};
use tower_service::Service as _;

use super::open::ActiveRequest;
use crate::http::service::Arrived;

/// Answers one request. Every failure becomes an answer.
pub async fn respond(active: ActiveRequest, request: Request<Incoming>) -> Result<Response, Infallible> {
    let connection = Arc::clone(&active.connection);
    let server = &connection.server;
    let mut request = request.map(Body::new);
    let prefix = server.app.callbacks.as_deref().map_or("", |callbacks| callbacks.path_prefix());
    let sent_uri =
        routed_uri(request.uri(), prefix).map(|routed| std::mem::replace(request.uri_mut(), routed));
    let arrived = Arrived { connection: Arc::clone(&connection), number: active.number, sent_uri };
    request.extensions_mut().insert(arrived);
    let Ok(mut response) = server.router.clone().call(request).await;
    let (status, headers) = (response.status(), response.headers_mut());
    if status != StatusCode::METHOD_NOT_ALLOWED {
        // The router adds it to every answer to such a method.
        headers.remove(ALLOW);
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
    }
    Ok(response)
}

/// The address as the router has it, if it was sent as another one. Reports may come with the path of the public address
/// in front of ours; nothing else does.
fn routed_uri(uri: &Uri, prefix: &str) -> Option<Uri> {
    let ours = uri.path_and_query()?.as_str().strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
    ours.starts_with("/callbacks/").then(|| PathAndQuery::try_from(ours).ok().map(Uri::from)).flatten()
}

//! One request of a connection: hands it to the router, and finishes the answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, StatusCode, Uri, Version};
use tower_service::Service as _;

use super::open::ActiveRequest;
use crate::http::call::Exchange;
use crate::http::places::limited_address;
use crate::http::request::{self, BodyRoom, RequestBody, X_REQUEST_ID};
use crate::http::service::{Arrived, FromOwner};

/// Answers one request. Every failure becomes an answer.
pub async fn respond(active: ActiveRequest, request: Request<Incoming>) -> Result<Response, Infallible> {
    let server = active.server();
    let app = &*server.app;
    let (mut head, incoming) = request.into_parts();
    if let Some(user) = active.user() {
        head.extensions.insert(user);
    }
    let (version, peer) = (head.version, active.peer());
    let client = request::client_address(&app.settings.proxies, &head.headers, peer);
    if client.is_err() {
        server.logs.note_unread_address(&app.settings.proxies);
    }
    let client = client.unwrap_or_default();
    let room = BodyRoom {
        places: Arc::clone(&server.body_places),
        of_connection: Arc::clone(active.bodies()),
        address: limited_address(client, peer, &app.settings.proxies),
    };
    let body = RequestBody::new(incoming, room);
    let exchange = Exchange::new(body, server.stop.clone(), Arc::clone(&server.logs));
    let id = request::id_of_client(&head.headers).unwrap_or_else(|| active.request_id());
    let sent_uri =
        routed_uri(&head.uri, app.callbacks.as_deref().map_or("", |callbacks| callbacks.path_prefix()))
            .map(|routed| std::mem::replace(&mut head.uri, routed));
    head.extensions.insert(Arrived {
        exchange: exchange.clone(),
        id: id.clone(),
        peer,
        port: active.port(),
        client,
        sent_uri,
    });
    let Ok(mut response) = server.router.clone().call(Request::from_parts(head, Body::empty())).await;

    // A handler that panicked may have dropped it.
    let mut is_left_over = true;
    if let Some(mut body) = exchange.take_body() {
        if body.is_left_over() {
            body.discard(version).await;
        }
        is_left_over = body.is_left_over();
    }
    if is_left_over {
        active.note_unread_body();
    }
    let is_from_owner = response.extensions_mut().remove::<FromOwner>().is_some();
    let (status, headers) = (response.status(), response.headers_mut());
    if !is_from_owner {
        headers.insert(&X_REQUEST_ID, id);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if status != StatusCode::METHOD_NOT_ALLOWED {
        // The router adds it to every answer to such a method.
        headers.remove(ALLOW);
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
    }
    // HTTP/2 has no such header; there only the stream ends.
    if version <= Version::HTTP_11 && (is_left_over || server.is_leaving.load(Ordering::Relaxed)) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Like [`respond`]. While the client takes the answer, nothing of the handler is held in memory.
pub fn respond_boxed(
    active: ActiveRequest,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<Response, Infallible>> {
    respond(active, request).boxed()
}

/// The address as the router has it, if it was sent as another one. Reports may come with the path of the public address
/// in front of ours; nothing else does.
fn routed_uri(uri: &Uri, prefix: &str) -> Option<Uri> {
    let ours = uri.path_and_query()?.as_str().strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
    ours.starts_with("/callbacks/").then(|| PathAndQuery::try_from(ours).ok().map(Uri::from)).flatten()
}

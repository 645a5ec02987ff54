//! One request: what the front end knows of it when its handler begins.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, RawPathParams};
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::api::params::Param;
use super::app::App;
use super::connection::Connection;
use super::places::LongAnswerPermit;
use super::request::RequestBody;
use super::response::Problem;
use super::route::{Access, Operation, Reads};
use crate::observe::trace::{RequestId, SpanContext};

/// A request at a route. The extractor of all handlers, alone or behind a stricter one.
#[derive(Clone)]
pub struct Call(Arc<Received>);

pub struct Received {
    pub app: App,
    pub head: Parts,
    /// The variable segments of the path. `None` without any, and for one that is not UTF-8.
    pub params: Option<RawPathParams>,
    /// The route and its access rule; `None` below a path that is not served.
    pub operation: Option<(Access, &'static Operation)>,
    /// Stands in the answer and in the log.
    pub id: HeaderValue,
    /// The request's span, if it is traced.
    pub span: Option<SpanContext>,
    /// The address of the other end: the client, or a proxy.
    pub peer: IpAddr,
    /// The port of the server that the request came to; `None` at the control socket, and if another node passed it on.
    pub port: Option<u16>,
    /// The person's address, if a trusted proxy names it.
    pub client: Option<IpAddr>,
    /// A trusted proxy says that the person is no bot.
    pub is_trusted: bool,
    /// Whether another node of the cluster passed the request on.
    pub is_passed_on: bool,
    pub connection: Arc<Connection>,
    /// Taken while it is read.
    pub body: Mutex<Option<RequestBody>>,
    /// Allows a long answer until the client has taken it.
    pub permit: Mutex<Option<LongAnswerPermit>>,
}

impl Deref for Call {
    type Target = Received;

    fn deref(&self) -> &Received {
        &self.0
    }
}

impl Call {
    pub fn new(received: Received) -> Self {
        Self(Arc::new(received))
    }
}

impl Received {
    /// Ids are visible ASCII: a client's is checked, ours is made of hex digits.
    pub fn request_id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// Logs that the request was refused because every circuit is open: once a second at most.
    pub fn log_out_of_service(&self) {
        let request_id = self.request_id().to_owned();
        self.connection.server.logs.out_of_service.note(move |count| {
            info!(request_id, count, "verification not sent, every gateway is out of service");
        });
    }

    /// The request's id with its span.
    pub fn traced_id(&self) -> RequestId {
        RequestId::new(self.request_id(), self.span.clone())
    }

    /// A variable segment of the path, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.as_ref()?.iter();
        params.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Whether each variable segment of the path is one segment once it is decoded, and stays in its place: a proxy in front
    /// that decodes others takes the path for another one. A subject of the guard may be a network, such as `192.0.2.0/24`, and
    /// what is not served has any path.
    pub fn has_proper_params(&self) -> bool {
        self.params.iter().flatten().all(|(name, value)| {
            let mut segments = value.split(['/', '\\']);
            (matches!(name, "Subject" | "Path") || !value.contains('/'))
                && segments.all(|part| part != "." && part != "..")
        })
    }

    /// The query; empty without one.
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// Reads the whole body. See [`RequestBody::read`].
    pub async fn read_body(&self) -> Result<Bytes, Problem> {
        let Some(mut body) = self.take_body() else { return Ok(Bytes::new()) };
        let bounds = &self.app.settings.bounds;
        let read = body.read(bounds.body_bytes, bounds.body_timeout).await;
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        read
    }

    pub fn take_body(&self) -> Option<RequestBody> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn set_permit(&self, permit: Option<LongAnswerPermit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }

    pub fn take_permit(&self) -> Option<LongAnswerPermit> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends streams of events when the server stops.
    pub fn stop(&self) -> CancellationToken {
        self.connection.server.stop.child_token()
    }
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The front end gives one to each request.
        parts.extensions.get().cloned().ok_or(Problem::Panicked)
    }
}

impl Reads for Call {
    fn describe() -> Vec<Param> {
        Vec::new()
    }
}

//! One request: what the front end knows of it when its handler begins.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::app::App;
use super::connection::Connection;
use super::credential::{self, Credential};
use super::request::LocalUser;
use super::response::Problem;
use super::route::{Access, Operation};
use crate::observe::trace::{RequestId, SpanContext};
use crate::registry::{Caller, Scope};

/// A request at a route. The extractor of all handlers, alone or behind a stricter one.
#[derive(Clone)]
pub struct Call(pub Arc<Received>);

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
    /// The port of the server that the request came to; `None` at the control socket.
    pub port: Option<u16>,
    /// The person's address, if a trusted proxy names it.
    pub client: Option<IpAddr>,
    /// A trusted proxy says that the person is no bot.
    pub is_trusted: bool,
    pub connection: Arc<Connection>,
    pub body: Result<Bytes, Problem>,
    /// Allows a list until the client has taken it.
    pub permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Deref for Call {
    type Target = Received;

    fn deref(&self) -> &Received {
        &self.0
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

    /// The address that limits by client count: the person's, or that of the other end.
    pub fn address(&self) -> IpAddr {
        self.client.unwrap_or(self.peer)
    }

    /// The request's id with its span.
    pub fn traced_id(&self) -> RequestId {
        RequestId::new(self.request_id(), self.span.clone())
    }

    /// The sender. An administrator of this machine needs no credential.
    ///
    /// # Errors
    /// 401. A wrong credential is logged, once a second at most. 503 while the store is being loaded.
    pub fn caller(&self) -> Result<Caller, Problem> {
        let running = self.app.running()?;
        if let Some(LocalUser(uid)) = self.head.extensions.get() {
            return Ok(Caller::User(*uid));
        }
        let credential = Credential::of(&self.head.headers).ok_or(Problem::Unauthenticated)?;
        running.registry.authenticate(credential.user(), credential.password()).map_err(|_| {
            let user = credential::masked_user(credential.user());
            self.connection.server.logs.unauthenticated.note(move |count| {
                info!(user, count, "requests with a wrong credential refused");
            });
            Problem::Unauthenticated
        })
    }

    /// Whether the sender may see something of all services: by the account's credentials, or a key for all services
    /// with one of these scopes.
    pub fn admit(&self, scopes: &[Scope]) -> Result<(), Problem> {
        let caller = self.caller()?;
        let may = scopes.iter().any(|scope| caller.may_everywhere(*scope));
        if may { Ok(()) } else { Err(Problem::Forbidden) }
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

    /// The whole body.
    ///
    /// # Errors
    /// It could not be read: the answer was made before the handler began.
    pub fn body(&self) -> Result<Bytes, Problem> {
        self.body.clone()
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

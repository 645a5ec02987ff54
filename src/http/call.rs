//! One request, and what the server knows of its sender.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts as _, MatchedPath, RawPathParams, Request};
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Uri};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::app::App;
use super::connection::Connection;
use super::credential::{self, Credential};
use super::error::Error;
use super::group::Group;
use super::response;
use crate::observe::trace::{RequestId, SpanContext};
use crate::registry::{Caller, Scope};

/// What the server knows of a request beside the request: an extension, which the handler's extractor takes.
pub struct Origin {
    pub app: App,
    pub connection: Arc<Connection>,
    pub group: Group,
    /// The template of the path, if there is a route.
    pub matched: Option<MatchedPath>,
    pub uri: Uri,
    /// Stands in the answer and in the log.
    pub id: HeaderValue,
    /// The request's span, if it is traced.
    pub span: Option<SpanContext>,
    /// The person's address, if a trusted proxy names it.
    pub client: Option<IpAddr>,
    /// A trusted proxy says that the person is no bot.
    pub is_trusted: bool,
}

/// A request with its whole body, for handlers that read it themselves.
pub struct Call {
    pub head: Parts,
    pub body: Bytes,
    origin: Arc<Origin>,
    /// The variable segments of the path. `None` without any, and for one that is not UTF-8.
    params: Option<RawPathParams>,
}

impl Deref for Call {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.origin
    }
}

impl Origin {
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
        self.client.unwrap_or(self.connection.peer)
    }

    /// The request's id with its span.
    pub fn traced_id(&self) -> RequestId {
        RequestId::new(self.request_id(), self.span.clone())
    }

    /// The sender. An administrator of this machine needs no credential.
    ///
    /// # Errors
    /// 401. A wrong credential is logged, once a second at most. 503 while the store is being loaded.
    pub fn sender(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        let running = self.app.running()?;
        if let Some(user) = self.connection.user {
            return Ok(Caller::User(user));
        }
        let credential = Credential::of(headers).ok_or(Error::UNAUTHENTICATED)?;
        running.registry.authenticate(credential.user(), credential.password()).map_err(|_| {
            let user = credential::masked_user(credential.user());
            self.connection.server.logs.unauthenticated.note(move |count| {
                info!(user, count, "requests with a wrong credential refused");
            });
            Error::UNAUTHENTICATED
        })
    }

    /// Ends streams of events when the server stops.
    pub fn stop(&self) -> CancellationToken {
        self.connection.server.stop.child_token()
    }
}

impl Call {
    /// Whether the sender may see something of all services: by the account's credentials, or a key for all services
    /// with one of these scopes.
    pub fn admit(&self, scopes: &[Scope]) -> Result<(), Error> {
        let caller = self.sender(&self.head.headers)?;
        let may = scopes.iter().any(|scope| caller.may_everywhere(*scope));
        if may { Ok(()) } else { Err(Error::FORBIDDEN) }
    }

    /// A variable segment of the path, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.as_ref()?.iter();
        params.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The query; empty without one.
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

impl FromRequest<App> for Call {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self, Error> {
        let (mut head, body) = request.into_parts();
        // The layer around each route has put it there.
        let origin = head.extensions.remove().ok_or(Error::PANICKED)?;
        let params = RawPathParams::from_request_parts(&mut head, &()).await.ok();
        Ok(Self { head, body: response::whole(body).unwrap_or_default(), origin, params })
    }
}

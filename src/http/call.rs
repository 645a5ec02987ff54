//! One request: what the front end knows of it when its handler begins.

use std::net::IpAddr;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, poll};
use http_body_util::BodyExt as _;
use hyper::Version;
use hyper::body::Body as _;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::app::App;
use super::connection::open::Connection;
use super::credential::{self, Credential};
use super::forward::Keyed;
use super::places::LongAnswerPermit;
use super::request::{self, BodyDigest, IDEMPOTENCY_KEY, LocalUser};
use super::response::{BadBody, Problem};
use super::route::{Access, Operation};
use crate::limits::rate::NODE_KEY;
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

    /// The key that a node of the cluster gave the request: this one, before it became the owner, or the one that passed
    /// it on. A client's key may look like one.
    pub fn node_key(&self) -> Option<String> {
        let is_of_node = self.is_passed_on || self.head.extensions.get::<Keyed>().is_some();
        let key = request::only(&self.head.headers, &IDEMPOTENCY_KEY).filter(|_| is_of_node)?;
        key.starts_with(NODE_KEY).then(|| key.to_owned())
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

    /// Reads the whole body. See [`RequestBody::read`].
    pub async fn read_body(&self) -> Result<Bytes, Problem> {
        let Some(mut body) = self.take_body() else { return Ok(Bytes::new()) };
        let bounds = &self.app.settings.bounds;
        let read = body.read(bounds.body_bytes, bounds.body_timeout).await;
        *self.body.lock() = Some(body);
        read
    }

    pub fn take_body(&self) -> Option<RequestBody> {
        self.body.lock().take()
    }

    pub fn set_permit(&self, permit: Option<LongAnswerPermit>) {
        *self.permit.lock() = permit;
    }

    pub fn take_permit(&self) -> Option<LongAnswerPermit> {
        self.permit.lock().take()
    }

    /// Ends streams of events when the server stops.
    pub fn stop(&self) -> CancellationToken {
        self.connection.server.stop.child_token()
    }
}

/// The most bytes that are read of a body only to discard them.
const DISCARDED_BYTES: usize = 1024 * 1024;

/// The longest wait for the rest of a body that is discarded.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A request's body, and how much of it has been taken off the connection.
pub struct RequestBody {
    body: Body,
    is_complete: bool,
    connection: Arc<Connection>,
    /// The SHA-256 that it must have.
    digest: Option<BodyDigest>,
    /// The whole body, if it was read and put back.
    whole: Option<Bytes>,
}

impl RequestBody {
    pub fn new(body: Body, connection: Arc<Connection>) -> Self {
        let is_complete = body.is_end_stream();
        Self { body, is_complete, connection, digest: None, whole: None }
    }

    /// Refuses a body that has another SHA-256.
    pub const fn expect(&mut self, digest: BodyDigest) {
        self.digest = Some(digest);
    }

    /// Makes a body that was read readable once more.
    pub fn put_back(&mut self, whole: Bytes) {
        self.whole = Some(whole);
    }

    /// The whole body. One that arrived together with its head is neither copied nor timed, and needs no place: the slow
    /// bodies of other requests do not delay one that has arrived whole.
    pub async fn read(&mut self, limit: usize, time: Duration) -> Result<Bytes, Problem> {
        if let Some(whole) = self.whole.take() {
            return Ok(whole);
        }
        if self.body.size_hint().lower() > limit as u64 {
            return Err(Problem::BodyTooLarge(limit));
        }
        let (connection, digest) = (Arc::clone(&self.connection), self.digest);
        let mut whole = pin!(self.collect(limit));
        let whole = match poll!(&mut whole) {
            Poll::Ready(whole) => whole?,
            Poll::Pending => {
                let _due = connection.activity.await_body();
                let rest = async {
                    let _place = connection.body_place().await;
                    whole.await
                };
                timeout(time, rest).await.unwrap_or(Err(Problem::BodyTooSlow))?
            }
        };
        if digest.is_some_and(|digest| BodyDigest::from(Sha256::digest(&whole)) != digest) {
            return Err(Problem::BadBody(BadBody::Broken));
        }
        Ok(whole)
    }

    /// Discards the rest of a body. Whether it ends there: then the connection can be used again.
    ///
    /// Over HTTP/2 this waits for a short rest that has not arrived yet. Otherwise the server would have to reset the
    /// stream after the answer (RFC 9113, 8.1), and some clients, such as curl 7, then drop the answer.
    pub async fn discard(&mut self, version: Version) -> bool {
        let connection = Arc::clone(&self.connection);
        let mut rest = pin!(async {
            let mut bytes = DISCARDED_BYTES;
            while bytes > 0
                && let Some(Ok(chunk)) = self.next().await
            {
                bytes = bytes.saturating_sub(chunk.len());
            }
            self.is_complete
        });
        match poll!(&mut rest) {
            Poll::Ready(is_complete) => is_complete,
            Poll::Pending if version == Version::HTTP_2 => {
                let Some(_place) = connection.body_place().now_or_never() else { return false };
                timeout(DISCARD_TIME, rest).await.unwrap_or(false)
            }
            Poll::Pending => false,
        }
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let mut whole = Bytes::new();
        while let Some(chunk) = self.next().await {
            let chunk = chunk?;
            if whole.len() + chunk.len() > limit {
                return Err(Problem::BodyTooLarge(limit));
            }
            whole = if whole.is_empty() {
                chunk
            } else {
                let mut joined = BytesMut::from(whole);
                joined.extend_from_slice(&chunk);
                joined.freeze()
            };
        }
        Ok(whole)
    }

    /// The next piece of data, empty for trailers. A broken body (bad chunk, early end) is a bad body.
    async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        if self.is_complete {
            return None;
        }
        let frame = self.body.frame().await;
        // A length tells the end before another frame is waited for.
        self.is_complete = frame.is_none() || self.body.is_end_stream();
        let data = frame?.map(|frame| frame.into_data().unwrap_or_default());
        Some(data.map_err(|_| Problem::BadBody(BadBody::Broken)))
    }
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The front end gives one to each request.
        parts.extensions.get().cloned().ok_or(Problem::Panicked)
    }
}

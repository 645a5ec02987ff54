//! The HTTP client of the gateways: one pool of connections per provider.
//!
//! Made for calls that must not happen twice. It follows no redirect and repeats nothing by
//! itself, with one exception that the HTTP library makes below it: a request of which not a byte
//! was written, because the pooled connection turned out to be closed, goes out on another
//! connection. The reasons for each setting are in `docs/decisions/0003-http-client.md`.

mod bounded;
mod connect;
mod reach;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_LENGTH, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, StatusCode, Uri};
use hyper_util::client::legacy::{Client, Error as ClientFailure};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::Deserialize;
use url::Url;

use self::connect::{CONNECT_TIMEOUT, Connector, NotResolved, OutOfReach, TooLate};

pub(super) use self::reach::Reach;
use crate::net::is_loopback_host;

/// How long an idle connection is kept. Well below the 60 to 75 s after which load balancers
/// close theirs, so that a request rarely meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections kept: as many as there may be sends in flight.
const IDLE_CONNECTIONS: usize = 512;

/// The most of an answer that is read, in bytes. A provider's answer is about one kibibyte.
const ANSWER_MAX: usize = 64 * 1024;

/// Who asks.
const OURSELVES: HeaderValue = HeaderValue::from_static(concat!("onceward/", env!("CARGO_PKG_VERSION")));

/// Said of an address that a client may not connect to.
pub(super) const OUT_OF_REACH: &str = "its address is one that nothing is sent to";

/// A client for one provider.
pub(in crate::gateway) struct HttpClient {
    client: Client<Connector, Full<Bytes>>,
}

/// One request. Whoever makes many of a kind keeps address and headers, which cost little to clone.
pub(in crate::gateway) struct Request {
    pub method: Method,
    pub address: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// There is nothing to check a server's certificate against.
    #[error(
        "no trusted root certificates were found on this machine ({0}); install its ca-certificates \
         package or set SSL_CERT_FILE"
    )]
    Roots(rustls::Error),
    /// The TLS or HTTP library refused its settings.
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
    /// There is no way to the provider.
    #[error("the proxy in HTTPS_PROXY or ALL_PROXY must begin with http:// or https://")]
    Proxy,
}

/// What a provider answered.
pub(in crate::gateway) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `None` when it broke off or was longer than 64 KiB.
    pub body: Option<Bytes>,
}

/// Why there is no answer at all. Carries words of ours only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum NoAnswer {
    /// There was no connection, so nothing was sent.
    NotConnected(String),
    /// The connection ended or broke after the request began: it may have arrived.
    Broken(&'static str),
}

impl Answer {
    /// The body, if it is JSON of that form.
    pub(in crate::gateway) fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }
}

impl HttpClient {
    /// A client for requests to `target`.
    ///
    /// A proxy from `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` is used for `https` only, where it
    /// sees a tunnel and no contents, and never for this machine itself.
    pub(super) fn for_target(target: &Url) -> Result<Self, ClientError> {
        Self::with_tls(target, tls_config(target.scheme() == "https")?)
    }

    fn with_tls(target: &Url, tls: rustls::ClientConfig) -> Result<Self, ClientError> {
        Ok(Self::by(&Arc::new(tls), proxy_to(target)?.as_ref(), Reach::Anywhere))
    }

    /// A client for any target that is reached that way.
    pub(super) fn by(tls: &Arc<rustls::ClientConfig>, proxy: Option<&Intercept>, reach: Reach) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_timer(TokioTimer::new())
            .build(Connector::new(tls, proxy, reach));
        Self { client }
    }

    /// Sends a request once and reads its answer. Takes as long as the server does: the caller
    /// bounds the time, and dropping the future closes the connection.
    pub(in crate::gateway) async fn send(&self, request: Request) -> Result<Answer, NoAnswer> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = read_bounded(&head.headers, body).await;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Sends a request once. The answer has begun when this returns; its body is still to be read.
    pub(super) async fn begin(&self, request: Request) -> Result<hyper::Response<Incoming>, NoAnswer> {
        let Request { method, address, headers, body } = request;
        let mut request = hyper::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = address;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert(OURSELVES);
        self.client.request(request).await.map_err(|error| no_answer(&error))
    }
}

/// The proxy on the way, if there is one.
pub(super) fn proxy_to(target: &Url) -> Result<Option<Intercept>, ClientError> {
    if target.scheme() != "https" || is_this_machine(target) {
        return Ok(None);
    }
    let target: Uri =
        target.as_str().parse().map_err(|_| ClientError::Setup("its URL is too long".to_owned()))?;
    let proxy = Matcher::from_env().intercept(&target);
    match proxy.as_ref().and_then(|proxy| proxy.uri().scheme_str()) {
        None | Some("http" | "https") => Ok(proxy),
        Some(_) => Err(ClientError::Proxy),
    }
}

/// HTTP/1.1 only: a connection then carries one send at a time, so one that hangs or breaks
/// makes a single send's fate unknown, never a hundred.
///
/// Without TLS no roots are needed: a container without any can still use a plain address.
pub(super) fn tls_config(load_roots: bool) -> Result<rustls::ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Setup(error.to_string()))?;
    let builder = if load_roots {
        builder.with_platform_verifier().map_err(ClientError::Roots)?
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Whether a URL names this machine: `localhost` or a loopback address.
pub(super) fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback_host)
}

async fn read_bounded(headers: &HeaderMap, mut from: Incoming) -> Option<Bytes> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > ANSWER_MAX) {
        return None;
    }
    let mut body = Vec::with_capacity(announced.unwrap_or(1024));
    while let Some(frame) = from.frame().await {
        let Ok(part) = frame.ok()?.into_data() else { continue };
        if body.len() + part.len() > ANSWER_MAX {
            return None;
        }
        body.extend_from_slice(&part);
    }
    Some(body.into())
}

fn no_answer(error: &ClientFailure) -> NoAnswer {
    let io_error = sources(error).filter_map(|e| e.downcast_ref::<io::Error>()).map(innermost).last();
    if !error.is_connect() {
        let timed_out = io_error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        return NoAnswer::Broken(if timed_out {
            "the connection timed out before an answer came"
        } else {
            "the connection broke before an answer came, or the answer was not HTTP"
        });
    }
    NoAnswer::NotConnected(if is_among_sources::<NotResolved>(error) {
        "its name could not be resolved".to_owned()
    } else if is_among_sources::<OutOfReach>(error) {
        OUT_OF_REACH.to_owned()
    } else if is_among_sources::<TooLate>(error)
        || io_error.is_some_and(|e| e.kind() == io::ErrorKind::TimedOut)
    {
        format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
    } else if let Some(tls) = sources(error).find_map(tls_error) {
        format!("the TLS handshake failed: {tls}")
    } else if let Some(refused) = io_error {
        format!("no connection: {}", refused.kind())
    } else {
        "no connection".to_owned()
    })
}

fn is_among_sources<E: Error + 'static>(error: &ClientFailure) -> bool {
    sources(error).any(<dyn Error>::is::<E>)
}

fn sources<'a>(error: &'a ClientFailure) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// I/O errors hide what they wrap from `source()`, and TLS wraps them more than once: "other error" tells
/// nobody anything.
fn innermost(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()) {
        error = inner;
    }
    error
}

/// The TLS library's own error travels inside I/O errors.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    innermost(error.downcast_ref::<io::Error>()?).get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests;

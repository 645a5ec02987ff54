//! The HTTP client of the gateways: one pool of connections per provider.
//!
//! Made for calls that must not happen twice. It follows no redirect and repeats nothing by
//! itself, with one exception that the HTTP library makes below it: a request of which not a byte
//! was written, because the pooled connection turned out to be closed, goes out on another
//! connection. It runs on threads of its own. The reasons for each setting are in
//! `docs/decisions/0003-http-client.md`.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{Client, Request, StatusCode, Url};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::Deserialize;
use tokio::runtime::Handle;

/// Time for name resolution, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an idle connection is kept. Well below the 60 to 75 s after which load balancers
/// close theirs, so that a request rarely meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections kept: as many as there may be sends in flight.
const IDLE_CONNECTIONS: usize = 512;

/// The most of an answer that is read, in bytes. A provider's answer is about one kibibyte.
const ANSWER_MAX: usize = 64 * 1024;

/// A client for one provider.
pub(in crate::gateway) struct HttpClient {
    client: Client,
    threads: Handle,
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
    /// The system gave no threads.
    #[error("the system gave no threads to talk to providers on: {0}")]
    Threads(String),
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
        let threads = threads::handle().map_err(ClientError::Threads)?;
        Self::with_tls(target, tls_config(target.scheme() == "https")?, threads)
    }

    fn with_tls(target: &Url, tls: rustls::ClientConfig, threads: Handle) -> Result<Self, ClientError> {
        let tunnel_or_nothing = target.scheme() == "https" && !is_this_machine(target);
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .referer(false)
            .user_agent(concat!("onceward/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS);
        let builder = if tunnel_or_nothing { builder } else { builder.no_proxy() };
        let client = builder.build().map_err(|error| ClientError::Setup(causes(&error)))?;
        Ok(Self { client, threads })
    }

    /// Sends a request once and reads its answer. Takes as long as the server does: the caller
    /// bounds the time, and dropping the future closes the connection.
    pub(in crate::gateway) async fn send(&self, request: Request) -> Result<Answer, NoAnswer> {
        let exchange = exchange(self.client.clone(), request);
        let ended = threads::run_on(&self.threads, exchange).await;
        ended.unwrap_or(Err(NoAnswer::Broken("the exchange was broken off by an error of this program")))
    }
}

async fn exchange(client: Client, request: Request) -> Result<Answer, NoAnswer> {
    let mut response = client.execute(request).await.map_err(|error| no_answer(&error))?;
    let body = read_bounded(&mut response).await;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    Ok(Answer { status, headers, body })
}

/// HTTP/1.1 only: a connection then carries one send at a time, so one that hangs or breaks
/// makes a single send's fate unknown, never a hundred.
///
/// Without TLS no roots are needed: a container without any can still use a plain address.
fn tls_config(load_roots: bool) -> Result<rustls::ClientConfig, ClientError> {
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
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare == "localhost"
        || bare.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn read_bounded(response: &mut reqwest::Response) -> Option<Bytes> {
    let announced = response.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > ANSWER_MAX) {
        return None;
    }
    let mut body = Vec::with_capacity(announced.unwrap_or(1024));
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body.into())
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_builder() {
        return NoAnswer::NotConnected("the request could not be built".to_owned());
    }
    if !error.is_connect() {
        return NoAnswer::Broken(if error.is_timeout() {
            "the connection timed out before an answer came"
        } else {
            "the connection broke before an answer came, or the answer was not HTTP"
        });
    }
    let refused = sources(error).filter_map(|e| e.downcast_ref::<io::Error>()).map(innermost).last();
    NoAnswer::NotConnected(if error.is_dns() {
        "its name could not be resolved".to_owned()
    } else if error.is_timeout() {
        format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
    } else if let Some(tls) = sources(error).find_map(tls_error) {
        format!("the TLS handshake failed: {tls}")
    } else if let Some(refused) = refused {
        format!("no connection: {}", refused.kind())
    } else {
        "no connection".to_owned()
    })
}

fn sources<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let this = next?;
        next = this.source();
        Some(this)
    })
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
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    innermost(error.downcast_ref::<io::Error>()?).get_ref()?.downcast_ref()
}

fn causes(error: &reqwest::Error) -> String {
    sources(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

mod threads;

#[cfg(test)]
mod tests;

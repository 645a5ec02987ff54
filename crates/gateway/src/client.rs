//! The HTTP client of the gateways, the webhooks and the export of spans: `reqwest`, one pool of connections for each
//! gateway; beside it the clients for addresses that are named over the API.
//!
//! It is made for calls that must not happen twice: it follows no redirect and repeats no request, with one exception
//! that the HTTP library makes below it: a request of which not a byte was written, because the pooled connection
//! turned out to be closed, goes out on another connection. `docs/internals/http.md` gives the
//! reasons for each setting.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Body, Proxy, Request, Response, StatusCode};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::de::DeserializeOwned;
use url::Url;

use super::egress::{EgressPolicy, OutOfReach};
use super::said::clean_text;
use crate::net::is_loopback_host;

/// Time for name resolution, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The lifetime of an idle connection. Well below the 60 to 75 s after which load balancers close theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections kept: as many as there may be sends in flight.
const IDLE_CONNECTIONS: usize = 512;

/// The most of an answer that is read, in bytes. A provider's answer is about one kibibyte.
const ANSWER_MAX: usize = 64 * 1024;

const USER_AGENT: &str = concat!("onceward/", env!("CARGO_PKG_VERSION"));

/// A client for one provider, or for the webhooks that are reached in the same way.
pub struct HttpClient(reqwest::Client);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "no trusted root certificates were found on this machine ({0}); install its ca-certificates \
         package or set SSL_CERT_FILE"
    )]
    Roots(rustls::Error),
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
    #[error("the proxy in HTTPS_PROXY or ALL_PROXY must begin with http:// or https://")]
    Proxy,
}

pub struct GatewayResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `None` when it broke off or was longer than 64 KiB.
    pub body: Option<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoResponse {
    /// The egress policy refuses the address. Nothing was sent.
    OutOfReach,
    /// The request cannot be written: its URL is too long. Nothing was sent.
    Unsendable,
    /// There was no connection. Nothing was sent.
    NotConnected(String),
    /// The connection ended or broke after the request began: it may have arrived.
    Broken(String),
}

impl NoResponse {
    /// The reason, for an operator.
    pub fn into_reason(self) -> String {
        match self {
            Self::NotConnected(why) | Self::Broken(why) => why,
            Self::OutOfReach | Self::Unsendable => "it cannot be asked".to_owned(),
        }
    }
}

impl GatewayResponse {
    /// The body, if it is JSON of that form.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&clean_text(self.body.as_deref()?)).ok()
    }
}

impl HttpClient {
    /// A client for requests to `target`, which the operator has named.
    ///
    /// A proxy from `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` is used for `https` only, where it sees a tunnel and no
    /// contents, and never for this machine itself.
    pub fn for_target(target: &Url) -> Result<Self, ClientError> {
        let tls = tls_for(target.scheme() == "https")?;
        Self::new(tls, proxy_to(target)?.as_ref(), EgressPolicy::Anywhere)
    }

    /// A client that connects to what `egress` allows, or through a proxy, which decides by itself what it connects
    /// to.
    fn new(
        tls: rustls::ClientConfig,
        proxy: Option<&Intercept>,
        egress: EgressPolicy,
    ) -> Result<Self, ClientError> {
        let setup = |error: reqwest::Error| ClientError::Setup(error.without_url().to_string());
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .user_agent(HeaderValue::from_static(USER_AGENT))
            .no_proxy();
        let builder = match proxy {
            None => builder.dns_resolver(egress),
            Some(intercept) => {
                let proxy = Proxy::all(intercept.uri().to_string()).map_err(setup)?;
                let proxy = match intercept.basic_auth() {
                    Some(credentials) => proxy.custom_http_auth(credentials.clone()),
                    None => proxy,
                };
                builder.dns_resolver(EgressPolicy::Anywhere).proxy(proxy)
            }
        };
        builder.build().map(Self).map_err(setup)
    }

    /// Sends a request once and reads its answer. Takes as long as the server does: the caller bounds the time, and
    /// dropping the future closes the connection.
    pub async fn send(&self, request: Request) -> Result<GatewayResponse, NoResponse> {
        let mut response = self.begin(request).await?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let fits = response.content_length().is_none_or(|length| length <= ANSWER_MAX as u64);
        let read = Limited::new(Body::from(response), ANSWER_MAX).collect();
        let body = if fits { read.await.ok().map(Collected::to_bytes) } else { None };
        Ok(GatewayResponse { status, headers, body })
    }

    /// Sends a request once. The answer has begun when this returns; its body is still to be read.
    pub async fn begin(&self, request: Request) -> Result<Response, NoResponse> {
        self.0.execute(request).await.map_err(|error| no_response(&error))
    }
}

/// Clients for addresses that are named over the API: each request goes to an address that the policy allows. Made
/// when they are first needed.
pub struct EgressClients {
    policy: EgressPolicy,
    /// By whether the URL is `https`, and whether a proxy is used. The environment names at most one.
    clients: Mutex<HashMap<(bool, bool), Arc<HttpClient>>>,
}

impl EgressClients {
    /// Link-local addresses, and with them the metadata of clouds, are never reached. `private` says whether this
    /// machine and private networks are.
    pub fn new(private: bool) -> Self {
        let policy = if private { EgressPolicy::PrivateToo } else { EgressPolicy::PublicOnly };
        Self { policy, clients: Mutex::default() }
    }

    /// Sends a request once. The answer has begun when this returns; its body is still to be read.
    pub async fn begin(&self, request: Request) -> Result<Response, NoResponse> {
        if !self.policy.allows_host(request.url()) {
            return Err(NoResponse::OutOfReach);
        }
        let client = self.client_to(request.url());
        client.map_err(|error| NoResponse::NotConnected(error.to_string()))?.begin(request).await
    }

    fn client_to(&self, url: &Url) -> Result<Arc<HttpClient>, ClientError> {
        let proxy = proxy_to(url)?;
        let way = (url.scheme() == "https", proxy.is_some());
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&way) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(HttpClient::new(tls_for(way.0)?, proxy.as_ref(), self.policy)?);
        clients.insert(way, Arc::clone(&client));
        Ok(client)
    }
}

fn proxy_to(target: &Url) -> Result<Option<Intercept>, ClientError> {
    if target.scheme() != "https" || target.host_str().is_some_and(is_loopback_host) {
        return Ok(None);
    }
    let target = target.as_str().parse().map_err(|_| ClientError::Setup("its URL is too long".to_owned()))?;
    let proxy = Matcher::from_env().intercept(&target);
    match proxy.as_ref().and_then(|proxy| proxy.uri().scheme_str()) {
        None | Some("http" | "https") => Ok(proxy),
        Some(_) => Err(ClientError::Proxy),
    }
}

/// TLS with the platform's root certificates, which are read once and shared by all clients; without roots for `http`
/// targets, so that a container without any certificates can use a plain address.
fn tls_for(is_https: bool) -> Result<rustls::ClientConfig, ClientError> {
    static TLS: OnceLock<rustls::ClientConfig> = OnceLock::new();
    if !is_https {
        let no_roots = rustls::RootCertStore::empty();
        return Ok(http1_only(tls_builder()?.with_root_certificates(no_roots).with_no_client_auth()));
    }
    if let Some(tls) = TLS.get() {
        return Ok(tls.clone());
    }
    let tls = tls_builder()?.with_platform_verifier().map_err(ClientError::Roots)?.with_no_client_auth();
    Ok(TLS.get_or_init(|| http1_only(tls)).clone())
}

/// A connection then carries one send at a time: when it hangs or breaks, the fate of a single send is unknown.
fn http1_only(mut tls: rustls::ClientConfig) -> rustls::ClientConfig {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls
}

fn tls_builder() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, ClientError> {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Setup(error.to_string()))
}

fn no_response(error: &reqwest::Error) -> NoResponse {
    if error.is_builder() {
        return NoResponse::Unsendable;
    }
    if sources(error).any(<dyn Error>::is::<OutOfReach>) {
        return NoResponse::OutOfReach;
    }
    let why = sources(error).last().map_or_else(|| "no answer".to_owned(), ToString::to_string);
    // What `openssl req -x509` makes by itself.
    let remedy = "its certificate is that of an authority (CA:TRUE); make one with `openssl req -x509 -addext \
                  basicConstraints=critical,CA:FALSE`, and name it in SSL_CERT_FILE";
    let why = if why.contains("CaUsedAsEndEntity") { remedy.to_owned() } else { why };
    if error.is_connect() { NoResponse::NotConnected(why) } else { NoResponse::Broken(why) }
}

fn sources<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests;

//! One request: what it has in common with others of its routes, and what the server knows of its sender.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts as _, MatchedPath, RawPathParams, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, FORWARDED, HeaderName, ORIGIN, VIA};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::app::App;
use super::connection::Connection;
use super::error::Error;
use super::form::{Form, Params};
use super::request;
use super::response::ErrorFormat;
use crate::domain::ServiceId;
use crate::net::is_loopback_host;
use crate::node::Running;
use crate::observe::trace::RequestId;
use crate::registry::{Caller, Scope};

/// What the server knows of a request beside the request: an extension, which the handler's extractor takes.
pub struct Origin {
    pub app: App,
    pub connection: Arc<Connection>,
    pub group: Group,
    /// The template of the path, if there is a route.
    pub matched: Option<MatchedPath>,
    /// The host that it is for, if it says.
    pub host: Option<Authority>,
    /// The whole body; empty if it was refused.
    pub body: Bytes,
    /// Why the body was not read, if the handler answers that in a form of its own.
    pub unread: Option<Error>,
    /// Stands in the answer and in the log; with the request's span, if it is traced.
    pub id: RequestId,
    /// The person's address, if a trusted proxy names it.
    pub client: Option<IpAddr>,
    /// A trusted proxy says that the person is no bot.
    pub is_exempt: bool,
}

/// A request for handlers that read it themselves.
pub struct Call {
    pub head: Parts,
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
    pub fn request_id(&self) -> &str {
        &self.id
    }

    /// The sender. An administrator of this machine needs no credential.
    ///
    /// # Errors
    /// 401. 503 while the store is being loaded.
    pub fn sender(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        let running = self.app.running()?;
        if let Some(user) = self.connection.user {
            return Ok(Caller::User(user));
        }
        let credential = Credential::of(headers).ok_or(Error::UNAUTHENTICATED)?;
        self.authenticate(running, credential.user(), credential.password())
    }

    /// The caller with this credential. A wrong one is logged, once a second at most.
    pub fn authenticate(&self, running: &Running, user: &str, password: &str) -> Result<Caller, Error> {
        running.registry.authenticate(user, password).ok_or_else(|| {
            let user = masked_user(user);
            self.connection.server.logs.note("unauthenticated", move |count| {
                info!(user, count, "requests with a wrong credential refused");
            });
            Error::UNAUTHENTICATED
        })
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

    /// Whether its form comes from a page of this server. One of another origin is logged: it may be a proxy's doing.
    pub fn has_own_form(&self) -> bool {
        let is_own = request::is_own_form(&self.head, self.host.as_ref());
        if !is_own {
            let shown = |text: &str| text.chars().take(LONGEST_SHOWN).collect::<String>();
            let origin = request::only(&self.head.headers, &ORIGIN).map_or("none".to_owned(), shown);
            let host = self.host.as_ref().map_or("none".to_owned(), |host| shown(host.as_str()));
            self.connection.server.logs.note("form of another origin", move |count| {
                warn!(
                    origin,
                    host,
                    count,
                    "form refused, its Origin differs from Host; a proxy must pass Host on unchanged"
                );
            });
        }
        is_own
    }

    /// The query; empty without one.
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

impl FromRequest<App> for Call {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self, Error> {
        let (mut head, _) = request.into_parts();
        // The layer around each route has put it there.
        let origin = head.extensions.remove().ok_or(Error::PANICKED)?;
        let params = RawPathParams::from_request_parts(&mut head, &()).await.ok();
        Ok(Self { head, origin, params })
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        if request.method() != Method::POST {
            return Ok(Self::of_text(request.uri().query().unwrap_or_default().as_bytes()));
        }
        let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
        let origin: &Arc<Origin> = request.extensions().get().ok_or(Error::PANICKED)?;
        let form = Self::of_body(content_type, &origin.body)?;
        form.refuse_not_served()?;
        Ok(form)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Params<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        Form::from_request(request, state).await?.read().map(Self)
    }
}

/// What routes have in common that belong together: they read and refuse alike.
#[derive(Clone, Copy)]
pub struct Group {
    /// The form of its errors: those of the tutorial's API are `{"message"}` in every case, so that its clients find it
    /// in a 404, 413 or 503 too.
    pub errors: ErrorFormat,
    pub access: Access,
    /// Also a node of a cluster that stands by answers: its own state, documents, and at paths where nothing is.
    pub is_of_this_node: bool,
    /// Bodies may have megabytes: those who send them decide.
    pub is_large: bool,
    /// The handler answers a body that was refused.
    pub tells_of_bodies: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The routes check access themselves.
    Open,
    /// Everyone, unless the server asks for a key with the scope `verify`.
    Compatible,
    /// A key with this scope, and the account.
    Scope(Scope),
    /// The account, or a key for all services with the scope `admin`. The words name what needs it.
    Account(&'static str),
}

impl Group {
    pub const OPEN: Self = Self {
        errors: ErrorFormat::Envelope,
        access: Access::Open,
        is_of_this_node: false,
        is_large: false,
        tells_of_bodies: false,
    };
    /// Reports of gateways.
    pub const REPORTS: Self = Self { is_large: true, ..Self::OPEN };
    /// Hooks of identity systems.
    pub const HOOKS: Self = Self { tells_of_bodies: true, ..Self::REPORTS };
    pub const OF_THIS_NODE: Self = Self { is_of_this_node: true, ..Self::OPEN };

    /// Routes that speak as Twilio's do.
    pub const fn twilio(access: Access) -> Self {
        Self { errors: ErrorFormat::Twilio, access, ..Self::OPEN }
    }

    /// Routes for clients of older servers.
    pub const fn compatible(errors: ErrorFormat) -> Self {
        Self { errors, access: Access::Compatible, ..Self::OPEN }
    }

    pub const fn is_compatible(self) -> bool {
        matches!(self.access, Access::Compatible)
    }
}

/// Characters of a header's value that the log shows.
const LONGEST_SHOWN: usize = 100;

/// Longest value of the header that is read: ids and secrets are far shorter.
const LONGEST_CREDENTIAL: usize = 1_024;

/// The user and the password of basic authentication, as they were sent. Has no `Debug`.
pub struct Credential {
    both: Zeroizing<String>,
    colon: usize,
}

impl Credential {
    /// Reads the header. `None` when it is absent, given twice, or none of this scheme.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = request::only(headers, &AUTHORIZATION)?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > LONGEST_CREDENTIAL {
            return None;
        }
        let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let both = Zeroizing::new(std::str::from_utf8(&decoded).ok()?.to_owned());
        let colon = both.find(':')?;
        Some(Self { both, colon })
    }

    /// The account's sid, or a key's.
    pub fn user(&self) -> &str {
        &self.both[..self.colon]
    }

    /// The auth token, or a key's secret.
    pub fn password(&self) -> &str {
        &self.both[self.colon + 1..]
    }
}

/// A user for the log: the beginning of what looks like an id, and nothing of anything else, which could be a password in
/// the wrong place.
pub fn masked_user(user: &str) -> String {
    let looks_like_an_id = user.len() == 34
        && ["AC", "SK"].iter().any(|prefix| user.starts_with(prefix))
        && user.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if looks_like_an_id { format!("{}...", &user[..6]) } else { "no id".to_owned() }
}

static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How the browser reaches the server, which decides whether a secret may travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By TLS, to this server or to a trusted proxy.
    Encrypted,
    /// In cleartext to the browser's own machine: this one, or the near end of a tunnel.
    Loopback,
    Cleartext,
}

impl Transport {
    /// How the browser reached the server for this request. Only a trusted proxy says how the browser reached it.
    pub fn of(call: &Call) -> Self {
        let (head, proxies) = (&call.head, &call.app.settings.proxies);
        let is_forwarded = has_header_of_proxy(head);
        let is_https = || request::only(&head.headers, &X_FORWARDED_PROTO) == Some("https");
        if call.app.tls.is_some() || proxies.trusts(call.connection.peer) && is_https() {
            Self::Encrypted
        } else if !is_forwarded && call.origin.names_this_machine() {
            Self::Loopback
        } else {
            Self::Cleartext
        }
    }
}

impl Origin {
    /// Whether a request may use the compatible routes. Where only this machine reaches them and they need no key, the
    /// request must be for the address that the server listens on: a page of another site cannot have it, and a proxy that
    /// was not declared seldom passes it on.
    ///
    /// # Errors
    /// 401 or 403, where they ask for a key, and 403 for another host.
    pub fn admit_compatible(&self, head: &Parts) -> Result<(), Error> {
        let Ok(running) = self.app.running() else { return Ok(()) };
        if !running.registry.compatible_routes_need_key() {
            let is_local = || self.names_this_machine() && !has_header_of_proxy(head);
            let is_here = || if self.app.tls.is_some() { self.names_this_server() } else { is_local() };
            let is_ours = running.registry.allows_unauthenticated() || is_here();
            return if is_ours { Ok(()) } else { Err(Error::FOREIGN_HOST_WITHOUT_KEY) };
        }
        let caller = self.sender(&head.headers)?;
        if caller.may(Scope::Verify, ServiceId::DEFAULT) { Ok(()) } else { Err(Error::FORBIDDEN) }
    }

    /// Whether the request is for this machine, by its name or number.
    fn names_this_machine(&self) -> bool {
        self.host.as_ref().is_none_or(|host| is_loopback_host(host.host()))
    }

    /// Whether the request is for a host that an attacker cannot register: an IP address, `localhost`, a name below it, or
    /// the configured host name. A request without a host is not from a browser.
    pub fn names_this_server(&self) -> bool {
        let own = &self.app.settings.listen.host;
        self.host.as_ref().is_none_or(|host| request::is_ours(host.host(), own))
    }
}

/// Whether the request has a header that only proxies add.
fn has_header_of_proxy(head: &Parts) -> bool {
    head.headers.keys().any(|name| {
        [FORWARDED, VIA].contains(name) || name == "x-real-ip" || name.as_str().starts_with("x-forwarded-")
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn is_read(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
        }
        Credential::of(&headers).is_some_and(|read| read.user() == "AC1" && read.password() == "se:cret")
    }

    #[test]
    fn only_one_header_with_a_user_and_a_password_is_read() {
        let basic = |both: &str| format!("bASIC {}", STANDARD.encode(both));
        let good = basic("AC1:se:cret");
        assert!(is_read(&[&good]) && !is_read(&[&good, &good]));
        let long = basic(&format!("AC1:se:cret{}", ":".repeat(2_000)));
        for value in ["", "Basic", "Basic !", &good.replace("bASIC", "Bearer"), &basic("AC1"), &long] {
            assert!(!is_read(&[value]), "{value:?}");
        }
    }

    #[test]
    fn the_log_shows_the_beginning_of_an_id_and_nothing_else() {
        assert_eq!(masked_user(&format!("SK12345{}", "0".repeat(27))), "SK1234...");
        assert_eq!(masked_user("hunter2"), "no id");
    }
}

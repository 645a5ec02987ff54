//! How the browser reaches the server.

use hyper::header::{FORWARDED, HOST, HeaderName, USER_AGENT, VIA};
use hyper::http::request::Parts;
use hyper::{Uri, Version};

use super::call::Received;
use super::request::{self, SEC_FETCH_SITE};
use super::response::Problem;
use crate::domain::ServiceId;
use crate::net::is_loopback_host;
use crate::registry::Scope;

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
    /// How the browser reached the server for this request. A proxy may write any `Host`, such as its own address of this
    /// server. Only a trusted one says how the browser reached it.
    pub fn of(call: &Received) -> Self {
        let (head, is_from_proxy) = (&call.head, call.app.settings.proxies.trusts(call.peer));
        // No browser speaks HTTP/1.0, and nginx does, with its own address as `Host` and no header that tells.
        let is_forwarded =
            head.version == Version::HTTP_10 || has_header_of_proxy(head) || crossed_network(head);
        if call.app.tls.is_some() {
            Self::Encrypted
        } else if is_from_proxy && is_forwarded {
            let scheme = request::only(&head.headers, &X_FORWARDED_PROTO);
            if scheme == Some("https") { Self::Encrypted } else { Self::Cleartext }
        } else if names_own_address(call) && !is_forwarded {
            Self::Loopback
        } else {
            Self::Cleartext
        }
    }
}

impl Received {
    /// Whether a request may use the compatible routes. Where only this machine reaches them and they need no key, the
    /// request must be for the address that the server listens on: a page of another site cannot have it, and a proxy that
    /// was not declared seldom passes it on.
    ///
    /// # Errors
    /// 401 or 403, where they ask for a key, and 403 for another host.
    pub fn admit_compatible(&self) -> Result<(), Problem> {
        let Ok(running) = self.app.running() else { return Ok(()) };
        if !running.registry.compatible_routes_need_key() {
            let is_ours = running.registry.allows_unauthenticated() || is_for_this_address(self);
            return if is_ours { Ok(()) } else { Err(Problem::ForeignHostWithoutKey) };
        }
        let caller = self.caller()?;
        if caller.may(Scope::Verify, ServiceId::DEFAULT) { Ok(()) } else { Err(Problem::Forbidden) }
    }
}

/// Whether a request was sent to the address that the server listens on, as far as it says. Over TLS the certificate says so.
fn is_for_this_address(call: &Received) -> bool {
    if call.app.tls.is_some() {
        return request::names_this_server(&call.head, Some(&call.app.settings.listen.host));
    }
    names_own_address(call) && !has_header_of_proxy(&call.head)
}

/// Whether the request has a header that only proxies add.
fn has_header_of_proxy(head: &Parts) -> bool {
    head.headers.keys().any(|name| {
        [FORWARDED, VIA].contains(name) || name == "x-real-ip" || name.as_str().starts_with("x-forwarded-")
    })
}

/// Whether a browser sent the request over a network in cleartext: only there it does not say which site caused it.
fn crossed_network(head: &Parts) -> bool {
    let is_browser =
        request::only(&head.headers, &USER_AGENT).is_some_and(|name| name.starts_with("Mozilla/"));
    is_browser && !head.headers.contains_key(&SEC_FETCH_SITE)
}

/// Whether the request is for this machine, by its name or number and with the port that it came to, or for `public-url` if
/// that leads to this machine, such as the port of a container or of a tunnel.
fn names_own_address(call: &Received) -> bool {
    let Some(host) = request::host_of(&call.head) else {
        // Some clients of HTTP/1.0 name none.
        return !call.head.headers.contains_key(HOST);
    };
    let is_public = || {
        let url: Uri = call.app.settings.delivery.public_url.as_deref()?.parse().ok()?;
        Some(url.authority() == Some(&host))
    };
    let port = host.port_u16().unwrap_or(HTTP_PORT);
    let is_own = call.port.is_none_or(|own| own == port) || is_public() == Some(true);
    is_own && is_loopback_host(host.host())
}

/// The port of an address without one.
const HTTP_PORT: u16 = 80;

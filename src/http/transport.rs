//! How the browser reaches the server.

use hyper::header::{FORWARDED, HOST, HeaderName, USER_AGENT, VIA};
use hyper::http::request::Parts;
use hyper::{Uri, Version};

use super::call::{Call, Origin};
use super::error::Error;
use super::request::{self, SEC_FETCH_SITE};
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
    pub fn of(call: &Call) -> Self {
        let (head, is_from_proxy) = (&call.head, call.app.settings.proxies.trusts(call.connection.peer));
        // No browser speaks HTTP/1.0, and nginx does, with its own address as `Host` and no header that tells.
        let is_forwarded =
            head.version == Version::HTTP_10 || has_header_of_proxy(head) || crossed_network(head);
        if call.app.tls.is_some() {
            Self::Encrypted
        } else if is_from_proxy && is_forwarded {
            let scheme = request::only(&head.headers, &X_FORWARDED_PROTO);
            if scheme == Some("https") { Self::Encrypted } else { Self::Cleartext }
        } else if names_own_address(call, head) && !is_forwarded {
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
            let is_ours = running.registry.allows_unauthenticated() || is_for_this_address(self, head);
            return if is_ours { Ok(()) } else { Err(Error::FOREIGN_HOST_WITHOUT_KEY) };
        }
        let caller = self.sender(&head.headers)?;
        if caller.may(Scope::Verify, ServiceId::DEFAULT) { Ok(()) } else { Err(Error::FORBIDDEN) }
    }
}

/// Whether a request was sent to the address that the server listens on, as far as it says. Over TLS the certificate says so.
fn is_for_this_address(origin: &Origin, head: &Parts) -> bool {
    if origin.app.tls.is_some() {
        return request::names_this_server(head, Some(&origin.app.settings.listen.host));
    }
    names_own_address(origin, head) && !has_header_of_proxy(head)
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
fn names_own_address(origin: &Origin, head: &Parts) -> bool {
    let header = request::only(&head.headers, &HOST);
    let Some(host) = request::host_of(&head.uri, header) else {
        // Some clients of HTTP/1.0 name none.
        return !head.headers.contains_key(HOST);
    };
    let is_public = || {
        let url: Uri = origin.app.settings.delivery.public_url.as_deref()?.parse().ok()?;
        Some(url.authority() == Some(&host))
    };
    let port = host.port_u16().unwrap_or(HTTP_PORT);
    let is_own = origin.connection.server.port.is_none_or(|own| own == port) || is_public() == Some(true);
    is_own && is_loopback_host(host.host())
}

/// The port of an address without one.
const HTTP_PORT: u16 = 80;

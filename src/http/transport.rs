//! How the browser reaches the server.

use hyper::Version;
use hyper::header::{FORWARDED, HeaderName, VIA};
use hyper::http::request::Parts;

use super::call::Received;
use super::request;
use crate::net::is_loopback_host;

static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether only proxies add the header.
fn is_of_proxy(name: &HeaderName) -> bool {
    [FORWARDED, VIA].contains(name) || name == "x-real-ip" || name.as_str().starts_with("x-forwarded-")
}

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
    /// How the browser reached the server for this request.
    pub fn of(call: &Received) -> Self {
        let is_from_proxy = call.app.settings.proxies.trusts(call.peer);
        Self::of_head(&call.head, call.app.tls.is_some(), is_from_proxy)
    }

    /// A proxy may write any `Host`, such as its own address of this server. Only a trusted one says how the browser
    /// reached it.
    fn of_head(head: &Parts, is_tls: bool, is_from_proxy: bool) -> Self {
        // No browser speaks HTTP/1.0, and nginx does, with its own address as `Host` and no header that tells.
        let is_forwarded = || head.version == Version::HTTP_10 || head.headers.keys().any(is_of_proxy);
        let is_local = || request::host_of(head).is_some_and(|host| is_loopback_host(host.host()));
        if is_tls {
            Self::Encrypted
        } else if is_from_proxy && is_forwarded() {
            let scheme = request::only(&head.headers, &X_FORWARDED_PROTO);
            if scheme == Some("https") { Self::Encrypted } else { Self::Cleartext }
        } else if is_local() && !is_forwarded() {
            Self::Loopback
        } else {
            Self::Cleartext
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_says_nothing_of_itself_is_no_browser_on_this_machine() {
        let transport = |version| {
            let request =
                hyper::Request::get("/admin/sign-in").version(version).header("host", "127.0.0.1:3000");
            Transport::of_head(&request.body(()).expect("a request").into_parts().0, false, false)
        };
        assert_eq!(transport(Version::HTTP_11), Transport::Loopback);
        assert_eq!(transport(Version::HTTP_10), Transport::Cleartext);
    }
}

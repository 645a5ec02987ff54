//! Requests that a page of another site has a browser make.
//!
//! The server serves loopback, where any page that its user opens can reach it too. A page cannot
//! read answers across origins, but it can send; and it becomes our origin when its own host name
//! is made to resolve to this machine (DNS rebinding). TLS stops a rebound name at the certificate, but its user may
//! go on all the same, so nothing here depends on it; the scheme of an `Origin` is the browser's to compare.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

use crate::net::is_loopback_host;

/// Fetch Metadata, section 2.4: browsers set it and pages cannot.
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a browser says that the request comes from a page of another site. Clients that are no
/// browsers say nothing.
pub fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get_all(&SEC_FETCH_SITE).iter().any(|site| site == "cross-site")
}

/// Whether the request is for a host that an attacker cannot register: an IP address, `localhost`, a name below it, or
/// `host_name`. A request without a host is not from a browser.
pub fn names_this_server(head: &Parts, host_name: Option<&str>) -> bool {
    let of_target = head.uri.authority().is_none_or(|authority| is_ours(authority.host(), host_name));
    let mut headers = head.headers.get_all(HOST).iter();
    of_target
        && headers.all(|value| {
            let authority = Authority::try_from(value.as_bytes());
            authority.is_ok_and(|authority| is_ours(authority.host(), host_name))
        })
}

fn is_ours(host: &str, host_name: Option<&str>) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    // The root's dot says nothing new.
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // An IPv6 address without brackets is no host of a URL.
    (!name.contains(':') && is_loopback_host(&name))
        || name.parse::<Ipv4Addr>().is_ok()
        || host_name.is_some_and(|own| !own.is_empty() && own.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_an_attacker_cannot_register_is_ours() {
        for host in [
            "localhost",
            "LocalHost.",
            "shop.localhost",
            "127.0.0.1",
            "192.168.1.7",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "codes.example",
            "Codes.Example.",
        ] {
            assert!(is_ours(host, Some("codes.example")), "{host}");
        }
    }

    #[test]
    fn a_host_that_an_attacker_can_register_is_not() {
        for host in [
            "",
            ".",
            "evil.example",
            "codes.example.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.1",
            "[evil.example]",
            "[::1",
            "::1",
        ] {
            assert!(!is_ours(host, Some("codes.example")), "{host}");
        }
        assert!(!is_ours("codes.example", None));
        assert!(!is_ours("", Some("")), "an empty host is no name");
    }
}

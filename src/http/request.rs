//! The parts of a request's head that the front end reads: its id, its client, and whether a page of another site caused it.
//!
//! The server serves loopback, where any page in the user's browser can reach it too. A page cannot read answers across
//! origins, but it can send requests; and it shares our origin if its own host name resolves to this machine (DNS
//! rebinding). TLS stops a rebound name at the certificate, but the user may continue anyway; therefore nothing here
//! depends on TLS. The browser compares the scheme of an `Origin`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::header::{ACCEPT, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, Uri};
use hyper::{HeaderMap, Version};
use zeroize::Zeroizing;

use crate::config::ProxySettings;
use crate::net::{form_field, is_loopback_host};

/// The address of the person behind a request: in the configured header the last one that is not a trusted proxy's. `None`
/// if the request does not come from a trusted proxy, or the header names no other address; an error if its text is none.
pub fn client_address(
    proxies: &ProxySettings,
    headers: &HeaderMap,
    peer: IpAddr,
) -> Result<Option<IpAddr>, ()> {
    let is_trusted = |address: IpAddr| proxies.trusts(address);
    let Some(header) = proxies.client_address_header.as_ref().filter(|_| is_trusted(peer)) else {
        return Ok(None);
    };
    let values = headers.get_all(header).into_iter().map(|value| value.to_str().unwrap_or_default());
    let addresses: Vec<_> = values.flat_map(|value| value.split(',')).map(read_address).collect();
    let last = addresses.into_iter().rev().find(|address| !address.is_some_and(is_trusted));
    last.map(|address| address.ok_or(())).transpose()
}

/// Reads an address as proxies and identity systems write it: in quotes or brackets, with a port or a zone, or behind
/// `for=` as in the header `Forwarded` (RFC 7239).
pub fn read_address(text: &str) -> Option<IpAddr> {
    let mut pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    let forwarded = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, address)| address);
    let text = forwarded.unwrap_or(text).trim().trim_matches('"');
    let is_port = |rest: &str| rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let in_brackets = in_brackets.filter(|(_, rest)| rest.is_empty() || is_port(rest));
    let bare = in_brackets.map_or(text, |(address, _port)| address);
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

/// Whether a trusted proxy says `disable` in the configured header, as `RiskCheck` does below `/v2`. Of several lines, one
/// may be the client's: none is believed. An error if there is another value.
pub fn is_trusted(proxies: &ProxySettings, headers: &HeaderMap, peer: IpAddr) -> Result<bool, ()> {
    let Some(header) = proxies.risk_check_header.as_ref().filter(|_| proxies.trusts(peer)) else {
        return Ok(false);
    };
    match only(headers, header) {
        Some("disable") => Ok(true),
        Some("enable") => Ok(false),
        _ if headers.contains_key(header) => Err(()),
        _ => Ok(false),
    }
}

/// The client of an address: for IPv6 its network, of 64 bits.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// The header that carries the id, in requests and answers.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own id when it is a UUID (RFC 9562) or 32 hex digits, as trace ids are. Ids stand
/// in the log, and one of free form might be a phone number or a code.
pub fn id_of_client(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(&X_REQUEST_ID)?.to_str().ok()?;
    let hex = id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    (hex && matches!(lengths[..], [8, 4, 4, 4, 12] | [32])).then_some(id)
}

/// The value of a header that occurs once and is visible ASCII.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether `Accept` names the media type. `*/*` does not count: programs say it, or nothing.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        is_named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Fetch Metadata, section 2.4: browsers set it, over TLS and on loopback, and pages cannot.
pub static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let headers = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// A field of a form or a query without spaces around it; empty if it is absent or longer than `most`.
pub fn secret_field(form: &[u8], name: &str, most: usize) -> Zeroizing<String> {
    let text = form_field(form, name).map(Zeroizing::new).unwrap_or_default();
    if text.len() > most { Zeroizing::default() } else { Zeroizing::new(text.trim().to_owned()) }
}

/// Whether a form for this host comes from a page of this server, as the browser says. Clients that are no browsers say
/// nothing.
pub fn is_own_form(head: &Parts, host: Option<&Authority>) -> bool {
    let site = head.headers.get(&SEC_FETCH_SITE).is_none_or(|site| site == "same-origin" || site == "none");
    let origin = head.headers.get(ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        origin.is_some_and(|origin| origin.authority() == host)
    });
    site && origin
}

/// The host that a request is for, by its address or else its header `Host`; `None` if neither says.
///
/// # Errors
/// There are several such headers, a malformed one, or none in HTTP/1.1 (RFC 9112, 3.2).
pub fn host(head: &Parts) -> Result<Option<Authority>, ()> {
    let mut headers = head.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let named = match (headers.next(), headers.next()) {
        (None, _) if head.version == Version::HTTP_11 => return Err(()),
        (None | Some([]), None) => None,
        (Some(name), None) => Some(Authority::try_from(name).ok().filter(is_host_and_port).ok_or(())?),
        (_, Some(_)) => return Err(()),
    };
    Ok(head.uri.authority().cloned().or(named))
}

/// Whether an authority is a host and perhaps a port, as in a `Host` header.
pub fn is_host_and_port(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').map(|rest| rest.strip_suffix(']').unwrap_or_default());
    // Of an authority with a user name this is no prefix.
    let rest = authority.as_str().strip_prefix(host);
    let port = rest.map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    !host.is_empty()
        && address.is_none_or(|address| address.parse::<Ipv6Addr>().is_ok())
        && port.is_some_and(|port| {
            // Without a sign, which `parse` would take.
            port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
        })
}

/// Whether the request is for a host that an attacker cannot register: an IP address, `localhost`, a name below it, or
/// `host_name`. A request without a host is not from a browser.
pub fn names_this_server(head: &Parts, host_name: Option<&str>) -> bool {
    let of_target = head.uri.authority().is_none_or(|authority| is_ours(authority.host(), host_name));
    let mut headers = head.headers.get_all(HOST).iter();
    of_target
        && headers.all(|value| {
            // An IP address needs no parser of URIs.
            let is_address = || value.to_str().is_ok_and(|text| text.parse::<SocketAddr>().is_ok());
            let authority = || Authority::try_from(value.as_bytes());
            is_address() || authority().is_ok_and(|authority| is_ours(authority.host(), host_name))
        })
}

fn is_ours(host: &str, host_name: Option<&str>) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    // The root's dot says nothing new.
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // An IPv6 address without brackets is not a valid host in a URL.
    (!name.contains(':') && is_loopback_host(&name))
        || name.parse::<Ipv4Addr>().is_ok()
        || host_name.is_some_and(|own| !own.is_empty() && own.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_believed_from_a_trusted_proxy_in_a_single_line() {
        let proxies = ProxySettings {
            client_address_header: None,
            risk_check_header: Some(HeaderName::from_static("x-proof")),
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        };
        for (peer, values, expected) in [
            ("10.9.9.9", &["disable"][..], Ok(true)),
            ("10.9.9.9", &["enable"], Ok(false)),
            ("10.9.9.9", &["disable", "enable"], Err(())),
            ("10.9.9.9", &["enable", "disable"], Err(())),
            ("10.9.9.9", &["disable", "disable"], Err(())),
            ("10.9.9.9", &["disable, enable"], Err(())),
            ("10.9.9.9", &["off"], Err(())),
            ("10.9.9.9", &[], Ok(false)),
            ("192.0.2.9", &["disable"], Ok(false)),
            ("192.0.2.9", &["off"], Ok(false)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-proof", HeaderValue::from_static(value));
            }
            let peer = peer.parse().expect("an address");
            assert_eq!(is_trusted(&proxies, &headers, peer), expected, "{peer} {values:?}");
            assert_eq!(is_trusted(&ProxySettings::default(), &headers, peer), Ok(false));
        }
    }

    #[test]
    fn only_a_trusted_proxy_names_the_address_of_a_client() {
        let trusted = |text: &str| text.parse().expect("a network");
        let proxies = ProxySettings {
            client_address_header: Some(HeaderName::from_static("x-forwarded-for")),
            risk_check_header: None,
            trusted_proxies: vec![trusted("127.0.0.1/32"), trusted("10.0.0.0/8")],
        };
        for (peer, values, expected) in [
            ("127.0.0.1", &["192.0.2.7"][..], Ok(Some("192.0.2.7"))),
            ("127.0.0.1", &["198.51.100.1, 192.0.2.7, 10.1.2.3"], Ok(Some("192.0.2.7"))),
            ("127.0.0.1", &["198.51.100.1", "192.0.2.7:443"], Ok(Some("192.0.2.7"))),
            ("10.9.9.9", &["2001:db8::1"], Ok(Some("2001:db8::1"))),
            ("127.0.0.1", &["192.0.2.7, [2001:db8::1]"], Ok(Some("2001:db8::1"))),
            ("127.0.0.1", &["[2001:db8::1]:443, [10.1.2.3]:80"], Ok(Some("2001:db8::1"))),
            ("127.0.0.1", &["\"[2001:db8::1%eth0]\""], Ok(Some("2001:db8::1"))),
            ("127.0.0.1", &["for=192.0.2.7;proto=https"], Ok(Some("192.0.2.7"))),
            (
                "127.0.0.1",
                &["proto=https; For=\"[2001:db8::1]:47011\", for=10.1.2.3"],
                Ok(Some("2001:db8::1")),
            ),
            ("127.0.0.1", &["[::ffff:192.0.2.7]"], Ok(Some("192.0.2.7"))),
            ("127.0.0.1", &["10.1.2.3"], Ok(None)),
            ("127.0.0.1", &[], Ok(None)),
            ("192.0.2.9", &["192.0.2.7"], Ok(None)),
            ("192.0.2.9", &["unknown"], Ok(None)),
            ("127.0.0.1", &["192.0.2.7, unknown"], Err(())),
            ("127.0.0.1", &["[2001:db8::1"], Err(())),
            ("127.0.0.1", &[""], Err(())),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            let peer = peer.parse().expect("an address");
            let expected = expected.map(|given| given.map(|address| address.parse().expect("an address")));
            assert_eq!(client_address(&proxies, &headers, peer), expected, "{values:?}");
            assert_eq!(client_address(&ProxySettings::default(), &headers, peer), Ok(None));
        }
    }

    #[test]
    fn only_a_proper_id_of_the_client_is_kept() {
        let is_kept = |id| {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID.clone(), HeaderValue::from_static(id))]);
            id_of_client(&headers) == Some(id)
        };
        assert!(is_kept("0190a5c1-7b2e-7c3d-8f4a-5b6c7d8e9fA0"));
        assert!(is_kept("4bf92f3577b34da6a3ce929d0e0e4736"));
        for id in [
            "",
            "14155552671",
            "14155552671-code-123456",
            "0190a5c1-7b2e-7c3d-8f4a-5b6c7d8e9fg0",
            "0190a5c17b2e-7c3d-8f4a-5b6c7d8e9fa0a",
            "4bf92f3577b34da6a3ce929d0e0e47360",
        ] {
            assert!(!is_kept(id), "{id:?}");
        }
    }

    #[test]
    fn a_host_header_has_a_host_and_perhaps_a_port() {
        let has_form = |value: &str| Authority::try_from(value).is_ok_and(|host| is_host_and_port(&host));
        for good in ["a", "a:", "a:80", "codes_1.example:8080", "127.0.0.1:3000", "[::1]", "[::1]:3000"] {
            assert!(has_form(good), "{good:?}");
        }
        for bad in [
            "a b", "a/b", "a@b", "a@a", "a?b", "a#b", "http://a", "a:x", "a:+1", "a:99999", "a:80:80", ":80",
            "::1", "[::1", "[a]", "[::1]x", "<a>", "\u{e9}",
        ] {
            assert!(!has_form(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_host_that_an_attacker_cannot_register_is_ours() {
        for host in ["LocalHost.", "shop.localhost", "192.168.1.7", "[::ffff:127.0.0.1]", "Codes.Example."] {
            assert!(is_ours(host, Some("codes.example")), "{host}");
        }
        for host in [
            "",
            "codes.example.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.1",
            "[evil.example]",
            "::1",
        ] {
            assert!(!is_ours(host, Some("codes.example")), "{host}");
        }
        assert!(!is_ours("codes.example", None));
        assert!(!is_ours("", Some("")), "an empty host is no name");
    }
}

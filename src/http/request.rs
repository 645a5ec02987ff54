//! The parts of a request's head that the front end reads: its id, its client, and whether a page of another site caused it.
//!
//! The server serves loopback, where any page in the user's browser can reach it too. A page cannot read answers across
//! origins, but it can send requests; and it shares our origin if its own host name resolves to this machine (DNS
//! rebinding). TLS stops a rebound name at the certificate, but the user may continue anyway; therefore nothing here
//! depends on TLS. The browser compares the scheme of an `Origin`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::header::{ACCEPT, COOKIE, HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Version};
use url::Url;
use zeroize::Zeroizing;

use super::error::Error;
use crate::config::ProxySettings;
use crate::net::{form_field, is_loopback_host};

/// The address of the person behind a request: in the configured header the last one that is not a trusted proxy's. `None`
/// if the request does not come from a trusted proxy, or the header names no other address that can be read.
pub fn client_address(proxies: &ProxySettings, headers: &HeaderMap, peer: IpAddr) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| proxies.trusts(address);
    let header = proxies.client_address_header.as_ref().filter(|_| is_trusted(peer))?;
    let values = headers.get_all(header).into_iter().map(|value| value.to_str().unwrap_or_default());
    let mut addresses = values.flat_map(|value| value.split(',')).map(read_address).rev();
    addresses.find(|address| !address.is_some_and(is_trusted)).flatten()
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
/// may be the client's: none is believed.
pub fn is_exempt(proxies: &ProxySettings, headers: &HeaderMap, peer: IpAddr) -> bool {
    let header = proxies.risk_check_header.as_ref().filter(|_| proxies.trusts(peer));
    header.is_some_and(|header| only(headers, header) == Some("disable"))
}

/// The client of an address: for IPv6 its network, of 64 bits.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// The header that carries the id, in requests and answers.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own id when it is a UUID (RFC 9562) or 32 hex digits, as trace ids are. Ids stand
/// in the log, and one of free form might be a phone number or a code.
pub fn id_of_client(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(&X_REQUEST_ID)?.to_str().ok()?;
    let hex = id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    (hex && matches!(lengths[..], [8, 4, 4, 4, 12] | [32])).then_some(id)
}

/// JSON without the byte order mark that some clients put in front.
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// The value of a header that occurs once and is visible ASCII.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether `Accept` names the media type. `*/*` does not count: programs say it, or nothing.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    ranges.any(|name| name.trim().eq_ignore_ascii_case(media_type))
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
    match only(&head.headers, &SEC_FETCH_SITE) {
        // The browser knows the address that a proxy has rewritten, and no page can set this header.
        Some("same-origin") => return true,
        Some("none") => {}
        None if !head.headers.contains_key(&SEC_FETCH_SITE) => {}
        _ => return false,
    }
    head.headers.get(ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
        origin.zip(host).is_some_and(|(origin, host)| is_origin_of(&origin, host))
    })
}

/// Whether an origin is that of a host as proxies write it: with the scheme's own port, or without the port that it has.
fn is_origin_of(origin: &Url, host: &Authority) -> bool {
    // The root's dot says nothing new.
    let name = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_same_port = host.port_u16().is_none_or(|port| Some(port) == origin.port_or_known_default());
    origin.host_str().map(name) == Some(name(host.host())) && is_same_port
}

/// The host that a request is for, by its address or else its header `Host`; `None` if neither says.
///
/// # Errors
/// There are several such headers, a malformed one, or none in HTTP/1.1 (RFC 9112, 3.2).
pub fn host(head: &Parts) -> Result<Option<Authority>, Error> {
    let mut headers = head.headers.get_all(HOST).iter();
    let named = match (headers.next(), headers.next()) {
        (None, _) if head.version != Version::HTTP_11 => None,
        (Some(name), None) if name.is_empty() => None,
        (Some(name), None) => Some(Authority::try_from(name.as_bytes()).map_err(|_| Error::BAD_HOST)?),
        _ => return Err(Error::BAD_HOST),
    };
    Ok(head.uri.authority().cloned().or(named))
}

/// Whether an attacker cannot register the host: an IP address, `localhost`, a name below it, or `own`.
pub fn is_ours(host: &str, own: &str) -> bool {
    // The root's dot says nothing new.
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name.starts_with('[')
        || is_loopback_host(&name)
        || name.parse::<Ipv4Addr>().is_ok()
        || !own.is_empty() && own.eq_ignore_ascii_case(&name)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// The client's address, and a proof that a person asks, are headers that anybody can send.
    #[test]
    fn only_a_trusted_proxy_names_the_address_of_a_client_and_is_believed() {
        const X_OF_PROXY: HeaderName = HeaderName::from_static("x-of-proxy");
        let networks = ["127.0.0.1/32", "10.0.0.0/8"].iter();
        let proxies = ProxySettings {
            client_address_header: Some(X_OF_PROXY),
            risk_check_header: Some(X_OF_PROXY),
            trusted_proxies: networks.map(|text| text.parse().expect("a network")).collect(),
        };
        for row in include_str!("forwarded.tsv").lines().skip(1) {
            let [peer, lines, address, proof] = row.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let lines = lines.split(" | ").filter(|line| *line != "-").map(HeaderValue::from_static);
            let (headers, peer) =
                (lines.map(|line| (X_OF_PROXY, line)).collect(), peer.parse().expect("a peer"));
            assert_eq!(client_address(&proxies, &headers, peer), address.parse().ok(), "{row}");
            assert_eq!(is_exempt(&proxies, &headers, peer), proof == "believed", "{row}");
            let none = ProxySettings::default();
            assert!(client_address(&none, &headers, peer).is_none() && !is_exempt(&none, &headers, peer));
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
    fn a_form_of_the_same_origin_is_our_own_however_a_proxy_writes_the_host() {
        let is_own = |headers: &[(HeaderName, &'static str)], host: &str| {
            let mut head = hyper::Request::new(()).into_parts().0;
            head.headers = headers.iter().map(|(n, v)| (n.clone(), HeaderValue::from_static(v))).collect();
            is_own_form(&head, host.parse().ok().as_ref())
        };
        let site = |value| (SEC_FETCH_SITE.clone(), value);
        for (headers, host, expected) in [
            (&[(ORIGIN, "https://otp.example")][..], "otp.example:443", true),
            (&[(ORIGIN, "https://OTP.example")], "otp.example.", true),
            (&[(ORIGIN, "http://otp.example")], "otp.example:80", true),
            (&[(ORIGIN, "https://otp.example:8443")], "otp.example", true),
            (&[(ORIGIN, "http://[::1]:3000")], "[::1]:3000", true),
            (&[(ORIGIN, "null"), site("same-origin")], "otp.example", true),
            (&[(ORIGIN, "https://otp.example"), site("same-origin")], "10.0.0.7:3000", true),
            (&[], "otp.example", true),
            (&[(ORIGIN, "https://otp.example"), site("none")], "otp.example", true),
            (&[(ORIGIN, "https://otp.example:8443")], "otp.example:8444", false),
            (&[(ORIGIN, "http://otp.example")], "otp.example:443", false),
            (&[(ORIGIN, "https://evil.example")], "otp.example", false),
            (&[(ORIGIN, "null")], "otp.example", false),
            (&[(ORIGIN, "https://otp.example"), site("cross-site")], "otp.example", false),
            (&[(ORIGIN, "https://otp.example"), site("same-site")], "otp.example", false),
            (&[site("same-origin"), site("cross-site")], "otp.example", false),
        ] {
            assert_eq!(is_own(headers, host), expected, "{headers:?} {host}");
        }
    }

    #[test]
    fn a_host_that_an_attacker_cannot_register_is_ours() {
        for host in ["LocalHost.", "shop.localhost", "192.168.1.7", "[::ffff:127.0.0.1]", "Codes.Example."] {
            assert!(is_ours(host, "codes.example"), "{host}");
        }
        for host in [
            "codes.example.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.1",
        ] {
            assert!(!is_ours(host, "codes.example"), "{host}");
        }
        assert!(!is_ours("", ""), "an empty host is no name");
    }
}

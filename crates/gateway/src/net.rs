//! Host names, as configuration, URLs and `Host` headers spell them, and queries.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};

/// Returns `true` if `host` can only be this machine: a loopback address, `localhost` or a name below it (RFC 6761,
/// section 6.3). `host` may be in brackets and may end with a dot.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a socket can be bound to a host: it is an address of this machine, or a name for one. Empty means every
/// address. May ask the resolver of the system.
pub fn is_own_host(host: &str) -> bool {
    let is_own = |address| UdpSocket::bind::<SocketAddr>(address).is_ok();
    host.is_empty()
        || is_loopback_host(host)
        || (host, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.any(is_own))
}

/// The first field of a form or a query with this name.
pub fn form_field(form: &[u8], name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(form);
    pairs.find(|(found, _)| found == name).map(|(_, text)| text.into_owned())
}

/// The same of the query of a path.
pub(crate) fn in_query(path_and_query: &str, name: &str) -> Option<String> {
    form_field(path_and_query.split_once('?')?.1.as_bytes(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_host_is_recognized_in_every_spelling() {
        for host in "localhost LocalHost. shop.localhost 127.9.9.9 ::1 [::1]".split(' ') {
            assert!(is_loopback_host(host), "{host}");
        }
        let others = ". 0.0.0.0 :: 192.168.0.1 localhost.example.com notlocalhost [::1 127.1";
        for host in others.split(' ').chain([""]) {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}

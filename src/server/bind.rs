//! From the configured host and port to a listening socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::error::AppStartError;
use crate::config::ListenAddress;
use crate::net::is_loopback_host;

/// Connections that the system may hold before they are accepted.
const BACKLOG: u32 = 4_096;

/// The send buffer of a connection, which Linux doubles for its bookkeeping. A client that does not read holds no
/// more of the kernel's memory, which grows to megabytes by default.
const SEND_BUFFER: u32 = 64 * 1024;

/// Binds. A name that has several addresses is bound on the first that works, IPv4 before IPv6, as
/// clients of the Redis version expect of `localhost`; an empty host means every address. `example` shows the operator how
/// to choose another address.
pub async fn bind(listen: &ListenAddress, example: &'static str) -> Result<TcpListener, AppStartError> {
    let ListenAddress { host, port } = listen;
    let failed = |source| AppStartError::Bind { address: format!("{host}:{port}"), source, example };
    let mut addresses: Vec<SocketAddr> = if host.is_empty() {
        vec![(Ipv6Addr::UNSPECIFIED, *port).into(), (Ipv4Addr::UNSPECIFIED, *port).into()]
    } else {
        let found = lookup_host((host.as_str(), *port)).await.map_err(failed)?;
        let mut found: Vec<_> = found.filter(|address| is_meant_by(host, address)).collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found
    };
    addresses.dedup();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address that may be used");
    for address in addresses {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// The configuration trusts some names to mean this machine only. A hosts file or a DNS server may say otherwise.
fn is_meant_by(host: &str, address: &SocketAddr) -> bool {
    address.ip().is_loopback() || !is_loopback_host(host)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "--listen localhost:3001";

    fn at(host: &str, port: u16) -> ListenAddress {
        ListenAddress { host: host.to_owned(), port }
    }

    #[test]
    fn a_name_of_this_machine_means_no_address_of_a_network() {
        let (near, far) = (([127, 0, 0, 1], 3000).into(), ([192, 0, 2, 2], 3000).into());
        for host in ["localhost", "localhost.", "shop.localhost"] {
            assert!(is_meant_by(host, &near) && !is_meant_by(host, &far), "{host}");
        }
        assert!(is_meant_by("otp.example.com", &near) && is_meant_by("otp.example.com", &far));
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_that_names_it_and_what_to_do() {
        let first = bind(&at("127.0.0.1", 0), EXAMPLE).await.expect("a listener");
        let port = first.local_addr().expect("an address").port();
        let error = bind(&at("127.0.0.1", port), EXAMPLE).await.expect_err("taken").to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("--listen"), "{error}");
    }
}

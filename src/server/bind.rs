//! From the configured host and port to a listening socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::{App, AppStartError};
use crate::config::{ListenAddress, Settings};
use crate::domain::PhoneNumber;
use crate::net::is_loopback_host;

/// Connections that the system may hold before they are accepted.
const BACKLOG: u32 = 4_096;

/// The send buffer of a connection, which Linux doubles for its bookkeeping. A client that does not read holds no
/// more of the kernel's memory, which grows to megabytes by default.
const SEND_BUFFER: u32 = 64 * 1024;

/// Binds. A name that has several addresses is bound on the first that works, IPv4 before IPv6, but one of this machine only,
/// such as `localhost`, on all that it has: some clients try one of them. An empty host means every address. `example`
/// shows the operator how to choose another address. The first listener's address is announced.
pub async fn bind(listen: &ListenAddress, example: &'static str) -> Result<Vec<TcpListener>, AppStartError> {
    let ListenAddress { host, port } = listen;
    let failed = |source| AppStartError::Bind { address: format!("{host}:{port}"), source, example };
    let mut addresses: Vec<SocketAddr> = if host.is_empty() {
        vec![(Ipv6Addr::UNSPECIFIED, *port).into(), (Ipv4Addr::UNSPECIFIED, *port).into()]
    } else if is_loopback_host(host) && host.parse::<IpAddr>().is_err() {
        // Whatever a hosts file or a DNS server says.
        vec![(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()]
    } else {
        let mut found: Vec<_> = lookup_host((host.as_str(), *port)).await.map_err(failed)?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found
    };
    addresses.dedup();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address that may be used");
    let mut bound = Vec::new();
    for mut address in addresses {
        let first = bound.first().map(TcpListener::local_addr).transpose().map_err(failed)?;
        if let Some(first) = first {
            if !is_loopback_host(host) {
                break;
            }
            // The port that the system has chosen for the first one.
            address.set_port(first.port());
        }
        match listen_on(address) {
            Ok(listener) => bound.push(listener),
            // Clients of the name would reach the other program.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && *port != 0 => {
                return Err(AppStartError::Bind { address: address.to_string(), source: error, example });
            }
            Err(error) => last = error,
        }
    }
    if bound.is_empty() { Err(failed(last)) } else { Ok(bound) }
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

// The first log lines: the open address, the data directory, and a command to try.

/// How an operator closes routes.
const CLOSE: &str = "an API key (onceward keys create --service default) closes the routes that send; an otp-sms-provider without \
                     Simulator closes the inbox";

impl App {
    /// Says that the server is ready, in the words a person at a terminal needs.
    pub fn announce(&self, settings: &Settings, address: SocketAddr) {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let url = url_of(scheme, &settings.listen, address);
        tracing::info!(
            url,
            %address,
            version = env!("CARGO_PKG_VERSION"),
            gateways = settings.gateways.routing.to_string(),
            data_dir = %settings.storage.data_dir.display(),
            shards = settings.shards,
            "listening"
        );
        if let Some(tls) = &self.front_end.tls {
            tls.announce("certificate in use; the port speaks TLS only");
        }
        self.announce_open_routes(settings);
        if settings.gateways.has_simulator() {
            let inbox = format!("{url}/inbox");
            let message = if settings.gateways.only_simulator() {
                "simulator mode; messages go to the inbox page, nothing leaves this machine"
            } else {
                "simulator in use; its messages go to the inbox page, all others leave this machine"
            };
            tracing::info!(inbox, "{message}");
            let credentials = if self.needs_key() { "-u KEY:SECRET " } else { "" };
            let number = PhoneNumber::EXAMPLE;
            let command =
                format!("curl {credentials}{url}/api/send-otp -d '{{\"phoneNumber\":\"{number}\"}}'");
            tracing::info!(%command, "example request");
        }
    }

    /// Names the routes that send, check or show codes without a credential. Warns if a gateway sends real messages.
    fn announce_open_routes(&self, settings: &Settings) {
        let inbox = self.front_end.inbox.is_some() && settings.registry.local_only;
        let routes = [("/api/*, /send-code, /verify-code", !self.needs_key()), ("/inbox", inbox)];
        let open: Vec<_> = routes.into_iter().filter_map(|(routes, open)| open.then_some(routes)).collect();
        let routes = open.join(", ");
        if open.is_empty() {
            tracing::info!("all routes require a credential");
        } else if settings.gateways.only_simulator() {
            tracing::info!(routes, "routes open without a credential");
        } else {
            tracing::warn!(routes, remedy = CLOSE, "routes open without a credential");
        }
    }

    fn needs_key(&self) -> bool {
        self.running().is_some_and(|running| running.registry.compatible_routes_need_key())
    }
}

/// The address as a browser on this machine would open it.
fn url_of(scheme: &str, listen: &ListenAddress, address: SocketAddr) -> String {
    let is_name = !listen.host.is_empty() && listen.host.parse::<std::net::IpAddr>().is_err();
    let port = address.port();
    if is_name {
        format!("{scheme}://{}:{port}", listen.host)
    } else if address.ip().is_unspecified() {
        format!("{scheme}://localhost:{port}")
    } else {
        format!("{scheme}://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "--listen localhost:3001";

    fn at(host: &str, port: u16) -> ListenAddress {
        ListenAddress { host: host.to_owned(), port }
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_that_names_it_and_what_to_do() {
        let first = bind(&at("127.0.0.1", 0), EXAMPLE).await.expect("a listener");
        let port = first[0].local_addr().expect("an address").port();
        for host in ["127.0.0.1", "localhost"] {
            let error = bind(&at(host, port), EXAMPLE).await.expect_err("taken").to_string();
            assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("--listen"), "{error}");
        }
    }

    #[tokio::test]
    async fn localhost_is_every_loopback_address_with_one_port() {
        for host in ["localhost", "localhost.", "shop.localhost"] {
            let bound = bind(&at(host, 0), EXAMPLE).await.expect("listeners");
            let addresses: Vec<_> = bound.iter().map(|one| one.local_addr().expect("an address")).collect();
            assert!(addresses[0].is_ipv4() && addresses.iter().all(|of| of.ip().is_loopback()));
            assert!(addresses.iter().all(|of| of.port() == addresses[0].port()), "{addresses:?}");
            let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
            assert_eq!(addresses.len(), 1 + usize::from(has_ipv6), "{addresses:?}");
        }
    }

    #[test]
    fn the_announced_address_can_be_opened() {
        for (host, bound, url) in [
            ("localhost", "127.0.0.1:3000", "http://localhost:3000"),
            ("127.0.0.1", "127.0.0.1:41234", "http://127.0.0.1:41234"),
            ("", "[::]:3000", "http://localhost:3000"),
            ("0.0.0.0", "0.0.0.0:80", "http://localhost:80"),
            ("::1", "[::1]:3000", "http://[::1]:3000"),
        ] {
            let listen = ListenAddress { host: host.to_owned(), port: 0 };
            let bound = bound.parse().expect("an address");
            assert_eq!(url_of("http", &listen, bound), url);
            assert_eq!(url_of("https", &listen, bound), url.replace("http:", "https:"));
        }
    }
}

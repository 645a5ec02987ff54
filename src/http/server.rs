//! The loop that accepts connections, up to their limits, until the server stops.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::app::{App, ServedRoutes};
use super::connection::{self, Connection, Server};
use super::logs::Logs;
use super::request::{LocalUser, network_of};
use super::response::NotServed;
use super::service;
use super::tls::Tls;
use crate::verification::numbers::Refusal;

/// Pause after the system failed to accept a connection, usually for lack of file descriptors: the next attempt would
/// fail too until one is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One client holds at most one part in so many of all connections.
const SHARES: usize = 4;

/// Connections to the control socket at the same time. More wait.
const LOCAL_CONNECTIONS: usize = 16;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The state of connections that lead requests through every route. `port` is the one that the server listens on.
pub fn server(app: App, port: Option<u16>, routes: ServedRoutes) -> Server {
    let not_served = NotServed::ALL.map(NotServed::as_str);
    app.metrics.create_refusals_at_zero(&[Refusal::NAMES, &not_served].concat());
    if app.forwarder.is_some() {
        app.metrics.create_forwarded_at_zero();
    }
    let prefix = app.request_id_prefix;
    Server {
        port,
        routes,
        // Ids of requests at the control socket differ from those of the HTTP port.
        request_id_prefix: if routes == ServedRoutes::Local { !prefix } else { prefix },
        router: service::router(&app),
        stop: CancellationToken::new(),
        logs: Logs::default(),
        app,
    }
}

/// Serves `listener` until `shutdown` completes: HTTP/1 and HTTP/2 over TLS, if the front end has a certificate, else HTTP/1
/// in cleartext. At the limit of connections further clients wait until one ends.
///
/// Then it stops accepting, closes idle connections, lets the requests that are being answered finish, and returns
/// when the last connection has ended. The caller decides how long that may take: dropping the future ends all of it.
pub async fn serve(
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    app: App,
    routes: ServedRoutes,
) {
    let mut shutdown = pin!(shutdown);
    let port = listener.local_addr().ok().map(|address| address.port());
    let server = Arc::new(server(app, port, routes));
    let limit = server.app.settings.bounds.connections;
    let share = (limit / SHARES).max(1);
    let (clients, mut open, mut accepted) = (Clients::default(), JoinSet::new(), 0);
    let mut is_in_trouble = false;
    loop {
        let note_open = |open: &JoinSet<()>| {
            if routes == ServedRoutes::All {
                server.app.metrics.connections(open.len());
            }
        };
        let (stream, peer) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = open.join_next() => {
                log_panic(ended);
                note_open(&open);
                continue;
            }
            accepted = listener.accept(), if open.len() < limit => match accepted {
                Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
                Err(error) => {
                    if needs_pause(&error, &mut is_in_trouble) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                    continue;
                }
            },
        };
        if std::mem::take(&mut is_in_trouble) {
            info!("connections accepted again");
        }
        let is_exempt = peer.is_loopback() || server.app.settings.proxies.trusts(peer);
        let Some(place) = clients.admit(network_of(peer), if is_exempt { usize::MAX } else { share }) else {
            server.logs.large_client.note(move |count| {
                warn!(%peer, share, count, "connections of a client closed, it holds a quarter of max-connections; list a proxy in trusted-proxies");
            });
            continue;
        };
        // Responses are small and written at once: waiting to fill a packet only delays them. This fails only when the
        // client is gone already, which shows at the first read.
        let _ = stream.set_nodelay(true);
        accepted += 1;
        let connection = Connection::new(Arc::clone(&server), accepted, peer, None);
        let tls = server.tls().map(Tls::acceptor);
        open.spawn(async move {
            let _place = place;
            connection::serve(stream, tls, connection).await;
        });
        note_open(&open);
        if open.len() == limit {
            server.logs.full.note(move |count| {
                warn!(limit, count, "max-connections reached; new clients wait until a connection ends");
            });
        }
    }
    drop(listener);
    server.stop.cancel();
    while let Some(ended) = open.join_next().await {
        log_panic(ended);
    }
}

/// Serves the control socket until `shutdown` completes, which cuts off its connections. The server's own user and root may
/// do everything without a credential; other users are refused.
pub async fn serve_local(listener: &UnixListener, shutdown: impl Future<Output = ()>, app: App) {
    let server = Arc::new(server(app, None, ServedRoutes::Local));
    let (mut open, mut accepted) = (JoinSet::new(), 0);
    let (mut shutdown, mut is_in_trouble) = (pin!(shutdown), false);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => return,
            Some(ended) = open.join_next() => {
                log_panic(ended);
                continue;
            }
            stream = listener.accept(), if open.len() < LOCAL_CONNECTIONS => stream,
        };
        let peer = match stream.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
            Ok(peer) => peer,
            Err(error) => {
                if needs_pause(&error, &mut is_in_trouble) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        is_in_trouble = false;
        let (uid, stream) = peer;
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            accepted += 1;
            let connection = Connection::new(Arc::clone(&server), accepted, LOCAL, Some(LocalUser(uid)));
            open.spawn(connection::serve(stream, None, connection));
        } else {
            warn!(uid, "connection to the control socket refused; it is of another user");
        }
    }
}

/// How many connections each client holds.
#[derive(Clone, Default)]
struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection of a client, until it is dropped.
struct Place(Clients, IpAddr);

impl Clients {
    /// `None` if the client holds `most`, which is at least 1.
    fn admit(&self, client: IpAddr, most: usize) -> Option<Place> {
        let mut clients = self.0.lock();
        let held = clients.entry(client).or_default();
        if *held >= most {
            return None;
        }
        *held += 1;
        Some(Place(self.clone(), client))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.0.0.lock();
        let held = clients.remove(&self.1).unwrap_or_default();
        if held > 1 {
            clients.insert(self.1, held - 1);
        }
    }
}

/// A panic outside a handler ends its connection only.
fn log_panic<T>(ended: Result<T, JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        error!("connection panicked");
    }
}

/// Whether to pause after an error of `accept`: not for a peer that left before it was accepted. Logs the first error.
fn needs_pause(error: &io::Error, is_in_trouble: &mut bool) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    let needs_pause = !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted);
    if needs_pause && !std::mem::replace(is_in_trouble, true) {
        error!(%error, "connections not accepted; check the limit on open files");
    }
    needs_pause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_holds_no_more_than_its_share_and_leaves_others_theirs() {
        let clients = Clients::default();
        let admit = |client: &str| clients.admit(network_of(client.parse().expect("an address")), 2);
        let held = [admit("192.0.2.1"), admit("192.0.2.1"), admit("2001:db8::1"), admit("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(
            admit("192.0.2.1").is_none() && admit("2001:db8::3").is_none(),
            "a network of 64 bits is one"
        );
        assert!(admit("192.0.2.2").is_some() && admit("2001:db8:0:1::1").is_some());
        drop(held);
        assert!(clients.0.lock().is_empty(), "who holds none is forgotten");
        assert!(admit("192.0.2.1").is_some());
    }

    #[test]
    fn a_peer_that_left_is_no_reason_to_pause_and_a_lack_of_files_is() {
        let mut is_in_trouble = false;
        assert!(!needs_pause(&io::ErrorKind::ConnectionAborted.into(), &mut is_in_trouble));
        assert!(!is_in_trouble);
        assert!(needs_pause(&io::Error::from_raw_os_error(24), &mut is_in_trouble));
        assert!(is_in_trouble);
    }
}

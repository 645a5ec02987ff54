//! The loop that accepts connections, up to their limits, until the server stops.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::app::{App, ServedRoutes};
use super::connection::{self, Connection, Logs, Server};
use super::request::network_of;
use super::response::NotServed;
use super::routes;
use super::tls::Tls;
use crate::verification::Refusal;

/// Pause after the system failed to accept a connection, usually for lack of file descriptors: the next attempt would
/// fail too until one is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a node of a cluster that stops goes on to answer. It closes each connection after an answer, and the idle ones
/// at the end: by then a load balancer, which asks twice a second, has noticed.
const LEAVING_TIME: Duration = Duration::from_secs(1);

/// One client holds at most one part in so many of all connections.
const SHARES: usize = 4;

/// Connections to the control socket at the same time. More wait.
const LOCAL_CONNECTIONS: usize = 16;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The state of connections that lead requests through every route.
pub fn server_state(app: App, served: ServedRoutes) -> Server {
    // A client's mistake is not counted.
    let refusals = Refusal::NAMES.iter().filter(|name| **name != Refusal::OtherRequest.name());
    let reasons: Vec<_> = refusals.copied().chain(NotServed::ALL.map(NotServed::as_str)).collect();
    app.metrics.create_refusals_at_zero(&reasons);
    let prefix = app.request_id_prefix;
    Server {
        routes: served,
        // Ids of requests at the control socket differ from those of the HTTP port.
        request_id_prefix: if served == ServedRoutes::Local { !prefix } else { prefix },
        router: routes::router(&app, served),
        requests: AtomicU64::new(0),
        stop: CancellationToken::new(),
        logs: Logs::default(),
        app,
    }
}

/// Serves `listeners` until `shutdown` completes: HTTP/1 and HTTP/2 over TLS, if the front end has a certificate, else HTTP/1
/// in cleartext. At the limit of connections further clients wait until one ends.
///
/// Then it stops accepting, closes idle connections, lets the requests that are being answered finish, and returns
/// when the last connection has ended. The caller decides how long that may take: dropping the future ends all of it.
pub async fn serve(
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = ()>,
    app: App,
    routes: ServedRoutes,
) {
    let server = Arc::new(server_state(app, routes));
    let settings = &server.app.settings;
    let accept = |cx: &mut Context<'_>| {
        let mut accepted = listeners.iter().map(|listener| listener.poll_accept(cx));
        let (stream, peer) = ready!(accepted.find(Poll::is_ready).unwrap_or(Poll::Pending))?;
        let peer = peer.ip().to_canonical();
        let is_exempt = peer.is_loopback() || settings.proxies.trusts(peer);
        // Responses are small and written at once: waiting to fill a packet only delays them. This fails only when the
        // client is gone already, which shows at the first read.
        let _ = stream.set_nodelay(true);
        let tls = server.app.tls.as_ref().filter(|_| routes == ServedRoutes::All).map(Tls::acceptor);
        let connection = Connection::new(Arc::clone(&server), peer, None);
        let client = (!is_exempt).then(|| network_of(peer));
        Poll::Ready(Ok(Some((client, connection::serve(stream, tls, connection)))))
    };
    let shutdown = async {
        shutdown.await;
        if server.app.node.is_some() {
            // A load balancer may be sending requests, also by new connections, which another node can answer.
            tokio::time::sleep(LEAVING_TIME).await;
        }
    };
    let mut open = accept_until(shutdown, accept, settings.bounds.connections, &server).await;
    drop(listeners);
    server.stop.cancel();
    while open.join_next().await.is_some() {}
}

/// Serves the control socket until `shutdown` completes, which cuts off its connections. The server's own user and root may
/// do everything without a credential; other users are refused.
pub async fn serve_local(listener: &UnixListener, shutdown: impl Future<Output = ()>, app: App) {
    let server = Arc::new(server_state(app, ServedRoutes::Local));
    let accept = |cx: &mut Context<'_>| {
        let (stream, _) = ready!(listener.poll_accept(cx))?;
        let uid = stream.peer_cred()?.uid();
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            warn!(uid, "connection to the control socket refused; it is of another user");
            return Poll::Ready(Ok(None));
        }
        let connection = Connection::new(Arc::clone(&server), LOCAL, Some(uid));
        Poll::Ready(Ok(Some((None, connection::serve(stream, None, connection)))))
    };
    accept_until(shutdown, accept, LOCAL_CONNECTIONS, &server).await;
}

/// Runs the connections that `accept` returns, each with the client of which it takes a part, `limit` at once, until
/// `shutdown` completes. Returns those that are open.
async fn accept_until<C: Future<Output = ()> + Send + 'static>(
    shutdown: impl Future<Output = ()>,
    accept: impl Fn(&mut Context<'_>) -> Poll<io::Result<Option<(Option<IpAddr>, C)>>>,
    limit: usize,
    server: &Server,
) -> JoinSet<Option<IpAddr>> {
    let (mut open, mut clients) = (JoinSet::new(), Clients::default());
    let (mut shutdown, logs, most) = (pin!(shutdown), &server.logs, (limit / SHARES).max(1));
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return open,
            Some(ended) = open.join_next() => clients.leave(ended.unwrap_or_default()),
            accepted = poll_fn(&accept), if open.len() < limit => match accepted {
                Ok(Some((client, connection))) if clients.admit(client, most) => {
                    // The panic hook has logged a panic, which ends its connection only.
                    open.spawn(AssertUnwindSafe(connection).catch_unwind().map(move |_| client));
                }
                Ok(Some((Some(client), _))) => logs.note("large client", move |count| {
                    warn!(%client, most, count, "connections closed, their client holds its share; list a proxy in trusted-proxies");
                }),
                Ok(_) => {}
                Err(error) => {
                    logs.note("not accepted", move |count| {
                        error!(%error, count, "connections not accepted; check the limit on open files");
                    });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
        if server.routes == ServedRoutes::All {
            server.app.metrics.connections(open.len());
        }
        if open.len() == limit && server.routes != ServedRoutes::Local {
            logs.note("full", move |count| {
                warn!(limit, count, "max-connections reached; new clients wait until a connection ends");
            });
        }
    }
}

/// How many connections each client holds. Those without a client count for none.
#[derive(Default)]
struct Clients(HashMap<IpAddr, usize>);

impl Clients {
    /// Whether the client may have one more: it holds at most `most`.
    fn admit(&mut self, client: Option<IpAddr>, most: usize) -> bool {
        let Some(held) = client.map(|client| self.0.entry(client).or_default()) else { return true };
        let is_admitted = *held < most;
        *held += usize::from(is_admitted);
        is_admitted
    }

    fn leave(&mut self, client: Option<IpAddr>) {
        let held = client.and_then(|client| self.0.remove_entry(&client));
        self.0.extend(held.map(|(client, held)| (client, held - 1)).filter(|(_, held)| *held > 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_holds_no_more_than_its_share_and_leaves_others_theirs() {
        let mut clients = Clients::default();
        let network = |client: &str| Some(network_of(client.parse().expect("an address")));
        let held = ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"].map(network);
        assert!(held.into_iter().all(|client| clients.admit(client, 2)));
        // A network of 64 bits is one client.
        assert!(["192.0.2.1", "2001:db8::3"].into_iter().all(|client| !clients.admit(network(client), 2)));
        let others = ["192.0.2.2", "2001:db8:0:1::1"].map(network);
        assert!(others.into_iter().all(|client| clients.admit(client, 2)));
        assert!((0..3).all(|_| clients.admit(None, 2)));
        held.into_iter().chain(others).for_each(|client| clients.leave(client));
        assert!(clients.0.is_empty(), "who holds none is forgotten");
        assert!(clients.admit(network("192.0.2.1"), 2));
    }
}

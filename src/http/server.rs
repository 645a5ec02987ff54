//! The loop that accepts connections, up to their limits, until the server stops.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::app::{App, ServedRoutes};
use super::connection::{self, Connection, Server};
use super::logs::Logs;
use super::request::{LocalUser, network_of};
use super::response::NotServed;
use super::routes;
use super::tls::Tls;
use crate::observe::log_limit::OncePerSecond;
use crate::verification::numbers::Refusal;

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

/// The state of connections that lead requests through every route. `port` is the one that the server listens on.
pub fn server_state(app: App, port: Option<u16>, served: ServedRoutes) -> Server {
    let not_served = NotServed::ALL.map(NotServed::as_str);
    app.metrics.create_refusals_at_zero(&[Refusal::NAMES, &not_served].concat());
    let prefix = app.request_id_prefix;
    Server {
        port,
        routes: served,
        // Ids of requests at the control socket differ from those of the HTTP port.
        request_id_prefix: if served == ServedRoutes::Local { !prefix } else { prefix },
        router: routes::router(&app, served),
        accepted: AtomicU64::new(0),
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
    let port = listener.local_addr().ok().map(|address| address.port());
    let server = Arc::new(server_state(app, port, routes));
    let (settings, clients) = (&server.app.settings, Clients::default());
    let limit = settings.bounds.connections;
    let accept = |cx: &mut Context<'_>| {
        let (stream, peer) = ready!(listener.poll_accept(cx))?;
        let peer = peer.ip().to_canonical();
        let is_exempt = peer.is_loopback() || settings.proxies.trusts(peer);
        let most = (limit / SHARES).max(1);
        let place = if is_exempt { None } else { clients.admit(network_of(peer), most) };
        if place.is_none() && !is_exempt {
            server.logs.large_client.note(move |count| {
                warn!(%peer, most, count, "connections closed, their client holds its share; list a proxy in trusted-proxies");
            });
            return Poll::Ready(Ok(None));
        }
        // Responses are small and written at once: waiting to fill a packet only delays them. This fails only when the
        // client is gone already, which shows at the first read.
        let _ = stream.set_nodelay(true);
        let tls = server.app.tls.as_ref().filter(|_| routes == ServedRoutes::All).map(Tls::acceptor);
        let connection = Connection::new(Arc::clone(&server), peer, None);
        Poll::Ready(Ok(Some(async move {
            let _place = place;
            connection::serve(stream, tls, connection).await;
        })))
    };
    let note = |open| {
        if routes == ServedRoutes::All {
            server.app.metrics.connections(open);
        }
        if open == limit {
            server.logs.full.note(move |count| {
                warn!(limit, count, "max-connections reached; new clients wait until a connection ends");
            });
        }
    };
    let shutdown = async {
        shutdown.await;
        if server.app.node.is_some() {
            // A load balancer may be sending requests, also by new connections, which another node can answer.
            tokio::time::sleep(LEAVING_TIME).await;
        }
    };
    let mut open = accept_until(shutdown, accept, limit, note).await;
    drop(listener);
    server.stop.cancel();
    while open.join_next().await.is_some() {}
}

/// Serves the control socket until `shutdown` completes, which cuts off its connections. The server's own user and root may
/// do everything without a credential; other users are refused.
pub async fn serve_local(listener: &UnixListener, shutdown: impl Future<Output = ()>, app: App) {
    let server = Arc::new(server_state(app, None, ServedRoutes::Local));
    let accept = |cx: &mut Context<'_>| {
        let (stream, _) = ready!(listener.poll_accept(cx))?;
        let uid = stream.peer_cred()?.uid();
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            warn!(uid, "connection to the control socket refused; it is of another user");
            return Poll::Ready(Ok(None));
        }
        let connection = Connection::new(Arc::clone(&server), LOCAL, Some(LocalUser(uid)));
        Poll::Ready(Ok(Some(connection::serve(stream, None, connection))))
    };
    accept_until(shutdown, accept, LOCAL_CONNECTIONS, |_| ()).await;
}

/// Runs the connections that `accept` returns, `limit` at once, until `shutdown` completes. Returns those that are open.
async fn accept_until<C: Future<Output = ()> + Send + 'static>(
    shutdown: impl Future<Output = ()>,
    accept: impl Fn(&mut Context<'_>) -> Poll<io::Result<Option<C>>>,
    limit: usize,
    note: impl Fn(usize),
) -> JoinSet<()> {
    let (mut open, failures) = (JoinSet::new(), OncePerSecond::default());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return open,
            // The panic hook has logged a panic, which ends its connection only.
            Some(_) = open.join_next() => {}
            accepted = poll_fn(&accept), if open.len() < limit => match accepted {
                Ok(connection) => drop(connection.map(|connection| open.spawn(connection))),
                Err(error) => {
                    failures.note(move |count| {
                        error!(%error, count, "connections not accepted; check the limit on open files");
                    });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
        note(open.len());
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
}

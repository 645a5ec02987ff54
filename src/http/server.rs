//! The loop that accepts connections, up to their limit, until the server stops.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::future::{self, Future};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{io, iter};

use futures_util::FutureExt as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::app::{App, ServedRoutes};
use super::connection::{self, Connection, GivesWay, Server, refuse_tls, respond_and_close};
use super::places::network_of;
use super::request::{self, LocalUser};
use super::response::Problem;

/// Pause after the system failed to accept a connection, usually for lack of file descriptors: the next attempt would
/// fail too until one is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After this many admitted connections, if more wait, the open ones get a turn.
const ADMITTED_AT_ONCE: usize = 8;

/// Accepted connections that wait for their turn. One burst may double them.
const WAITING: usize = 64;

/// How long a node of a cluster answers on open connections after it has stopped accepting new ones. It closes each
/// connection after an answer, and the idle ones at the end.
const LEAVING_TIME: Duration = Duration::from_millis(300);

/// Connections beyond the limit that are being sent the refusal. More are closed without a response.
const REFUSED: usize = 64;

/// Connections beyond the limit while others are being closed for them.
const CLOSING: usize = 64;

/// The connections that one look at all of them finds.
const IDLEST: usize = 512;

/// One part in so many of the time may go into looking at all connections.
const LOOK_SHARE: u32 = 10;

/// The processor time of this thread.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// While all connections are open, one client address has a quarter of them: more of its connections than that give way
/// first. A trusted proxy, which has those of many clients, has no share.
const SHARES: usize = 4;

/// Serves `listener` until `shutdown` completes: HTTP/1 and HTTP/2 over TLS, if the front end has a certificate, else HTTP/1
/// in cleartext.
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
    let mut connections = Connections::new(connection::server(app, port, routes));
    let waiting = || iter::from_fn(|| listener.accept().now_or_never()?.ok());
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.open.join_next_with_id() => connections.note_end(ended),
            Some(ended) = connections.refused.join_next() => log_panic(ended),
            accepted = listener.accept(), if connections.waiting.has_room() => match accepted {
                Ok(first) => connections.let_wait(iter::once(first).chain(waiting().take(WAITING))),
                Err(error) => {
                    // Connections that were accepted before must not wait through the pause too.
                    connections.admit_first(usize::MAX);
                    if needs_pause(&error, &mut connections.is_in_trouble) {
                        tokio::select! {
                            () = &mut shutdown => break,
                            () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        }
                    }
                }
            },
            // While some wait for their turn, the loop does not sleep until a further one comes.
            () = future::ready(()), if !connections.waiting.connections.is_empty() => {}
        }
        connections.admit_first(ADMITTED_AT_ONCE);
        if !connections.waiting.connections.is_empty() {
            task::yield_now().await;
        }
    }
    // These clients know of no refusal.
    connections.let_wait(waiting());
    connections.admit_first(usize::MAX);
    drop(listener);
    connections.finish().await;
}

/// Connections to the control socket at the same time. More wait.
const LOCAL_CONNECTIONS: usize = 16;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Serves the control socket until `shutdown` completes, which cuts off its connections. The server's own user and root may
/// do everything without a credential, and have no time limits; other users are refused.
pub async fn serve_local(listener: &UnixListener, shutdown: impl Future<Output = ()>, app: App) {
    let server = Arc::new(connection::server(app, None, ServedRoutes::Local));
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
            open.spawn(connection::serve(stream, connection));
        } else {
            warn!(uid, "connection to the control socket refused; it is of another user");
        }
    }
}

/// A connection that gives way, ordered by how soon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Whether its client has no more than its share of all connections.
    is_small: bool,
    how: GivesWay,
    /// How many its client holds, where that decides: among the new ones of small clients.
    held: Reverse<usize>,
    since: Instant,
    id: task::Id,
}

/// Accepted connections that wait for their turn: those of clients with more than their share of a full server last, so
/// that a burst of theirs delays no other client.
#[derive(Debug)]
struct Waiting<T> {
    /// By whether their client is large and then by number, from 1.
    connections: BTreeMap<(bool, u64), T>,
    accepted: u64,
}

impl<T> Waiting<T> {
    /// Whether another one may wait, if need be in the place of one of a large client.
    fn has_room(&self) -> bool {
        self.connections.len() < WAITING
            || self.connections.keys().next_back().is_some_and(|(large, _)| *large)
    }

    /// If too many wait, closes the last connection of large clients without an answer.
    fn push(&mut self, is_large: bool, connection: T) {
        self.accepted += 1;
        self.connections.insert((is_large, self.accepted), connection);
        if self.connections.len() > WAITING
            && let Some(last) = self.connections.last_entry().filter(|last| last.key().0)
        {
            last.remove();
        }
    }

    /// The next connection with its number.
    fn pop(&mut self) -> Option<(u64, T)> {
        self.connections.pop_first().map(|((_, number), connection)| (number, connection))
    }
}

struct Connections {
    server: Arc<Server>,
    open: JoinSet<()>,
    /// Those of `open` that are not being closed.
    kept: HashMap<task::Id, Arc<Connection>>,
    /// The connections of `kept` that give way first, as all were last looked at, the first one last.
    idlest: Vec<Candidate>,
    /// How many of them that look found.
    found: usize,
    /// How many each client address then held.
    held: HashMap<IpAddr, usize>,
    /// When all may be looked at again.
    next_look: Option<Instant>,
    refused: JoinSet<()>,
    waiting: Waiting<(TcpStream, IpAddr)>,
    is_full: bool,
    is_in_trouble: bool,
}

impl Connections {
    fn new(server: Server) -> Self {
        Self {
            server: Arc::new(server),
            open: JoinSet::new(),
            kept: HashMap::new(),
            idlest: Vec::new(),
            found: 0,
            held: HashMap::new(),
            next_look: None,
            refused: JoinSet::new(),
            waiting: Waiting { connections: BTreeMap::new(), accepted: 0 },
            is_full: false,
            is_in_trouble: false,
        }
    }

    fn note_end(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        self.kept.remove(&id);
        log_panic(ended);
        self.server.note_open(self.open.len());
    }

    /// Closes the connection that gives way first to one from `peer`. Returns `false` if there is none.
    fn close_idlest(&mut self, peer: IpAddr) -> bool {
        // Connections that are being closed are still open for a moment.
        let closing = self.open.len() - self.server.app.settings.bounds.connections;
        if closing + self.left_to_others(CLOSING, self.held_by(peer)) >= CLOSING {
            return false;
        }
        if self.close_candidate(peer) {
            return true;
        }
        if self.next_look.is_some_and(|at| at.elapsed().is_zero()) {
            return false;
        }
        self.look_at_all();
        self.close_candidate(peer)
    }

    /// How many the client held when all were last looked at.
    fn held_by(&self, peer: IpAddr) -> usize {
        self.held.get(&network_of(peer.to_canonical())).copied().unwrap_or(0)
    }

    /// The part of these places that a client with so many connections leaves to those with fewer: else one that opens
    /// connections fast would take them all.
    fn left_to_others(&self, places: usize, own: usize) -> usize {
        let share = self.share().max(1);
        places * own.min(share) / share / 2
    }

    fn close_candidate(&mut self, peer: IpAddr) -> bool {
        let own = self.held_by(peer);
        let (left_to_others, is_large) = (self.left_to_others(self.found, own), own > self.share());
        while let Some(&Candidate { is_small, since, id, held: Reverse(held), .. }) = self.idlest.last() {
            if self.idlest.len() <= left_to_others {
                return false;
            }
            let now = self.kept.get(&id).and_then(|open| open.activity.gives_way());
            if let Some((how, _)) = now.filter(|(_, still)| *still == since) {
                let is_new = how == GivesWay::New;
                // A large client takes no place of others, and gains nothing by opening connections fast. A new connection
                // of a small client gives way only to a client that then holds no more.
                if is_large && (is_small || is_new) || is_small && is_new && held <= own + 1 {
                    return false;
                }
                self.kept.remove(&id).iter().for_each(|connection| connection.close());
                self.idlest.pop();
                return true;
            }
            self.idlest.pop();
        }
        false
    }

    fn share(&self) -> usize {
        self.server.app.settings.bounds.connections / SHARES
    }

    /// Finds the connections that give way first: those of clients with more than their share, then those of others that
    /// are silent or idle, then the new ones of the clients with the most.
    #[expect(clippy::disallowed_methods, reason = "what looking costs is a time of this process")]
    fn look_at_all(&mut self) {
        let (began, settings) = (thread_time(), &self.server.app.settings);
        self.held.clear();
        for connection in self.kept.values().filter(|open| !settings.proxies.trusts(open.peer)) {
            *self.held.entry(network_of(connection.peer)).or_default() += 1;
        }
        let share = self.share();
        let candidate = |(id, connection): (&task::Id, &Arc<Connection>)| {
            let held = self.held.get(&network_of(connection.peer)).copied().unwrap_or(0);
            let (how, since) = connection.activity.gives_way()?;
            let is_small = held <= share;
            let held = Reverse(if is_small && how == GivesWay::New { held } else { 0 });
            Some(Candidate { is_small, how, held, since, id: *id })
        };
        let mut idle: Vec<Candidate> = self.kept.iter().filter_map(candidate).collect();
        if idle.len() > IDLEST {
            idle.select_nth_unstable(IDLEST - 1);
            idle.truncate(IDLEST);
        }
        idle.sort_unstable_by(|one, other| other.cmp(one));
        // Not by the clock: on a busy machine others' time would keep clients out.
        self.next_look = Some(Instant::now() + thread_time().saturating_sub(began) * LOOK_SHARE);
        (self.found, self.idlest) = (idle.len(), idle);
    }

    fn let_wait(&mut self, accepted: impl Iterator<Item = (TcpStream, SocketAddr)>) {
        if std::mem::take(&mut self.is_in_trouble) {
            info!("connections accepted again");
        }
        for (stream, peer) in accepted {
            let is_large = self.is_full && self.held_by(peer.ip()) > self.share();
            self.waiting.push(is_large, (stream, peer.ip()));
        }
    }

    /// Admits at most this many of the connections that wait.
    fn admit_first(&mut self, most: usize) {
        while let Some(ended) = self.open.try_join_next_with_id() {
            self.note_end(ended);
        }
        for _ in 0..most {
            let Some((number, (stream, peer))) = self.waiting.pop() else { return };
            self.admit(stream, peer, number);
        }
    }

    /// Serves a connection. Beyond the limit another one gives way; if all are in use, the new one is refused.
    fn admit(&mut self, stream: TcpStream, peer: IpAddr, number: u64) {
        let limit = self.server.app.settings.bounds.connections;
        // Logged again only after a real relief, not for each connection that ends and is replaced.
        self.is_full &= self.open.len() > limit / 8 * 7;
        if self.open.len() >= limit && !std::mem::replace(&mut self.is_full, true) {
            warn!(
                limit,
                "connection limit reached; silent and idle connections are closed, new ones get 503 if there are none"
            );
        }
        if self.open.len() < limit || self.close_idlest(peer) {
            // Responses are small and written at once: waiting to fill a packet only delays them. This fails only when
            // the client is gone already, which shows at the first read.
            let _ = stream.set_nodelay(true);
            let connection = Connection::new(Arc::clone(&self.server), number, peer, None);
            let open = Arc::clone(&connection);
            let task = match self.server.tls() {
                None => self.open.spawn(connection::serve(stream, connection)),
                Some(tls) => self.open.spawn(connection::serve_tls(stream, tls.acceptor(), connection)),
            };
            self.kept.insert(task.id(), open);
            self.server.note_open(self.open.len());
            return;
        }
        if self.refused.len() < REFUSED {
            let id = request::own_id(self.server.request_id_prefix, number, 0);
            let response = connection::raw_response(Problem::TooManyConnections, &id);
            match self.server.tls() {
                None => self.refused.spawn(respond_and_close(stream, response)),
                Some(tls) => self.refused.spawn(refuse_tls(stream, tls.acceptor_of_refused(), response)),
            };
        }
    }

    /// Ends all connections after the requests that they are answering.
    async fn finish(mut self) {
        if self.server.app.forwarder.is_some() {
            // Clients may be sending requests, and another node can answer the next ones.
            self.server.is_leaving.store(true, Ordering::Relaxed);
            tokio::time::sleep(LEAVING_TIME).await;
        }
        self.server.stop.cancel();
        self.refused.abort_all();
        while let Some(ended) = self.open.join_next().await {
            log_panic(ended);
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
    fn only_a_burst_of_a_large_client_waits_behind_others_and_is_cut_short() {
        let mut waiting = Waiting { connections: BTreeMap::new(), accepted: 0 };
        (0..100).for_each(|_| waiting.push(true, "large"));
        assert!(waiting.has_room());
        (0..2).for_each(|_| waiting.push(false, "small"));
        assert_eq!(
            [waiting.pop(), waiting.pop(), waiting.pop()],
            [Some((101, "small")), Some((102, "small")), Some((1, "large"))]
        );
        assert_eq!(iter::from_fn(|| waiting.pop()).last(), Some((62, "large")));
        (0..100).for_each(|_| waiting.push(false, "small"));
        assert!(!waiting.has_room());
        assert_eq!(iter::from_fn(|| waiting.pop()).count(), 100);
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

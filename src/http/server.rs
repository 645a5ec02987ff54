//! Accepts connections, up to their limit, until it is told to stop.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tracing::{error, info, warn};

use super::connection::{self, Server, turn_away, turn_away_tls};
use super::deps::{Deps, Verify};
use super::problem::Problem;
use super::request_id;

/// Pause after the system could not hand out a connection, usually for want of file descriptors:
/// the next try would fail as well until one is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After so many connections whoever asks on others has a turn. A thousand that come at the same moment would
/// otherwise be taken in first, more than a hundred at a time.
const ACCEPTED_AT_ONCE: u64 = 8;

/// Connections beyond the limit that are being told so. More are closed without a word.
const TURNED_AWAY: usize = 64;

/// Serves HTTP/1 and HTTP/2 on `listener` until `shutdown` completes: over TLS, where ALPN says which,
/// if `deps` have it; else in cleartext, HTTP/2 with prior knowledge.
///
/// Then it stops accepting, closes idle connections, lets the requests that are being answered
/// finish, and returns when the last connection has ended. How long that may take is the
/// caller's decision: dropping the future ends everything that it began.
pub async fn serve<V: Verify>(listener: TcpListener, shutdown: impl Future<Output = ()>, deps: Arc<Deps<V>>) {
    let mut shutdown = pin!(shutdown);
    let mut front = Front::new(deps);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = front.open.join_next() => {
                log_panic(ended);
                front.count();
            }
            Some(ended) = front.turned_away.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    front.admit(stream);
                    if front.accepted.is_multiple_of(ACCEPTED_AT_ONCE) {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) => {
                    if front.trouble.note(&error) {
                        tokio::select! {
                            () = &mut shutdown => break,
                            () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        }
                    }
                }
            },
        }
    }
    drop(listener);
    front.finish().await;
}

/// The open connections.
struct Front<V> {
    server: Arc<Server<V>>,
    open: JoinSet<()>,
    turned_away: JoinSet<()>,
    accepted: u64,
    is_full: bool,
    trouble: AcceptTrouble,
}

impl<V: Verify> Front<V> {
    fn new(deps: Arc<Deps<V>>) -> Self {
        Self {
            server: Arc::new(Server::new(deps)),
            open: JoinSet::new(),
            turned_away: JoinSet::new(),
            accepted: 0,
            is_full: false,
            trouble: AcceptTrouble::default(),
        }
    }

    /// Serves a connection, or tells it that there is no room.
    fn admit(&mut self, stream: TcpStream) {
        self.trouble.is_over();
        self.accepted += 1;
        let limit = self.server.deps.bounds.connections;
        if self.open.len() < limit {
            // Said again only after a real relief, not for each place that is freed and taken.
            self.is_full &= self.open.len() > limit / 8 * 7;
            // Answers are small and written at once; waiting to fill a packet only delays them. This
            // fails only when the peer is gone already, which shows at the first read.
            let _ = stream.set_nodelay(true);
            let (server, number) = (Arc::clone(&self.server), self.accepted);
            match &server.deps.tls {
                None => self.open.spawn(connection::serve(stream, server, number)),
                Some(tls) => {
                    let tls = tls.acceptor();
                    self.open.spawn(connection::serve_tls(stream, tls, server, number))
                }
            };
            self.count();
            return;
        }
        if !self.is_full {
            self.is_full = true;
            warn!(limit, "all connections are taken; new ones get 503");
        }
        if self.turned_away.len() < TURNED_AWAY {
            let id = request_id::of_ours(self.server.deps.request_id_prefix, self.accepted, 0);
            let answer = connection::raw_answer(Problem::TooManyConnections, &id);
            match &self.server.deps.tls {
                None => self.turned_away.spawn(turn_away(stream, answer)),
                Some(tls) => self.turned_away.spawn(turn_away_tls(stream, tls.acceptor_of_refused(), answer)),
            };
        }
    }

    /// Says whether connections are scarce.
    fn count(&self) {
        self.server.crowd.note(self.open.len(), self.server.deps.bounds.connections);
    }

    /// Ends all connections after what they are answering.
    async fn finish(mut self) {
        self.server.stop.tell();
        self.turned_away.abort_all();
        while let Some(ended) = self.open.join_next().await {
            log_panic(ended);
        }
    }
}

/// A panic outside a handler ends its connection only.
fn log_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        error!("a connection ended in a panic");
    }
}

/// Errors of `accept`, each logged when it begins and when it is over, not each time it is met.
#[derive(Debug, Default)]
struct AcceptTrouble {
    present: Option<(io::ErrorKind, Option<i32>)>,
}

impl AcceptTrouble {
    /// Notes an error. Whether to pause: not for a peer that left before it was accepted.
    fn note(&mut self, error: &io::Error) -> bool {
        let kind = error.kind();
        if matches!(
            kind,
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return false;
        }
        let present = Some((kind, error.raw_os_error()));
        if self.present != present {
            self.present = present;
            error!(%error, "connections cannot be accepted; is the limit of open files too low?");
        }
        true
    }

    /// Notes a success.
    fn is_over(&mut self) {
        if self.present.take().is_some() {
            info!("connections can be accepted again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_left_is_no_reason_to_pause_and_a_lack_of_files_is() {
        let mut trouble = AcceptTrouble::default();
        assert!(!trouble.note(&io::ErrorKind::ConnectionAborted.into()));
        assert_eq!(trouble.present, None);
        let no_files = io::Error::from_raw_os_error(24);
        assert!(trouble.note(&no_files));
        assert!(trouble.note(&no_files));
        assert_eq!(trouble.present, Some((no_files.kind(), Some(24))));
        trouble.is_over();
        assert_eq!(trouble.present, None);
    }
}

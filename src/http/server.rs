//! Accepts connections, up to their limit, until it is told to stop.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tracing::{error, info, warn};

use super::connection::{self, Server, Stop, http1_builder, turn_away};
use super::deps::{Deps, Verify};
use super::problem::Problem;
use super::refusal_log::RefusalLog;
use super::request_id;

/// Pause after the system could not hand out a connection, usually for want of file descriptors:
/// the next try would fail as well until one is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections beyond the limit that are being told so. More are closed without a word.
const TURNED_AWAY: usize = 64;

/// Serves HTTP/1 and HTTP/2 (prior knowledge) on `listener` until `shutdown` completes.
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
            Some(ended) = front.open.join_next() => log_panic(ended),
            Some(ended) = front.turned_away.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => front.admit(stream),
                Err(error) => {
                    if front.note_accept_error(&error) {
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
    stop: Arc<Stop>,
    open: JoinSet<()>,
    turned_away: JoinSet<()>,
    accepted: u64,
    is_full: bool,
    accept_error: Option<io::ErrorKind>,
}

impl<V: Verify> Front<V> {
    fn new(deps: Arc<Deps<V>>) -> Self {
        let stop = Arc::new(Stop::default());
        let server = Server {
            deps,
            stop: Arc::clone(&stop),
            refusals: RefusalLog::new(),
            http1: http1_builder(),
        };
        Self {
            server: Arc::new(server),
            stop,
            open: JoinSet::new(),
            turned_away: JoinSet::new(),
            accepted: 0,
            is_full: false,
            accept_error: None,
        }
    }

    /// Serves a connection, or tells it that there is no room.
    fn admit(&mut self, stream: TcpStream) {
        if self.accept_error.take().is_some() {
            info!("connections can be accepted again");
        }
        self.accepted += 1;
        let limit = self.server.deps.bounds.connections;
        if self.open.len() < limit {
            // Said again only after a real relief, not for each place that is freed and taken.
            self.is_full &= self.open.len() > limit - limit / 8;
            self.open.spawn(connection::serve(stream, Arc::clone(&self.server), self.accepted));
            return;
        }
        if !self.is_full {
            self.is_full = true;
            warn!(limit, "all connections are taken; new ones get 503");
        }
        if self.turned_away.len() < TURNED_AWAY {
            let id = request_id::of_ours(self.server.deps.request_id_prefix, self.accepted, 0);
            let answer = connection::raw_answer(Problem::TooManyConnections, &id);
            self.turned_away.spawn(turn_away(stream, answer));
        }
    }

    /// Logs a kind of error once until it changes. Whether to pause: not for a peer that left before
    /// it was accepted.
    fn note_accept_error(&mut self, error: &io::Error) -> bool {
        let kind = error.kind();
        if matches!(
            kind,
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return false;
        }
        if self.accept_error.replace(kind) != Some(kind) {
            error!(%error, open = self.open.len(), "connections cannot be accepted; raise the limit of open files?");
        }
        true
    }

    /// Ends all connections after what they are answering.
    async fn finish(mut self) {
        self.stop.tell();
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

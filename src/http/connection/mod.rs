//! One connection: which protocol it speaks, how long it may take, and how it ends.
//!
//! hyper-util's `auto` server is not used: it has no time limit before the protocol is known, and
//! keeps the socket to itself, which this module needs for the answers that hyper leaves empty
//! and for a close that does not cut them off.

mod activity;
mod detect;
mod drive;
mod http1;
mod http2;
mod linger;
mod raw_answer;
mod session;
mod socket;
mod stop;
mod streams;
mod watch;

use std::sync::Arc;

use tokio::net::TcpStream;

use self::detect::{Protocol, detect};
use self::session::Session;
use self::socket::Socket;
use self::watch::Watch;
use super::deps::Verify;

pub use self::http1::builder as http1_builder;
pub use self::linger::turn_away;
pub use self::raw_answer::raw_answer;
pub use self::session::{Server, Turn};
pub use self::stop::Stop;

/// Serves a connection until it ends. All work for it happens in this future: dropping it drops
/// every request that it still answers.
pub async fn serve<V: Verify>(stream: TcpStream, server: Arc<Server<V>>, number: u64) {
    // Answers are small and written at once; waiting to fill a packet only delays them.
    if stream.set_nodelay(true).is_err() {
        return; // The peer is gone already.
    }
    let mut watch = Watch::start(&server.deps.bounds);
    let session = Arc::new(Session::new(server, number));
    let mut socket = Socket::new(stream, Arc::clone(&session));
    match detect(&mut socket, &mut watch, &session.server.stop).await {
        Some(Protocol::Http1) => http1::serve(socket, session, watch).await,
        Some(Protocol::Http2) => http2::serve(socket, session, watch).await,
        None => {}
    }
}

//! One connection: which protocol it speaks, how long it may take, and how it ends.
//!
//! hyper-util's `auto` server is not used: it has no time limit before the protocol is known, and
//! keeps the socket to itself, which this module needs for the answers that hyper leaves empty
//! and for a close that does not cut them off.

mod activity;
mod crowd;
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
mod tls;
mod watch;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use self::detect::{Protocol, detect};
use self::session::Session;
use self::socket::Socket;
use self::watch::Watch;
use super::deps::Verify;

pub use self::linger::turn_away;
pub use self::raw_answer::raw_answer;
pub use self::session::{Server, Turn};
pub use self::tls::{serve_tls, turn_away_tls};

/// What bytes come from and go to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<I: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for I {}

/// Serves a connection in cleartext until it ends. All work for it happens in this future: dropping it drops
/// every request that it still answers.
pub async fn serve<V: Verify>(stream: impl Stream, server: Arc<Server<V>>, number: u64) {
    let mut watch = Watch::start(&server.deps.bounds, Arc::clone(&server.crowd));
    let session = Arc::new(Session::new(server, number));
    let mut socket = Socket::new(stream, Arc::clone(&session));
    match detect(&mut socket, None, &mut watch, &session.server.stop).await {
        Some(Protocol::Http1) => http1::serve(socket, session, watch).await,
        Some(Protocol::Http2) => http2::serve(socket, session, watch).await,
        None => {}
    }
}

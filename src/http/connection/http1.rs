//! HTTP/1.0 and HTTP/1.1.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::Stream;
use super::drive::{Connection, End, drive};
use super::session::{Session, Turn};
use super::socket::Socket;
use super::watch::Watch;
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::http::service::respond;

/// Most bytes of a request head (RFC 9110 leaves the limit to us), and of what is buffered for a
/// connection. The number of headers is bounded by hyper's default of 100, which needs no
/// allocation.
const HEAD_BYTES: usize = 16 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// How HTTP/1 is spoken.
pub fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A client may close its side and still wait for the answer.
        .half_close(true)
        // The watch keeps the time: hyper would set a timer for each request, and would take an
        // idle connection for a slow head.
        .header_read_timeout(None)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES);
    builder
}

/// Serves a connection until it ends.
pub async fn serve<V: Verify, I: Stream>(socket: Socket<V, I>, session: Arc<Session<V>>, watch: Watch) {
    let service = {
        let session = Arc::clone(&session);
        service_fn(move |request| respond(Turn::begin(Arc::clone(&session)), request))
    };
    let mut connection = session.server.http1.serve_connection(TokioIo::new(socket), service);
    let end = drive(&mut connection, &session, watch).await;
    let mut socket = connection.into_parts().io.into_inner();
    // Bytes after the last request are a head that never became one.
    let asked = session.activity.has_heard();
    match end {
        End::HeadTooSlow if asked => socket.refuse(Problem::HeadTooSlow).await,
        End::HeadTooSlow | End::Abandoned => {}
        End::Over(Err(error)) => {
            debug!(%error, "a connection ended with an error");
            if socket.has_refused() {
                socket.linger().await;
            } else if asked && (error.is_parse() || error.is_incomplete_message()) {
                socket.refuse(Problem::BadHead).await;
            }
        }
        End::Over(Ok(())) => {
            if session.activity.has_left_input() {
                socket.linger().await;
            }
        }
    }
}

impl<V, I, S> Connection for http1::Connection<TokioIo<Socket<V, I>>, S>
where
    I: Stream,
    S: HttpService<Incoming, ResBody = Full<Bytes>> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Pin::new(self).poll(cx)
    }

    fn finish(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

//! HTTP/2: with prior knowledge, or agreed on by TLS.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::http2;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tracing::debug;

use super::Stream;
use super::drive::{Connection, End, drive};
use super::session::{Session, Turn};
use super::socket::Socket;
use super::streams::{Intake, Streams};
use super::watch::Watch;
use crate::http::deps::Verify;
use crate::http::service::respond;

/// Most bytes of a request's headers, uncompressed.
const HEADER_LIST_BYTES: u32 = 16 * 1024;

/// What a peer may send before we take it: a few of the largest bodies that are read.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A peer that sends nothing for this long is asked whether it lives, and has that long to answer.
/// Otherwise one that vanished would hold its place as long as a request of its is answered.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a connection until it ends.
pub async fn serve<V: Verify, I: Stream>(mut socket: Socket<V, I>, session: Arc<Session<V>>, watch: Watch) {
    socket.ignore_heads();
    let streams = Streams::default();
    let service = {
        let session = Arc::clone(&session);
        service_fn(move |request| respond(Turn::begin(Arc::clone(&session)), request))
    };
    let connection = builder(streams.intake(), session.server.crowd.streams())
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = WithStreams { connection, streams };
    if let End::Over(Err(error)) = drive(&mut connection, &session, watch).await {
        debug!(%error, "a connection ended with an error");
    }
}

fn builder(intake: Intake, most_streams: u32) -> http2::Builder<Intake> {
    let mut builder = http2::Builder::new(intake);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(most_streams)
        .max_header_list_size(HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// A connection and the requests it has open.
struct WithStreams<V, I, S: HttpService<Incoming>> {
    connection: http2::Connection<TokioIo<Socket<V, I>>, S, Intake>,
    streams: Streams,
}

impl<V, I, S> Connection for WithStreams<V, I, S>
where
    I: Stream,
    S: HttpService<Incoming, ResBody = Full<Bytes>> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Intake: Http2ServerConnExec<S::Future, Full<Bytes>>,
{
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self.connection).poll(cx) {
                return Poll::Ready(result);
            }
            if !self.streams.poll(cx) {
                return Poll::Pending;
            }
        }
    }

    fn finish(&mut self) {
        Pin::new(&mut self.connection).graceful_shutdown();
    }
}

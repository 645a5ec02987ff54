//! One connection: TLS, its protocol, its time limits and its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{self, Future};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use tracing::debug;

use super::app::{App, ServedRoutes};
use super::below;
use super::tls::HTTP2;
use crate::observe::log_limit::OncePerSecond;

/// A client that takes no bytes for this long loses its connection. hyper alone would wait until the last ones can be
/// written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the client to take its last bytes (HTTP/1) or to acknowledge the end (HTTP/2) once the connection is to
/// close and no request is being answered.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Most bytes of a request head, and of the read buffer of an HTTP/1 connection. hyper accepts at most 100 headers.
const HEAD_BYTES: usize = 16 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// Most bytes of an HTTP/2 request's headers, uncompressed.
const HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 128;

/// The flow-control window of an HTTP/2 client: a few of the largest bodies that are read.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Bytes of an answer that wait in an HTTP/2 stream.
const SEND_BUFFER: usize = 4 * 1024;

/// An HTTP/2 client that sends nothing for this long gets a ping, and has this long to answer it. Without pings, a
/// client that vanished would hold its connection for as long as one of its requests is being answered.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A byte stream to a client.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<I: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for I {}

/// The state that all connections share.
pub struct Server {
    pub app: App,
    pub routes: ServedRoutes,
    pub request_id_prefix: u32,
    pub router: Router,
    /// Requests since the start of the program.
    pub requests: AtomicU64,
    /// Ends every connection after the requests that it is answering.
    pub stop: CancellationToken,
    pub logs: Logs,
}

/// The limits on log lines about refused requests and connections: one line a second of each kind. No kind hides another one,
/// under overload too.
#[derive(Default)]
pub struct Logs(Mutex<HashMap<&'static str, OncePerSecond>>);

impl Logs {
    /// `log` is told the number of events.
    pub fn note(&self, kind: &'static str, log: impl FnOnce(u64) + Send + 'static) {
        self.0.lock().entry(kind).or_default().note(log);
    }
}

/// The state that the requests of one connection share.
pub struct Connection {
    pub server: Arc<Server>,
    /// The address of the other end: the client, or a proxy.
    pub peer: IpAddr,
    /// At the control socket, the administrator of this machine at the other end.
    pub user: Option<u32>,
    /// Held by each request until its answer has begun or its client is gone.
    active: Arc<()>,
    /// Requests that have begun.
    begun: AtomicU64,
}

impl Connection {
    /// A connection from the address `peer`. `user` is at the other end of one to the control socket.
    pub fn new(server: Arc<Server>, peer: IpAddr, user: Option<u32>) -> Arc<Self> {
        Arc::new(Self { server, peer, user, active: Arc::default(), begun: AtomicU64::new(0) })
    }

    /// Whether a request is being answered.
    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.active) > 1
    }

    /// Returns when the first request has not come in the time of a head.
    async fn silent(&self) {
        sleep(self.server.app.settings.bounds.header_timeout).await;
        if self.begun.load(Relaxed) > 0 {
            future::pending::<()>().await;
        }
    }

    /// Returns when no request was being answered for the time of an idle connection.
    async fn idle(&self) {
        loop {
            let begun = self.begun.load(Relaxed);
            sleep(self.server.app.settings.bounds.idle_timeout).await;
            if !self.is_busy() && self.begun.load(Relaxed) == begun {
                return;
            }
        }
    }
}

/// A stream whose writes fail after `WRITE_TIMEOUT`. It is below TLS: rustls has a buffer of its own, and each frame
/// that fits into it, such as a ping, would begin the time anew.
pub fn with_write_timeout<I: Stream>(stream: I) -> Pin<Box<TimeoutWriter<I>>> {
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}

/// Serves a connection until it ends: HTTP/1 in cleartext, or what ALPN chose over TLS. Dropping the future drops every
/// request that it is answering.
pub async fn serve(stream: impl Stream, tls: Option<TlsAcceptor>, connection: Arc<Connection>) {
    let (stream, server) = (with_write_timeout(stream), &connection.server);
    let Some(acceptor) = tls else { return serve_http1(stream, &connection).await };
    // Boxed, so that its memory is free again after the handshake.
    let handshake = Box::pin(async move { acceptor.accept(stream).await.map(Box::new) });
    let opening = tokio::select! {
        biased;
        opening = timeout(server.app.settings.bounds.header_timeout, handshake) => opening,
        () = server.stop.cancelled() => return,
    };
    match opening {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
            // Boxed, so that a connection of HTTP/1 has no room for it.
            Box::pin(serve_http2(stream, &connection)).await;
        }
        Ok(Ok(stream)) => serve_http1(stream, &connection).await,
        // At debug level only: a client can fail as often as it likes.
        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
        Err(_) => debug!("TLS handshake took too long"),
    }
}

/// Serves HTTP/1.0 and HTTP/1.1. The time for a head begins when the one before it was answered.
async fn serve_http1(stream: impl Stream, connection: &Arc<Connection>) {
    let service = service_fn(|request| respond(Arc::clone(connection), request));
    let mut http = http1::Builder::new()
        // A client may close its side and still wait for the answer to a request that changes something.
        .half_close(true)
        .timer(TokioTimer::new())
        // It includes the wait for the next request.
        .header_read_timeout(connection.server.app.settings.bounds.idle_timeout)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    run(&mut http, connection, connection.silent()).await;
    // After a time limit hyper leaves the end of a TLS session to its user.
    let _ = http.into_parts().io.into_inner().shutdown().now_or_never();
}

/// Serves HTTP/2. The requests run in tasks of their own, which end with the connection.
pub async fn serve_http2(stream: impl Stream, connection: &Arc<Connection>) {
    let service = {
        let connection = Arc::clone(connection);
        // Boxed: while the client takes the answer, nothing of the handler is held in memory.
        service_fn(move |request| respond(Arc::clone(&connection), request).boxed())
    };
    let mut http = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    run(&mut http, connection, connection.idle()).await;
}

/// Runs `http` to its end. A stop of the server, or a time without requests, ends it after the requests that it is
/// answering.
async fn run<C>(http: &mut C, connection: &Connection, idle: impl Future<Output = ()>)
where
    C: GracefulConnection<Error = hyper::Error> + Unpin,
{
    tokio::select! {
        // A request that has arrived is processed before a limit or a stop.
        biased;
        ended = &mut *http => return ended.unwrap_or_else(|error| debug!(%error, "connection failed")),
        () = connection.server.stop.cancelled() => {}
        () = idle => {}
    }
    Pin::new(&mut *http).graceful_shutdown();
    // A client that takes no part in the end is not waited for.
    while timeout(CLOSE_GRACE, &mut *http).await.is_err() && connection.is_busy() {}
}

/// Answers one request. Every failure becomes an answer.
async fn respond(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response, Infallible> {
    let _active = Arc::clone(&connection.active);
    connection.begun.fetch_add(1, Relaxed);
    let mut router = connection.server.router.clone();
    let mut request = request.map(Body::new);
    let app = Arc::clone(&connection.server.app);
    if let Some(path) = &app.below {
        below::strip(&mut request, path);
    }
    request.extensions_mut().insert(connection);
    let mut response = router.call(request).await?;
    if let Some(path) = &app.below {
        response = below::put(response, path).await;
    }
    if response.status() == StatusCode::NO_CONTENT {
        // The router has added it.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(response)
}

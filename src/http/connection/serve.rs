//! Serves one connection with hyper, within its time limits.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::uri::PathAndQuery;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use tracing::debug;

use super::lines::Lines;
use super::open::{
    ActiveRequest, Connection, Server, Stream, http1_builder, linger, raw_response, respond_and_close,
};
use crate::http::app::{App, ServedRoutes};
use crate::http::logs::Logs;
use crate::http::response::{NotServed, PIECE, Problem};
use crate::http::service::{self, Arrived};
use crate::node::ReportReceiver;
use crate::observe::log_limit::OncePerSecond;
use crate::verification::numbers::Refusal;

/// Most bytes of an HTTP/2 request's headers, uncompressed.
const HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 128;

/// Bytes of an answer that wait in an HTTP/2 connection: one piece.
const SEND_BUFFER: usize = PIECE;

/// A client that takes no bytes for this long loses its connection. hyper alone would wait until the last ones can be
/// written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The flow-control window of an HTTP/2 client: a few of the largest bodies that are read.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// An HTTP/2 client that sends nothing for this long gets a ping, and has this long to answer it. Without pings, a
/// client that vanished would hold its connection for as long as one of its requests is being answered.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream whose writes fail after `WRITE_TIMEOUT`. It is below TLS: rustls has a buffer of its own, and each frame
/// that fits into it, such as a ping, would begin the time anew.
pub fn with_write_timeout<I: Stream>(stream: I) -> Pin<Box<TimeoutWriter<I>>> {
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}

/// The state of connections that lead requests through every route. `port` is the one that the server listens on.
pub fn server(app: App, port: Option<u16>, routes: ServedRoutes) -> Server {
    let not_served = NotServed::ALL.map(NotServed::as_str);
    app.metrics.create_refusals_at_zero(&[Refusal::NAMES, &not_served].concat());
    if app.forwarder.is_some() {
        app.metrics.create_forwarded_at_zero();
    }
    let prefix = app.request_id_prefix;
    Server {
        port,
        routes,
        // Ids of requests at the control socket differ from those of the HTTP port.
        request_id_prefix: if routes == ServedRoutes::Local { !prefix } else { prefix },
        router: service::router(&app),
        stop: CancellationToken::new(),
        logs: Logs::default(),
        failed_handshakes: OncePerSecond::default(),
        is_leaving: AtomicBool::new(false),
        http1: http1_builder(),
        app,
    }
}

/// Serves a connection in cleartext until it ends. Dropping the future drops every request that it is answering.
pub async fn serve(stream: impl Stream, connection: Arc<Connection>) {
    serve_http1(with_write_timeout(stream), connection).await;
}

/// Serves HTTP/1.0 and HTTP/1.1.
pub async fn serve_http1<I: Stream>(stream: I, connection: Arc<Connection>) {
    let service = {
        let connection = Arc::clone(&connection);
        service_fn(move |request| respond(ActiveRequest::begin(Arc::clone(&connection)), request))
    };
    let connected = Arc::clone(&connection);
    let socket = TokioIo::new(Socket { stream, connection: connected, lines: Lines::default(), added: &[] });
    let mut http = connection.server.http1.serve_connection(socket, service);
    let end = run(&mut http, &connection).await;
    let mut stream = http.into_parts().io.into_inner().stream;
    // Bytes after the last request are a head that never became one.
    let has_begun = connection.activity.has_new_input();
    match end {
        End::HeadTooSlow if has_begun => refuse(stream, &connection, Problem::HeadTooSlow).await,
        End::HeadTooSlow | End::GaveWay => close_without_waiting(&mut stream),
        End::Abandoned => {}
        End::Over(Ok(())) => {
            if connection.activity.unread_body.load(Ordering::Relaxed) {
                linger(&mut stream).await;
            }
        }
        End::Over(Err(error)) => {
            debug!(%error, "connection failed");
            // hyper answers other heads that it cannot read by itself: 400 or 431 without a body.
            if has_begun && (error.is_incomplete_message() || error.is_parse_version_h2()) {
                refuse(stream, &connection, Problem::BadHead).await;
            } else if error.is_parse() {
                linger(&mut stream).await;
            }
        }
    }
}

/// Serves HTTP/2. The requests run in tasks of their own, which end with the connection.
pub async fn serve_http2<I: Stream>(stream: I, connection: Arc<Connection>) {
    // hyper keeps the stream. A client that never sends a request gets its goodbye before hyper gets the stream.
    let mut stream = BufReader::with_capacity(1, stream);
    let has_begun = tokio::select! {
        biased;
        first = stream.fill_buf() => first.is_ok_and(|bytes| !bytes.is_empty()),
        () = connection.over() => false,
    };
    if !has_begun {
        return close_without_waiting(&mut stream);
    }
    let service = {
        let connection = Arc::clone(&connection);
        // Boxed: while the client takes the answer, nothing of the handler is held in memory.
        service_fn(move |request| respond(ActiveRequest::begin(Arc::clone(&connection)), request).boxed())
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
    if let End::Over(Err(error)) = run(&mut http, &connection).await {
        debug!(%error, "connection failed");
    }
}

/// Answers one request. Every failure becomes an answer.
async fn respond(active: ActiveRequest, request: Request<Incoming>) -> Result<Response, Infallible> {
    let connection = Arc::clone(&active.connection);
    let server = &connection.server;
    let mut request = request.map(Body::new);
    let prefix = server.app.reports.as_ref().map_or("", ReportReceiver::path_prefix);
    let sent_uri =
        routed_uri(request.uri(), prefix).map(|routed| std::mem::replace(request.uri_mut(), routed));
    let arrived = Arrived { connection: Arc::clone(&connection), number: active.number, sent_uri };
    request.extensions_mut().insert(arrived);
    let Ok(mut response) = server.router.clone().call(request).await;
    let (status, headers) = (response.status(), response.headers_mut());
    if status != StatusCode::METHOD_NOT_ALLOWED {
        // The router adds it to every answer to such a method.
        headers.remove(ALLOW);
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
    }
    Ok(response)
}

/// The address as the router has it, if it was sent as another one. Reports may come with the path of the public address
/// in front of ours; nothing else does.
fn routed_uri(uri: &Uri, prefix: &str) -> Option<Uri> {
    let ours = uri.path_and_query()?.as_str().strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
    ours.starts_with("/callbacks/").then(|| PathAndQuery::try_from(ours).ok().map(Uri::from)).flatten()
}

/// Why a connection ended.
enum End {
    /// hyper ended it.
    Over(hyper::Result<()>),
    /// The head of a request did not arrive in time.
    HeadTooSlow,
    /// A new connection takes the place of one whose request is due.
    GaveWay,
    /// It was being closed, and the client did not take part in time.
    Abandoned,
}

/// Time for the client to take its last bytes (HTTP/1) or to acknowledge the end (HTTP/2) once the connection is to
/// close and no request is being answered.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Runs `http` to its end. A stop of the server, or a time limit, ends it after the requests that it is answering.
async fn run<C>(http: &mut C, connection: &Connection) -> End
where
    C: GracefulConnection<Error = hyper::Error> + Unpin,
{
    tokio::select! {
        // A request that has arrived is processed before a limit or a stop.
        biased;
        result = &mut *http => return End::Over(result),
        () = connection.over() => {}
    }
    if connection.activity.is_late(&connection.server.app.settings.bounds) {
        return End::HeadTooSlow;
    }
    if connection.activity.is_waiting() && !connection.server.stop.is_cancelled() {
        return End::GaveWay;
    }
    Pin::new(&mut *http).graceful_shutdown();
    loop {
        match tokio::time::timeout(CLOSE_GRACE, &mut *http).await {
            Ok(result) => return End::Over(result),
            // A stop does not shorten the time of a request that is being answered.
            Err(_) if connection.activity.is_busy() => {}
            Err(_) => return End::Abandoned,
        }
    }
}

async fn refuse(stream: impl Stream, connection: &Connection, problem: Problem) {
    respond_and_close(stream, raw_response(problem, &connection.request_id(0))).await;
}

/// Tells the client of the end (TLS: `close_notify`), as far as that can be done without waiting.
fn close_without_waiting(stream: &mut impl Stream) {
    let _ = stream.shutdown().now_or_never();
}

/// The stream of an HTTP/1 connection. It notes when bytes arrive.
///
/// It is not vectored: the responses fit into one buffer, and one copy costs less than a longer system call.
struct Socket<I> {
    stream: I,
    connection: Arc<Connection>,
    lines: Lines,
    /// Bytes that hyper gets before the next ones of the client.
    added: &'static [u8],
}

/// Stands for a line that ends without a carriage return. hyper refuses it, and answers when the head has an end.
const REFUSED_LINE: &[u8] = b"\0\r\n\r\n";

impl<I: Stream> AsyncRead for Socket<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.added.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            if let Err(good) = this.lines.read(&buffer.filled()[before..]) {
                // What came before is answered first.
                buffer.set_filled(before + good);
                this.added = REFUSED_LINE;
            }
        }
        let (fitting, rest) = this.added.split_at(this.added.len().min(buffer.remaining()));
        buffer.put_slice(fitting);
        this.added = rest;
        if buffer.filled().len() > before {
            this.connection.activity.note_input();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: Stream> AsyncWrite for Socket<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

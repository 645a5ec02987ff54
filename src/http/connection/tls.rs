//! TLS under a connection: the handshake, within the time that the first request's head has, and what is said to those
//! who speak without it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::detect::{Protocol, detect};
use super::linger::turn_away;
use super::raw_answer::raw_answer;
use super::session::{Server, Session};
use super::socket::Socket;
use super::watch::Watch;
use super::{Stream, http1, http2};
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::http::tls::HTTP2;

/// Time for the handshake of a connection that there is no room for. Few are told at once, and others wait for that.
const REFUSAL_HANDSHAKE: Duration = Duration::from_secs(2);

/// What an encrypted connection came to, before anything was asked.
enum Arrival<I> {
    /// It is encrypted.
    Encrypted(Box<TlsStream<Begun<I>>>),
    /// The peer speaks HTTP, and not TLS.
    Plain(I),
}

/// Serves an encrypted connection until it ends, as [`super::serve`] does others. The time for the first head begins
/// here: a peer cannot have it twice by dragging out the handshake.
pub async fn serve_tls<V: Verify, I: Stream>(
    stream: I,
    acceptor: TlsAcceptor,
    server: Arc<Server<V>>,
    number: u64,
) {
    let mut watch = Watch::start(&server.deps.bounds, Arc::clone(&server.crowd));
    let arrived = tokio::select! {
        biased;
        // Boxed, so that its room is free again after the handshake.
        arrived = Box::pin(arrive(stream, acceptor)) => arrived,
        () = watch.first_head() => Err(io::ErrorKind::TimedOut.into()),
        () = server.stop.told() => return,
    };
    match arrived {
        Ok(Arrival::Encrypted(stream)) => {
            let agreed = match stream.get_ref().1.alpn_protocol() {
                Some(HTTP2) => Protocol::Http2,
                Some(_) | None => Protocol::Http1,
            };
            let session = Arc::new(Session::new(server, number));
            let mut socket = Socket::new(stream, Arc::clone(&session));
            match detect(&mut socket, Some(agreed), &mut watch, &session.server.stop).await {
                Some(Protocol::Http1) => http1::serve(socket, session, watch).await,
                Some(Protocol::Http2) => http2::serve(socket, session, watch).await,
                None => socket.say_goodbye(),
            }
        }
        Ok(Arrival::Plain(stream)) => {
            let id = Session::new(Arc::clone(&server), number).request_id(0);
            note(&server, &"the peer speaks HTTP without TLS");
            turn_away(stream, raw_answer(Problem::PlainHttp, &id)).await;
        }
        Err(error) => note(&server, &error),
    }
}

/// Answers a connection that is not served, and closes it, as [`turn_away`] does others.
pub async fn turn_away_tls(stream: impl Stream, acceptor: TlsAcceptor, answer: Bytes) {
    match tokio::time::timeout(REFUSAL_HANDSHAKE, Box::pin(arrive(stream, acceptor))).await {
        Ok(Ok(Arrival::Encrypted(stream))) => turn_away(stream, answer).await,
        Ok(Ok(Arrival::Plain(stream))) => turn_away(stream, answer).await,
        // Who does not even shake hands hears nothing.
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Shakes hands. A request of HTTP begins with a capital letter, and TLS never does: RFC 8446, section 5.1.
async fn arrive<I: Stream>(mut stream: I, acceptor: TlsAcceptor) -> io::Result<Arrival<I>> {
    let first = stream.read_u8().await?;
    if first.is_ascii_uppercase() {
        return Ok(Arrival::Plain(stream));
    }
    let begun = Begun { first: Some(first), stream };
    acceptor.accept(begun).await.map(|stream| Arrival::Encrypted(Box::new(stream)))
}

/// At debug level only, and a line a second at most: anybody can fail as often as they like.
fn note<V>(server: &Server<V>, reason: &dyn std::fmt::Display) {
    if let Some(count) = server.failed_handshakes.count() {
        debug!(%reason, count, "TLS handshakes failed");
    }
}

/// A stream whose first byte was read already.
struct Begun<I> {
    first: Option<u8>,
    stream: I,
}

impl<I: Stream> AsyncRead for Begun<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() > 0
            && let Some(first) = this.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl<I: Stream> AsyncWrite for Begun<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

//! A connection's socket, as hyper sees it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::Stream;
use super::detect::HTTP2_PREFACE;
use super::linger::linger;
use super::raw_answer::{hypers_own, raw_answer};
use super::session::Session;
use crate::http::problem::Problem;

/// Does three things on the way: gives hyper the bytes that told the protocol, tells the activity
/// when bytes arrive, and puts the envelope in the place of hyper's own, empty answers.
///
/// It is not vectored: our answers fit into one buffer, and one copy costs less than a longer
/// system call.
pub struct Socket<V, I> {
    stream: I,
    session: Arc<Session<V>>,
    beginning: [u8; HTTP2_PREFACE.len()],
    beginning_len: usize,
    replayed: usize,
    hears_heads: bool,
    replacement: Option<Replacement>,
    has_refused: bool,
}

/// An answer that takes the place of hyper's.
struct Replacement {
    unsent: Bytes,
    replaced_len: usize,
}

impl<V, I: Stream> Socket<V, I> {
    /// A socket of which nothing has been read.
    pub fn new(stream: I, session: Arc<Session<V>>) -> Self {
        Self {
            stream,
            session,
            beginning: [0; HTTP2_PREFACE.len()],
            beginning_len: 0,
            replayed: 0,
            hears_heads: true,
            replacement: None,
            has_refused: false,
        }
    }

    /// Reads some of the first bytes and keeps them for hyper. `Ok(0)` at the end of the input.
    pub async fn read_beginning(&mut self) -> io::Result<usize> {
        let read = self.stream.read(&mut self.beginning[self.beginning_len..]).await?;
        self.beginning_len += read;
        Ok(read)
    }

    /// The first bytes, as far as they were read.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning[..self.beginning_len]
    }

    /// Whether any of the first bytes were read.
    pub const fn has_beginning(&self) -> bool {
        self.beginning_len > 0
    }

    /// Bytes that arrive between requests are not the head of one: HTTP/2 has other frames.
    pub const fn ignore_heads(&mut self) {
        self.hears_heads = false;
    }

    /// Whether a request was refused before it was one.
    pub const fn has_refused(&self) -> bool {
        self.has_refused
    }

    /// Answers with a problem and closes. The peer may be gone; nobody is left to tell then.
    pub async fn refuse(&mut self, problem: Problem) {
        let answer = raw_answer(problem, &self.session.request_id(0));
        if self.stream.write_all(&answer).await.is_ok() && self.stream.shutdown().await.is_ok() {
            self.linger().await;
        }
    }

    /// Tells the peer of the end (TLS: `close_notify`), as far as that can be done without waiting.
    pub fn say_goodbye(&mut self) {
        let _ = self.stream.shutdown().now_or_never();
    }

    /// Closes without cutting off what was answered.
    pub async fn linger(&mut self) {
        linger(&mut self.stream).await;
    }

    fn poll_replace(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(replacement) = &mut self.replacement else { return Poll::Ready(Ok(0)) };
        while replacement.unsent.has_remaining() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &replacement.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            replacement.unsent.advance(sent);
        }
        let replaced_len = replacement.replaced_len;
        self.replacement = None;
        Poll::Ready(Ok(replaced_len))
    }
}

impl<V, I: Stream> AsyncRead for Socket<V, I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.replayed < this.beginning_len {
            let rest = &this.beginning[this.replayed..this.beginning_len];
            let part = &rest[..rest.len().min(buffer.remaining())];
            buffer.put_slice(part);
            this.replayed += part.len();
            this.session.activity.hear();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        if this.hears_heads && buffer.filled().len() > before {
            this.session.activity.hear();
        }
        Poll::Ready(Ok(()))
    }
}

impl<V, I: Stream> AsyncWrite for Socket<V, I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replacement.is_none()
            && let Some(problem) = hypers_own(bytes)
        {
            let unsent = raw_answer(problem, &this.session.request_id(0));
            this.replacement = Some(Replacement { unsent, replaced_len: bytes.len() });
            this.has_refused = true;
        }
        if this.replacement.is_some() {
            return this.poll_replace(cx);
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

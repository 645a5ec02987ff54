//! A connection to a provider that takes neither much time at once nor much in all.
//!
//! The HTTP library reads as long as there is something to read: it skips interim answers (`100 Continue`) in a
//! loop, and a provider that sends them as fast as the line takes them would keep a thread for half a second without
//! a pause. That thread serves our own clients too.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// Bytes that are read at once. An answer of a provider has about one kibibyte.
const AT_ONCE: usize = 8 * 1024;

/// After so many the others have their turn.
const TURN: usize = 32 * 1024;

/// So many may come after a request. The longest answer that is read has a quarter of that.
pub(super) const ANSWER_WITH_ALL_ELSE: usize = 256 * 1024;

/// What a connection can do.
pub(super) trait Stream: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Stream for T {}

/// The connection.
pub(super) struct Bounded {
    stream: Box<dyn Stream>,
    /// Read since something was written.
    answered: usize,
    /// Read since the last pause.
    this_turn: usize,
}

/// More came than any answer has.
#[derive(Debug, thiserror::Error)]
#[error("the answer does not end")]
pub(super) struct Endless;

impl Bounded {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, answered: 0, this_turn: 0 }
    }
}

impl Read for Bounded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.answered > ANSWER_WITH_ALL_ELSE {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Endless)));
        }
        if this.this_turn > TURN {
            this.this_turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut space = [MaybeUninit::uninit(); AT_ONCE];
        let at_once = into.remaining().min(AT_ONCE);
        let mut part = ReadBuf::uninit(&mut space[..at_once]);
        let read = Pin::new(&mut *this.stream).poll_read(cx, part.unfilled());
        if read.is_pending() {
            this.this_turn = 0;
        }
        ready!(read)?;
        let part = part.filled();
        this.answered += part.len();
        this.this_turn += part.len();
        into.put_slice(part);
        Poll::Ready(Ok(()))
    }
}

impl Write for Bounded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.answered = 0;
        Pin::new(&mut *this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.answered = 0;
        Pin::new(&mut *this.stream).poll_write_vectored(cx, parts)
    }
}

impl Connection for Bounded {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Has always something to read.
    struct Flood;

    impl Read for Flood {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            mut into: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            let bytes = vec![b'1'; into.remaining()];
            into.put_slice(&bytes);
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Flood {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Connection for Flood {
        fn connected(&self) -> Connected {
            Connected::new()
        }
    }

    /// Reads until there is nothing for now: how much it was, and whether it has ended in an error.
    fn read(from: &mut Bounded) -> (usize, bool) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut total = 0;
        loop {
            let mut space = vec![0; 400 * 1024];
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut *from).poll_read(&mut cx, buffer.unfilled()) {
                Poll::Pending => return (total, false),
                Poll::Ready(Err(_)) => return (total, true),
                Poll::Ready(Ok(())) => total += buffer.filled().len(),
            }
        }
    }

    #[test]
    fn whoever_always_has_something_to_say_is_interrupted_and_then_not_listened_to_any_more() {
        let mut flood = Bounded::new(Box::new(Flood));
        let (mut total, mut ended) = (0, false);
        while !ended {
            let part;
            (part, ended) = read(&mut flood);
            assert!(part <= TURN + AT_ONCE, "{part} bytes without a pause");
            total += part;
        }
        assert!(total <= ANSWER_WITH_ALL_ELSE + AT_ONCE, "{total} bytes");
    }

    #[test]
    fn after_each_request_there_is_room_for_an_answer() {
        let mut flood = Bounded::new(Box::new(Flood));
        while !read(&mut flood).1 {}
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut flood).poll_write(&mut cx, b"GET").is_ready());
        assert!(read(&mut flood).0 > 0);
    }
}

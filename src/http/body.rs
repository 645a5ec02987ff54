//! Reading a request body within its bounds.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;

use super::bad_body::BadBody;
use super::problem::Problem;
use crate::numbers::Refusal;

/// A request's body, and how much of it has been taken off the connection.
pub struct RequestBody {
    incoming: Incoming,
    complete: bool,
    in_parts: Arc<Semaphore>,
}

impl RequestBody {
    /// Takes over what hyper hands out. A body that does not arrive in one piece takes a place of
    /// `in_parts` until it is whole.
    pub fn new(incoming: Incoming, in_parts: Arc<Semaphore>) -> Self {
        let complete = incoming.is_end_stream();
        Self { incoming, complete, in_parts }
    }

    /// Whether the connection still holds, or is still to receive, a part of it.
    pub const fn is_left_over(&self) -> bool {
        !self.complete
    }

    /// The whole body. One that arrived together with its head is neither copied nor timed, and needs no
    /// place: the slow bodies of some clients, which may open hundreds of streams each, fill memory up to
    /// a limit and do not delay a request that has arrived whole.
    pub async fn read(&mut self, limit: usize, time: Duration) -> Result<Bytes, Problem> {
        if self.incoming.size_hint().lower() > limit as u64 {
            return Err(Problem::BodyTooLarge(limit));
        }
        let in_parts = Arc::clone(&self.in_parts);
        let mut whole = pin!(self.collect(limit));
        if let Poll::Ready(body) = poll_fn(|cx| Poll::Ready(whole.as_mut().poll(cx))).await {
            return body;
        }
        let Ok(_place) = in_parts.try_acquire() else { return Err(Problem::Refused(Refusal::Overloaded)) };
        tokio::time::timeout(time, whole).await.unwrap_or(Err(Problem::BodyTooSlow))
    }

    /// Discards what has arrived of a body that is not read. When that is all of it, the connection
    /// can be used again.
    pub async fn discard_arrived(&mut self) {
        poll_fn(|cx| {
            while !self.complete {
                match self.poll_chunk(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) | Poll::Pending => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let first = poll_fn(|cx| self.poll_chunk(cx)).await.unwrap_or(Ok(Bytes::new()))?;
        if first.len() > limit {
            return Err(Problem::BodyTooLarge(limit));
        }
        if self.complete {
            return Ok(first);
        }
        let Some(second) = poll_fn(|cx| self.poll_chunk(cx)).await else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            let chunk = chunk?;
            if whole.len() + chunk.len() > limit {
                return Err(Problem::BodyTooLarge(limit));
            }
            whole.extend_from_slice(&chunk);
            next = poll_fn(|cx| self.poll_chunk(cx)).await;
        }
        Ok(whole.freeze())
    }

    /// The next piece of data; trailers are passed over. A broken body (bad chunk, early end) is a
    /// bad body.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Problem>>> {
        loop {
            if self.complete {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => self.complete = true,
                Some(Err(_)) => return Poll::Ready(Some(Err(Problem::BadBody(BadBody::Broken)))),
                Some(Ok(frame)) => {
                    self.complete = self.incoming.is_end_stream();
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}

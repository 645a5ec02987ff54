//! The requests of an HTTP/2 connection, run by the connection's own task.
//!
//! hyper asks for an executor. Spawned tasks could outlive the server, and each would wake the
//! connection from another thread; here a connection's end is the end of its requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes new streams from hyper. Shared with [`Streams`] within one task, so the lock is free.
#[derive(Clone, Default)]
pub struct Intake(Arc<Mutex<Vec<Stream>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Intake {
    fn execute(&self, stream: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(stream));
    }
}

/// Runs the streams.
#[derive(Default)]
pub struct Streams {
    intake: Intake,
    running: FuturesUnordered<Stream>,
}

impl Streams {
    /// Where new streams come from.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Polls the streams that can make progress. Whether any of them ended, so that the connection
    /// has something to send.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut arrived = self.intake.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.running.extend(arrived.drain(..));
        drop(arrived);
        let mut any_ended = false;
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {
            any_ended = true;
        }
        any_ended
    }
}

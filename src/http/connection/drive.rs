//! Runs a connection of either protocol within its time limits, until it ends or is told to.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::task::unconstrained;

use super::session::Session;
use super::watch::{Late, Watch};

/// What the protocols have in common.
pub trait Connection {
    /// Makes progress. Ready when the connection has ended.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;

    /// Ends the connection after the requests that it is answering; at once when there are none.
    fn finish(&mut self);
}

/// How a connection came to its end.
#[derive(Debug)]
pub enum End {
    /// By itself.
    Over(hyper::Result<()>),
    /// The head of a request did not arrive in time.
    HeadTooSlow,
    /// It was to close, and the peer did not take part.
    Abandoned,
}

/// Runs `connection` to its end.
pub async fn drive<V>(connection: &mut impl Connection, session: &Session<V>, mut watch: Watch) -> End {
    let stop = &session.server.stop;
    let mut stopping = pin!(unconstrained(stop.next()));
    let mut registered = false;
    poll_fn(|cx| {
        // Polled once before the flag is first read; from then on a stop wakes this task.
        if !registered {
            registered = stopping.as_mut().poll(cx).is_pending();
        }
        loop {
            // First, so that a request which has arrived is seen before a limit or a stop.
            if let Poll::Ready(result) = connection.poll_serve(cx) {
                return Poll::Ready(End::Over(result));
            }
            if stop.is_told() && !watch.is_closing() {
                watch.close();
                connection.finish();
                continue;
            }
            match watch.poll(cx, &session.activity) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Late::Head) => return Poll::Ready(End::HeadTooSlow),
                Poll::Ready(Late::Close) => return Poll::Ready(End::Abandoned),
                Poll::Ready(Late::Idle) => {
                    watch.close();
                    connection.finish();
                }
            }
        }
    })
    .await
}

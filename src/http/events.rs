//! Server-sent events that tell a page that something has changed. The page then loads what it shows.
//!
//! Nothing is queued for a reader: one event stands for all changes since the last one. A reader that takes nothing
//! holds one of [`STREAMS`] places until its connection ends for that.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::verification::Refusal;

/// Streams that may be open. Further ones are refused with 503.
pub const STREAMS: usize = 64;

/// After this time a stream ends, and its page opens the next one: before its connection counts as one without requests.
const LIFETIME: Duration = Duration::from_secs(25);

/// Time between the signs of life of a stream: its page notices after two of them that the server has stopped.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// The shortest time between two events of a stream.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers with an event after each change, and with `alive` every 3 s without one, until all senders of `changes` are gone.
/// It ends when `stop` is cancelled too.
pub fn open(
    places: &Arc<Semaphore>,
    changes: watch::Receiver<()>,
    stop: CancellationToken,
) -> Result<Response, Error> {
    let place = Arc::clone(places).try_acquire_owned();
    let place = place.map_err(|_| Refusal::Overloaded)?;
    // The first bytes tell the page that the stream is open.
    let first = stream::once(ready("retry: 1000\n\n"));
    let rest = stream::unfold((changes, Duration::ZERO), |(mut changes, pause)| async move {
        let news = async {
            sleep(pause).await;
            changes.changed().await
        };
        let event = match timeout(HEARTBEAT, news).await {
            Ok(news) => news.map(|()| "data: changed\n\n").ok()?,
            Err(_) => "event: alive\ndata:\n\n",
        };
        Some((event, (changes, PAUSE)))
    });
    let events = first.chain(rest).take_until(timeout(LIFETIME, stop.cancelled_owned()));
    let body = events.map(move |event| {
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    Ok(([("content-type", "text/event-stream")], Body::from_stream(body)).into_response())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_changes_shows_that_the_server_lives() {
        let (changes, receiver) = watch::channel(());
        let response =
            open(&Arc::new(Semaphore::new(STREAMS)), receiver, CancellationToken::new()).expect("a place");
        let mut body = response.into_body();
        let mut next = async || {
            let soon = tokio::time::timeout(Duration::from_millis(3_100), body.frame());
            let frame = soon.await.expect("in time").expect("no end").expect("a frame");
            String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text")
        };
        assert_eq!(next().await, "retry: 1000\n\n");
        assert_eq!(next().await, "event: alive\ndata:\n\n");
        changes.send_replace(());
        assert_eq!(next().await, "data: changed\n\n");
        assert_eq!(next().await, "event: alive\ndata:\n\n");
    }
}

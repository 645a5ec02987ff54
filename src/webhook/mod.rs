//! Webhooks out: tells others what happens to verifications, in the form of Standard Webhooks.
//!
//! Whoever has something to tell leaves it here and goes on: the disk is written a moment later, and receivers are asked
//! by tasks of the outbox. The API is the authority on a verification; an event that a crash within that moment has lost
//! can be asked for there. What is once written is told at least once, in the order in which it happened to its
//! verification.

mod bounds;
mod delivery;
mod dispatch;
mod event;
mod expected;
mod flush;
mod lanes;
mod list;
mod open;
mod payload;
mod record;
mod replay;
mod schedule;
mod seq;
mod signature;
mod state;
mod subscribers;
#[cfg(test)]
mod tests;
mod transport;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::store::{Store, StoreError};
use flush::Flusher;
use state::State;
use subscribers::is_heard;

pub use crate::registry::EventType;
pub use bounds::OutboxBounds;
pub use delivery::{Attempt, Delivery, DeliveryState};
pub use event::{About, Event, EventId, MessageAbout};
pub use list::{DeliveryPage, DeliveryQuery};
pub use open::OutboxError;
pub use record::OutboxRecordError;
pub use replay::{Replay, ReplayError};
pub use signature::secret_text;
pub use subscribers::Subscribers;
pub use transport::{Post, Posted, Transport, Trouble};
pub use view::{AttemptView, DeliveryView};

/// How long events collect before they are written. A crash loses at most so much of them.
const COLLECT: Duration = Duration::from_millis(250);

/// The pause before a store in trouble is tried again.
const TROUBLE: Duration = Duration::from_secs(1);

/// How long an end waits for attempts that are under way. Those that take longer are made again after the next start.
const CLOSING: Duration = Duration::from_secs(3);

/// Time for a receiver to answer: what a [`Poster`](crate::gateway::Poster) is made with.
pub const ATTEMPT_TIME: Duration = Duration::from_secs(15);

/// What an outbox is made of.
pub struct OutboxParts {
    /// Where events survive a crash.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who wants to be told.
    pub subscribers: Arc<dyn Subscribers>,
    /// How they are reached: a [`Poster`](crate::gateway::Poster).
    pub transport: Arc<dyn Transport>,
    /// For ids, and for waits that differ.
    pub rng: StdRng,
    /// How much at once, and how long.
    pub bounds: OutboxBounds,
}

/// A cheap handle on the outbox.
#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

/// How much the outbox has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Deliveries that are still to be made.
    pub pending: usize,
    /// Attempts under way.
    pub under_way: usize,
    /// Ends that are expected.
    pub expected: usize,
    /// Events that were dropped since the start, for want of room.
    pub dropped: u64,
}

struct Inner {
    state: Mutex<State>,
    /// Whoever holds it writes.
    flusher: tokio::sync::Mutex<Flusher>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    subscribers: Arc<dyn Subscribers>,
    transport: Arc<dyn Transport>,
    commit_timeout: Duration,
    /// Something is to be written.
    write: Arc<Notify>,
    /// Something may go that could not go before.
    go: Arc<Notify>,
    /// An attempt has ended while everything ends.
    idle: Notify,
}

impl Outbox {
    /// Reads what was still to be told and goes on from there; an attempt that was under way when the process ended is
    /// made again. Runs two tasks until the last handle is gone, or until [`Outbox::close`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be read, or a record in it cannot be understood.
    pub async fn open(parts: OutboxParts) -> Result<Self, OutboxError> {
        let OutboxParts { store, clock, subscribers, transport, rng, bounds } = parts;
        let commit_timeout = bounds.commit_timeout;
        let mut state = State::new(bounds, rng);
        open::read(&store, &mut state, clock.now()).await?;
        let (write, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (state, flusher, idle) = (Mutex::new(state), tokio::sync::Mutex::default(), Notify::new());
        let inner = Inner {
            state,
            flusher,
            store,
            clock,
            subscribers,
            transport,
            commit_timeout,
            write: Arc::clone(&write),
            go: Arc::clone(&go),
            idle,
        };
        let inner = Arc::new(inner);
        // Something may be too old by now.
        write.notify_one();
        tokio::spawn(write_behind(Arc::downgrade(&inner), write));
        tokio::spawn(dispatch::run(Arc::downgrade(&inner), go));
        Ok(Self { inner })
    }

    /// Tells each enabled webhook of the service that wants such events, soon: nobody waits for the disk or for a
    /// receiver. Called when what happened is durable. An end of a verification ends what
    /// [`Outbox::expect_end`] began.
    ///
    /// When far too much waits already, the event is dropped; the log and [`Outbox::counts`] say so.
    pub fn emit(&self, event: &Event) {
        self.inner.tell(None, event);
    }

    /// Emits `verification.expired` 10 s after `expires`, unless [`Outbox::emit`] is told of another end before. Asked
    /// again for the same verification it replaces what was expected. Until the end, events of this verification that
    /// come without tags get those of `about`, and so does a further `about` without any.
    ///
    /// Costs nothing for a service without an enabled webhook.
    pub fn expect_end(&self, service: ServiceId, verification: Sid, expires: Timestamp, about: About) {
        let is_heard = self.inner.subscribers.service(service).is_some_and(|service| is_heard(&service));
        let now = self.inner.clock.now();
        let mut state = self.inner.state();
        if is_heard {
            state.expect_end(service, verification, (now, expires), about);
        } else {
            state.expect_no_end(service, verification);
        }
        let is_changed = state.unwritten.len() > 0;
        drop(state);
        if is_changed {
            self.inner.write.notify_one();
            self.inner.go.notify_one();
        }
    }

    /// Whether [`Outbox::expect_end`] was asked for this verification, and its end is not told yet.
    pub fn expects_end(&self, service: ServiceId, verification: Sid) -> bool {
        self.inner.state().timers.of(service, verification).is_some()
    }

    /// How much there is to do.
    pub fn counts(&self) -> OutboxCounts {
        let state = self.inner.state();
        OutboxCounts {
            pending: state.lanes.pending_in_all(),
            under_way: state.lanes.under_way(),
            expected: state.timers.len(),
            dropped: state.dropped,
        }
    }

    /// Writes down everything that has changed.
    ///
    /// # Errors
    /// When the store refuses; it is tried again later.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        // In a task, because a commit must be awaited to its end even if the caller goes away.
        let flushed = tokio::spawn(async move { inner.flush().await }).await;
        flushed.unwrap_or_else(|_| Err(StoreError::Unknown("the outbox was interrupted".into())))
    }

    /// Begins nothing any more, waits up to 3 s for what is under way, and writes everything down, before the
    /// store is closed.
    ///
    /// # Errors
    /// When the store refuses. What was not written may be told again after the next start.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.state().closing = true;
        let at_rest = async {
            while self.inner.state().lanes.under_way() > 0 {
                self.inner.idle.notified().await;
            }
        };
        // What takes longer is made again after the next start.
        let _ = tokio::time::timeout(CLOSING, at_rest).await;
        self.flush().await
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, id: Option<EventId>, event: &Event) {
        let webhooks = self.wanted_by(event.service, event.kind);
        let now = self.clock.now();
        let mut state = self.state();
        if !webhooks.is_empty() {
            let id = id.unwrap_or_else(|| state.new_id());
            state.tell(id, event, &webhooks, now);
        }
        if event.kind.is_end() {
            state.expect_no_end(event.service, event.verification);
        }
        let is_changed = state.unwritten.len() > 0;
        drop(state);
        if is_changed {
            self.write.notify_one();
            self.go.notify_one();
        }
    }

    fn wanted_by(&self, service: ServiceId, kind: EventType) -> Vec<Sid> {
        let Some(service) = self.subscribers.service(service) else { return Vec::new() };
        let wanted = service.webhooks.iter().filter(|webhook| webhook.wants(kind));
        wanted.map(|webhook| webhook.sid).collect()
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.flusher.lock().await.flush(self).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that the tasks end.
        self.write.notify_one();
        self.go.notify_one();
    }
}

async fn write_behind(outbox: Weak<Inner>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let mut pause = COLLECT;
        loop {
            // Not while the last handle goes away: there is nobody left to write for.
            if outbox.strong_count() == 0 {
                return;
            }
            tokio::time::sleep(pause).await;
            let Some(inner) = outbox.upgrade() else { return };
            match inner.flush().await {
                Ok(()) if inner.state().unwritten.len() == 0 => break,
                Ok(()) => pause = COLLECT,
                Err(_) => pause = TROUBLE,
            }
        }
    }
}

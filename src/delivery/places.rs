//! How many messages may be at the gateway, and how many may wait for that.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::DeliveryError;
use super::budget::now;
use super::pace::Pace;
use crate::domain::GatewayName;

/// How often who waits looks whether that is still of use.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The places at one gateway, and the queue in front of them: first come, first served.
///
/// Only those wait, and go on waiting, who will probably get a place in time. If all did, a gateway that is too slow for what is
/// asked of it would get every message at the end of its budget, and none would be answered in time.
pub(super) struct Places {
    gateway: GatewayName,
    at_gateway: Semaphore,
    most_at_gateway: usize,
    in_queue: Semaphore,
    queue_length: usize,
    pace: Mutex<Pace>,
    /// How many got a place after waiting for it.
    served: AtomicUsize,
    /// Whether somebody was refused since a place was last free: said once, not per message.
    full: AtomicBool,
}

/// The right to ask the gateway, until it is dropped.
pub(super) struct Place<'a> {
    /// Whether it took a wait to get it.
    pub waited: bool,
    /// When the gateway was asked; a place that was given back unused says nothing about its pace.
    asked: Option<Instant>,
    places: &'a Places,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(asked) = self.asked {
            self.places.pace().freed(now().saturating_duration_since(asked));
        }
    }
}

impl Place<'_> {
    /// The gateway is asked from now on.
    pub fn ask(&mut self) {
        self.asked = Some(now());
    }

    /// How long the gateway takes for an answer these days.
    pub fn typical(&self) -> Duration {
        self.places.pace().typical(now())
    }
}

/// Whether a place that comes after `wait` comes in time, and then leaves time for an answer.
fn comes_in_time(wait: Duration, answer: Duration, now: Instant, patience: Instant, end: Instant) -> bool {
    let time_for = |what: Duration, until: Instant| what <= until.saturating_duration_since(now);
    time_for(wait, patience) && time_for(wait.saturating_add(answer), end)
}

impl Places {
    pub fn new(gateway: GatewayName, at_gateway: usize, in_queue: usize) -> Self {
        let most_at_gateway = at_gateway.min(Semaphore::MAX_PERMITS);
        let queue_length = in_queue.min(Semaphore::MAX_PERMITS);
        Self {
            gateway,
            at_gateway: Semaphore::new(most_at_gateway),
            most_at_gateway,
            in_queue: Semaphore::new(queue_length),
            queue_length,
            pace: Mutex::default(),
            served: AtomicUsize::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// Takes a place, if need be after waiting for one until `patience`. Refuses at once when all who may
    /// wait do, or when a place will probably not come before `patience`, or too late for an answer of
    /// the gateway before `end`.
    pub async fn take(&self, patience: Instant, end: Instant) -> Result<Place<'_>, DeliveryError> {
        // Those who wait are served before this can succeed.
        if let Ok(permit) = self.at_gateway.try_acquire() {
            // A free place means that nobody waits any more: the overload is over.
            if self.full.load(Ordering::Relaxed) {
                self.full.store(false, Ordering::Relaxed);
            }
            return Ok(self.place(permit, false));
        }
        self.look_at_the_queue(patience, end)?;
        let Ok(_queued) = self.in_queue.try_acquire() else {
            return Err(self.overloaded(Duration::ZERO));
        };
        let permit = self.wait_in_line(patience, end).await?;
        self.served.fetch_add(1, Ordering::Relaxed);
        Ok(self.place(permit, true))
    }

    /// Waits for a place, and looks now and then whether that is still of use: when the first came, perhaps nobody knew
    /// yet how slow the gateway is.
    async fn wait_in_line(
        &self,
        patience: Instant,
        end: Instant,
    ) -> Result<SemaphorePermit<'_>, DeliveryError> {
        let (ahead, served) = (self.waiting().saturating_sub(1), self.served.load(Ordering::Relaxed));
        let mut turn = pin!(self.at_gateway.acquire());
        loop {
            match timeout_at(patience.min(now() + LOOK_AGAIN), turn.as_mut()).await {
                Ok(Ok(permit)) => return Ok(permit),
                // The semaphore is never closed; if it were, nothing would be sent either.
                Ok(Err(_)) => return Err(DeliveryError::TimedOutWaiting),
                Err(_) if now() >= patience => return Err(DeliveryError::TimedOutWaiting),
                Err(_) => {
                    let since = self.served.load(Ordering::Relaxed).wrapping_sub(served);
                    self.look_from_the_line(ahead.saturating_sub(since), patience, end)?;
                }
            }
        }
    }

    /// Takes a place if one is free and nobody waits for it.
    pub fn take_free(&self) -> Option<Place<'_>> {
        self.at_gateway.try_acquire().ok().map(|permit| self.place(permit, false))
    }

    /// Whether somebody who came now would be refused.
    pub fn are_crowded(&self, end: Instant) -> bool {
        self.at_gateway.available_permits() == 0 && self.look_at_the_queue(end, end).is_err()
    }

    fn look_at_the_queue(&self, patience: Instant, end: Instant) -> Result<(), DeliveryError> {
        let (now, waiting) = (now(), self.waiting());
        let (wait, typical) = {
            let pace = self.pace();
            (pace.wait(waiting, self.most_at_gateway, now), pace.typical(now))
        };
        if waiting < self.queue_length && comes_in_time(wait, typical, now, patience, end) {
            return Ok(());
        }
        Err(self.overloaded(wait))
    }

    /// The same for who waits already, behind `ahead` others.
    fn look_from_the_line(&self, ahead: usize, patience: Instant, end: Instant) -> Result<(), DeliveryError> {
        let now = now();
        let (wait, typical) = {
            let pace = self.pace();
            (pace.wait_left(ahead, self.most_at_gateway, now), pace.typical(now))
        };
        if comes_in_time(wait, typical, now, patience, end) { Ok(()) } else { Err(self.overloaded(wait)) }
    }

    fn overloaded(&self, wait: Duration) -> DeliveryError {
        if !self.full.swap(true, Ordering::Relaxed) {
            warn!(
                gateway = self.gateway.as_str(),
                waiting = self.waiting(),
                expected_wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "too many messages are waiting for the gateway: more are refused until there is room"
            );
        }
        DeliveryError::Overloaded
    }

    fn place<'a>(&'a self, permit: SemaphorePermit<'a>, waited: bool) -> Place<'a> {
        self.pace().taken(now());
        Place { waited, asked: None, places: self, _permit: permit }
    }

    fn waiting(&self) -> usize {
        self.queue_length.saturating_sub(self.in_queue.available_permits())
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Every change is complete before the lock opens, so a panic elsewhere spoils nothing.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

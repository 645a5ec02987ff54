//! Limits the messages at one gateway, and those that wait for a permit.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::budget::now;
use super::error::DeliveryError;
use super::throughput::ThroughputEstimate;
use crate::domain::GatewayName;

/// The interval at which a waiting message checks whether it can still be sent in time.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// The permits of one gateway, and the queue for them: first come, first served.
///
/// A message waits, and goes on waiting, only if it will probably get a permit in time. If all messages waited, a
/// gateway that is too slow for its load would get every message at the end of its budget, and none would be answered
/// in time.
pub(super) struct ConcurrencyLimiter {
    gateway: GatewayName,
    permits: Semaphore,
    permit_count: usize,
    queue: Semaphore,
    queue_length: usize,
    estimate: Mutex<ThroughputEstimate>,
    /// The number of messages that got a permit after waiting for it.
    served: AtomicUsize,
    /// Whether a message was refused since a permit was last free: logged once, not per message.
    overloaded: AtomicBool,
}

/// The right to ask the gateway, until it is dropped.
pub(super) struct GatewayPermit<'a> {
    /// Whether the message waited for it.
    pub waited: bool,
    /// When the gateway was asked; a permit that is returned unused says nothing about the throughput.
    asked: Option<Instant>,
    limiter: &'a ConcurrencyLimiter,
    _permit: SemaphorePermit<'a>,
}

impl Drop for GatewayPermit<'_> {
    fn drop(&mut self) {
        if let Some(asked) = self.asked {
            self.limiter.estimate().returned(now().saturating_duration_since(asked));
        }
    }
}

impl GatewayPermit<'_> {
    /// The gateway is asked from now on.
    pub fn ask(&mut self) {
        self.asked = Some(now());
    }

    /// The gateway's present response time.
    pub fn typical_time(&self) -> Duration {
        self.limiter.estimate().typical(now())
    }

    /// The time after which an answer of the gateway is overdue; `None` before that is known.
    pub fn overdue_after(&self) -> Option<Duration> {
        self.limiter.estimate().overdue_after()
    }
}

impl ConcurrencyLimiter {
    pub fn new(gateway: GatewayName, permits: usize, queue_length: usize) -> Self {
        let permit_count = permits.min(Semaphore::MAX_PERMITS);
        let queue_length = queue_length.min(Semaphore::MAX_PERMITS);
        Self {
            gateway,
            permits: Semaphore::new(permit_count),
            permit_count,
            queue: Semaphore::new(queue_length),
            queue_length,
            estimate: Mutex::default(),
            served: AtomicUsize::new(0),
            overloaded: AtomicBool::new(false),
        }
    }

    /// Acquires a permit, and waits for one until `patience` if necessary. Refuses at once when the queue is full, or
    /// when a permit will probably not come before `patience`, or too late for an answer of the gateway before `end`.
    pub async fn acquire(&self, patience: Instant, end: Instant) -> Result<GatewayPermit<'_>, DeliveryError> {
        // The semaphore serves waiting messages before this can succeed.
        if let Ok(permit) = self.permits.try_acquire() {
            // A free permit means that no message waits any more: the overload is over.
            if self.overloaded.load(Ordering::Relaxed) {
                self.overloaded.store(false, Ordering::Relaxed);
            }
            return Ok(self.permit(permit, false));
        }
        self.can_wait(patience, end)?;
        let Ok(_queued) = self.queue.try_acquire() else {
            return Err(self.refuse(Duration::ZERO));
        };
        let permit = self.wait(patience, end).await?;
        self.served.fetch_add(1, Ordering::Relaxed);
        Ok(self.permit(permit, true))
    }

    /// Acquires a permit that is free and that no message waits for.
    pub fn try_acquire(&self) -> Option<GatewayPermit<'_>> {
        self.permits.try_acquire().ok().map(|permit| self.permit(permit, false))
    }

    /// The messages that have a permit, and those that wait for one.
    pub fn load(&self) -> (usize, usize) {
        (self.permit_count.saturating_sub(self.permits.available_permits()), self.waiting())
    }

    /// Whether a message that arrived now would be refused.
    pub fn is_full(&self, end: Instant) -> bool {
        self.permits.available_permits() == 0 && self.can_wait(end, end).is_err()
    }

    /// Waits for a permit, and checks again and again whether it can still come in time: when the first messages
    /// arrived, it was perhaps not yet known how slow the gateway is.
    async fn wait(&self, patience: Instant, end: Instant) -> Result<SemaphorePermit<'_>, DeliveryError> {
        let (ahead, served) = (self.waiting().saturating_sub(1), self.served.load(Ordering::Relaxed));
        let mut turn = pin!(self.permits.acquire());
        loop {
            match timeout_at(patience.min(now() + CHECK_EVERY), turn.as_mut()).await {
                Ok(Ok(permit)) => return Ok(permit),
                // The semaphore is never closed; if it were, nothing would be sent either.
                Ok(Err(_)) => return Err(DeliveryError::TimedOutWaiting),
                Err(_) if now() >= patience => return Err(DeliveryError::TimedOutWaiting),
                Err(_) => {
                    let since = self.served.load(Ordering::Relaxed).wrapping_sub(served);
                    self.can_go_on_waiting(ahead.saturating_sub(since), patience, end)?;
                }
            }
        }
    }

    /// Whether a message that arrives now has a place in the queue, and probably a permit in time.
    fn can_wait(&self, patience: Instant, end: Instant) -> Result<(), DeliveryError> {
        let (now, waiting) = (now(), self.waiting());
        let (wait, typical) = {
            let estimate = self.estimate();
            (estimate.wait(waiting, self.permit_count, now), estimate.typical(now))
        };
        if waiting < self.queue_length && is_in_time(wait, typical, now, patience, end) {
            return Ok(());
        }
        Err(self.refuse(wait))
    }

    /// The same for a message that waits already, behind `ahead` others.
    fn can_go_on_waiting(&self, ahead: usize, patience: Instant, end: Instant) -> Result<(), DeliveryError> {
        let now = now();
        let (wait, typical) = {
            let estimate = self.estimate();
            (estimate.wait_left(ahead, self.permit_count, now), estimate.typical(now))
        };
        if is_in_time(wait, typical, now, patience, end) { Ok(()) } else { Err(self.refuse(wait)) }
    }

    fn refuse(&self, wait: Duration) -> DeliveryError {
        if !self.overloaded.swap(true, Ordering::Relaxed) {
            warn!(
                gateway = self.gateway.as_str(),
                waiting = self.waiting(),
                expected_wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "gateway overloaded; messages are refused until its queue has room"
            );
        }
        DeliveryError::Overloaded
    }

    fn permit<'a>(&'a self, permit: SemaphorePermit<'a>, waited: bool) -> GatewayPermit<'a> {
        self.estimate().acquired(now());
        GatewayPermit { waited, asked: None, limiter: self, _permit: permit }
    }

    fn waiting(&self) -> usize {
        self.queue_length.saturating_sub(self.queue.available_permits())
    }

    fn estimate(&self) -> MutexGuard<'_, ThroughputEstimate> {
        // Every change is complete before the lock opens; therefore a panic elsewhere spoils nothing.
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a permit that comes after `wait` comes before `patience`, and leaves time for an answer before `end`.
fn is_in_time(wait: Duration, answer: Duration, now: Instant, patience: Instant, end: Instant) -> bool {
    let fits = |span: Duration, until: Instant| span <= until.saturating_duration_since(now);
    fits(wait, patience) && fits(wait.saturating_add(answer), end)
}

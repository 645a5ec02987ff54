//! Limits the messages at one gateway, and those that wait for a permit.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::error::Failure;
use crate::domain::GatewayName;

/// The permits of one gateway: one queue for the messages of all services, first come, first served.
pub(super) struct ConcurrencyLimiter {
    gateway: GatewayName,
    sends: usize,
    permits: Semaphore,
    most_waiting: usize,
    waiting: AtomicUsize,
    /// A message was refused since the last one that found a permit free.
    is_overloaded: AtomicBool,
}

/// The right to ask the gateway, until it is dropped.
pub(super) struct GatewayPermit<'a> {
    _permit: SemaphorePermit<'a>,
    /// Whether the message waited for it.
    pub waited: bool,
}

/// The place of a message that waits.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConcurrencyLimiter {
    /// `most_waiting`: messages that may wait besides those with a permit.
    pub fn new(gateway: GatewayName, sends: usize, most_waiting: usize) -> Self {
        let sends = sends.min(Semaphore::MAX_PERMITS);
        let (permits, waiting, is_overloaded) =
            (Semaphore::new(sends), AtomicUsize::new(0), AtomicBool::new(false));
        Self { gateway, sends, permits, most_waiting, waiting, is_overloaded }
    }

    /// Acquires a permit, and waits for one until `patience` if necessary. Refuses at once when the queue is full. Nothing
    /// is sent after an error.
    pub async fn acquire(&self, patience: Instant) -> Result<GatewayPermit<'_>, Failure> {
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        // Each message counts itself before it compares: of two that come at once only one gets the last place.
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        if before < self.most_waiting
            && let Ok(Ok(permit)) = timeout_at(patience, self.permits.acquire()).await
        {
            return Ok(GatewayPermit { _permit: permit, waited: true });
        }
        drop(place);
        self.log_overload();
        Err(Failure::Overloaded)
    }

    /// Acquires a permit that is free and that no message waits for.
    pub fn try_acquire(&self) -> Option<GatewayPermit<'_>> {
        let permit = self.permits.try_acquire().ok()?;
        self.is_overloaded.store(false, Ordering::Relaxed);
        Some(GatewayPermit { _permit: permit, waited: false })
    }

    /// The messages that have a permit, and those that wait for one.
    pub fn load(&self) -> (usize, usize) {
        let in_flight = self.sends.saturating_sub(self.permits.available_permits());
        (in_flight, self.waiting.load(Ordering::Relaxed))
    }

    /// Whether a message would be refused now.
    pub fn refuses(&self) -> bool {
        let (in_flight, waiting) = self.load();
        let refuses = in_flight >= self.sends && waiting >= self.most_waiting;
        if refuses {
            self.log_overload();
        }
        refuses
    }

    /// Logs a line for each overload, not for each message of one.
    fn log_overload(&self) {
        if !self.is_overloaded.swap(true, Ordering::Relaxed) {
            let (gateway, (in_flight, waiting)) = (self.gateway.as_str(), self.load());
            warn!(
                gateway,
                in_flight, waiting, "gateway overloaded; messages are refused until its queue has room"
            );
        }
    }
}

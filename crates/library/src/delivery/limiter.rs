//! Limits the messages at one gateway, and those that wait for a permit.

use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Places for messages that wait.
    places: Semaphore,
    /// A message was refused since the last one that found a permit free.
    is_overloaded: AtomicBool,
}

/// The right to ask the gateway, until it is dropped.
pub(super) struct GatewayPermit<'a> {
    _permit: SemaphorePermit<'a>,
    /// Whether the message waited for it.
    pub waited: bool,
}

impl ConcurrencyLimiter {
    /// `most_waiting`: messages that may wait besides those with a permit.
    pub fn new(gateway: GatewayName, sends: usize, most_waiting: usize) -> Self {
        let [sends, most_waiting] = [sends, most_waiting].map(|most| most.min(Semaphore::MAX_PERMITS));
        let (permits, places) = (Semaphore::new(sends), Semaphore::new(most_waiting));
        Self { gateway, sends, permits, most_waiting, places, is_overloaded: AtomicBool::new(false) }
    }

    /// Acquires a permit, and waits for one until `patience` if necessary. Refuses at once when the queue is full. Nothing
    /// is sent after an error.
    pub async fn acquire(&self, patience: Instant) -> Result<GatewayPermit<'_>, Failure> {
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        if let Ok(_place) = self.places.try_acquire()
            && let Ok(Ok(permit)) = timeout_at(patience, self.permits.acquire()).await
        {
            return Ok(GatewayPermit { _permit: permit, waited: true });
        }
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
        let taken = |most: usize, of: &Semaphore| most.saturating_sub(of.available_permits());
        (taken(self.sends, &self.permits), taken(self.most_waiting, &self.places))
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

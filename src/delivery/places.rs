//! How many messages may be at the gateway, and how many may wait for that.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::DeliveryError;
use crate::domain::GatewayName;

/// The places at one gateway, and the queue in front of them: first come, first served.
pub(super) struct Places {
    gateway: GatewayName,
    at_gateway: Semaphore,
    in_queue: Semaphore,
    queue_length: usize,
    /// Whether the queue has been full since a place was last free: said once, not per message.
    full: AtomicBool,
}

/// The right to ask the gateway, until it is dropped.
pub(super) struct Place<'a> {
    /// Whether it took a wait to get it.
    pub waited: bool,
    _permit: SemaphorePermit<'a>,
}

impl Places {
    pub fn new(gateway: GatewayName, at_gateway: usize, in_queue: usize) -> Self {
        let queue_length = in_queue.min(Semaphore::MAX_PERMITS);
        Self {
            gateway,
            at_gateway: Semaphore::new(at_gateway.min(Semaphore::MAX_PERMITS)),
            in_queue: Semaphore::new(queue_length),
            queue_length,
            full: AtomicBool::new(false),
        }
    }

    /// Takes a place, if need be after waiting for one until `end`.
    pub async fn take(&self, end: Instant) -> Result<Place<'_>, DeliveryError> {
        // Those who wait are served before this can succeed.
        if let Ok(permit) = self.at_gateway.try_acquire() {
            // A free place means that nobody waits any more: the overload is over.
            if self.full.load(Ordering::Relaxed) {
                self.full.store(false, Ordering::Relaxed);
            }
            return Ok(Place { waited: false, _permit: permit });
        }
        let Ok(_queued) = self.in_queue.try_acquire() else {
            if !self.full.swap(true, Ordering::Relaxed) {
                warn!(
                    gateway = self.gateway.as_str(),
                    waiting = self.queue_length,
                    "too many messages are waiting for the gateway: more are refused until there is room"
                );
            }
            return Err(DeliveryError::Overloaded);
        };
        match timeout_at(end, self.at_gateway.acquire()).await {
            Ok(Ok(permit)) => Ok(Place { waited: true, _permit: permit }),
            // The semaphore is never closed; if it were, nothing would be sent either.
            Ok(Err(_)) | Err(_) => Err(DeliveryError::TimedOutWaiting),
        }
    }

    /// Takes a place if one is free and nobody waits for it.
    pub fn take_free(&self) -> Option<Place<'_>> {
        self.at_gateway.try_acquire().ok().map(|permit| Place { waited: false, _permit: permit })
    }
}

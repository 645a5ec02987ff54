//! Telling all connections to finish.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A flag that is cheap to read and wakes those who wait for it. It is never taken back.
#[derive(Debug, Default)]
pub struct Stop {
    told: AtomicBool,
    waiting: Notify,
}

impl Stop {
    /// Tells everybody.
    pub fn tell(&self) {
        self.told.store(true, Ordering::Release);
        self.waiting.notify_waiters();
    }

    /// Whether everybody was told.
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Completes at the next [`Stop::tell`]. Whoever polls this and then finds
    /// [`Stop::is_told`] false will be woken.
    pub fn next(&self) -> Notified<'_> {
        self.waiting.notified()
    }

    /// Completes as soon as everybody was told.
    pub async fn told(&self) {
        let next = self.next();
        // The future counts from its creation, so a stop between these two lines is not missed.
        if !self.is_told() {
            next.await;
        }
    }
}

//! Whether connections are getting scarce. Then those that do nothing are let go sooner.

use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that the server sets and every connection reads.
#[derive(Debug, Default)]
pub struct Crowd(AtomicBool);

impl Crowd {
    /// Takes note of how many of `limit` connections are open: from seven eighths on they are scarce.
    pub fn note(&self, open: usize, limit: usize) {
        let scarce = open > limit - limit / 8;
        // A plain read in the common case: connections of all threads look at this.
        if self.is_there() != scarce {
            self.0.store(scarce, Ordering::Relaxed);
        }
    }

    /// Whether connections are scarce.
    pub fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

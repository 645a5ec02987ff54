//! Notices that a thread of the store has died.

use std::sync::Arc;

use super::health::Health;

/// Held by a thread while it runs. Dropped by a panic, it says so: nothing else would, and the
/// server would look ready.
pub(super) struct Watch<F: FnOnce()> {
    health: Arc<Health>,
    thread: &'static str,
    last_words: Option<F>,
}

impl<F: FnOnce()> Watch<F> {
    /// If the thread dies, `last_words` are said as well, after health has changed.
    pub(super) fn over(thread: &'static str, health: &Arc<Health>, last_words: F) -> Self {
        Self { health: health.clone(), thread, last_words: Some(last_words) }
    }

    /// The thread ends because the store does.
    pub(super) fn ends_in_order(mut self) {
        self.last_words = None;
    }
}

impl<F: FnOnce()> Drop for Watch<F> {
    fn drop(&mut self) {
        if let Some(last_words) = self.last_words.take() {
            self.health.thread_ended(self.thread);
            last_words();
        }
    }
}

//! The calls that a double got.

use std::sync::{Arc, Mutex, MutexGuard};

/// Records calls. Clones share them.
#[derive(Debug)]
pub struct Calls<C>(Arc<Mutex<Vec<C>>>);

impl<C> Default for Calls<C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<C> Clone for Calls<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Clone> Calls<C> {
    fn calls(&self) -> MutexGuard<'_, Vec<C>> {
        self.0.lock().expect("not poisoned")
    }

    pub fn note(&self, call: C) {
        self.calls().push(call);
    }

    /// All calls since the last [`Calls::take`].
    pub fn all(&self) -> Vec<C> {
        self.calls().clone()
    }

    pub fn take(&self) -> Vec<C> {
        std::mem::take(&mut *self.calls())
    }
}

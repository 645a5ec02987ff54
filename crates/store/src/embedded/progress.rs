//! The progress of a long reading, for `/readyz` and the service manager.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The progress of reading a data directory, as text for people.
#[derive(Debug, Default)]
pub struct Loading {
    step: Mutex<&'static str>,
    records: AtomicU64,
    all: AtomicU64,
}

impl Loading {
    /// Begins a step, such as "reading the journal". `all` is the expected number of records, or 0.
    pub(super) fn begin(&self, step: &'static str, all: u64) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
        self.all.store(all, Ordering::Relaxed);
        self.records.store(0, Ordering::Relaxed);
    }

    /// Sets the number of records so far.
    pub(super) fn at(&self, records: u64) {
        self.records.store(records, Ordering::Relaxed);
    }
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = *self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, all) = (self.records.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        match (step, all) {
            ("", _) => f.write_str("opening the data directory"),
            (step, 0) => write!(f, "{step}, {records} records so far"),
            (step, all) => write!(f, "{step}, {records} of {all} records"),
        }
    }
}

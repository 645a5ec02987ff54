//! The limits on log lines about refused hooks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::observe::log_limit::OncePerSecond;

/// Logs refused hooks, once a second for each hook and reason: one system's errors do not hide another's, and requests of
/// strangers do not hide what is wrong with signed ones.
#[derive(Default)]
pub struct RefusalLog(Mutex<BTreeMap<(&'static str, &'static str), OncePerSecond>>);

impl RefusalLog {
    pub fn note(&self, hook: &'static str, kind: &'static str, log: impl Fn(u64) + Send + 'static) {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limits.entry((hook, kind)).or_default().note(log);
    }
}

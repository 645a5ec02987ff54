//! The limits on log lines about refused hooks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::observe::log_limit::OncePerSecond;

/// Logs refused hooks, once a second for each hook and reason: one system's errors do not hide another's, and requests of
/// strangers do not hide what is wrong with signed ones. The first line of each is a warning.
#[derive(Default)]
pub struct RefusalLog(Mutex<BTreeMap<(&'static str, &'static str), OncePerSecond>>);

impl RefusalLog {
    /// `log` is told the number of refusals, and whether they are the first ones.
    pub fn note(&self, hook: &'static str, kind: &'static str, log: impl Fn(u64, bool) + Send + 'static) {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !limits.contains_key(&(hook, kind));
        limits.entry((hook, kind)).or_default().note(move |count| log(count, is_first));
    }
}

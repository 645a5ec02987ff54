//! Wakes sled when it waits for what will not come.
//!
//! When a write by one of its own threads fails, sled 0.34.7 notes the error, but in one of the places
//! (`exit_reservation`) wakes nobody: a flush, or a read of a record that is just being written, that waits at
//! that moment waits for ever, and with it every round, until a restart. Its `flush` wakes all that wait once an
//! error is noted. So it is called from beside, while an action is carried out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder};
use std::time::Duration;

use super::database::{SnapshotError, guarded};

/// How often is looked for an error. Only an action that takes as long as this is looked after at all.
const EVERY: Duration = Duration::from_millis(50);

/// Carries out `action` on `sled`, and sees to it that it ends with an error if sled has met one. `config` is what
/// it was opened with.
pub(super) fn nudged<T>(
    sled: &sled::Db,
    config: &sled::Config,
    action: impl FnOnce() -> Result<T, SnapshotError>,
) -> Result<T, SnapshotError> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = || {
            thread::park_timeout(EVERY);
            while !done.load(Ordering::Acquire) {
                if config.global_error().is_err() {
                    let _ = guarded(|| Ok(sled.flush()?));
                }
                thread::park_timeout(EVERY);
            }
        };
        // Without a thread to spare the action is carried out all the same.
        let watcher = Builder::new().name("snapshot-watch".into()).spawn_scoped(scope, watch);
        let result = guarded(action);
        done.store(true, Ordering::Release);
        if let Ok(watcher) = &watcher {
            watcher.thread().unpark();
        }
        result
    })
}

//! Each file operation fails in turn while the store opens, writes, takes checkpoints and closes. Afterwards the store
//! has everything that was acknowledged, and nothing that was surely refused.
//!
//! `DISK_OPERATIONS=1` visits every operation (some minutes); without it, the test skips some. `DISK_FROM=37` begins
//! there.

use rustix::io::Errno;

use super::driven::StoreClient;
use crate::support::prelude::*;

/// The length of each record.
const BYTES: usize = 200;

/// Two checkpoints and the commits between them.
const WHILE_RUNNING: u32 = 150;

/// More than a start needs.
const AT_A_START: u32 = 120;

/// How the operation fails: for good or once, whole or torn, and whether the process is killed during the trouble or
/// after it.
#[derive(Debug, Clone, Copy)]
struct How {
    error: Errno,
    once: bool,
    torn: bool,
    killed_in_trouble: bool,
}

#[test]
fn a_store_recovers_from_any_failed_operation_without_losing_a_write() {
    for operation in points(WHILE_RUNNING, 7) {
        let mut store = StoreClient::of_a_new_store();
        store.writes_durably(0..5, BYTES);
        let how = how(operation);
        let what = store.begin_at(operation, how);
        // Checkpoints need an idle store.
        store.until(&what, |store| {
            store.write(u64::from(operation) % 7, BYTES);
            store.shim.failed() > 0
        });
        let what = format!("{what}: {}", store.shim.first());
        store.try_to_write(10);
        if !how.killed_in_trouble {
            store.recovers(&what);
        }
        store.survives_a_kill(&what);
    }
}

#[test]
fn a_failed_operation_at_a_start_damages_nothing_and_the_next_start_works() {
    for operation in points(AT_A_START, 3) {
        let mut store = StoreClient::in_a_new_directory();
        // Killed: the next start has a journal to read and segments to remove.
        for _ in 0..2 {
            store.open().expect("a store");
            store.writes_durably(0..20, BYTES);
        }
        store.kill();
        let what = store.begin_at(operation, how(operation));
        if store.opens_or_says_what_to_do(&what) {
            store.try_to_write(5);
        }
        store.survives_a_kill(&what);
    }
}

#[test]
fn whichever_operation_fails_at_the_first_start_the_next_one_is_good() {
    for operation in points(AT_A_START, 3) {
        let mut store = StoreClient::in_a_new_directory();
        let what = store.begin_at(operation, how(operation));
        store.opens_or_says_what_to_do(&what);
        store.kill();
        store.shim.end();
        store.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(store.write(1, BYTES), "durable", "{what}");
        store.survives_a_kill(&what);
    }
}

#[test]
fn whichever_operation_fails_at_the_end_it_is_said_and_nothing_is_lost() {
    for operation in points(60, 3) {
        let mut store = StoreClient::of_a_new_store();
        store.writes_durably(0..5, BYTES);
        let what = store.begin_at(operation, How { once: false, ..how(operation) });
        let said = store.ask("close");
        let what = format!("{what}: {}: {said}", store.shim.first());
        assert!(!said.starts_with("no answer"), "{what}");
        store.survives_a_kill(&what);
    }
}

fn points(last: u32, usual_step: usize) -> impl Iterator<Item = u32> {
    let step = from_environment("DISK_OPERATIONS", usual_step).max(1);
    (0..last).skip(from_environment("DISK_FROM", 0)).step_by(step)
}

/// Every kind occurs, whatever the step.
fn how(operation: u32) -> How {
    let errors = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS];
    let mixed = operation.wrapping_mul(0x9E37_79B1) >> 16;
    How {
        error: errors[mixed as usize % errors.len()],
        once: mixed & 4 != 0,
        torn: mixed & 8 != 0,
        killed_in_trouble: mixed.is_multiple_of(4),
    }
}

impl StoreClient {
    fn begin_at(&self, operation: u32, how: How) -> String {
        // A full disk is readable.
        let calls = if how.error == Errno::IO { &Call::ALL[..] } else { &Call::CHANGES[..] };
        let trouble = Trouble::of(calls, how.error).after(operation);
        let trouble = if how.once { trouble.once() } else { trouble };
        self.shim.begin(&if how.torn { trouble.torn() } else { trouble });
        format!("DISK_FROM={operation} {how:?}")
    }

    fn try_to_write(&mut self, subjects: u64) {
        for subject in 0..subjects {
            self.write(subject, BYTES);
        }
    }

    /// Returns whether the store opened. A refused start names the directory or something in it, and does not panic.
    fn opens_or_says_what_to_do(&mut self, what: &str) -> bool {
        let Err(refused) = self.open() else { return true };
        let what = format!("{what}: {}: {refused}", self.shim.first());
        assert!(refused.contains(&*self.directory.to_string_lossy()), "{what}");
        assert!(!refused.contains("panicked"), "{what}");
        false
    }
}

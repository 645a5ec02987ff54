//! Each file operation fails in turn while the store opens, writes, takes checkpoints and closes. Afterwards the store
//! has everything that was acknowledged, and nothing that was surely refused.
//!
//! `DISK_OPERATIONS=1` visits every operation (some minutes); without it, the test skips some. `DISK_FROM=37` begins
//! there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;

use super::driven::{Contents, Driven, Patience, contents_of};
use super::shim::{Call, Shim, Trouble};

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
        let mut store = StoreClient::in_a_new_directory();
        let mut driven = store.open();
        for subject in 0..5 {
            store.write(&mut driven, subject);
        }
        let how = how(operation);
        let what = store.shim.begin_at(operation, how);
        let began = Patience::begins();
        while store.shim.failed() == 0 {
            store.write(&mut driven, u64::from(operation) % 7);
            // Checkpoints need an idle store.
            std::thread::sleep(Duration::from_millis(1));
            assert!(began.lasts(), "{what}: no such operation");
        }
        let what = format!("{what}: {}", store.shim.first());
        for subject in 0..10 {
            store.write(&mut driven, subject);
        }
        if how.killed_in_trouble {
            drop(driven);
            store.shim.end();
            store.holds(&what);
            continue;
        }
        store.shim.end();
        store.recovers(&mut driven, &what);
        drop(driven);
        store.holds(&what);
    }
}

#[test]
fn a_failed_operation_at_a_start_damages_nothing_and_the_next_start_works() {
    for operation in points(AT_A_START, 3) {
        let mut store = StoreClient::in_a_new_directory();
        // Killed: the next start has a journal to read and segments to remove.
        for _ in 0..2 {
            let mut driven = store.open();
            for subject in 0..20 {
                store.write(&mut driven, subject);
            }
        }
        let what = store.shim.begin_at(operation, how(operation));
        let opened = Driven::open(&store.directory, Some(&store.shim));
        let what = format!("{what}: {}", store.shim.first());
        match opened {
            Err(refused) => says_what_to_do(&refused, &store.directory, &what),
            Ok(mut driven) => {
                for subject in 0..5 {
                    store.write(&mut driven, subject);
                }
            }
        }
        store.shim.end();
        store.holds(&what);
    }
}

#[test]
fn whichever_operation_fails_at_the_first_start_the_next_one_is_good() {
    for operation in points(AT_A_START, 3) {
        let mut store = StoreClient::in_a_new_directory();
        let what = store.shim.begin_at(operation, how(operation));
        let opened = Driven::open(&store.directory, Some(&store.shim));
        let what = format!("{what}: {}", store.shim.first());
        if let Err(refused) = &opened {
            says_what_to_do(refused, &store.directory, &what);
        }
        drop(opened);
        store.shim.end();
        let mut driven =
            Driven::open(&store.directory, Some(&store.shim)).unwrap_or_else(|e| panic!("{what}: {e}"));
        store.write(&mut driven, 1);
        drop(driven);
        store.holds(&what);
    }
}

#[test]
fn whichever_operation_fails_at_the_end_it_is_said_and_nothing_is_lost() {
    for operation in points(60, 3) {
        let mut store = StoreClient::in_a_new_directory();
        let mut driven = store.open();
        for subject in 0..5 {
            store.write(&mut driven, subject);
        }
        let what = store.shim.begin_at(operation, How { once: false, ..how(operation) });
        let said = driven.said("close");
        let what = format!("{what}: {}: {said}", store.shim.first());
        assert!(!said.starts_with("no answer"), "{what}");
        drop(driven);
        store.shim.end();
        store.holds(&what);
    }
}

fn points(last: u32, usual_step: usize) -> impl Iterator<Item = u32> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let step = number("DISK_OPERATIONS").map_or(usual_step, |step: usize| step.max(1));
    let from = number("DISK_FROM").unwrap_or(0);
    (0..last).skip(from).step_by(step)
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

impl Shim {
    fn begin_at(&self, operation: u32, how: How) -> String {
        // A full disk is readable.
        let calls = if how.error == Errno::IO { &Call::ALL[..] } else { &Call::CHANGES[..] };
        let trouble = Trouble::of(calls, how.error).after(operation);
        let trouble = if how.once { trouble.once() } else { trouble };
        self.begin(&if how.torn { trouble.torn() } else { trouble });
        format!("DISK_FROM={operation} {how:?}")
    }
}

/// A refused start names the directory or something in it, and does not panic.
fn says_what_to_do(refused: &str, directory: &Path, what: &str) {
    assert!(refused.contains(&*directory.to_string_lossy()), "{what}: {refused}");
    assert!(!refused.contains("panicked"), "{what}: {refused}");
}

/// A store, and the results that its client received.
struct StoreClient {
    shim: Shim,
    directory: PathBuf,
    durable: Contents,
    /// Content that may also exist, because the store did not know.
    perhaps: BTreeSet<(u64, String)>,
    writes: u64,
    _home: TempDir,
}

impl StoreClient {
    fn in_a_new_directory() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("data");
        let shim = Shim::over(&directory);
        Self { shim, directory, durable: Contents::new(), perhaps: BTreeSet::new(), writes: 0, _home: home }
    }

    fn open(&self) -> Driven {
        Driven::open(&self.directory, Some(&self.shim)).expect("a store")
    }

    fn write(&mut self, driven: &mut Driven, subject: u64) -> bool {
        self.writes += 1;
        let text = format!("{}{}", self.writes, "x".repeat(200));
        let answer = driven.said(&format!("put {subject} {text}"));
        if answer == "durable" {
            self.durable.insert(subject, text);
            self.perhaps.retain(|(other, _)| *other != subject);
            return true;
        }
        if !answer.starts_with("the store is unavailable") {
            self.perhaps.insert((subject, text));
        }
        false
    }

    /// When the disk works, the store recovers without a restart.
    fn recovers(&mut self, driven: &mut Driven, what: &str) {
        let began = Patience::begins();
        loop {
            let health = driven.said("health");
            if health == "well" && self.write(driven, 100) {
                return;
            }
            assert!(began.lasts(), "{what}: not well again: {health}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A start on the healthy disk finds what was acknowledged.
    fn holds(&self, what: &str) {
        let found = contents_of(&self.directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        for (subject, text) in &self.durable {
            let there = found.get(subject);
            let fits = there == Some(text)
                || there.is_some_and(|there| self.perhaps.contains(&(*subject, there.clone())));
            assert!(fits, "{what}: {subject} is {:?}, not {}", there.map(|t| short(t)), short(text));
        }
        for (subject, text) in &found {
            let fits =
                self.durable.get(subject) == Some(text) || self.perhaps.contains(&(*subject, text.clone()));
            assert!(fits, "{what}: {subject} is {}, which no client was told", short(text));
        }
    }
}

fn short(text: &str) -> &str {
    text.trim_end_matches('x')
}

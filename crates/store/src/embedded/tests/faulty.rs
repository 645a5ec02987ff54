//! The machine's disk, and the steps of checkpoints, with faults on request. Only the faults are simulated: all files are
//! real.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::io::Errno;

use crate::embedded::directory::{self, Disk};

/// The directory of the snapshots.
pub(super) const SNAPSHOT: &str = "snapshot";

/// Longer than a slow machine needs.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Create,
    Write,
    Sync,
    Cut,
    Remove,
    RemoveDir,
    SyncFile,
    SyncDir,
    Rename,
}

impl Operation {
    fn of(operation: directory::Operation<'_>) -> Result<Self, &'static str> {
        Ok(match operation {
            directory::Operation::Create => Self::Create,
            directory::Operation::Write(..) => Self::Write,
            directory::Operation::Sync => Self::Sync,
            directory::Operation::Cut => Self::Cut,
            directory::Operation::Remove => Self::Remove,
            directory::Operation::RemoveDir => Self::RemoveDir,
            directory::Operation::SyncFile => Self::SyncFile,
            directory::Operation::SyncDir => Self::SyncDir,
            directory::Operation::Rename => Self::Rename,
            directory::Operation::Step(step) => return Err(step),
        })
    }
}

#[derive(Clone, Default)]
pub(super) struct FaultyDisk {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<Script>,
    changed: Condvar,
    on_step: Mutex<Option<OnStep>>,
    on_operation: Mutex<Option<OnOperation>>,
}

type OnStep = Box<dyn FnMut(&'static str) + Send>;
type OnOperation = Box<dyn FnMut(Operation, &Path) + Send>;

/// What sled, or the disk, does at a step of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepFault {
    Fail,
    Panic,
}

#[derive(Default)]
pub(super) struct Script {
    /// These operations fail on files and directories whose path contains the text.
    pub(super) faults: Vec<(Operation, &'static str, Errno)>,
    /// The part of a write that reaches the file before it fails.
    pub(super) written_before_failing: usize,
    /// The attempts of each operation, except those on the snapshot.
    counts: HashMap<Operation, u64>,
    syncs_held: bool,
    at_step: Option<(&'static str, StepFault)>,
    events: Vec<String>,
}

impl FaultyDisk {
    /// The disk with these faults.
    pub(super) fn disk(&self) -> Disk {
        let faults = self.clone();
        Disk(Some(Arc::new(move |operation, path, is_done| match Operation::of(operation) {
            Err(step) if !is_done => faults.reached(step),
            Ok(of) if is_done => {
                faults.did(of, path);
                Ok(())
            }
            Ok(of) => faults.attempt(of, path).inspect_err(|_| faults.do_in_part(operation, path)),
            Err(_) => Ok(()),
        })))
    }

    /// What a failing operation does anyway.
    fn do_in_part(&self, operation: directory::Operation<'_>, path: &Path) {
        if let directory::Operation::Write(bytes, offset) = operation {
            let written = self.script().written_before_failing.min(bytes.len());
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(&bytes[..written], offset).unwrap();
        }
    }

    fn reached(&self, step: &'static str) -> io::Result<()> {
        self.script().events.push(step.to_owned());
        if let Some(action) = &mut *self.shared.on_step.lock() {
            action(step);
        }
        let fault = self.script().at_step.filter(|(at, _)| *at == step);
        match fault {
            None => Ok(()),
            Some((_, StepFault::Fail)) => Err(io::Error::other("failed on request")),
            Some((_, StepFault::Panic)) => panic!("{step} panics on request"),
        }
    }

    /// Every later operation of this kind fails.
    pub(super) fn fail(&self, operation: Operation, with: Errno) {
        self.script().faults.push((operation, "", with));
    }

    /// From now on each checkpoint meets this fault at this step.
    pub(super) fn fail_step(&self, step: &'static str, fault: StepFault) {
        self.script().at_step = Some((step, fault));
    }

    /// Ends the faults of operations and steps.
    pub(super) fn heal(&self) {
        let mut script = self.script();
        script.faults.clear();
        script.at_step = None;
    }

    /// The number of operations of this kind, except those on the snapshot.
    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.script().count(operation)
    }

    /// Later syncs of segments do not return.
    pub(super) fn hold_syncs(&self) {
        self.script().syncs_held = true;
    }

    pub(super) fn release_syncs(&self) {
        self.script().syncs_held = false;
        self.shared.changed.notify_all();
    }

    /// Returns after `count` operations of this kind.
    pub(super) fn wait_for(&self, operation: Operation, count: u64) {
        let mut script = self.script();
        while script.count(operation) < count {
            let timeout = self.shared.changed.wait_for(&mut script, HANGS_AFTER);
            assert!(!timeout.timed_out(), "{operation:?} was never tried");
        }
    }

    /// Calls `action` between the steps of checkpoints.
    pub(super) fn on_step(&self, action: impl FnMut(&'static str) + Send + 'static) {
        *self.shared.on_step.lock() = Some(Box::new(action));
    }

    /// Calls `action` after each successful operation.
    pub(super) fn on_operation(&self, action: impl FnMut(Operation, &Path) + Send + 'static) {
        *self.shared.on_operation.lock() = Some(Box::new(action));
    }

    /// The successful operations, each with the name of its file or directory, and the steps of checkpoints since the last
    /// call.
    pub(super) fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut self.script().events)
    }

    fn did(&self, operation: Operation, path: &Path) {
        self.script().events.push(format!("{operation:?} {}", super::name_of(path)));
        if let Some(action) = &mut *self.shared.on_operation.lock() {
            action(operation, path);
        }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock()
    }

    fn attempt(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let mut script = self.script();
        let is_in = |part: &str| path.to_str().unwrap().contains(part);
        if !is_in(SNAPSHOT) {
            *script.counts.entry(operation).or_default() += 1;
            self.shared.changed.notify_all();
            while operation == Operation::Sync && script.syncs_held {
                self.shared.changed.wait(&mut script);
            }
        }
        let meant = script.faults.iter().find(|(meant, on, _)| *meant == operation && is_in(on));
        meant.map_or(Ok(()), |(.., with)| Err((*with).into()))
    }
}

impl Script {
    fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }
}

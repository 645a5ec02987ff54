//! The machine's disk, and the steps of checkpoints, with faults on request. Only the faults are simulated: all files are
//! real.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::embedded::disk::{CheckpointStep, Disk, DiskFile, RealDisk};

/// The directory of the snapshots.
const SNAPSHOT: &str = "snapshot";

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

type OnStep = Box<dyn FnMut(CheckpointStep) + Send>;
type OnOperation = Box<dyn FnMut(Operation, &Path) + Send>;

/// An operation on the disk, or a step of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// This operation, on the file or directory with this name.
    Did(Operation, String),
    Reached(CheckpointStep),
}

/// What sled, or the disk, does at a step of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepFault {
    Fail,
    Panic,
    /// Until [`FaultyDisk::release`].
    Hang,
}

struct StoreFault {
    operation: Operation,
    /// On a file or directory whose path contains this.
    on: &'static str,
    with: Errno,
}

#[derive(Default)]
struct Script {
    faults: Vec<StoreFault>,
    /// The part of a write that reaches the file before it fails.
    written_before_failing: usize,
    /// The attempts of each operation, on the snapshot and elsewhere.
    counts: HashMap<(Operation, bool), u64>,
    syncs_held: bool,
    renamed_although_failing: bool,
    panicking: Option<Operation>,
    at_step: Option<(CheckpointStep, StepFault)>,
    /// Counts the releases of hanging steps.
    released: u64,
    events: Vec<Event>,
}

impl FaultyDisk {
    /// Every later operation of this kind fails.
    pub(super) fn fail(&self, operation: Operation, with: Errno) {
        self.fault(operation, "", with);
    }

    /// Every later operation of this kind on the snapshot fails.
    pub(super) fn fail_snapshot(&self, operation: Operation, with: Errno) {
        self.fault(operation, SNAPSHOT, with);
    }

    fn fault(&self, operation: Operation, on: &'static str, with: Errno) {
        self.script().faults.push(StoreFault { operation, on, with });
    }

    /// Every later write fails after `bytes` bytes.
    pub(super) fn fail_writes_after(&self, bytes: usize) {
        self.script().written_before_failing = bytes;
        self.fail(Operation::Write, Errno::NOSPC);
    }

    /// The next operation of this kind panics.
    pub(super) fn panic_at(&self, operation: Operation) {
        self.script().panicking = Some(operation);
    }

    /// From now on each checkpoint meets this fault at this step; `None` for no fault.
    pub(super) fn fail_step(&self, fault: Option<(CheckpointStep, StepFault)>) {
        self.script().at_step = fault;
    }

    /// Ends all hangs of steps.
    pub(super) fn release(&self) {
        self.script().released += 1;
        self.shared.changed.notify_all();
    }

    /// Failing renames take effect anyway.
    pub(super) fn rename_although_failing(&self) {
        self.script().renamed_although_failing = true;
    }

    pub(super) fn heal(&self) {
        self.script().faults.clear();
    }

    /// The number of operations of this kind, except those on the snapshot.
    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.script().count(operation, false)
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
        while script.count(operation, false) < count {
            let (changed, timeout) = self.shared.changed.wait_timeout(script, HANGS_AFTER).unwrap();
            assert!(!timeout.timed_out(), "{operation:?} was never tried");
            script = changed;
        }
    }

    /// Calls `action` between the steps of checkpoints.
    pub(super) fn on_step(&self, action: impl FnMut(CheckpointStep) + Send + 'static) {
        *self.shared.on_step.lock().unwrap() = Some(Box::new(action));
    }

    /// Calls `action` after each successful operation.
    pub(super) fn on_operation(&self, action: impl FnMut(Operation, &Path) + Send + 'static) {
        *self.shared.on_operation.lock().unwrap() = Some(Box::new(action));
    }

    /// The successful operations and the steps of checkpoints since the last call.
    pub(super) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.script().events)
    }

    fn did(&self, operation: Operation, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.script().events.push(Event::Did(operation, name));
        if let Some(action) = &mut *self.shared.on_operation.lock().unwrap() {
            action(operation, path);
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempt(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let mut script = self.script();
        let on_snapshot = is_in(path, SNAPSHOT);
        *script.counts.entry((operation, on_snapshot)).or_default() += 1;
        self.shared.changed.notify_all();
        while operation == Operation::Sync && !on_snapshot && script.syncs_held {
            script = self.shared.changed.wait(script).unwrap();
        }
        if script.panicking == Some(operation) && !on_snapshot {
            script.panicking = None;
            drop(script);
            panic!("{operation:?} panics on request");
        }
        let is_meant = |fault: &&StoreFault| {
            fault.operation == operation && (fault.on.is_empty() || is_in(path, fault.on))
        };
        script.faults.iter().find(is_meant).map_or(Ok(()), |fault| Err(fault.with.into()))
    }

    fn attempt_and_do(
        &self,
        operation: Operation,
        path: &Path,
        action: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.attempt(operation, path)?;
        action()?;
        self.did(operation, path);
        Ok(())
    }
}

fn is_in(path: &Path, folder: &str) -> bool {
    path.components().any(|part| part.as_os_str() == folder)
}

impl Script {
    fn count(&self, operation: Operation, on_snapshot: bool) -> u64 {
        self.counts.get(&(operation, on_snapshot)).copied().unwrap_or(0)
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.attempt(Operation::Create, path)?;
        let file = RealDisk.create(path, bytes)?;
        self.did(Operation::Create, path);
        Ok(Box::new(FaultyFile { file, path: path.to_owned(), disk: self.clone() }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.attempt_and_do(Operation::Remove, path, || RealDisk.remove(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.attempt_and_do(Operation::RemoveDir, path, || RealDisk.remove_dir(path))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.attempt_and_do(Operation::SyncFile, path, || RealDisk.sync_file(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.attempt_and_do(Operation::SyncDir, path, || RealDisk.sync_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let attempted = self.attempt(Operation::Rename, to);
        // Some file systems, such as network file systems, report an error after success.
        if attempted.is_ok() || self.script().renamed_although_failing {
            RealDisk.rename(from, to)?;
        }
        attempted?;
        self.did(Operation::Rename, to);
        Ok(())
    }

    fn reached(&self, step: CheckpointStep) -> io::Result<()> {
        self.script().events.push(Event::Reached(step));
        if let Some(action) = &mut *self.shared.on_step.lock().unwrap() {
            action(step);
        }
        let mut script = self.script();
        match script.at_step.filter(|(at, _)| *at == step) {
            None => Ok(()),
            Some((_, StepFault::Fail)) => Err(io::Error::other("failed on request")),
            Some((_, StepFault::Panic)) => {
                drop(script);
                panic!("{step:?} panics on request")
            }
            Some((_, StepFault::Hang)) => {
                let before = script.released;
                while script.released == before {
                    script = self.shared.changed.wait(script).unwrap();
                }
                Ok(())
            }
        }
    }
}

struct FaultyFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    disk: FaultyDisk,
}

impl DiskFile for FaultyFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.disk.attempt(Operation::Write, &self.path) {
            let written = self.disk.script().written_before_failing.min(bytes.len());
            self.file.write_at(&bytes[..written], offset)?;
            return Err(error);
        }
        self.file.write_at(bytes, offset)?;
        self.disk.did(Operation::Write, &self.path);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let Self { file, path, disk } = self;
        disk.attempt_and_do(Operation::Sync, path, || file.sync())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let Self { file, path, disk } = self;
        disk.attempt_and_do(Operation::Cut, path, || file.cut(length))
    }
}

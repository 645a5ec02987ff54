//! The machine's disk with faults on request. Nothing is simulated but the faults: all files are
//! real.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::store::embedded::disk::{Disk, RealDisk, DiskFile, Step};

/// Long after a slow machine would have done it.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Create,
    Write,
    Sync,
    Cut,
    Remove,
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

type OnStep = Box<dyn FnMut(Step) + Send>;
type OnOperation = Box<dyn FnMut(Operation, &Path) + Send>;

/// What was asked of the disk, or how far a round had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// This, on the file or directory of this name.
    Did(Operation, String),
    Reached(Step),
}

#[derive(Default)]
struct Script {
    failing: HashMap<Operation, Errno>,
    /// How much of a write reaches the file before it fails.
    written_before_failing: usize,
    counts: HashMap<Operation, u64>,
    syncs_held: bool,
    panicking: Option<Operation>,
    events: Vec<Event>,
}

impl FaultyDisk {
    /// From now on every such operation fails.
    pub(super) fn fail(&self, operation: Operation, with: Errno) {
        self.script().failing.insert(operation, with);
    }

    /// From now on every write fails after `bytes` bytes.
    pub(super) fn fail_writes_after(&self, bytes: usize) {
        self.script().written_before_failing = bytes;
        self.fail(Operation::Write, Errno::NOSPC);
    }

    /// The next such operation panics.
    pub(super) fn panic_at(&self, operation: Operation) {
        self.script().panicking = Some(operation);
    }

    /// Everything works again.
    pub(super) fn heal(&self) {
        self.script().failing.clear();
    }

    /// How many such operations were tried.
    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.script().counts.get(&operation).copied().unwrap_or(0)
    }

    /// From now on syncs of segments do not return.
    pub(super) fn hold_syncs(&self) {
        self.script().syncs_held = true;
    }

    pub(super) fn release_syncs(&self) {
        self.script().syncs_held = false;
        self.shared.changed.notify_all();
    }

    /// Returns when that many such operations have been tried.
    pub(super) fn wait_for(&self, operation: Operation, count: u64) {
        let mut script = self.script();
        while script.counts.get(&operation).copied().unwrap_or(0) < count {
            let (changed, timeout) = self.shared.changed.wait_timeout(script, HANGS_AFTER).unwrap();
            assert!(!timeout.timed_out(), "{operation:?} was never tried");
            script = changed;
        }
    }

    /// Calls `action` between the steps of snapshot rounds.
    pub(super) fn on_step(&self, action: impl FnMut(Step) + Send + 'static) {
        *self.shared.on_step.lock().unwrap() = Some(Box::new(action));
    }

    /// Calls `action` when an operation has succeeded.
    pub(super) fn on_operation(&self, action: impl FnMut(Operation, &Path) + Send + 'static) {
        *self.shared.on_operation.lock().unwrap() = Some(Box::new(action));
    }

    /// What has succeeded, and the steps of rounds in between, since this was asked last.
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

    fn attempt(&self, operation: Operation) -> io::Result<()> {
        let mut script = self.script();
        *script.counts.entry(operation).or_default() += 1;
        self.shared.changed.notify_all();
        while operation == Operation::Sync && script.syncs_held {
            script = self.shared.changed.wait(script).unwrap();
        }
        if script.panicking == Some(operation) {
            script.panicking = None;
            drop(script);
            panic!("{operation:?} panics on request");
        }
        script.failing.get(&operation).map_or(Ok(()), |errno| Err((*errno).into()))
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.attempt(Operation::Create)?;
        let file = RealDisk.create(path, bytes)?;
        self.did(Operation::Create, path);
        Ok(Box::new(FaultyFile { file, path: path.to_owned(), disk: self.clone() }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.attempt(Operation::Remove)?;
        RealDisk.remove(path)?;
        self.did(Operation::Remove, path);
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.attempt(Operation::SyncFile)?;
        RealDisk.sync_file(path)?;
        self.did(Operation::SyncFile, path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.attempt(Operation::SyncDir)?;
        RealDisk.sync_dir(path)?;
        self.did(Operation::SyncDir, path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.attempt(Operation::Rename)?;
        RealDisk.rename(from, to)?;
        self.did(Operation::Rename, to);
        Ok(())
    }

    fn reached(&self, step: Step) {
        self.script().events.push(Event::Reached(step));
        if let Some(action) = &mut *self.shared.on_step.lock().unwrap() {
            action(step);
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
        if let Err(error) = self.disk.attempt(Operation::Write) {
            let written = self.disk.script().written_before_failing.min(bytes.len());
            self.file.write_at(&bytes[..written], offset)?;
            return Err(error);
        }
        self.file.write_at(bytes, offset)?;
        self.disk.did(Operation::Write, &self.path);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.attempt(Operation::Sync)?;
        self.file.sync()?;
        self.disk.did(Operation::Sync, &self.path);
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.disk.attempt(Operation::Cut)?;
        self.file.cut(length)?;
        self.disk.did(Operation::Cut, &self.path);
        Ok(())
    }
}

//! The machine's disk with faults on request. Nothing is simulated but the faults: all files are
//! real.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::embedded::disk::{Disk, DiskFile, RealDisk, Step};

/// The directory of the snapshot.
const SNAPSHOT: &str = "snapshot";

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

/// Which operations fail.
struct Fault {
    operation: Operation,
    /// On a file or directory with this in its path.
    on: &'static str,
    with: Errno,
    /// So often; `None` for always.
    times: Option<u32>,
}

#[derive(Default)]
struct Script {
    faults: Vec<Fault>,
    /// How much of a write reaches the file before it fails.
    written_before_failing: usize,
    /// How often each was tried, on the snapshot and on all else.
    counts: HashMap<(Operation, bool), u64>,
    syncs_held: bool,
    renamed_although_failing: bool,
    /// How long a file of the snapshot may be: there is no room for more.
    room: Option<u64>,
    panicking: Option<Operation>,
    events: Vec<Event>,
}

impl FaultyDisk {
    /// From now on every such operation fails.
    pub(super) fn fail(&self, operation: Operation, with: Errno) {
        self.fault(operation, "", with, None);
    }

    /// From now on every such operation fails that is about the snapshot.
    pub(super) fn fail_snapshot(&self, operation: Operation, with: Errno) {
        self.fault(operation, SNAPSHOT, with, None);
    }

    /// The next such operation fails that is about the snapshot.
    pub(super) fn fail_snapshot_once(&self, operation: Operation, with: Errno) {
        self.fault(operation, SNAPSHOT, with, Some(1));
    }

    fn fault(&self, operation: Operation, on: &'static str, with: Errno, times: Option<u32>) {
        self.script().faults.push(Fault { operation, on, with, times });
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

    /// From now on there is room for files of the snapshot up to this length.
    pub(super) fn room_for_layers_of(&self, bytes: u64) {
        self.script().room = Some(bytes);
    }

    /// Renames that fail are done all the same.
    pub(super) fn rename_although_failing(&self) {
        self.script().renamed_although_failing = true;
    }

    /// Everything works again.
    pub(super) fn heal(&self) {
        self.script().faults.clear();
        self.script().room = None;
    }

    /// How many such operations were tried, but for those on the snapshot.
    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.script().count(operation, false)
    }

    /// How many such operations were tried on the snapshot.
    pub(super) fn count_snapshot(&self, operation: Operation) -> u64 {
        self.script().count(operation, true)
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
        while script.count(operation, false) < count {
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
        let is_meant = |fault: &&mut Fault| {
            let on = fault.on.is_empty() || is_in(path, fault.on);
            fault.operation == operation && on && fault.times != Some(0)
        };
        script.faults.iter_mut().find(is_meant).map_or(Ok(()), |fault| {
            fault.times = fault.times.map(|times| times - 1);
            Err(fault.with.into())
        })
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
        self.attempt(Operation::Remove, path)?;
        RealDisk.remove(path)?;
        self.did(Operation::Remove, path);
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.attempt(Operation::SyncFile, path)?;
        RealDisk.sync_file(path)?;
        self.did(Operation::SyncFile, path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.attempt(Operation::SyncDir, path)?;
        RealDisk.sync_dir(path)?;
        self.did(Operation::SyncDir, path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let attempted = self.attempt(Operation::Rename, to);
        // Some file systems, over a network say, report an error for what they have done.
        if attempted.is_ok() || self.script().renamed_although_failing {
            RealDisk.rename(from, to)?;
        }
        attempted?;
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
        if let Err(error) = self.disk.attempt(Operation::Write, &self.path) {
            let written = self.disk.script().written_before_failing.min(bytes.len());
            self.file.write_at(&bytes[..written], offset)?;
            return Err(error);
        }
        let room = self.disk.script().room.filter(|_| is_in(&self.path, SNAPSHOT)).unwrap_or(u64::MAX);
        if offset + bytes.len() as u64 > room {
            return Err(Errno::NOSPC.into());
        }
        self.file.write_at(bytes, offset)?;
        self.disk.did(Operation::Write, &self.path);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.attempt(Operation::Sync, &self.path)?;
        self.file.sync()?;
        self.disk.did(Operation::Sync, &self.path);
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.disk.attempt(Operation::Cut, &self.path)?;
        self.file.cut(length)?;
        self.disk.did(Operation::Cut, &self.path);
        Ok(())
    }
}

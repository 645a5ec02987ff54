//! The machine's disk with faults on request. Only the faults are simulated: all files are real.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::io::Errno;

use crate::embedded::directory::{Disk, Operation};

/// Longer than a slow machine needs.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(120);

#[derive(Clone, Default)]
pub(super) struct FaultyDisk(Arc<(Mutex<Script>, Condvar)>);

#[derive(Default)]
pub(super) struct Script {
    /// These operations fail on files and directories whose path contains the text.
    pub(super) faults: Vec<(Operation, &'static str, Errno)>,
    /// The part of a write that reaches the file before it fails.
    pub(super) written_before_failing: usize,
    /// Does not return.
    held: Option<Operation>,
    attempts: Vec<Operation>,
    /// What the file had before the write that fails.
    failing: Option<(Vec<u8>, Errno)>,
    events: Vec<String>,
    then: Option<Then>,
}

type Then = Arc<Mutex<dyn FnMut(Operation, &Path) + Send>>;

impl FaultyDisk {
    /// The disk with these faults.
    pub(super) fn disk(&self) -> Disk {
        let faults = self.clone();
        Disk(Some(Arc::new(move |operation, path, is_done| {
            if is_done { faults.done(operation, path) } else { faults.begins(operation, path) }
        })))
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.0.lock()
    }

    /// Every later operation of this kind fails.
    pub(super) fn fail(&self, operation: Operation, with: Errno) {
        self.script().faults.push((operation, "", with));
    }

    /// Ends the faults, and the calls after operations.
    pub(super) fn heal(&self) {
        let mut script = self.script();
        script.faults.clear();
        script.then = None;
    }

    /// Operations of this kind do not return until others are held, or none.
    pub(super) fn hold(&self, operation: Option<Operation>) {
        self.script().held = operation;
        self.0.1.notify_all();
    }

    /// The attempts of this operation.
    pub(super) fn count(&self, operation: Operation) -> usize {
        self.script().attempts.iter().filter(|tried| **tried == operation).count()
    }

    /// Returns after `count` attempts of this operation.
    pub(super) fn wait_for(&self, operation: Operation, count: usize) {
        super::until(|| (self.count(operation) >= count).then_some(()));
    }

    /// Calls `action` after each successful operation.
    pub(super) fn then(&self, action: impl FnMut(Operation, &Path) + Send + 'static) {
        self.script().then = Some(Arc::new(Mutex::new(action)));
    }

    /// The successful operations since the last call, each with the name of its file or directory, and the steps of
    /// checkpoints.
    pub(super) fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut self.script().events)
    }

    fn begins(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let mut script = self.script();
        script.attempts.push(operation);
        while script.held == Some(operation) {
            self.0.1.wait(&mut script);
        }
        let is_meant = |(meant, on, _): &&(Operation, &str, Errno)| {
            *meant == operation && path.to_str().unwrap().contains(on)
        };
        let Some((.., errno)) = script.faults.iter().find(is_meant).copied() else { return Ok(()) };
        if operation == Operation::Write {
            script.failing = Some((fs::read(path)?, errno));
            return Ok(());
        }
        Err(errno.into())
    }

    fn done(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let mut script = self.script();
        if operation == Operation::Write
            && let Some((mut torn, errno)) = script.failing.take()
        {
            let whole = fs::read(path)?;
            torn.resize(whole.len(), 0);
            let at = torn.iter().zip(&whole).position(|(before, after)| before != after).unwrap_or(0);
            let end = whole.len().min(at + script.written_before_failing);
            torn[at..end].copy_from_slice(&whole[at..end]);
            fs::write(path, torn)?;
            return Err(errno.into());
        }
        script.events.push(match operation {
            Operation::Step(step) => step.to_owned(),
            _ => format!("{operation:?} {}", super::name_of(path)),
        });
        let then = script.then.clone();
        drop(script);
        if let Some(then) = then {
            (*then.lock())(operation, path);
        }
        Ok(())
    }
}

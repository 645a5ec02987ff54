//! What waits for the journal's thread, and the end of a store after an unknown outcome.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::frame::{self, FRAME_OVERHEAD};
use super::health::{Health, Part};
use crate::{Done, LONGEST_RECORD, StoreError, Write};

/// Ticks without a step after which the disk is reported to hang, and after which the store gives up.
const HANGS_AFTER: u32 = 5;
const GIVES_UP_AFTER: u32 = 30;

/// Something that the journal's thread, `T`, does between two frames.
pub(super) type Ask<T> = Box<dyn FnOnce(&mut T) + Send>;

/// Writes that one caller wants durable.
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    /// Their size in a frame, in bytes.
    pub(super) bytes: usize,
    pub(super) done: Done,
}

impl Batch {
    /// Refuses a batch that breaks a limit.
    pub(super) fn new(writes: Vec<Write>, done: Done) -> Option<Self> {
        let longest = writes.iter().filter_map(|write| write.put.as_ref()).map(Bytes::len).max();
        let (bytes, longest) = (frame::encoded_bytes(&writes), longest.unwrap_or_default());
        let (what, size) = if longest > LONGEST_RECORD { ("record", longest) } else { ("batch", bytes) };
        if longest > LONGEST_RECORD || bytes > frame::MAX_FRAME_BYTES - FRAME_OVERHEAD {
            done(Err(StoreError::Unavailable(format!("a {what} of {size} bytes is too large"))));
            return None;
        }
        Some(Self { writes, bytes, done })
    }
}

/// Shared by the store's handle, the journal's thread, and the thread that watches it.
pub(super) struct Mailbox<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Condvar,
    health: Arc<Health>,
    /// The directory of the journal.
    journal: PathBuf,
}

struct Waiting<T> {
    batches: Vec<Batch>,
    asks: Vec<Ask<T>>,
    /// The answers of the frame that is being written.
    in_flight: Vec<Done>,
    /// Why every further batch is refused.
    refusal: Option<StoreError>,
    /// Turns and frames that the thread has begun.
    steps: u64,
    is_idle: bool,
}

impl<T> Mailbox<T> {
    pub(super) fn new(health: Arc<Health>, journal: PathBuf) -> Self {
        let waiting = Waiting {
            batches: Vec::new(),
            asks: Vec::new(),
            in_flight: Vec::new(),
            refusal: None,
            steps: 0,
            is_idle: false,
        };
        Self { waiting: Mutex::new(waiting), arrived: Condvar::new(), health, journal }
    }

    pub(super) fn commit(&self, batch: Batch) {
        let mut waiting = self.waiting.lock();
        if let Some(refusal) = waiting.refusal.clone() {
            drop(waiting);
            return (batch.done)(Err(refusal));
        }
        waiting.batches.push(batch);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Drops what is asked of a thread that has ended.
    pub(super) fn ask(&self, ask: impl FnOnce(&mut T) + Send + 'static) {
        let mut waiting = self.waiting.lock();
        if waiting.refusal != Some(StoreError::Closed) {
            waiting.asks.push(Box::new(ask));
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Everything that came since the last call; waits for the first, for so long at most.
    pub(super) fn next(&self, longest: Duration) -> (Vec<Batch>, Vec<Ask<T>>) {
        let mut waiting = self.waiting.lock();
        if waiting.batches.is_empty() && waiting.asks.is_empty() {
            waiting.is_idle = true;
            let _ = self.arrived.wait_for(&mut waiting, longest);
            waiting.is_idle = false;
        }
        waiting.steps += 1;
        (std::mem::take(&mut waiting.batches), std::mem::take(&mut waiting.asks))
    }

    /// A frame with the batches of these callers is going to be written, unless the store has failed: then they are
    /// refused.
    pub(super) fn frame_begins(&self, callers: Vec<Done>) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.steps += 1;
        waiting.in_flight = callers;
        let Some(refusal) = waiting.refusal.clone() else { return true };
        drop(waiting);
        self.frame_ended(&Err(refusal));
        false
    }

    /// Answers the callers of the frame. One with an unknown outcome ends the store.
    pub(super) fn frame_ended(&self, answer: &Result<(), StoreError>) {
        if let Err(StoreError::Unknown(reason)) = answer {
            return self.fail(reason);
        }
        let callers = std::mem::take(&mut self.waiting.lock().in_flight);
        for done in callers {
            done(answer.clone());
        }
    }

    /// The outcome of the frame that was being written is unknown: everything is refused from now on.
    pub(super) fn fail(&self, reason: &str) {
        let refusal = StoreError::Unavailable(reason.to_owned());
        let mut waiting = self.waiting.lock();
        waiting.refusal.get_or_insert(refusal.clone());
        let (unknown, refused) =
            (std::mem::take(&mut waiting.in_flight), std::mem::take(&mut waiting.batches));
        drop(waiting);
        for done in unknown {
            done(Err(StoreError::Unknown(reason.to_owned())));
        }
        for batch in refused {
            (batch.done)(Err(refusal.clone()));
        }
        // Last: a reader of the failure finds every batch answered.
        self.health.fail(reason);
    }

    /// The thread has ended in order.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.refusal = Some(StoreError::Closed);
        let (refused, asks) = (std::mem::take(&mut waiting.batches), std::mem::take(&mut waiting.asks));
        drop((waiting, asks));
        for batch in refused {
            (batch.done)(Err(StoreError::Closed));
        }
    }

    /// Looks at each tick whether the journal's thread goes on, until the store is dropped. A write that hangs for 30
    /// ticks has an unknown outcome. Ticks are counted, because a suspended machine writes nothing.
    pub(super) fn watch(mailbox: &Weak<Self>, tick: Duration) {
        let (mut seen, mut ticks) = (0, 0);
        loop {
            thread::sleep(tick);
            let Some(mailbox) = mailbox.upgrade() else { return };
            let (steps, is_idle) = {
                let waiting = mailbox.waiting.lock();
                (waiting.steps, waiting.is_idle)
            };
            ticks = if is_idle || steps != seen { 0 } else { ticks + 1 };
            seen = steps;
            let (seconds, journal) = ((tick * ticks).as_secs(), mailbox.journal.display());
            let reason = format!("the disk has not finished a write for {seconds} s in {journal}");
            if ticks >= GIVES_UP_AFTER {
                return mailbox.fail(&reason);
            }
            let hang = if ticks > HANGS_AFTER { Err(StoreError::Unavailable(reason)) } else { Ok(()) };
            mailbox.health.report(Part::Disk, &hang);
        }
    }
}

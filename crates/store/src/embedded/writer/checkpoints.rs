//! The part of the journal's thread that begins checkpoints and closes the store.

use std::sync::Arc;
use std::sync::mpsc;

use onceward_core::domain::Timestamp;

use super::super::checkpoint::{Checkpoint, CheckpointControl, Collector, Job, SNAPSHOT_THREAD_ENDED};
use super::super::frame::FRAME_OVERHEAD;
use super::super::journal::AppendState;
use super::super::open::StoreSettings;
use super::super::replay::Covered;
use super::super::segment::HEADER_BYTES;
use super::super::snapshot::Snapshot;
use super::{CheckpointReply, Grown, ReplacedJournal, RunningCheckpoint, Writer, WriterEnd};
use crate::{RecordStream, StoreError};

impl Writer {
    /// The size of the journal at which a checkpoint begins.
    pub(super) fn checkpoint_threshold(&self) -> u64 {
        self.deps.settings.checkpoint_bytes.max(self.snapshot.manifest.bytes() / 2)
    }

    pub(super) fn checkpoint_if_due(&mut self) {
        if self.owners.is_empty() || self.running.is_some() || self.closing.is_some() {
            return;
        }
        let Grown { bytes, records } = self.grown;
        let now = self.deps.clock.now();
        let StoreSettings { checkpoint_every, repeat_checkpoint_after, probe_every, .. } = self.deps.settings;
        let waited = |wait| move |failed: Timestamp| now < failed || now.since(failed) >= wait;
        // The removal repeats itself after a failure: the snapshot is valid.
        if self.discard_wanted && self.failed_at.is_some_and(waited(probe_every)) {
            self.discard();
        }
        let is_old = now.since(self.snapshot.manifest.time) >= checkpoint_every;
        let has_failed = self.failed_at.is_some() && !self.discard_wanted && self.discarding.is_none();
        let is_wanted = (is_old || has_failed) && records > 0;
        if (bytes >= self.checkpoint_threshold() || is_wanted)
            && self.failed_at.is_none_or(waited(repeat_checkpoint_after))
        {
            self.begin_checkpoint();
        }
    }

    /// Begins the checkpoint that callers wait for, unless one is running: then it follows that one.
    pub(super) fn begin_wanted(&mut self) {
        if self.running.is_some() {
            return;
        }
        if self.owners.is_empty() {
            self.answer_wanted(&Err("no owner of records is attached".into()));
        } else if self.grown.records == 0 {
            let wanted = std::mem::take(&mut self.wanted);
            self.discard_for(wanted);
        } else if !self.begin_checkpoint() && !self.journal.is_preparing() {
            self.answer_wanted(&Err("a failed write to the journal cannot be taken back".into()));
        }
    }

    pub(super) fn answer_wanted(&mut self, answer: &Result<(), String>) {
        answer_each(std::mem::take(&mut self.wanted), answer);
    }

    /// Begins a checkpoint of everything that was written so far, if the journal can go on in another segment, or
    /// repeats the one that failed. Every older batch has been answered; therefore the owners hold it when they get
    /// their streams.
    fn begin_checkpoint(&mut self) -> bool {
        let Some(range) = self.failed_range.filter(|_| self.closing.is_none()).or_else(|| self.new_range())
        else {
            return false;
        };
        let control = Arc::new(CheckpointControl::default());
        let (to, parts) = mpsc::channel();
        let checkpoint = Checkpoint {
            covered: range.covered,
            time: self.journal.last_time(),
            parts,
            control: control.clone(),
        };
        if self.closing.is_some() {
            control.hurry();
        }
        let replies = std::mem::take(&mut self.wanted);
        self.running = Some(RunningCheckpoint { control: control.clone(), replies, range });
        if self.deps.jobs.send(Job::Checkpoint(checkpoint)).is_err() {
            self.checkpoint_ended(Err(SNAPSHOT_THREAD_ENDED.into()));
            return true;
        }
        let sink = Arc::new(Collector { to, control });
        for owner in &self.owners {
            owner.stream(RecordStream::new(sink.clone()));
        }
        true
    }

    /// Begins a new segment and returns the part of the journal before it.
    fn new_range(&mut self) -> Option<ReplacedJournal> {
        // A reservation that failed is repeated by `probe`, not at once.
        if !self.deps.health.reserve_in_trouble() {
            self.journal.ask_for_spare();
        }
        let covered =
            Covered { segment: self.journal.begin_segment()?, sequence: self.journal.last_sequence() };
        Some(ReplacedJournal { covered, grown: self.grown })
    }

    pub(super) fn checkpoint_ended(&mut self, made: Result<Snapshot, String>) {
        let Some(running) = self.running.take() else { return };
        match made {
            Ok(snapshot) => {
                self.snapshot = Arc::new(snapshot);
                self.imported_bytes = 0;
                self.grown.bytes -= running.range.grown.bytes;
                self.grown.records -= running.range.grown.records;
                self.failed_range = None;
                self.is_full = false;
                self.discard_for(running.replies);
            }
            Err(reason) => {
                self.failed_range = Some(running.range);
                self.checkpoint_failed(&reason);
                if let Some(closing) = &mut self.closing {
                    // The repetition at a stop begins another segment.
                    closing.room_asked_for = false;
                }
                let answer = Err(reason);
                answer_each(running.replies, &answer);
                // No other checkpoint begins before the next attempt.
                self.answer_wanted(&answer);
            }
        }
        if !self.wanted.is_empty() {
            self.begin_wanted();
        }
        self.write_waiting();
    }

    fn checkpoint_failed(&mut self, reason: &str) {
        self.deps.health.checkpoint(Some(reason));
        self.failed_at = Some(self.deps.clock.now());
    }

    /// Begins the removal of replaced snapshots and segments, unless a reader has pinned them.
    pub(super) fn discard(&mut self) {
        if self.discard_wanted && self.discarding.is_none() && !self.is_pinned() {
            self.begin_discard(Vec::new());
        }
    }

    /// The same after a checkpoint. Answers its callers after the removal, or at once while the files are pinned.
    fn discard_for(&mut self, replies: Vec<CheckpointReply>) {
        self.discard_wanted = true;
        if let Some(discarding) = &mut self.discarding {
            discarding.extend(replies);
        } else if self.is_pinned() {
            self.checkpoint_succeeded();
            answer_each(replies, &Ok(()));
        } else {
            self.begin_discard(replies);
        }
    }

    fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.pins) > 1
    }

    fn begin_discard(&mut self, replies: Vec<CheckpointReply>) {
        self.discard_wanted = false;
        self.discarding = Some(replies);
        if self.deps.jobs.send(Job::Discard(self.snapshot.manifest.covered.segment)).is_err() {
            self.discarded(&Err(SNAPSHOT_THREAD_ENDED.into()));
        }
    }

    fn checkpoint_succeeded(&mut self) {
        self.deps.health.checkpoint(None);
        self.failed_at = None;
    }

    pub(super) fn discarded(&mut self, result: &Result<(), String>) {
        let replies = self.discarding.take().unwrap_or_default();
        match result {
            Ok(()) => {
                self.checkpoint_succeeded();
                // The removal may have freed space for a segment.
                self.ask_for_spare();
            }
            Err(reason) => {
                self.discard_wanted = true;
                self.checkpoint_failed(reason);
            }
        }
        answer_each(replies, result);
        if self.discard_wanted && result.is_ok() {
            self.discard();
        }
    }
}

fn answer_each(replies: Vec<CheckpointReply>, answer: &Result<(), String>) {
    for reply in replies {
        let _ = reply.send(answer.clone());
    }
}

/// The orderly end.
impl Writer {
    /// While closing: takes a last checkpoint, for which the owners may still commit, and then ends the journal with a
    /// closing frame.
    pub(super) fn proceed_closing(&mut self) -> Option<WriterEnd> {
        loop {
            let closing = self.closing.as_mut()?;
            if !std::mem::replace(&mut closing.room_asked_for, true) {
                self.journal.ask_for_spare();
            }
            if let Some(running) = &self.running {
                running.control.hurry();
                return None;
            }
            if self.journal.is_preparing() || self.discarding.is_some() {
                return None;
            }
            // A failed checkpoint is repeated once. The journal keeps what owners commit during it.
            let is_first_or_failed = match closing.checkpoints {
                0 => true,
                1 => self.failed_at.is_some(),
                _ => false,
            };
            if is_first_or_failed && !self.owners.is_empty() && self.grown.records > 0 {
                closing.checkpoints += 1;
                if self.begin_checkpoint() {
                    continue;
                }
            }
            let Some(closing) = &mut self.closing else { return None };
            if self.discard_wanted && !std::mem::replace(&mut closing.discard_tried, true) {
                self.discard();
                continue;
            }
            let replies = self.closing.take().map(|closing| closing.replies).unwrap_or_default();
            self.waiting.drain(..).for_each(|batch| batch.answer(Err(StoreError::Closed)));
            return Some(WriterEnd::Closed(replies, self.finish()));
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        // Also in a journal that is too long: this frame is the last.
        let mut state = self.journal.append_state(HEADER_BYTES + FRAME_OVERHEAD);
        if state == AppendState::Full && self.journal.switch() {
            state = self.journal.append_state(HEADER_BYTES + FRAME_OVERHEAD);
        }
        if state != AppendState::Ready {
            return Err(StoreError::Unavailable("the journal could not be closed in order".into()));
        }
        let closed = self.journal.close(self.deps.clock.now());
        closed.map_err(|error| StoreError::Unavailable(error.reason))?;
        match self.deps.health.checkpoint_trouble() {
            Some(reason) => Err(StoreError::Unavailable(format!(
                "the snapshot is not up to date ({reason}); what it lacks is in the journal, which the next start replays"
            ))),
            None => Ok(()),
        }
    }
}

//! Batches: joined, written, answered.

use std::sync::mpsc::Receiver;

use super::super::frame::{FRAME_OVERHEAD, FrameKind};
use super::super::journal::{AppendError, Room};
use super::super::message::{Batch, Message};
use super::super::segment::HEADER_BYTES;
use super::{MAX_SEGMENTS, QUEUE, Writer};
use crate::{Outcome, Revision, StoreError, Write};

/// Batches are joined until a frame has this many bytes.
const JOINED_BYTES: usize = 4 * 1024 * 1024;

/// Nor does a frame of joined batches take more than this part of a segment.
const FRAMES_PER_SEGMENT: u64 = 4;

/// How many bytes of batches are joined, in segments of this size.
pub(super) fn joined_bytes(segment_bytes: u64) -> usize {
    let part = usize::try_from(segment_bytes / FRAMES_PER_SEGMENT).unwrap_or(usize::MAX);
    JOINED_BYTES.min(part)
}

impl Writer {
    /// Takes the batches that have come meanwhile, up to the first message that is none.
    pub(super) fn accept_what_waits(&mut self, messages: &Receiver<Message>) -> Option<Message> {
        while self.waiting.len() < QUEUE {
            match messages.try_recv().ok()? {
                Message::Commit(batch) => self.accept(batch),
                other => return Some(other),
            }
        }
        None
    }

    /// Takes a batch, if there is a place for it.
    pub(super) fn accept(&mut self, batch: Batch) {
        if self.closing.is_some() {
            refuse(batch, "the store is closed");
        } else if self.waiting.len() >= QUEUE {
            refuse(batch, "too many batches are waiting for the disk");
        } else {
            self.waiting.push_back(batch);
        }
    }

    /// Writes the batches that wait, in as few frames as possible.
    pub(super) fn write_waiting(&mut self) {
        while let Some((batches, bytes)) = self.next_frame() {
            match self.make_room(HEADER_BYTES + FRAME_OVERHEAD + bytes) {
                Room::Ready => self.write(batches),
                Room::Refused(reason) => {
                    self.health.journal(Some(&reason));
                    for batch in batches {
                        refuse(batch, &reason);
                    }
                }
                Room::Waiting | Room::Full => {
                    for batch in batches.into_iter().rev() {
                        self.waiting.push_front(batch);
                    }
                    return;
                }
            }
        }
    }

    fn next_frame(&mut self) -> Option<(Vec<Batch>, usize)> {
        let (mut batches, mut bytes) = (Vec::with_capacity(self.waiting.len().min(64)), 0);
        while let Some(batch) = self.waiting.front() {
            if !batches.is_empty() && bytes + batch.bytes > self.joined_bytes {
                break;
            }
            bytes += batch.bytes;
            batches.extend(self.waiting.pop_front());
        }
        // A caller that has given up was told that it may or may not happen: then rather not.
        batches.retain(|batch| !batch.reply.is_closed());
        (!batches.is_empty() || !self.waiting.is_empty()).then_some((batches, bytes))
    }

    /// Makes room for a frame, with a snapshot round if need be.
    pub(super) fn make_room(&mut self, bytes: usize) -> Room {
        loop {
            // Taking back what a failed write left is a write too.
            self.health.write_begins(self.clock.now());
            let room = self.journal.room(bytes);
            self.health.write_ended();
            match room {
                Room::Full if self.running.is_none() => {
                    if !self.begin_round(true) {
                        return self.journal.no_room_yet();
                    }
                }
                Room::Full if self.journal.newest() - self.covered >= MAX_SEGMENTS => {
                    self.stop_copying();
                    let failed = self.running.as_ref().and_then(|running| running.failed.clone());
                    return failed.map_or(Room::Waiting, |reason| {
                        Room::Refused(format!("the journal is full, because snapshot rounds fail: {reason}"))
                    });
                }
                Room::Full if self.journal.switch() => {}
                Room::Full => return self.journal.no_room_yet(),
                room => return room,
            }
        }
    }

    /// While the journal is in trouble: tries whether it can be written again. Who only asks for
    /// health sends no writes until it is said to be good, so writes alone would not find out.
    pub(super) fn probe(&mut self) {
        if self.closing.is_some() {
            return;
        }
        if self.health.reserve_in_trouble() {
            self.journal.ask_for_spare();
        }
        if !self.health.journal_in_trouble() {
            return;
        }
        // It may be the round that has to make room, and that failed for want of it.
        self.repeat_failed_round();
        match self.make_room(HEADER_BYTES + FRAME_OVERHEAD) {
            // A frame without records.
            Room::Ready => drop(self.append(&[])),
            Room::Refused(reason) => self.health.journal(Some(&reason)),
            Room::Waiting | Room::Full => self.probe_wanted = true,
        }
    }

    /// The probe that could not be made for want of room.
    pub(super) fn probe_if_wanted(&mut self) {
        // Only that one: a failed probe uses up a segment, and must not chase the next.
        if std::mem::take(&mut self.probe_wanted) {
            self.probe();
        }
    }

    fn append(&mut self, batches: &[Batch]) -> Result<u64, AppendError> {
        let now = self.clock.now();
        self.health.write_begins(now);
        let writes = batches.iter().flat_map(|batch| &batch.writes);
        let appended = self.journal.append(FrameKind::Batch, now, writes);
        self.health.write_ended();
        self.health.journal(appended.as_ref().err().map(|error| error.reason.as_str()));
        appended
    }

    fn write(&mut self, batches: Vec<Batch>) {
        if batches.is_empty() {
            return;
        }
        match self.append(&batches) {
            Ok(sequence) => {
                for batch in batches {
                    self.written(batch, sequence);
                }
            }
            Err(error) => {
                let answer = if error.taken_back { StoreError::Unavailable } else { StoreError::Unknown };
                for batch in batches {
                    let _ = batch.reply.send(Err(answer(error.reason.clone())));
                }
            }
        }
    }

    /// Answers first and keeps the books after.
    fn written(&mut self, batch: Batch, sequence: u64) {
        let outcomes = batch.writes.iter().map(|write| {
            Outcome::Applied(if write.put.is_some() { Revision(sequence) } else { Revision::ABSENT })
        });
        let answered = batch.reply.send(Ok(outcomes.collect())).is_ok();
        for write in batch.writes {
            self.note(write, sequence, answered);
        }
    }

    fn note(&mut self, write: Write, sequence: u64, answered: bool) {
        let (key, gc_after) = (write.key, write.gc_after);
        let maybe_in_snapshot = write.expect != Revision::ABSENT || self.unanswered.contains_key(&key);
        self.recent.apply(sequence, write, maybe_in_snapshot);
        if !answered {
            self.unanswered.insert(key, gc_after);
        } else if !self.unanswered.is_empty() {
            self.unanswered.remove(&key);
        }
    }

    /// Refuses every batch that waits.
    pub(super) fn refuse_waiting(&mut self, reason: &str) {
        if !self.waiting.is_empty() && self.closing.is_none() {
            self.health.journal(Some(reason));
        }
        self.waiting.drain(..).for_each(|batch| refuse(batch, reason));
    }
}

/// Nothing of the batch is, or will be, on the disk.
pub(super) fn refuse(batch: Batch, reason: &str) {
    let _ = batch.reply.send(Err(StoreError::Unavailable(reason.into())));
}

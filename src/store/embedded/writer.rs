//! The journal's thread: joins what waits into one frame, makes it durable, answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::changes::{Change, Changes, Overlay};
use super::frame::{FRAME_OVERHEAD, FrameKind};
use super::health::Health;
use super::journal::{Journal, Room};
use super::message::{Batch, CloseReply, Message, RoundReply};
use super::round::Job;
use super::segment::HEADER_BYTES;
use super::snapshot::Round;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::store::{Key, Outcome, Revision, StoreError, Write};

/// Batches are joined until a frame has this many bytes.
const JOINED_BYTES: usize = 4 * 1024 * 1024;

/// Nor does a frame of joined batches take more than this part of a segment.
const FRAMES_PER_SEGMENT: u64 = 4;

/// The most batches that wait, in the queue and behind it.
pub(super) const QUEUE: usize = 1024;

/// The most segments that wait for a snapshot round. When there are so many, batches wait for
/// the round, or are refused if rounds fail.
pub(super) const MAX_SEGMENTS: u64 = 8;

/// How the thread ended.
pub(super) enum Ending {
    /// By [`Message::Close`]; these want to know that it has ended, and this is what to tell them.
    Closed(Vec<CloseReply>, Result<(), StoreError>),
    /// In any other way.
    Abandoned,
}

/// The state of the thread.
pub(super) struct Writer {
    journal: Journal,
    /// How many bytes of batches are joined into one frame.
    joined_bytes: usize,
    jobs: Sender<Job>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    /// Written since the running round began, or since the last one.
    recent: Changes,
    /// The round that is being carried out, or has to be repeated.
    running: Option<Running>,
    /// The last segment that is no longer needed.
    covered: u64,
    /// Batches that are not written yet, in order.
    waiting: VecDeque<Batch>,
    /// Keys, and until when they matter, of written batches whose callers had stopped waiting for
    /// the answer. Such a caller may take a key for absent that is not.
    unanswered: HashMap<Key, Timestamp>,
    closing: Option<Closing>,
}

struct Running {
    round: Round,
    /// Whether it is with the thread that carries it out.
    in_progress: bool,
    failed: Option<String>,
    replies: Vec<RoundReply>,
}

#[derive(Default)]
struct Closing {
    replies: Vec<CloseReply>,
    /// Whether a segment to end the journal in was asked for.
    room_asked_for: bool,
    /// Whether a round that had failed was given another chance.
    repeated: bool,
    last_round_begun: bool,
}

impl Writer {
    pub(super) fn new(
        journal: Journal,
        segment_bytes: u64,
        replayed: Changes,
        covered: u64,
        jobs: Sender<Job>,
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
    ) -> Self {
        let part = usize::try_from(segment_bytes / FRAMES_PER_SEGMENT).unwrap_or(usize::MAX);
        Self {
            journal,
            joined_bytes: JOINED_BYTES.min(part),
            jobs,
            clock,
            health,
            recent: replayed,
            running: None,
            covered,
            waiting: VecDeque::new(),
            unanswered: HashMap::new(),
            closing: None,
        }
    }

    /// Runs until the store is closed or abandoned.
    pub(super) fn run(mut self, messages: &Receiver<Message>) -> Ending {
        let mut deferred = None;
        while let Some(message) = deferred.take().or_else(|| messages.recv().ok()) {
            match message {
                Message::Abandon => return Ending::Abandoned,
                Message::Commit(batch) => {
                    self.accept(batch);
                    deferred = self.accept_what_waits(messages);
                    self.write_waiting();
                }
                other => self.handle(other),
            }
            if let Some(ending) = self.proceed_closing() {
                for message in messages.try_iter() {
                    if let Message::Commit(batch) = message {
                        refuse(batch, "the store is closed");
                    }
                }
                return ending;
            }
        }
        Ending::Abandoned
    }

    /// Takes the batches that have come meanwhile, up to the first message that is none.
    fn accept_what_waits(&mut self, messages: &Receiver<Message>) -> Option<Message> {
        while self.waiting.len() < QUEUE {
            match messages.try_recv().ok()? {
                Message::Commit(batch) => self.accept(batch),
                other => return Some(other),
            }
        }
        None
    }

    fn accept(&mut self, batch: Batch) {
        if self.closing.is_some() {
            refuse(batch, "the store is closed");
        } else if self.waiting.len() >= QUEUE {
            refuse(batch, "too many batches are waiting for the disk");
        } else {
            self.waiting.push_back(batch);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Commit(batch) => self.accept(batch),
            Message::Overlay(kind, reply) => {
                let running = self.running.as_ref().map(|running| running.round.changes.clone());
                let _ = reply.send(Overlay { recent: self.recent.copy_of_kind(kind), running });
            }
            Message::Look(keys, reply) => {
                let _ = reply.send(keys.iter().map(|key| self.change_of(key).cloned()).collect());
            }
            Message::Tick(reply) => self.tick(reply),
            Message::Prepared(segment) => {
                let result = self.journal.prepared(segment);
                let trouble = result.err().map(|error| format!("cannot reserve a journal segment: {error}"));
                self.health.reserve(trouble.as_deref());
                match trouble {
                    // Whoever waited for this segment has waited long enough.
                    Some(trouble) => self.refuse_waiting(&trouble),
                    None => self.write_waiting(),
                }
            }
            Message::RoundEnded(result) => self.round_ended(result),
            Message::Close(reply) => {
                self.closing.get_or_insert_default().replies.push(reply);
                self.refuse_waiting("the store is closed");
            }
            Message::Abandon => {}
        }
    }

    fn change_of(&self, key: &Key) -> Option<&Change> {
        let running = || self.running.as_ref()?.round.changes.change_of(key);
        self.recent.change_of(key).or_else(running)
    }

    /// Writes the batches that wait, in as few frames as possible.
    fn write_waiting(&mut self) {
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

    fn make_room(&mut self, bytes: usize) -> Room {
        loop {
            match self.journal.room(bytes) {
                Room::Full if self.running.is_none() => {
                    if !self.begin_round(true) {
                        return self.journal.no_room_yet();
                    }
                }
                Room::Full if self.journal.newest() - self.covered >= MAX_SEGMENTS => {
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

    fn write(&mut self, batches: Vec<Batch>) {
        if batches.is_empty() {
            return;
        }
        let now = self.clock.now();
        self.health.write_begins(now);
        let writes = batches.iter().flat_map(|batch| &batch.writes);
        let appended = self.journal.append(FrameKind::Batch, now, writes);
        self.health.write_ended();
        match appended {
            Ok(sequence) => {
                self.health.journal(None);
                for batch in batches {
                    self.written(batch, sequence);
                }
            }
            Err(error) => {
                self.health.journal(Some(&error.reason));
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

    fn refuse_waiting(&mut self, reason: &str) {
        if !self.waiting.is_empty() && self.closing.is_none() {
            self.health.journal(Some(reason));
        }
        self.waiting.drain(..).for_each(|batch| refuse(batch, reason));
    }

    fn tick(&mut self, reply: Option<RoundReply>) {
        self.journal.ask_for_spare();
        let begun = match &mut self.running {
            Some(running) if running.in_progress => true,
            Some(_) => {
                self.send_round();
                true
            }
            None => self.begin_round(true),
        };
        match (&mut self.running, reply) {
            (Some(running), reply) => running.replies.extend(reply),
            (None, Some(reply)) => {
                let result = if begun { Ok(()) } else { Err("no journal segment is reserved".into()) };
                let _ = reply.send(result);
            }
            (None, None) => {}
        }
    }

    /// Begins a round, if there is something to do; says whether the journal goes on in a segment
    /// that is not part of it.
    fn begin_round(&mut self, paced: bool) -> bool {
        let oldest_needed = self.covered + 1;
        if !self.journal.newest_is_used() && self.journal.newest() == oldest_needed && self.recent.is_empty()
        {
            return true;
        }
        let Some(segment) = self.journal.end_of_round() else { return false };
        let next = Changes::with_room_for(self.recent.len());
        let changes = Arc::new(std::mem::replace(&mut self.recent, next));
        let round = Round { changes, segment, sequence: self.journal.last_sequence(), paced };
        self.running = Some(Running { round, in_progress: false, failed: None, replies: Vec::new() });
        self.send_round();
        true
    }

    fn send_round(&mut self) {
        let Some(running) = &mut self.running else { return };
        running.in_progress = true;
        if self.jobs.send(Job::Round(running.round.clone())).is_err() {
            self.round_ended(Err("the thread for snapshot rounds has ended; restart the server".into()));
        }
    }

    fn round_ended(&mut self, result: Result<(), String>) {
        let Some(mut running) = self.running.take() else { return };
        self.health.round(result.as_ref().err().map(String::as_str));
        for reply in running.replies.drain(..) {
            let _ = reply.send(result.clone());
        }
        match result {
            Ok(()) => {
                self.covered = running.round.segment;
                let _ = self.jobs.send(Job::Discard(running.round.changes));
                let now = self.clock.now();
                self.unanswered.retain(|_, gc_after| now < *gc_after);
            }
            Err(reason) => {
                running.in_progress = false;
                running.failed = Some(reason);
                self.running = Some(running);
            }
        }
        self.write_waiting();
    }

    /// Once closing was asked for: ends the running round, carries out a last one, and ends the
    /// journal with a frame that says so.
    fn proceed_closing(&mut self) -> Option<Ending> {
        loop {
            let closing = self.closing.as_mut()?;
            if !closing.room_asked_for {
                closing.room_asked_for = true;
                self.journal.ask_for_spare();
            }
            if self.journal.is_preparing() {
                return None;
            }
            match &mut self.running {
                Some(running) if running.in_progress => return None,
                Some(running) if !closing.repeated => {
                    closing.repeated = true;
                    running.round.paced = false;
                    self.send_round();
                }
                None if !closing.last_round_begun => {
                    closing.last_round_begun = true;
                    self.begin_round(false);
                }
                running => {
                    let failure = running.as_ref().and_then(|running| running.failed.clone());
                    let replies = std::mem::take(&mut closing.replies);
                    return Some(Ending::Closed(replies, self.finish(failure)));
                }
            }
        }
    }

    fn finish(&mut self, round_failure: Option<String>) -> Result<(), StoreError> {
        let room = self.make_room(HEADER_BYTES + FRAME_OVERHEAD);
        if room != Room::Ready {
            return Err(StoreError::Unavailable("the journal could not be closed in order".into()));
        }
        self.journal.close(self.clock.now()).map_err(|error| StoreError::Unavailable(error.reason))?;
        match round_failure {
            Some(reason) => Err(StoreError::Unavailable(format!(
                "the snapshot is not up to date ({reason}); nothing is lost, the next start replays the journal"
            ))),
            None => Ok(()),
        }
    }
}

fn refuse(batch: Batch, reason: &str) {
    let _ = batch.reply.send(Err(StoreError::Unavailable(reason.into())));
}

//! The journal's thread: joins what waits into one frame, makes it durable, answers.

mod closing;
mod commit;
mod rounds;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use self::closing::Closing;
use self::rounds::Running;
use super::changes::{Change, Changes, Overlay};
use super::copy::CopyRequest;
use super::health::Health;
use super::journal::Journal;
use super::message::{Batch, CloseReply, Message, RoundReply};
use super::round::Job;
use crate::{Key, StoreError};
use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;

pub(super) use self::rounds::MAX_SEGMENTS;

/// The most batches that wait, in the queue and behind it.
pub(super) const QUEUE: usize = 1024;

/// How the thread ended.
pub(super) enum Ending {
    /// By [`Message::Close`]; these want to know that it has ended, and this is what to tell them.
    Closed(Vec<CloseReply>, Result<(), StoreError>),
    /// In any other way.
    Abandoned,
}

/// What is set once.
pub(super) struct Settings {
    /// Bytes reserved for one segment.
    pub(super) segment_bytes: u64,
    /// How often the journal is tried while it is in trouble.
    pub(super) probe_every: Duration,
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
    /// Whether it was time for a round that cannot begin before the next segment is reserved.
    round_wanted: bool,
    /// Who wants to know how the next round to begin ends.
    next_round_replies: Vec<RoundReply>,
    /// Who wants a copy as of the next round's beginning.
    next_copy: Option<CopyRequest>,
    /// Whether the thread of rounds was told, since the last one ended, that somebody waits.
    hurried: bool,
    /// The last segment that is no longer needed.
    covered: u64,
    /// Batches that are not written yet, in order.
    waiting: VecDeque<Batch>,
    /// Keys, and until when they matter, of written batches whose callers had stopped waiting for
    /// the answer. Such a caller may take a key for absent that is not.
    unanswered: HashMap<Key, Timestamp>,
    closing: Option<Closing>,
    /// Whether trying the journal has to wait for room.
    probe_wanted: bool,
    /// How often the journal is tried while it is in trouble.
    probe_every: Duration,
}

impl Writer {
    pub(super) fn new(
        journal: Journal,
        settings: &Settings,
        replayed: Changes,
        covered: u64,
        jobs: Sender<Job>,
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            journal,
            joined_bytes: commit::joined_bytes(settings.segment_bytes),
            jobs,
            clock,
            health,
            recent: replayed,
            running: None,
            round_wanted: false,
            next_round_replies: Vec::new(),
            next_copy: None,
            hurried: false,
            covered,
            waiting: VecDeque::new(),
            unanswered: HashMap::new(),
            closing: None,
            probe_wanted: false,
            probe_every: settings.probe_every,
        }
    }

    /// Runs until the store is closed or abandoned.
    pub(super) fn run(mut self, messages: &Receiver<Message>) -> Ending {
        let mut deferred = None;
        while let Some(message) = deferred.take().or_else(|| self.next_message(messages)) {
            match message {
                Message::Abandon => return Ending::Abandoned,
                Message::Commit(batch) => {
                    self.accept(batch);
                    deferred = self.accept_what_waits(messages);
                    self.write_waiting();
                }
                other => self.handle(other),
            }
            self.health.waits((!self.waiting.is_empty()).then(|| self.clock.now()));
            if let Some(ending) = self.proceed_closing() {
                for message in messages.try_iter() {
                    if let Message::Commit(batch) = message {
                        commit::refuse(batch, "the store is closed");
                    }
                }
                return ending;
            }
        }
        Ending::Abandoned
    }

    /// Waits for a message. Meanwhile a journal in trouble is tried now and then.
    fn next_message(&mut self, messages: &Receiver<Message>) -> Option<Message> {
        while self.health.journal_in_trouble() || self.health.reserve_in_trouble() {
            match messages.recv_timeout(self.probe_every) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        messages.recv().ok()
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
            Message::Copy(request) => self.copy(request),
            Message::Prepared(segment) => self.prepared(segment),
            Message::RoundEnded(result) => self.round_ended(result),
            Message::Close(reply) => {
                self.closing.get_or_insert_default().replies.push(reply);
                self.refuse_waiting("the store is closed");
                self.next_copy = None;
                self.stop_copying();
            }
            Message::Abandon => {}
        }
    }

    fn change_of(&self, key: &Key) -> Option<&Change> {
        let running = || self.running.as_ref()?.round.changes.change_of(key);
        self.recent.change_of(key).or_else(running)
    }
}

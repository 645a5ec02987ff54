//! Snapshot rounds, and the segments that they need, as the journal's writer sees them.

use std::io;
use std::sync::Arc;

use super::super::super::CopyProgress;
use super::super::changes::Changes;
use super::super::copy::CopyRequest;
use super::super::message::RoundReply;
use super::super::round::Job;
use super::super::segment::Segment;
use super::super::snapshot::{Covered, Round};
use super::Writer;

/// The most segments that wait for a snapshot round. When there are so many, batches wait for
/// the round, or are refused if rounds fail.
pub(in crate::embedded) const MAX_SEGMENTS: u64 = 8;

/// The most keys that room is made for in advance, because the last round had so many.
const MOST_EXPECTED_KEYS: usize = 1 << 18;

/// The round that is being carried out, or has to be repeated.
pub(super) struct Running {
    pub(super) round: Round,
    /// Whether it is with the thread that carries it out.
    pub(super) in_progress: bool,
    pub(super) failed: Option<String>,
    pub(super) replies: Vec<RoundReply>,
    /// The copy that is made before it, if there is one.
    pub(super) copying: Option<Arc<CopyProgress>>,
}

impl Writer {
    /// A segment that was asked for is there, or cannot be had.
    pub(super) fn prepared(&mut self, segment: io::Result<Segment>) {
        let round_wanted = std::mem::take(&mut self.round_wanted);
        match self.journal.prepared(segment) {
            Ok(()) => {
                self.health.reserve(None);
                self.write_waiting();
                self.probe_if_wanted();
                if round_wanted {
                    self.go_on_with_rounds();
                }
            }
            Err(error) => {
                let trouble = format!("cannot reserve a journal segment: {error}");
                self.health.reserve(Some(&trouble));
                // Whoever waited for this segment has waited long enough.
                self.refuse_waiting(&trouble);
                if round_wanted {
                    self.answer_next_round(&Err(trouble));
                }
            }
        }
    }

    /// It is time for a round: begins one, or repeats the one that failed. `reply` is told how the
    /// first round ended that began after this, and so has everything written before; or that
    /// there was nothing to do.
    pub(super) fn tick(&mut self, reply: Option<RoundReply>) {
        self.probe();
        self.next_round_replies.extend(reply);
        self.go_on_with_rounds();
    }

    /// Somebody wants a copy. It is made as of the beginning of the next round, which begins as soon as the
    /// running one has ended.
    pub(super) fn copy(&mut self, request: CopyRequest) {
        if self.closing.is_some() {
            request.refuse("the store is closed");
        } else if self.next_copy.is_some() {
            request.refuse("another copy is waiting to be made; try again when it is");
        } else {
            self.next_copy = Some(request);
            self.go_on_with_rounds();
        }
    }

    /// Copies, and the rewriting of the snapshot, are for those who have time: what writes wait for goes first.
    pub(super) fn stop_copying(&mut self) {
        if !std::mem::replace(&mut self.hurried, true) {
            let _ = self.jobs.send(Job::Hurry);
        }
        if let Some(running) = &self.running {
            running.round.hurry();
            if let Some(progress) = &running.copying {
                progress.cancel();
            }
        }
    }

    fn go_on_with_rounds(&mut self) {
        self.journal.ask_for_spare();
        match &self.running {
            // Its end brings the next one, if somebody waits for that.
            Some(running) if running.in_progress => {}
            Some(_) => self.send_round(),
            None => self.begin_wanted_round(),
        }
    }

    fn begin_wanted_round(&mut self) {
        if self.begin_round(true) {
            // Those whose round it is are no longer among these.
            self.answer_next_round(&Ok(()));
        } else if self.journal.is_preparing() {
            self.round_wanted = true;
        } else {
            self.answer_next_round(&Err("a failed write to the journal cannot be taken back".into()));
        }
    }

    fn answer_next_round(&mut self, answer: &Result<(), String>) {
        for reply in self.next_round_replies.drain(..) {
            let _ = reply.send(answer.clone());
        }
        if let (Err(reason), Some(request)) = (answer, self.next_copy.take()) {
            request.refuse(reason);
        }
    }

    /// Begins a round, if there is something to do; says whether the journal goes on in a segment
    /// that is not part of it.
    pub(super) fn begin_round(&mut self, paced: bool) -> bool {
        let oldest_needed = self.covered + 1;
        let nothing_new = !self.journal.newest_is_used() && self.recent.is_empty();
        if nothing_new && self.journal.newest() == oldest_needed && self.next_copy.is_none() {
            return true;
        }
        let Some(segment) = self.journal.end_of_round() else { return false };
        let next = Changes::with_room_for(self.recent.len().min(MOST_EXPECTED_KEYS));
        let changes = Arc::new(std::mem::replace(&mut self.recent, next));
        let (sequence, time) = (self.journal.last_sequence(), self.journal.last_time());
        let covered = Covered { segment, sequence, time };
        let round = Round::new(changes, covered, paced);
        let replies = std::mem::take(&mut self.next_round_replies);
        let request = self.next_copy.take();
        let copying = request.as_ref().map(|request| request.progress.clone());
        if let Some(request) = request {
            // If that thread has ended, nobody answers, which is an answer too.
            let _ = self.jobs.send(Job::Copy(request, round.changes.clone()));
        }
        self.running = Some(Running { round, in_progress: false, failed: None, replies, copying });
        self.send_round();
        true
    }

    /// Hands the round to the thread that carries it out.
    pub(super) fn send_round(&mut self) {
        let Some(running) = &mut self.running else { return };
        running.in_progress = true;
        if self.jobs.send(Job::Round(running.round.clone())).is_err() {
            self.round_ended(Err("the thread for snapshot rounds has ended; restart the server".into()));
        }
    }

    /// Hands it over again, if it failed.
    pub(super) fn repeat_failed_round(&mut self) {
        if self.running.as_ref().is_some_and(|running| !running.in_progress) {
            self.send_round();
        }
    }

    /// The round that was handed over has ended.
    pub(super) fn round_ended(&mut self, result: Result<(), String>) {
        self.hurried = false;
        let Some(mut running) = self.running.take() else { return };
        self.health.round(result.as_ref().err().map(String::as_str));
        for reply in running.replies.drain(..) {
            let _ = reply.send(result.clone());
        }
        if result.is_err() {
            // Nor will there be a next round before the next attempt.
            self.answer_next_round(&result);
        }
        match result {
            Ok(()) => {
                self.covered = running.round.covered.segment;
                let _ = self.jobs.send(Job::Discard(running.round.changes));
                let now = self.clock.now();
                self.unanswered.retain(|_, gc_after| now < *gc_after);
                if !self.next_round_replies.is_empty() || self.next_copy.is_some() {
                    self.begin_wanted_round();
                }
            }
            Err(reason) => {
                running.in_progress = false;
                running.failed = Some(reason);
                self.running = Some(running);
            }
        }
        self.write_waiting();
        self.probe_if_wanted();
    }
}

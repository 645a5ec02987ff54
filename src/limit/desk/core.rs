//! A desk without its task: what is decided when, and when its answer may leave. No I/O and no clock.

use super::shelf::{Entry, Pages, Shelf, Steps};
use super::{Book, PageError};
use crate::domain::Timestamp;
use crate::store::{Key, Kind, Outcome, Revision, StoreError, Write};

/// How often a request is decided again because another writer of the store came first.
const MAX_CONFLICTS: u8 = 4;

/// One desk's state.
pub struct Core<B: Book> {
    book: B,
    shelf: Shelf<B>,
    waiting: Vec<Waiting<B::Request>>,
    in_flight: Option<Batch<B>>,
    commit: Option<Vec<Write>>,
    last_seen: Timestamp,
}

struct Waiting<R> {
    request: R,
    keys: Vec<Key>,
    conflicts: u8,
    /// The records at which another writer came first.
    lost: Vec<Key>,
}

struct Batch<B: Book> {
    requests: Vec<Waiting<B::Request>>,
    steps: Steps<B::Page>,
}

impl<B: Book> Core<B> {
    /// Over what the store has.
    pub fn new(book: B, shelf: Shelf<B>) -> Self {
        let (waiting, last_seen) = (Vec::new(), Timestamp::EPOCH);
        Self { book, shelf, waiting, in_flight: None, commit: None, last_seen }
    }

    /// Takes a request in. [`Core::go`] decides what has collected.
    pub fn submit(&mut self, request: B::Request, clock: Timestamp) {
        let now = self.tick(clock);
        let waiting = Waiting { keys: B::keys(&request), request, conflicts: 0, lost: Vec::new() };
        if let Some(waiting) = self.answer_at_once(waiting, now) {
            self.waiting.push(waiting);
        }
    }

    /// While a batch is on its way, what needs no commit and rests on nothing in that batch is answered without waiting
    /// for it. Gives back what has to wait.
    fn answer_at_once(
        &mut self,
        mut waiting: Waiting<B::Request>,
        now: Timestamp,
    ) -> Option<Waiting<B::Request>> {
        let Some(batch) = &self.in_flight else { return Some(waiting) };
        let open = |key: &Key| batch.steps.by_key.contains_key(key) || self.shelf.is_unsettled(key);
        if !B::may_be_decided_twice(&waiting.request) || waiting.keys.iter().any(open) {
            return Some(waiting);
        }
        let mut steps = Steps::default();
        self.book.decide(&mut waiting.request, &mut Pages::new(&mut self.shelf, &mut steps, now), now);
        if steps.by_key.is_empty() {
            self.book.leave(waiting.request);
            return None;
        }
        Some(waiting)
    }

    /// Decides what is waiting, unless a batch is under way, and asks for a commit if anything has to be durable.
    pub fn go(&mut self, clock: Timestamp) {
        let now = self.tick(clock);
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return;
        }
        let mut steps = Steps::default();
        let mut requests = std::mem::take(&mut self.waiting);
        for Waiting { request, keys, lost, .. } in &mut requests {
            for key in keys.iter() {
                if let Some(entry) = self.shelf.entry(key).filter(|entry| entry.unsettled) {
                    steps.write_again(*key, entry);
                }
            }
            let mut pages = Pages::new(&mut self.shelf, &mut steps, now);
            if !lost.is_empty() {
                self.book.undo(request, lost, &mut pages, now);
            }
            self.book.decide(request, &mut pages, now);
        }
        let mut held = Vec::with_capacity(requests.len());
        for waiting in requests {
            if waiting.keys.iter().any(|key| steps.by_key.contains_key(key)) {
                held.push(waiting);
            } else {
                self.book.leave(waiting.request);
            }
        }
        if !steps.by_key.is_empty() {
            let write = |(key, step): (&Key, &super::shelf::Step<B::Page>)| Write {
                key: *key,
                expect: step.before,
                put: step.page.as_ref().map(B::write),
                gc_after: step.page.as_ref().map_or(now, B::ends),
            };
            self.commit = Some(steps.by_key.iter().map(write).collect());
            self.in_flight = Some(Batch { requests: held, steps });
        }
    }

    /// The writes to hand to the store, if a batch is waiting for it.
    pub const fn take_commit(&mut self) -> Option<Vec<Write>> {
        self.commit.take()
    }

    /// The store's word on the batch in flight. `Ok` has one outcome per write, in order.
    pub fn committed(&mut self, result: Result<Vec<Outcome>, StoreError>, clock: Timestamp) {
        self.tick(clock);
        let Some(Batch { requests, steps }) = self.in_flight.take() else { return };
        match result {
            Ok(outcomes) => self.applied(requests, steps, outcomes),
            Err(error) => {
                // Otherwise nothing was applied, and nobody was told anything: all is as it was.
                if let StoreError::Unknown(_) = error {
                    self.keep_strict(steps);
                }
                for waiting in requests {
                    self.book.fail(waiting.request);
                }
            }
        }
    }

    fn applied(&mut self, requests: Vec<Waiting<B::Request>>, steps: Steps<B::Page>, outcomes: Vec<Outcome>) {
        let mut conflicted = Vec::new();
        for ((key, step), outcome) in steps.by_key.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Applied(revision) => {
                    let entry = |page| Entry { page, revision, unsettled: false };
                    self.shelf.set(key, step.page.map(entry));
                }
                Outcome::Conflict(present) => {
                    conflicted.push(key);
                    self.adopt(key, present.as_ref().map(|(revision, record)| (*revision, &record[..])));
                }
            }
        }
        let mut again = Vec::new();
        for mut waiting in requests {
            waiting.lost.clear();
            waiting.lost.extend(waiting.keys.iter().filter(|key| conflicted.contains(key)));
            if waiting.lost.is_empty() {
                self.book.leave(waiting.request);
            } else if waiting.conflicts < MAX_CONFLICTS {
                waiting.conflicts += 1;
                again.push(waiting);
            } else {
                self.book.fail(waiting.request);
            }
        }
        again.append(&mut self.waiting);
        self.waiting = again;
    }

    /// Takes over what another writer left. What cannot be read is not taken for nothing: the stale revision keeps
    /// conflicting until the request is refused.
    fn adopt(&mut self, key: Key, present: Option<(Revision, &[u8])>) {
        match present.map(|(revision, record)| (revision, B::read(record))) {
            None => self.shelf.set(key, None),
            Some((revision, Ok(page))) => {
                self.shelf.set(key, Some(Entry { page, revision, unsettled: false }));
            }
            Some((_, Err(error))) => unreadable(B::KIND, &error),
        }
    }

    fn keep_strict(&mut self, steps: Steps<B::Page>) {
        for (key, step) in steps.by_key {
            let entry = |page| Entry { page, revision: step.before, unsettled: true };
            self.shelf.set(key, step.strict.map(entry));
        }
    }

    /// Frees the memory of some records that have ended.
    pub fn sweep(&mut self, looks: usize, clock: Timestamp) {
        let now = self.tick(clock);
        // The end of the commit in flight sets its records anew.
        self.shelf.sweep(looks, now, |_| false);
    }

    /// How many records are in memory.
    #[cfg(test)]
    pub fn records(&self) -> usize {
        self.shelf.len()
    }

    /// Time never runs backwards in here, whatever the clock does.
    fn tick(&mut self, clock: Timestamp) -> Timestamp {
        self.last_seen = self.last_seen.max(clock);
        self.last_seen
    }
}

fn unreadable(kind: Kind, error: &PageError) {
    tracing::error!(what = kind.plural(), %error, "a record in the store cannot be read");
}

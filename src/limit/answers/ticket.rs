//! Who carries out the request with a key, and how that ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::book::{AnswerBook, Finish, Free, Mark, Request};
use super::{KeyRefusal, LONGEST_ANSWER};
use crate::limit::desk::Desk;
use crate::limit::digest::Place;
use crate::store::Key;

/// The keys whose requests are being carried out, with what makes these the same. It outlives a panic of the task that owns
/// the answers: a request that runs stays the only one.
#[derive(Clone, Default)]
pub struct Running(Arc<Mutex<HashMap<Key, Identity>>>);

/// What a key's record and its repetitions have to agree on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub tag: u64,
    pub fingerprint: [u8; 32],
}

impl Running {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Who runs with this key.
    pub fn of(&self, key: &Key) -> Option<Identity> {
        self.lock().get(key).copied()
    }

    /// Begins, where nobody does.
    pub fn reserve(&self, key: Key, identity: Identity) -> Option<Reservation> {
        let mut running = self.lock();
        if running.contains_key(&key) {
            return None;
        }
        running.insert(key, identity);
        Some(Reservation { running: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Identity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key is reserved for as long as this lives.
pub struct Reservation {
    running: Running,
    key: Key,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.running.lock().remove(&self.key);
    }
}

/// The right, and the duty, to carry a request out. Dropped before [`Ticket::finish`], it frees the key: the request came to
/// nothing, and a repetition is carried out.
///
/// A front end drops what it is doing when its client hangs up, and just then the client asks again. So whoever holds a
/// ticket either does so in a task of its own, or says [`Ticket::stay_marked`] before the first effect.
#[must_use = "finish it with the answer, or drop it to free the key"]
pub struct Ticket {
    desk: Desk<AnswerBook>,
    place: Place,
    fingerprint: [u8; 32],
    /// `None` when it has ended.
    reservation: Option<Reservation>,
    mark: MarkOf,
}

/// What of the request may be on the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkOf {
    /// Nothing.
    Nobody,
    /// A mark that this ticket asked for, and takes back when it is dropped.
    This,
    /// A mark that an earlier one left, or that is to stay.
    Lasting,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(***)")
    }
}

impl Ticket {
    pub(super) fn new(
        desk: Desk<AnswerBook>,
        place: Place,
        fingerprint: [u8; 32],
        reservation: Reservation,
        mark: MarkOf,
    ) -> Self {
        Self { desk, place, fingerprint, reservation: Some(reservation), mark }
    }

    fn identity(&self) -> Identity {
        Identity { tag: self.place.tag, fingerprint: self.fingerprint }
    }

    /// Returns when it is durable that this request was begun. To be awaited before its first effect: should the program
    /// die after it, a repetition is [`super::Begun::Interrupted`].
    ///
    /// # Errors
    /// [`KeyRefusal::StoreUnavailable`] or [`KeyRefusal::Overloaded`]; then the request must have no effect.
    pub async fn mark_durable(&mut self) -> Result<(), KeyRefusal> {
        if self.mark == MarkOf::Lasting {
            return Ok(());
        }
        let seat = self.desk.seat().ok_or(KeyRefusal::Overloaded)?;
        // From here on it may be there, whatever is heard of it.
        self.mark = MarkOf::This;
        let (reply, answer) = oneshot::channel();
        let mark = Mark { place: self.place, identity: self.identity(), decided: Ok(()), reply, _seat: seat };
        self.desk.submit(Request::Mark(mark));
        answer.await.unwrap_or(Err(KeyRefusal::StoreUnavailable))
    }

    /// After [`Ticket::mark_durable`]: from here on the request may have effects that nobody can take back: if this ticket is dropped, its mark stays, and a
    /// repetition is [`super::Begun::Interrupted`] in place of being carried out. [`Ticket::free`] still frees the key.
    pub fn stay_marked(&mut self) {
        if self.mark == MarkOf::This {
            self.mark = MarkOf::Lasting;
        }
    }

    /// Keeps the answer for 24 hours, and returns when it is durable.
    ///
    /// # Errors
    /// [`KeyRefusal`]. The request was carried out nevertheless: its caller is to be given the answer. A repetition is
    /// [`super::Begun::Interrupted`] if the request was marked.
    pub async fn finish(mut self, value: Value) -> Result<(), KeyRefusal> {
        let body = value.to_string();
        // The answer is not lost for want of a seat: there are no more of these than tickets.
        let seat = self.desk.seat();
        let Some(reservation) = self.reservation.take() else { return Ok(()) };
        if body.len() > LONGEST_ANSWER {
            return Err(KeyRefusal::AnswerTooLong);
        }
        let (reply, answer) = oneshot::channel();
        let (place, identity) = (self.place, self.identity());
        let finish = Finish {
            place,
            identity,
            value: body.into(),
            reply,
            _seat: seat,
            reservation: Some(reservation),
        };
        self.desk.submit(Request::Finish(finish));
        answer.await.unwrap_or(Err(KeyRefusal::StoreUnavailable))
    }

    /// The request surely had no effect: a repetition is carried out. Also takes back the mark that an earlier, interrupted
    /// one has left, which dropping does not. Returns when that is decided: whoever is told of it before and asks again
    /// would find the first one still running.
    pub async fn free(mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        if self.mark == MarkOf::Nobody {
            return;
        }
        let (done, freed) = oneshot::channel();
        let free = Free { place: self.place, reservation: Some(reservation), _done: Some(done) };
        self.desk.submit(Request::Free(free));
        // It is told of by being dropped: then it is over, whatever came of it.
        let _: Result<(), _> = freed.await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        if self.mark == MarkOf::This {
            let free = Free { place: self.place, reservation: Some(reservation), _done: None };
            self.desk.submit(Request::Free(free));
        }
    }
}

//! How requests about idempotency keys are decided.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::record;
use super::ticket::{Identity, MarkOf, Reservation, Running, Ticket};
use super::{Begun, KEPT_FOR, Kept, KeyRefusal};
use crate::domain::Timestamp;
use crate::limit::desk::{Book, Desk, PageError, Pages, Seat};
use crate::limit::digest::Place;
use crate::store::{Key, Kind};

/// One key's record.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// Whose it is, and of which request.
    pub identity: Identity,
    /// From when on it says nothing.
    pub ends: Timestamp,
    /// The answer as JSON; `None` while there is none.
    pub value: Option<Bytes>,
}

pub enum Request {
    Begin(Begin),
    Mark(Mark),
    Finish(Finish),
    Free(Free),
}

/// What may be done with a key?
pub struct Begin {
    pub place: Place,
    pub fingerprint: [u8; 32],
    /// For the ticket.
    pub desk: Desk<AnswerBook>,
    pub decided: Option<Result<Begun, KeyRefusal>>,
    pub reply: oneshot::Sender<Result<Begun, KeyRefusal>>,
    pub _seat: Seat,
}

/// A request is about to have effects.
pub struct Mark {
    pub place: Place,
    pub identity: Identity,
    pub decided: Result<(), KeyRefusal>,
    pub reply: oneshot::Sender<Result<(), KeyRefusal>>,
    pub _seat: Seat,
}

/// A request has its answer.
pub struct Finish {
    pub place: Place,
    pub identity: Identity,
    pub value: Bytes,
    pub reply: oneshot::Sender<Result<(), KeyRefusal>>,
    pub _seat: Option<Seat>,
    /// Until it is decided: from then on the batch stands in the way of others.
    pub reservation: Option<Reservation>,
}

/// A marked request came to nothing.
pub struct Free {
    pub place: Place,
    /// Until it is decided.
    pub reservation: Option<Reservation>,
    /// Whoever waits for the end of this request.
    pub _done: Option<oneshot::Sender<()>>,
}

/// How they are decided.
pub struct AnswerBook {
    running: Running,
}

impl AnswerBook {
    pub const fn new(running: Running) -> Self {
        Self { running }
    }
}

impl Book for AnswerBook {
    const KIND: Kind = Kind::Answered;
    type Page = Page;
    type Request = Request;

    fn read(sealed: &[u8]) -> Result<Page, PageError> {
        record::decode(sealed)
    }

    fn write(page: &Page) -> Bytes {
        record::encode(page)
    }

    fn ends(page: &Page) -> Timestamp {
        page.ends
    }

    fn weight(page: &Page) -> usize {
        page.value.as_ref().map_or(0, Bytes::len)
    }

    fn keys(request: &Request) -> Vec<Key> {
        let place = match request {
            Request::Begin(begin) => begin.place,
            Request::Mark(mark) => mark.place,
            Request::Finish(finish) => finish.place,
            Request::Free(free) => free.place,
        };
        vec![place.key]
    }

    fn may_be_decided_twice(request: &Request) -> bool {
        // It changes no page, so it never is decided twice.
        matches!(request, Request::Begin(_))
    }

    fn decide(&mut self, request: &mut Request, pages: &mut Pages<'_, Self>, now: Timestamp) {
        match request {
            Request::Begin(begin) => begin.decided = Some(self.begin(begin, pages)),
            Request::Mark(mark) => {
                let key = mark.place.key;
                mark.decided =
                    if pages.has_room_for(&[key], 0) { Ok(()) } else { Err(KeyRefusal::TooManyAnswers) };
                if mark.decided.is_ok() {
                    let page = Some(Page { identity: mark.identity, ends: now.plus(KEPT_FOR), value: None });
                    pages.put(key, page.clone(), page);
                }
            }
            Request::Finish(finish) => {
                finish.reservation = None;
                let value = Some(finish.value.clone());
                let page = Some(Page { identity: finish.identity, ends: now.plus(KEPT_FOR), value });
                pages.put(finish.place.key, page.clone(), page);
            }
            Request::Free(free) => {
                free.reservation = None;
                let key = free.place.key;
                if pages.page(&key).is_some_and(|page| page.value.is_none()) {
                    let strict = pages.strict(&key).cloned();
                    pages.put(key, None, strict);
                }
            }
        }
    }

    fn undo(&mut self, request: &mut Request, _lost: &[Key], _pages: &mut Pages<'_, Self>, _now: Timestamp) {
        // It has one record only. A ticket of the first try would be in the way of the second one's.
        if let Request::Begin(begin) = request {
            begin.decided = None;
        }
    }

    fn leave(&mut self, request: Request) {
        match request {
            // A ticket that nobody takes is dropped, and frees the key.
            Request::Begin(begin) => {
                drop(begin.reply.send(begin.decided.unwrap_or(Err(KeyRefusal::StoreUnavailable))));
            }
            Request::Mark(mark) => drop(mark.reply.send(mark.decided)),
            Request::Finish(finish) => drop(finish.reply.send(Ok(()))),
            Request::Free(_done) => {}
        }
    }

    fn fail(&mut self, request: Request) {
        let failed = KeyRefusal::StoreUnavailable;
        match request {
            Request::Begin(Begin { decided, reply, .. }) => {
                // Its ticket, before anybody is told that there is none.
                drop(decided);
                let _ = reply.send(Err(failed));
            }
            Request::Mark(mark) => drop(mark.reply.send(Err(failed))),
            Request::Finish(finish) => drop(finish.reply.send(Err(failed))),
            Request::Free(_stays_marked) => {}
        }
    }
}

impl AnswerBook {
    fn begin(&self, begin: &Begin, pages: &mut Pages<'_, Self>) -> Result<Begun, KeyRefusal> {
        if begin.reply.is_closed() {
            // Whoever asked is gone. A ticket that nobody takes would be in the way of the next one to ask.
            return Err(KeyRefusal::StoreUnavailable);
        }
        let key = begin.place.key;
        let identity = Identity { tag: begin.place.tag, fingerprint: begin.fingerprint };
        let page = pages.page(&key);
        let known = self.running.of(&key).or(page.map(|page| page.identity));
        if known.is_some_and(|known| known != identity) {
            return Ok(Begun::OtherRequest);
        }
        if let Some(value) = page.and_then(|page| page.value.as_ref()) {
            let value = serde_json::from_slice(value).map_err(|_| KeyRefusal::StoreUnavailable)?;
            return Ok(Begun::Again(Kept { value }));
        }
        let mark = if page.is_some() { MarkOf::Lasting } else { MarkOf::Nobody };
        if mark == MarkOf::Nobody
            && self.running.of(&key).is_none()
            && !pages.has_room_for(&[key], self.running.len())
        {
            return Err(KeyRefusal::TooManyAnswers);
        }
        let Some(reservation) = self.running.reserve(key, identity) else { return Ok(Begun::StillAnswering) };
        let ticket = Ticket::new(begin.desk.clone(), begin.place, begin.fingerprint, reservation, mark);
        Ok(if mark == MarkOf::Lasting { Begun::Interrupted(ticket) } else { Begun::First(ticket) })
    }
}

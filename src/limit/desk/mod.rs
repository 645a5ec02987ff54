//! One task that owns records of one kind, decides about them in order, and answers when that is durable.
//!
//! What is decided is the affair of a [`Book`]. The rest is here: `core` has the batches, `shelf` the records, `actor` the
//! task and what brings it back after a panic.

mod actor;
mod core;
mod shelf;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Bounds;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::store::record::RecordError;
use crate::store::{Key, Kind, Store, StoreError};

pub use self::core::Core;
pub use shelf::{Pages, Shelf};

/// What is kept, and how requests about it are decided.
pub trait Book: Send + Sized + 'static {
    /// The kind of its records.
    const KIND: Kind;
    /// What one record says.
    type Page: Clone + Send + Sync + 'static;
    /// A request, with whoever waits for its answer, and room for the decision.
    type Request: Send + 'static;

    /// Reads a record.
    fn read(record: &[u8]) -> Result<Self::Page, PageError>;
    /// Writes one.
    fn write(page: &Self::Page) -> Bytes;
    /// From when on it says nothing any more.
    fn ends(page: &Self::Page) -> Timestamp;
    /// Bytes that are counted against [`Bounds::answer_bytes`].
    fn weight(page: &Self::Page) -> usize;

    /// The records that the request is about.
    fn keys(request: &Self::Request) -> Vec<Key>;
    /// Whether it can be decided now and again a moment later without harm: to decide it changes nothing but pages.
    fn may_be_decided_twice(request: &Self::Request) -> bool;
    /// Decides it: changes pages, and notes the answer in the request.
    fn decide(&mut self, request: &mut Self::Request, pages: &mut Pages<'_, Self>, now: Timestamp);
    /// Another writer came first at the records `lost`; what was decided about the request's other records is written.
    /// Takes that back: the request is decided again.
    fn undo(
        &mut self,
        request: &mut Self::Request,
        lost: &[Key],
        pages: &mut Pages<'_, Self>,
        now: Timestamp,
    );
    /// Lets the answer leave: all that it rests on is durable.
    fn leave(&mut self, request: Self::Request);
    /// Tells whoever waits that nothing was decided, because the store failed.
    fn fail(&mut self, request: Self::Request);
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The envelope is damaged.
    #[error(transparent)]
    Envelope(#[from] RecordError),
    /// A later version of this program wrote it.
    #[error("it has version {0}, which this version of onceward does not know")]
    Version(u8),
    /// The checksum holds, and it does not say what it should.
    #[error("it does not say what it should: {0}")]
    Contents(#[from] serde_json::Error),
    /// The same, for a part of it.
    #[error("it does not say what it should: `{0}` makes no sense")]
    Part(&'static str),
}

/// Why a desk could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error("the {what} could not be loaded from the store: {source}")]
    Store {
        /// Records of which kind.
        what: &'static str,
        /// What it said.
        source: StoreError,
    },
    /// A record makes no sense.
    #[error(
        "a record among the {what} cannot be read: {source}; restore the data directory from a backup, or use the \
         version of onceward that wrote it"
    )]
    Record {
        /// Records of which kind.
        what: &'static str,
        /// Why not.
        source: PageError,
    },
}

/// What a desk works with.
#[derive(Clone)]
pub struct Around {
    /// Where records are durable.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How far it may grow.
    pub bounds: Bounds,
}

/// A handle. The task ends when the last one is dropped.
pub struct Desk<B: Book> {
    inbox: mpsc::UnboundedSender<B::Request>,
    places: Arc<Semaphore>,
}

impl<B: Book> Clone for Desk<B> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), places: Arc::clone(&self.places) }
    }
}

/// One of the places for requests that are not answered yet.
pub type Seat = OwnedSemaphorePermit;

impl<B: Book> Desk<B> {
    /// Loads the records and starts the task. `book` makes the book, and makes it again after a panic.
    pub async fn open(around: Around, book: impl Fn() -> B + Send + 'static) -> Result<Self, OpenError> {
        let places = Arc::new(Semaphore::new(around.bounds.queue.clamp(1, Semaphore::MAX_PERMITS)));
        let shelf = actor::load::<B>(&around).await?;
        let (inbox, requests) = mpsc::unbounded_channel();
        tokio::spawn(actor::run(around, Box::new(book), shelf, requests));
        Ok(Self { inbox, places })
    }

    /// A place for a request, if one is free. It is given back when the seat is dropped: a request holds its own until it is
    /// answered.
    pub fn seat(&self) -> Option<Seat> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Hands a request in. If the task is gone it is dropped, which whoever waits notices.
    pub fn submit(&self, request: B::Request) {
        let _ = self.inbox.send(request);
    }
}

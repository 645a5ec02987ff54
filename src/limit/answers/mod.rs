//! Answers kept for idempotency keys: the handle, and what a request with a key may do.

mod book;
mod record;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::Bounds;
use super::desk::{Around, Desk, OpenError};
use super::digest::Digester;
use crate::clock::Clock;
use crate::domain::ServiceId;
use crate::store::Store;

use book::{AnswerBook, Begin, Request};
use ticket::Running;

pub use ticket::Ticket;

/// Bytes of an idempotency key.
const LONGEST_KEY: usize = 255;
/// Bytes of an answer as JSON: some times what the longest one takes.
const LONGEST_ANSWER: usize = 16 << 10;
/// How long an answer is kept, and how long a mark without one.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What a request with an idempotency key is to do.
#[derive(Debug)]
pub enum Begun {
    /// Nobody came with this key before: carry the request out.
    First(Ticket),
    /// It was answered before, with this.
    Again(Kept),
    /// The key came with another request.
    OtherRequest,
    /// The first request with this key is being carried out.
    StillAnswering,
    /// The first request was begun and then cut off, by a crash or a commit that failed: it may have had effects. Find out
    /// what became of it, and finish with that, or [`Ticket::free`] the key. Dropped, this ticket leaves things as they are.
    Interrupted(Ticket),
}

/// A kept answer.
#[derive(Clone, PartialEq)]
pub struct Kept {
    /// What [`Ticket::finish`] was given.
    pub value: Value,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(***)")
    }
}

/// Why nothing can be said of a key, or nothing be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The key is empty, or longer than 255 bytes.
    #[error("an idempotency key has 1 to {LONGEST_KEY} bytes")]
    KeyLength,
    /// The answer is longer than 16 KiB as JSON. The key stays marked, if it was.
    #[error("an answer to keep has at most {LONGEST_ANSWER} bytes")]
    AnswerTooLong,
    /// As many answers as may be are kept or being made, and none of them has ended. Keys that are known are answered.
    #[error("too many answers are being kept")]
    TooManyAnswers,
    /// As many requests as may be are waiting.
    #[error("too many requests wait for their idempotency keys")]
    Overloaded,
    /// It could not be made durable, or not read.
    #[error("the answer could not be made durable")]
    StoreUnavailable,
}

/// Answers kept for 24 hours. Clones are handles on the same answers.
#[derive(Clone)]
pub struct Answers {
    desk: Desk<AnswerBook>,
    running: Running,
    digester: Arc<Digester>,
}

impl Answers {
    /// Loads every kept answer. `server_key` is the server's key: idempotency keys are hashed with it.
    ///
    /// # Errors
    /// When the store cannot be read, or a record makes no sense.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        server_key: &[u8],
        bounds: Bounds,
    ) -> Result<Self, OpenError> {
        let running = Running::default();
        let book = {
            let running = running.clone();
            move || AnswerBook::new(running.clone())
        };
        let desk = Desk::open(Around { store, clock, bounds }, book).await?;
        Ok(Self { desk, running, digester: Arc::new(Digester::new(server_key)) })
    }

    /// A request came with this key. `fingerprint` is what makes two requests the same. Of several with one key at one
    /// moment exactly one is [`Begun::First`].
    ///
    /// # Errors
    /// [`KeyRefusal`]; then nothing is reserved.
    pub async fn begin(
        &self,
        service: ServiceId,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Begun, KeyRefusal> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(KeyRefusal::KeyLength);
        }
        let place = self.digester.answer(service, key);
        let seat = self.desk.seat().ok_or(KeyRefusal::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let desk = self.desk.clone();
        self.desk.submit(Request::Begin(Begin {
            place,
            fingerprint,
            desk,
            decided: None,
            reply,
            _seat: seat,
        }));
        answer.await.unwrap_or(Err(KeyRefusal::StoreUnavailable))
    }

    /// Requests with keys that are being carried out.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

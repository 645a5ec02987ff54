//! Durability behind one trait.
//!
//! A store keeps opaque records under small keys and changes them by compare-and-swap, many in
//! one call. `Ok` from [`Store::cas`] means durable: it survives `kill -9` and power loss.
//! Nothing here knows what a record says.

pub mod copy;
mod embedded;
mod memory;
pub mod record;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use onceward_core::domain::{ServiceId, Timestamp};

pub use futures_util::future::BoxFuture;

pub use copy::{Copied, CopyProgress, CopyReader, Counts, Entry};
pub use embedded::{
    EmbeddedStore, Examined, Finding, Loading, NewStore, OpenError, OpenOptions, ReadOnly, advice,
    append_frame, check_new, create_durably, key_fingerprint_in, reading,
};
pub use memory::{Fault, Kept, MemoryStore};
pub use record::RecordError;

/// What sort of thing a record describes. The discriminants are on disk: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The state of one number in one service.
    Number = 1,
    /// What became of the sends of one verification.
    Track = 2,
    /// A service, with everything that belongs to it.
    Service = 3,
    /// A credential: the account's own, or an API key.
    Credential = 4,
    /// How often a value of a rate limit was used.
    Counter = 5,
    /// An event that a webhook is told, with what became of that.
    Event = 6,
    /// What a request with an idempotency key was answered.
    Answered = 7,
    /// A number on the safe list.
    SafeNumber = 8,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Number,
        Self::Track,
        Self::Service,
        Self::Credential,
        Self::Counter,
        Self::Event,
        Self::Answered,
        Self::SafeNumber,
    ];

    /// What records of this kind are, for people: `numbers`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Number => "numbers",
            Self::Track => "sends",
            Self::Service => "services",
            Self::Credential => "credentials",
            Self::Counter => "rate limit counters",
            Self::Event => "webhook events",
            Self::Answered => "answers kept for idempotency keys",
            Self::SafeNumber => "numbers on the safe list",
        }
    }

    /// From the discriminant on disk.
    pub fn from_u8(kind: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == kind)
    }
}

/// Names one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What the record describes.
    pub kind: Kind,
    /// The namespace it is counted in.
    pub service: ServiceId,
    /// The subject, such as a number's digits. Not printed: it is personal data.
    pub subject: Subject,
}

/// What a record is about: an integer chosen by the kind, such as the digits of a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub u64);

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subject(***)")
    }
}

/// Which version of a record a decision was made on. Grows with every write of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// No record under this key.
    pub const ABSENT: Self = Self(0);
    /// Any version, or none: the writer's memory is the authority.
    pub const ANY: Self = Self(u64::MAX);
}

/// One record to write, if the key is still at the revision the decision was made on.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// The revision the decision was made on; [`Revision::ABSENT`] for a new key.
    pub expect: Revision,
    /// The new record, or `None` to remove it.
    pub put: Option<Bytes>,
    /// From when on the record no longer matters. Frees space only; nothing depends on its timing.
    pub gc_after: Timestamp,
}

/// What became of one [`Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, and the key is at this revision ([`Revision::ABSENT`] after a removal).
    Applied(Revision),
    /// Somebody else wrote the key first; this is its present state.
    Conflict(Option<(Revision, Bytes)>),
}

/// Why a store could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing of the batch was or will be applied.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Some or all of the batch may have been applied, or may yet be.
    #[error("the store did not say whether it applied the batch: {0}")]
    Unknown(String),
}

/// Receives what [`Store::scan`] finds, one record at a time.
pub type Visitor = Box<dyn FnMut(Key, Revision, &[u8]) + Send>;

/// Durable records with compare-and-swap.
pub trait Store: Send + Sync + 'static {
    /// The present records under `keys`, in their order.
    #[expect(clippy::type_complexity, reason = "said once, and plainer than a name for it")]
    fn load<'a>(
        &'a self,
        keys: &'a [Key],
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<(Revision, Bytes)>>, StoreError>>;

    /// Applies each write on its own if its key is at the expected revision. Outcomes come in the
    /// order of the writes; `Ok` means that every `Applied` among them is durable.
    ///
    /// Answers within `timeout`, with [`StoreError::Unknown`] when it cannot know more by then. Await
    /// it to its end: dropping the future hides from the store that its answer was not heard.
    fn cas(&self, writes: Vec<Write>, timeout: Duration) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>>;

    /// Visits every record of `kind` that is alive, in no order, in a state that contains every
    /// batch acknowledged before the call. Used at start and when a shard restarts.
    fn scan(&self, kind: Kind, visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>>;

    /// About how many records of `kind` a scan would visit, for whoever makes room for them. Nothing else may rest on it;
    /// 0 when nobody knows.
    fn about(&self, kind: Kind) -> u64 {
        let _ = kind;
        0
    }

    /// Copies every record that is alive, of every kind, as of one moment: every batch acknowledged
    /// before the call is in the copy, and of every other batch all or nothing. The copy takes disk space,
    /// no memory; once it is there, nothing waits for whoever reads it. Copies are made one after the other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when another copy is being made, the disk is full, or the store is
    /// none that can be copied.
    fn copy(&self, progress: Arc<CopyProgress>) -> BoxFuture<'_, Result<Copied, StoreError>> {
        drop(progress);
        Box::pin(async { Err(StoreError::Unavailable("this store cannot be copied".into())) })
    }

    /// Whether the caller's memory, once loaded, is the authority: nobody else writes, so what is
    /// in memory need not be loaded again and conflicts cannot happen.
    fn memory_is_authority(&self) -> bool;

    /// `Ok` while writes can be expected to succeed, else what is wrong, for `/readyz`.
    fn health(&self) -> Result<(), String>;

    /// Finishes what was begun and makes the shortest possible next start: flushes, closes.
    /// Later writes answer [`StoreError::Unavailable`]. Idempotent.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

//! Records: what a shard keeps, and how it is written.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::{ServiceId, Timestamp, record_id_parts};
use crate::engine::SlotHash;

/// Names one record: its slot, its kind ([`Record::KIND`]), and what it is about within its kind.
pub use crate::store::Key as RecordKey;

/// The subject of a record within its kind and slot. Those that services hold begin with the service.
pub type Id = [u8; 12];

/// The service that holds the record with this id.
pub const fn service_of(id: &Id) -> ServiceId {
    record_id_parts(*id).0
}

/// Seeded at random, and faster than the standard library's. The keys of large tables under it are random or keyed
/// digests; tables of records, whose keys clients choose, have their own.
pub type Hasher = hashbrown::DefaultHashBuilder;

/// One kind of record. A new kind is a struct that implements this trait, registered in [`Kinds`](super::Kinds):
/// batching, durability, recovery, expiry and snapshots come with it.
pub trait Record: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// On disk; never reused for another kind.
    const KIND: u8;
    /// Plural name of the kind in messages and exports, such as `numbers`.
    const PLURAL: &'static str;
    /// The layouts that earlier versions of the program wrote, the first one first. Each record, in the store and in an
    /// export, says which one it has: the layout of this type has the next number, from 1 on. A change of this type that
    /// changes its serialization adds the type as it was before, and raises [`FORMAT`](crate::store::FORMAT).
    const OLDER: &'static [OlderLayout<Self>] = &[];
    /// The version of the layout that is written, in front of each record. It follows from [`Record::OLDER`].
    #[expect(clippy::cast_possible_truncation, reason = "a kind has a handful of layouts")]
    const VERSION: u8 = Self::OLDER.len() as u8 + 1;

    /// Takes out what no longer matters; `None` if there is nothing. The sweep calls it for large records.
    const COMPACT: Option<fn(&Self, Timestamp) -> Option<Self>> = None;

    /// The expiry time. The record then reads as absent, and the sweep removes it.
    fn expires(&self) -> Timestamp;

    /// The slot that it belongs to: the one of its number for everything about a number.
    fn slot(&self, id: &Id, slots: &SlotHash) -> u8 {
        slots.of(*id)
    }

    /// The state to keep when the shard does not know whether the change from `before` to `after` reached the disk, or when
    /// the change [holds at once](super::transaction::Transaction::holds_at_once). It must be at least as pessimistic as both
    /// states. The default keeps `after`, or `before` if `after` removes the record.
    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, now: Timestamp) -> Option<Self> {
        let _ = now;
        after.or(before)
    }
}

/// Reads a layout of the records `R` that is no longer written.
pub struct OlderLayout<R> {
    from_bytes: fn(&[u8]) -> postcard::Result<R>,
    from_json: fn(Value) -> serde_json::Result<R>,
}

impl<R> OlderLayout<R> {
    /// The layout that the type `O` has.
    pub const fn of<O: DeserializeOwned + Into<R>>() -> Self {
        Self {
            from_bytes: |bytes| postcard::from_bytes::<O>(bytes).map(O::into),
            from_json: |value| serde_json::from_value::<O>(value).map(O::into),
        }
    }
}

/// The older layout with this version; `None` for the one that this program writes.
fn older<R: Record>(version: u8) -> Result<Option<&'static OlderLayout<R>>, RecordError> {
    match version.checked_sub(1) {
        None => Err(contents::<R>(&"it has version 0, and versions begin with 1")),
        Some(_) if version > R::VERSION => {
            Err(RecordError::Version { what: R::PLURAL, found: version, known: R::VERSION })
        }
        Some(index) => Ok(R::OLDER.get(usize::from(index))),
    }
}

/// A stored record cannot be decoded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer version of the program.
    #[error(
        "a record of {what} has version {found}, and this program reads versions up to {known}: a newer version of \
         onceward wrote it"
    )]
    Version {
        /// [`Record::PLURAL`].
        what: &'static str,
        /// The version found.
        found: u8,
        /// The version that this program writes.
        known: u8,
    },
    /// The bytes are not a record of this kind.
    #[error("a record of {what} cannot be decoded: {why}")]
    Contents {
        /// [`Record::PLURAL`].
        what: &'static str,
        /// The decoder's error.
        why: String,
    },
    /// The kind is not known.
    #[error("a record has kind {0}, which this program does not know: a newer version of onceward wrote it")]
    Kind(u8),
}

impl RecordError {
    /// What the operator can do, as a continuation of the message.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Version { .. } | Self::Kind(_) => {
                "install that version or a later one; see \"Downgrade\" in docs/operate/deploy.md"
            }
            Self::Contents { .. } => {
                "restore the data directory from a backup; see \"When a start is refused\" in \
                 docs/operate/data-directory.md"
            }
        }
    }
}

/// The bytes of a record: its version, then its fields in postcard's format.
pub fn encode<R: Record>(record: &R) -> Bytes {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(R::VERSION);
    #[expect(
        clippy::expect_used,
        reason = "encoding into memory fails only for types that serde cannot describe"
    )]
    let bytes = postcard::to_extend(record, bytes).expect("a record that postcard can describe");
    Bytes::from(bytes)
}

/// Decodes a record of any version from 1 on. Never panics.
///
/// # Errors
/// [`RecordError`] if they are no record of this kind, or one of a newer version.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let (version, body) = bytes.split_first().ok_or_else(|| contents::<R>(&"it is empty"))?;
    let decoded = match older::<R>(*version)? {
        None => postcard::from_bytes(body),
        Some(layout) => (layout.from_bytes)(body),
    };
    decoded.map_err(|error| contents::<R>(&error))
}

/// A record as JSON.
pub(super) fn to_json<R: Record>(bytes: &[u8]) -> Result<Value, RecordError> {
    serde_json::to_value(decode::<R>(bytes)?).map_err(|error| contents::<R>(&error))
}

/// A record from its JSON in the layout of a version.
pub(super) fn from_json<R: Record>(version: u8, value: Value) -> Result<R, RecordError> {
    let record = match older::<R>(version)? {
        None => serde_json::from_value(value),
        Some(layout) => (layout.from_json)(value),
    };
    record.map_err(|error| contents::<R>(&error))
}

fn contents<R: Record>(why: &impl ToString) -> RecordError {
    RecordError::Contents { what: R::PLURAL, why: why.to_string() }
}

/// A record on its way between transactions, tables, indexes and the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record as [`encode`] writes it.
    pub bytes: Bytes,
    /// [`Record::expires`].
    pub expires: Timestamp,
}

impl Stored {
    /// Encodes a record.
    pub fn of<R: Record>(record: &R) -> Self {
        Self { bytes: encode(record), expires: record.expires() }
    }

    /// The record; `None` if its bytes are not of this kind.
    pub fn record<R: Record>(&self) -> Option<R> {
        // Records were decoded when they were restored; therefore an error is a defect of this program.
        decode(&self.bytes).inspect_err(|error| tracing::error!(%error, "record in memory unreadable")).ok()
    }
}

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

/// The version of the layout of records. It is in front of each record, and in each line of an export. A change of a
/// record's serialization raises it, and [`FORMAT`](crate::store::FORMAT).
pub const VERSION: u8 = 1;

/// One kind of record. A new kind is a struct that implements this trait, registered in [`Kinds`](super::Kinds):
/// batching, durability, recovery, expiry and snapshots come with it.
pub trait Record: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// On disk; never reused for another kind.
    const KIND: u8;
    /// Plural name of the kind in messages and exports, such as `numbers`.
    const PLURAL: &'static str;

    /// Takes out what no longer matters; `None` if there is nothing. The sweep calls it for large records.
    const COMPACT: Option<fn(&Self, Timestamp) -> Option<Self>> = None;

    /// The expiry time. The record then reads as absent, and the sweep removes it.
    fn expires(&self) -> Timestamp;

    /// The slot that it belongs to: the one of its number for everything about a number.
    fn slot(&self, id: &Id, slots: &SlotHash) -> u8 {
        slots.of(*id)
    }
}

fn check_version<R: Record>(found: u8) -> Result<(), RecordError> {
    match found {
        VERSION => Ok(()),
        0 => Err(contents::<R>(&"it has version 0, and versions begin with 1")),
        found => Err(RecordError::Version { what: R::PLURAL, found }),
    }
}

/// A stored record cannot be decoded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer version of the program.
    #[error(
        "a record of {what} has version {found}, and this program reads version {VERSION}: a newer version of onceward \
         wrote it"
    )]
    Version {
        /// [`Record::PLURAL`].
        what: &'static str,
        /// The version found.
        found: u8,
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
    bytes.push(VERSION);
    #[expect(
        clippy::expect_used,
        reason = "encoding into memory fails only for types that serde cannot describe"
    )]
    let bytes = postcard::to_extend(record, bytes).expect("a record that postcard can describe");
    Bytes::from(bytes)
}

/// Decodes a record. Never panics.
///
/// # Errors
/// [`RecordError`] if they are no record of this kind, or one of a newer version.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let (version, body) = bytes.split_first().ok_or_else(|| contents::<R>(&"it is empty"))?;
    check_version::<R>(*version)?;
    postcard::from_bytes(body).map_err(|error| contents::<R>(&error))
}

/// A record as JSON.
pub(super) fn to_json<R: Record>(bytes: &[u8]) -> Result<Value, RecordError> {
    serde_json::to_value(decode::<R>(bytes)?).map_err(|error| contents::<R>(&error))
}

/// A record from its JSON in a layout of this version.
pub(super) fn from_json<R: Record>(version: u8, value: Value) -> Result<R, RecordError> {
    check_version::<R>(version)?;
    serde_json::from_value(value).map_err(|error| contents::<R>(&error))
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

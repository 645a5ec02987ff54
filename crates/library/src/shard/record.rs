//! Records: what a shard keeps, and how it is written.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use strum::{IntoStaticStr, VariantNames};

use super::capacity::LimitedTable;
use crate::domain::{ServiceId, Timestamp, record_id_parts};
use crate::engine::SlotHash;
/// Names one record: its slot, its kind ([`Record::KIND`]), and what it is about within its kind.
pub use crate::store::Key as RecordKey;
use crate::store::{LONGEST_RECORD, StoreError};

/// The subject of a record within its kind and slot. Those that services hold begin with the service.
pub type Id = [u8; 12];

/// The service that holds the record with this id.
pub const fn service_of(id: &Id) -> ServiceId {
    record_id_parts(*id).0
}

/// The version of the layout of records. It is in front of each record, and in each line of an export. A change of a
/// record's serialization raises it, and [`FORMAT`](crate::store::FORMAT).
pub const VERSION: u8 = 1;

/// One kind of record. A new kind is a struct that implements this trait, registered in [`Kinds`]: batching, durability,
/// recovery, expiry and snapshots come with it.
pub trait Record: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// On disk; never reused for another kind.
    const KIND: u8;
    /// Plural name of the kind in messages and exports, such as `numbers`.
    const PLURAL: &'static str;
    /// Whether the last byte of an id is the slot of its record.
    const ID_ENDS_WITH_SLOT: bool = false;
    /// No record of the kind is longer, in bytes as [`encode`] writes it. It follows from the limits of its fields.
    const LONGEST: usize = 4_096;

    /// The expiry time. The record then reads as absent, and the sweep removes it.
    fn expires(&self) -> Timestamp;

    /// The slot of the record with this id: the one of its number for everything about a number.
    fn slot(id: &Id, slots: &SlotHash) -> u8 {
        if Self::ID_ENDS_WITH_SLOT { id[11] } else { slots.of(*id) }
    }
}

fn check_version<R: Record>(found: u8) -> Result<(), StoreError> {
    let what = R::PLURAL;
    match found {
        VERSION => Ok(()),
        0 => Err(StoreError::record(what, "it has version 0, and versions begin with 1")),
        _ => Err(StoreError::RecordNewer(format!(
            "a record of {what} has version {found}, and this program reads version {VERSION}"
        ))),
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
/// [`StoreError`] if they are no record of this kind, or one of a newer version.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, StoreError> {
    let (version, body) = bytes.split_first().ok_or_else(|| StoreError::record(R::PLURAL, "it is empty"))?;
    check_version::<R>(*version)?;
    postcard::from_bytes(body).map_err(|error| StoreError::record(R::PLURAL, error))
}

/// A record on its way between transactions, tables, lists and the store.
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
        let bytes = encode(record);
        debug_assert!(bytes.len() <= R::LONGEST, "{} of {} bytes", R::PLURAL, bytes.len());
        Self { bytes, expires: record.expires() }
    }

    /// The record; `None` if its bytes are not of this kind.
    pub fn record<R: Record>(&self) -> Option<R> {
        decode_own(&self.bytes)
    }
}

/// A record in memory. These were decoded when they were restored; therefore an error is a defect of this program.
pub(super) fn decode_own<R: Record>(bytes: &[u8]) -> Option<R> {
    decode(bytes).inspect_err(|error| tracing::error!(%error, "record in memory unreadable")).ok()
}

/// A kind of record as functions that do not name its type.
#[derive(Clone)]
pub struct RecordKind {
    /// [`Record::KIND`].
    pub kind: u8,
    /// [`Record::PLURAL`].
    pub plural: &'static str,
    /// The end of the record with these bytes.
    pub expires: fn(&[u8]) -> Result<Timestamp, StoreError>,
    /// [`Record::slot`].
    pub slot: fn(&Id, &SlotHash) -> u8,
    /// The record with these bytes as JSON, for exports.
    pub to_json: fn(&[u8]) -> Result<Value, StoreError>,
    /// The bytes of a record from its JSON in the layout of a version.
    pub from_json: fn(u8, Value) -> Result<Bytes, StoreError>,
}

/// The kinds of record that shards keep.
#[derive(Clone, Default)]
pub struct Kinds(pub Vec<RecordKind>);

impl Kinds {
    /// One more kind.
    #[must_use]
    pub fn with<R: Record>(mut self) -> Self {
        // Every store takes such a record.
        const { assert!(R::LONGEST <= LONGEST_RECORD) };
        debug_assert!(self.get(R::KIND).is_err(), "kind {} is registered twice", R::KIND);
        self.0.push(RecordKind {
            kind: R::KIND,
            plural: R::PLURAL,
            expires: |bytes| Ok(decode::<R>(bytes)?.expires()),
            slot: R::slot,
            to_json: |bytes| {
                serde_json::to_value(decode::<R>(bytes)?)
                    .map_err(|error| StoreError::record(R::PLURAL, error))
            },
            from_json: |version, value| {
                check_version::<R>(version)?;
                let record = serde_json::from_value::<R>(value);
                Ok(encode(&record.map_err(|error| StoreError::record(R::PLURAL, error))?))
            },
        });
        self
    }

    /// The kind with this number.
    ///
    /// # Errors
    /// [`StoreError::RecordNewer`] if it is not known.
    pub fn get(&self, kind: u8) -> Result<&RecordKind, StoreError> {
        let unknown =
            || StoreError::RecordNewer(format!("a record has kind {kind}, which this program does not know"));
        self.0.iter().find(|known| known.kind == kind).ok_or_else(unknown)
    }
}

// Why a shard refuses a command.

/// The reason why a client gets no decision. Nothing has happened, except perhaps after [`Refusal::OutcomeUnknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// Too many commands are waiting for an answer.
    #[error("too many requests are in progress")]
    Overloaded,
    /// Too many commands for this one number are waiting for an answer.
    #[error("too many requests for this number are in progress")]
    NumberBusy,
    /// The messages waiting for the gateway have filled their queue.
    #[error("too many messages are waiting for the gateway")]
    SendsOverloaded,
    /// The record is new, and the service has used up its share of the table.
    #[error("the server has too many {table} already")]
    TableFull {
        /// The full table.
        table: LimitedTable,
    },
    /// The idempotency key came with another request before.
    #[error("the idempotency key was used with another request")]
    OtherRequest,
    /// The decision was certainly not made durable.
    #[error("the store is not available")]
    StoreUnavailable,
    /// The decision would write more than the store takes: certainly nothing has happened, and a repetition does not help.
    #[error("the change is too large for the store")]
    TooLarge,
    /// The decision may be durable: a message may have been sent and an attempt may count.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// The store is still being loaded.
    #[error("the server is starting")]
    Starting,
    /// The server is stopping, or a shard has ended, and the server with it.
    #[error("the server is stopping or restarting")]
    Stopping,
}

impl Refusal {
    /// Each [`Refusal::name`].
    pub const NAMES: &'static [&'static str] = Self::VARIANTS;

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

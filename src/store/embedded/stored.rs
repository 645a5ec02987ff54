//! Records as sled keeps them. Integers are big-endian, so that sled's order is the order of keys.
//!
//! ```text
//! key:   kind 1 | service 4 | subject 8
//! value: sequence 8 | gc after 8 | record
//! ```

use bytes::Bytes;

use crate::domain::{ServiceId, Timestamp};
use crate::store::{Key, Kind, Revision, Subject};

const KEY_BYTES: usize = 13;

/// One record as the snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) revision: Revision,
    pub(super) gc_after: Timestamp,
    pub(super) record: Bytes,
}

/// A key as sled has it.
pub(super) fn key(key: &Key) -> [u8; KEY_BYTES] {
    let mut bytes = [key.kind as u8; KEY_BYTES];
    bytes[1..5].copy_from_slice(&key.service.get().to_be_bytes());
    bytes[5..].copy_from_slice(&key.subject.0.to_be_bytes());
    bytes
}

/// The key that sled has as `bytes`.
pub(super) fn read_key(bytes: &[u8]) -> Option<Key> {
    let (kind, rest) = bytes.split_first()?;
    let (service, subject) = rest.split_first_chunk::<4>()?;
    Some(Key {
        kind: Kind::from_u8(*kind)?,
        service: ServiceId::new(u32::from_be_bytes(*service)),
        subject: Subject(u64::from_be_bytes(subject.try_into().ok()?)),
    })
}

/// A record as sled has it.
pub(super) fn value(sequence: u64, gc_after: Timestamp, record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + record.len());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&gc_after.as_millis().to_be_bytes());
    bytes.extend_from_slice(record);
    bytes
}

/// The parts of what [`value`] made.
pub(super) fn split_value(value: &[u8]) -> Option<(Revision, Timestamp, &[u8])> {
    let (sequence, rest) = value.split_first_chunk()?;
    let (gc_after, record) = rest.split_first_chunk()?;
    let gc_after = Timestamp::from_millis(u64::from_be_bytes(*gc_after));
    Some((Revision(u64::from_be_bytes(*sequence)), gc_after, record))
}

/// The same as values of their own.
pub(super) fn read_value(value: &[u8]) -> Option<Found> {
    let (revision, gc_after, record) = split_value(value)?;
    Some(Found { revision, gc_after, record: Bytes::copy_from_slice(record) })
}

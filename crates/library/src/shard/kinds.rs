//! The kinds of record that shards keep, each as functions that do not name its type.

use bytes::Bytes;
use serde_json::Value;

use super::map::Map;
use super::record::{Id, Record, RecordError, Stored, decode, encode, from_json, to_json};
use crate::engine::SlotHash;

/// Type-erased functions of one kind of record.
#[derive(Clone)]
pub struct RecordKind {
    /// [`Record::KIND`].
    pub kind: u8,
    /// [`Record::PLURAL`].
    pub plural: &'static str,
    /// The record with these bytes.
    pub read: fn(&Bytes) -> Result<Stored, RecordError>,
    /// The slot of the record with these bytes, under this id.
    pub slot: fn(&[u8], &Id, &SlotHash) -> Result<u8, RecordError>,
    /// The record with these bytes as JSON, for exports.
    pub to_json: fn(&[u8]) -> Result<Value, RecordError>,
    /// The bytes of a record from its JSON in the layout of a version.
    pub from_json: fn(u8, Value) -> Result<Bytes, RecordError>,
    /// An empty table for it.
    pub table: fn() -> Map,
}

/// The kinds of record that shards keep.
#[derive(Clone, Default)]
pub struct Kinds(Vec<RecordKind>);

impl Kinds {
    /// One more kind.
    #[must_use]
    pub fn with<R: Record>(mut self) -> Self {
        debug_assert!(self.get(R::KIND).is_none(), "kind {} is registered twice", R::KIND);
        self.0.push(RecordKind {
            kind: R::KIND,
            plural: R::PLURAL,
            read: |bytes| {
                let expires = decode::<R>(bytes)?.expires();
                Ok(Stored { bytes: bytes.clone(), expires })
            },
            slot: |bytes, id, slots| Ok(decode::<R>(bytes)?.slot(id, slots)),
            to_json: to_json::<R>,
            from_json: |version, value| Ok(encode(&from_json::<R>(version, value)?)),
            table: Map::of::<R>,
        });
        self
    }

    /// All but this one.
    #[cfg(test)]
    #[must_use]
    pub fn without(self, kind: u8) -> Self {
        Self(self.0.into_iter().filter(|known| known.kind != kind).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &RecordKind> {
        self.0.iter()
    }

    /// The kind with this number.
    pub fn get(&self, kind: u8) -> Option<&RecordKind> {
        self.0.iter().find(|known| known.kind == kind)
    }
}

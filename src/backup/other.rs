//! Everything but numbers and sends as a line: services, credentials, limits, events.
//!
//! Webhook events are shown as serde describes them. Other records are JSON on the disk already, and
//! a line carries them as they are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::moment::Moment;
use crate::domain::ServiceId;
use crate::shard::{self, Record};
use crate::store::record::{self, RecordError};
use crate::store::{Key, Kind, Subject};
use crate::webhook::EventRecord;

/// A record that is kept as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    /// Where it is kept.
    pub key: Key,
    /// The version of its encoding.
    pub version: u8,
    /// What it says.
    pub says: Value,
}

impl Eq for Other {}

/// Why such a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OtherError {
    /// The envelope is damaged.
    #[error(transparent)]
    Envelope(#[from] RecordError),
    /// It is no record of its kind.
    #[error(transparent)]
    Record(#[from] shard::RecordError),
    /// A line of a version that this program does not read.
    #[error("its version is {0}, which this program does not read")]
    Version(u8),
    /// The checksum holds, and it is no JSON, or a line does not describe a record of its kind.
    #[error("a record does not say what it should: {0}")]
    Contents(#[from] serde_json::Error),
}

impl Other {
    /// Reads a stored record.
    pub(super) fn decode(key: Key, sealed: &[u8]) -> Result<Self, OtherError> {
        if let Some(Readable { version, show, .. }) = Readable::of(key.kind) {
            return Ok(Self { key, version, says: show(sealed)? });
        }
        let (version, body) = record::open(sealed)?;
        Ok(Self { key, version, says: serde_json::from_slice(body)? })
    }

    /// The record to store.
    pub(super) fn encode(&self) -> Result<Bytes, OtherError> {
        match Readable::of(self.key.kind) {
            Some(Readable { version, read, .. }) if version == self.version => read(&self.says),
            Some(_) => Err(OtherError::Version(self.version)),
            None => Ok(record::seal(self.version, self.says.to_string().as_bytes())),
        }
    }
}

/// How records of a kind that shards keep become JSON and come back.
struct Readable {
    version: u8,
    show: fn(&[u8]) -> Result<Value, OtherError>,
    read: fn(&Value) -> Result<Bytes, OtherError>,
}

impl Readable {
    fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Event => Some(Self::kind::<EventRecord>()),
            _ => None,
        }
    }

    fn kind<R: Record>() -> Self {
        Self {
            version: R::VERSION,
            show: |bytes| Ok(serde_json::to_value(shard::decode::<R>(bytes)?)?),
            read: |says| Ok(shard::encode(&R::deserialize(says)?)),
        }
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherLine {
    what: String,
    service: u32,
    subject: String,
    version: u8,
    says: Value,
    pub(super) gc_after: Moment,
}

impl OtherLine {
    pub(super) fn of(other: &Other, gc_after: Moment) -> Self {
        let Other { key, version, says } = other;
        Self {
            what: key.kind.plural().to_owned(),
            service: key.service.get(),
            subject: format!("{:016x}", key.subject.0),
            version: *version,
            says: says.clone(),
            gc_after,
        }
    }

    pub(super) fn read(self) -> Result<Other, String> {
        let Self { what, service, subject, version, says, gc_after: _ } = self;
        let kind = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Number | Kind::Track));
        let kind = kind.into_iter().find(|kind| kind.plural() == what);
        let kind = kind.ok_or_else(|| format!("`what` is {what:?}, which is nothing that is kept"))?;
        let subject = u64::from_str_radix(&subject, 16).ok().filter(|_| subject.len() == 16);
        let subject = Subject(subject.ok_or("`subject` is not 16 hexadecimal digits")?);
        let other = Other { key: Key { kind, service: ServiceId::new(service), subject }, version, says };
        other.encode().map_err(|error| error.to_string())?;
        Ok(other)
    }
}

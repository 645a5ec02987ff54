//! Everything but numbers and sends as a line: services, credentials, limits, events.
//!
//! These records are JSON on the disk already, so a line carries them as they are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::moment::Moment;
use crate::domain::ServiceId;
use crate::store::record::{self, RecordError};
use crate::store::{Key, Kind, Subject};

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
    /// The checksum holds, and it is no JSON.
    #[error("a record does not say what it should: {0}")]
    Contents(#[from] serde_json::Error),
}

impl Other {
    /// Reads a stored record.
    pub(super) fn decode(key: Key, sealed: &[u8]) -> Result<Self, OtherError> {
        let (version, body) = record::open(sealed)?;
        Ok(Self { key, version, says: serde_json::from_slice(body)? })
    }

    /// The record to store.
    pub(super) fn encode(&self) -> Bytes {
        record::seal(self.version, self.says.to_string().as_bytes())
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
        Ok(Other { key: Key { kind, service: ServiceId::new(service), subject }, version, says })
    }
}

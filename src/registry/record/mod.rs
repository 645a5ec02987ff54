//! What is on the disk: JSON, one record for each service, credential and number on the safe list.
//!
//! These types are the layout. A change of what the rest of the program knows does not change it.

mod belongings;
mod credential;
mod safe_number;
mod service;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::store::{Key, Kind, Subject, record};

pub(super) use credential::{CredentialRecord, KeyRecord, RootRecord};
pub(super) use safe_number::SafeNumberRecord;
pub(super) use service::{StoredService, read as read_service, removed, write as write_service};

/// How the records of this version are encoded.
const VERSION: u8 = 1;

/// These records matter for ever.
pub(super) const KEPT_UNTIL: Timestamp = Timestamp::from_millis(u64::MAX);

/// Where a service is kept.
pub(super) const fn service_key(id: ServiceId) -> Key {
    Key { kind: Kind::Service, service: id, subject: Subject(0) }
}

/// Where a credential is kept. They have numbers of their own, and the account's has 0.
pub(super) const fn credential_key(number: u64) -> Key {
    Key { kind: Kind::Credential, service: ServiceId::DEFAULT, subject: Subject(number) }
}

/// Where a number on the safe list is kept.
pub(super) const fn safe_number_key(digits: u64) -> Key {
    Key { kind: Kind::SafeNumber, service: ServiceId::DEFAULT, subject: Subject(digits) }
}

/// The bytes of a record.
pub(super) fn seal(record: &impl Serialize) -> Result<Bytes, String> {
    // Texts, numbers and lists of them always have a form in JSON.
    let body = serde_json::to_vec(record).map_err(|error| error.to_string())?;
    Ok(record::seal(VERSION, &body))
}

/// A record of its bytes. The error says what is wrong with them.
pub(super) fn open<T: DeserializeOwned>(sealed: &[u8]) -> Result<T, String> {
    let (version, body) = record::open(sealed).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("its version is {version}, and this program reads {VERSION}"));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn sid(kind: SidKind, text: &str) -> Result<Sid, String> {
    Sid::parse(kind, text).ok_or_else(|| format!("{text:?} is no id of its kind ({})", kind.prefix()))
}

/// A hash or a secret as text.
fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, String> {
    base16ct::mixed::decode_vec(hex).map_err(|_| "a hash or secret is not hexadecimal".to_owned())
}

fn hash_of(hex: &str) -> Result<[u8; 32], String> {
    bytes_of(hex)?.try_into().map_err(|_| "a hash does not have 32 bytes".to_owned())
}

const fn moment(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

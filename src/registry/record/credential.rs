//! A credential: never the secret, only its SHA-256.
//!
//! A slow hash is for secrets that people choose, of which there are few enough to try. These are at least 128 random bits,
//! or were chosen by an operator who was asked for as much, so there is nothing to slow down, and each request pays for the hash.

use serde::{Deserialize, Serialize};

use super::{hash_of, hex, moment, sid};
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::registry::{ApiKey, Scope, Scopes};

/// One of the two kinds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::registry) enum CredentialRecord {
    /// The account's own.
    Root(RootRecord),
    /// An API key.
    Key(KeyRecord),
}

/// The account's own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct RootRecord {
    sid: String,
    hash: String,
    created: u64,
}

impl RootRecord {
    pub(in crate::registry) fn of(sid: &Sid, hash: &[u8; 32], created: Timestamp) -> Self {
        Self { sid: sid.to_string(), hash: hex(hash), created: created.as_millis() }
    }

    pub(in crate::registry) fn read(&self) -> Result<(Sid, [u8; 32]), String> {
        Ok((sid(SidKind::Account, &self.sid)?, hash_of(&self.hash)?))
    }
}

/// An API key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct KeyRecord {
    sid: String,
    hash: String,
    /// None for all services.
    service: Option<u32>,
    scopes: Vec<String>,
    name: Option<String>,
    created: u64,
    last_used: Option<u64>,
    revoked: Option<u64>,
}

impl KeyRecord {
    pub(in crate::registry) fn of(key: &ApiKey, hash: &[u8; 32]) -> Self {
        Self {
            sid: key.sid.to_string(),
            hash: hex(hash),
            service: key.service.map(ServiceId::get),
            scopes: key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            name: key.name.clone(),
            created: key.created.as_millis(),
            last_used: key.last_used.map(Timestamp::as_millis),
            revoked: key.revoked.map(Timestamp::as_millis),
        }
    }

    pub(in crate::registry) fn read(self) -> Result<(ApiKey, [u8; 32]), String> {
        let mut scopes = Scopes::default();
        for name in &self.scopes {
            scopes.add(Scope::parse(name).ok_or_else(|| format!("there is no scope {name:?}"))?);
        }
        let key = ApiKey {
            sid: sid(SidKind::ApiKey, &self.sid)?,
            service: self.service.map(ServiceId::new),
            scopes,
            name: self.name,
            created: moment(self.created),
            last_used: self.last_used.map(moment),
            revoked: self.revoked.map(moment),
        };
        Ok((key, hash_of(&self.hash)?))
    }
}

//! A number on the safe list.

use serde::{Deserialize, Serialize};

use super::{moment, sid};
use crate::domain::{PhoneNumber, SidKind};
use crate::registry::SafeNumber;

/// The number itself is in the key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct SafeNumberRecord {
    sid: String,
    created: u64,
}

impl SafeNumberRecord {
    pub(in crate::registry) fn of(entry: &SafeNumber) -> Self {
        Self { sid: entry.sid.to_string(), created: entry.created.as_millis() }
    }

    pub(in crate::registry) fn read(self, digits: u64) -> Result<SafeNumber, String> {
        let number = PhoneNumber::from_u64(digits).ok_or("its number is none")?;
        Ok(SafeNumber { sid: sid(SidKind::SafeNumber, &self.sid)?, number, created: moment(self.created) })
    }
}

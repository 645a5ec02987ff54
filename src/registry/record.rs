//! The kinds of record that the registry keeps, all of them in slot 0.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Credential, SafeNumber, Service};
use crate::domain::{PhoneNumber, ServiceId, Timestamp, record_id};
use crate::engine::SlotHash;
use crate::shard::{Id, Record};

/// The slot of every record of the registry.
pub const SLOT: u8 = 0;

/// The kinds of the registry's records.
pub const KINDS: [u8; 3] = [ServiceRecord::KIND, Credential::KIND, SafeNumber::KIND];

/// A revoked key is listed for this long: a program that goes on using it can be named.
pub(super) const REVOKED_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The record of a service. A removed service leaves its id, which is never reused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServiceRecord {
    /// A service.
    Present(Box<Service>),
    /// The service was removed.
    Removed,
}

/// The id of a service's record.
pub fn service_id(service: ServiceId) -> Id {
    record_id(service, 0)
}

/// The id of a credential's record, by its number. The account's is 0.
pub fn credential_id(number: u64) -> Id {
    record_id(ServiceId::DEFAULT, number)
}

/// The id of a safe number's record.
pub fn safe_number_id(number: PhoneNumber) -> Id {
    credential_id(number.as_u64())
}

/// A record in slot 0 without an end. A change that was answered with an error is written back: `before` holds.
macro_rules! permanent_record {
    ($record:ty, $kind:literal, $plural:literal) => {
        impl Record for $record {
            const KIND: u8 = $kind;
            const PLURAL: &'static str = $plural;

            fn slot(&self, _: &Id, _: &SlotHash) -> u8 {
                SLOT
            }

            fn expires(&self) -> Timestamp {
                Timestamp::MAX
            }

            fn merge_pessimistic(before: Option<Self>, _: Option<Self>, _: Timestamp) -> Option<Self> {
                before
            }
        }
    };
}

permanent_record!(ServiceRecord, 3, "services");
permanent_record!(SafeNumber, 8, "numbers on the safe list");

/// After a failed commit `before` holds, except that a revocation that may be on the disk holds.
impl Record for Credential {
    const KIND: u8 = 4;
    const PLURAL: &'static str = "credentials";

    fn slot(&self, _: &Id, _: &SlotHash) -> u8 {
        SLOT
    }

    fn expires(&self) -> Timestamp {
        match self {
            Self::Key { key, .. } => key.revoked.map_or(Timestamp::MAX, |revoked| revoked.plus(REVOKED_KEPT)),
            Self::Root(_) => Timestamp::MAX,
        }
    }

    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, _: Timestamp) -> Option<Self> {
        let is_revoked = |record: &Self| matches!(record, Self::Key { key, .. } if key.revoked.is_some());
        after.filter(is_revoked).filter(|_| before.is_some()).or(before)
    }
}

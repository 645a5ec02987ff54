//! The records of the guard.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::{ServiceId, Timestamp, record_id};
use crate::engine::SlotHash;
use crate::shard::{Record, Subject};
use onceward_core::guard::GuardRow;

/// A row of the guard: an allowance, a number with messages, or a manual entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardRecord(pub GuardRow);

impl Record for GuardRecord {
    const KIND: u8 = 11;
    const PLURAL: &'static str = "guard records";

    fn expires(&self) -> Timestamp {
        self.0.expires()
    }
}

/// The record of a name: a digest, in no service.
pub fn subject(name: &impl Serialize, slots: &SlotHash) -> Subject {
    #[expect(clippy::expect_used, reason = "postcard can describe a name")]
    let bytes = postcard::to_allocvec(name).expect("a name in memory");
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let id =
        record_id(ServiceId::DEFAULT, digest.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte)));
    Subject { slot: slots.of(id), id }
}

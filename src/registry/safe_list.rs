//! The safe list: numbers that are exempt from fraud checks.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::service::safe_number_id;
use super::{Item, Registry, RegistryError};
use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp};
use crate::registry::audit::{Action, Change};
use crate::shard::Durability;

const MOST: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafeNumber {
    pub sid: Sid,
    pub number: PhoneNumber,
    pub created: Timestamp,
}

impl Registry {
    pub fn safe_number(&self, number: PhoneNumber) -> Result<SafeNumber, RegistryError> {
        let list = self.inner.published.safe_numbers.read().unwrap_or_else(PoisonError::into_inner);
        list.get(&number).copied().ok_or(RegistryError::NotFound(Item::SafeNumber))
    }

    pub async fn add_safe_number(&self, number: PhoneNumber) -> Result<SafeNumber, RegistryError> {
        if !self.accepts(number) {
            let why = "has no numbering plan; the server's setting `numbers` decides whether that matters";
            return Err(RegistryError::invalid("phone_number")(why.to_owned()));
        }
        let id = safe_number_id(number);
        self.decide::<SafeNumber, _, _>(id, move |draft| {
            if draft.view.get::<SafeNumber>(id).is_some() {
                return Err(RegistryError::Exists(Item::SafeNumber));
            }
            if !draft.view.has_room::<SafeNumber>(MOST) {
                return Err(RegistryError::TooMany { item: Item::SafeNumber, limit: MOST });
            }
            let sid = draft.sid(SidKind::SafeNumber);
            let entry = SafeNumber { sid, number, created: draft.now };
            draft.put(id, &entry);
            draft.record(Change::of(Action::SafeNumberAdded).to(sid).about(number));
            Ok(entry)
        })
        .await
    }

    /// Removes a number. Returns `true` if it was on the list.
    pub async fn remove_safe_number(&self, number: PhoneNumber) -> Result<bool, RegistryError> {
        let id = safe_number_id(number);
        self.decide::<SafeNumber, _, _>(id, move |draft| {
            let Some(entry) = draft.view.get::<SafeNumber>(id) else { return Ok(false) };
            draft.view.put::<SafeNumber>(id, None, Durability::Durable);
            draft.record(Change::of(Action::SafeNumberRemoved).to(entry.sid).about(number));
            Ok(true)
        })
        .await
    }
}

//! The safe list: numbers that are exempt from fraud checks.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::command::NewIds;
use super::service::safe_number_id;
use super::{Item, Registry, RegistryError};
use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp};
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
        let list = self.0.published.safe_numbers.read().unwrap_or_else(PoisonError::into_inner);
        list.get(&number).copied().ok_or(RegistryError::NotFound(Item::SafeNumber))
    }

    pub async fn add_safe_number(&self, number: PhoneNumber) -> Result<SafeNumber, RegistryError> {
        let (id, now) = (safe_number_id(number), self.wall());
        self.decide::<SafeNumber, _, _>(id, move |view| {
            if view.get::<SafeNumber>(id).is_some() {
                return Err(RegistryError::Exists(Item::SafeNumber));
            }
            if !view.has_room::<SafeNumber>(MOST) {
                return Err(RegistryError::TooMany { item: Item::SafeNumber, limit: MOST });
            }
            let sid = NewIds { now, rng: view.rng() }.sid(SidKind::SafeNumber);
            let entry = SafeNumber { sid, number, created: now };
            view.put(id, Some(&entry), Durability::Durable);
            Ok(entry)
        })
        .await
    }

    pub async fn remove_safe_number(&self, number: PhoneNumber) -> Result<(), RegistryError> {
        let id = safe_number_id(number);
        self.decide::<SafeNumber, _, _>(id, move |view| {
            view.get::<SafeNumber>(id).ok_or(RegistryError::NotFound(Item::SafeNumber))?;
            view.put::<SafeNumber>(id, None, Durability::Durable);
            Ok(())
        })
        .await
    }
}

//! The safe list: numbers that are exempt from fraud checks.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::command::{NewIds, record};
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
        let (id, now, author) = (safe_number_id(number), self.wall(), self.author.clone());
        self.decide::<SafeNumber, _, _>(id, move |view| {
            if view.get::<SafeNumber>(id).is_some() {
                return Err(RegistryError::Exists(Item::SafeNumber));
            }
            if !view.has_room::<SafeNumber>(MOST) {
                return Err(RegistryError::TooMany { item: Item::SafeNumber, limit: MOST });
            }
            let sid = NewIds::new(now, view.rng()).sid(SidKind::SafeNumber);
            let entry = SafeNumber { sid, number, created: now };
            view.put(id, Some(&entry), Durability::Durable);
            record(author.as_ref(), Change::of(Action::SafeNumberAdded).to(sid).about(number), view);
            Ok(entry)
        })
        .await
    }

    /// Removes a number. Returns `true` if it was on the list.
    pub async fn remove_safe_number(&self, number: PhoneNumber) -> Result<bool, RegistryError> {
        let (id, author) = (safe_number_id(number), self.author.clone());
        self.decide::<SafeNumber, _, _>(id, move |view| {
            let Some(entry) = view.get::<SafeNumber>(id) else { return Ok(false) };
            view.put::<SafeNumber>(id, None, Durability::Durable);
            let removed = Change::of(Action::SafeNumberRemoved).to(entry.sid).about(number);
            record(author.as_ref(), removed, view);
            Ok(true)
        })
        .await
    }
}

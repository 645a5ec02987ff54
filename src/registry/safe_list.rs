//! Numbers that are not suspected of anything, whatever they do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use super::record::{self, SafeNumberRecord, safe_number_key};
use super::{Registry, RegistryError};
use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp};

/// Numbers on the list.
pub(super) const MOST: usize = 100_000;

/// Parts of the list. A change copies one of them, at most some thousand numbers, and not all.
const PARTS: usize = 64;

const WHAT: &str = "number on the safe list";

/// A number on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafeNumber {
    /// `GN`.
    pub sid: Sid,
    /// The number.
    pub number: PhoneNumber,
    /// When it was put there.
    pub created: Timestamp,
}

type Part = HashMap<PhoneNumber, SafeNumber>;

pub(super) struct SafeList {
    parts: Box<[ArcSwap<Part>]>,
    count: AtomicUsize,
}

impl SafeList {
    pub(super) fn of(entries: Vec<SafeNumber>) -> Self {
        let count = AtomicUsize::new(entries.len());
        let mut parts: Vec<Part> = vec![Part::new(); PARTS];
        for entry in entries {
            if let Some(part) = parts.get_mut(place(entry.number)) {
                part.insert(entry.number, entry);
            }
        }
        Self { parts: parts.into_iter().map(ArcSwap::from_pointee).collect(), count }
    }

    fn get(&self, number: PhoneNumber) -> Option<SafeNumber> {
        self.parts.get(place(number)).and_then(|part| part.load().get(&number).copied())
    }

    /// By whoever holds the writer.
    fn change(&self, number: PhoneNumber, change: impl FnOnce(&mut Part)) {
        let Some(part) = self.parts.get(place(number)) else { return };
        let mut next = Part::clone(&part.load());
        let before = next.len();
        change(&mut next);
        let after = next.len();
        part.store(Arc::new(next));
        self.count.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        self.count.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
    }
}

fn place(number: PhoneNumber) -> usize {
    usize::try_from(number.as_u64() % PARTS as u64).unwrap_or(0)
}

impl Registry {
    /// Whether a number is on the safe list. Waits for nobody.
    pub fn is_safe(&self, number: PhoneNumber) -> bool {
        self.0.safe_list.get(number).is_some()
    }

    /// The entry of a number.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn safe_number(&self, number: PhoneNumber) -> Result<SafeNumber, RegistryError> {
        self.0.safe_list.get(number).ok_or(RegistryError::NotFound(WHAT))
    }

    /// Puts a number on the list.
    ///
    /// # Errors
    /// [`RegistryError::Exists`], [`RegistryError::TooMany`], [`RegistryError::Store`].
    pub async fn add_safe_number(&self, number: PhoneNumber) -> Result<SafeNumber, RegistryError> {
        self.alone(move |inner, mut writer| async move {
            if inner.safe_list.get(number).is_some() {
                return Err(RegistryError::Exists { what: WHAT, field: "phone_number" });
            }
            if inner.safe_list.count.load(Ordering::Relaxed) >= MOST {
                return Err(RegistryError::TooMany { what: "numbers on the safe list", limit: MOST });
            }
            let entry =
                SafeNumber { sid: writer.sid(SidKind::SafeNumber), number, created: inner.clock.wall() };
            let record = record::seal(&SafeNumberRecord::of(&entry)).map_err(RegistryError::Store)?;
            inner.write(&mut writer, safe_number_key(number.as_u64()), Some(record)).await?;
            inner.safe_list.change(number, |part| {
                part.insert(number, entry);
            });
            Ok(entry)
        })
        .await
    }

    /// Takes a number off the list.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Store`].
    pub async fn remove_safe_number(&self, number: PhoneNumber) -> Result<(), RegistryError> {
        self.alone(move |inner, mut writer| async move {
            inner.safe_list.get(number).ok_or(RegistryError::NotFound(WHAT))?;
            let key = safe_number_key(number.as_u64());
            inner.write(&mut writer, key, None).await?;
            // Nothing is there any more, and nothing needs to be remembered of it.
            writer.revisions.remove(&key);
            inner.safe_list.change(number, |part| {
                part.remove(&number);
            });
            Ok(())
        })
        .await
    }
}

//! The list of sends, for people.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::note::{SendStatus, VerifyStatus};
use super::record::{self, TrackRecordError, track_of};
use super::status::StatusFilter;
use super::track::{Row, Track};
use super::{Inner, Tracker};
use crate::domain::{AttemptId, Channel, GatewayName, PhoneNumber, Timestamp, TrackKey};
use crate::gateway::ReceiptStatus;
use crate::store::{Key, Kind, StoreError};

/// Which sends are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackQuery {
    /// Those to this number; `None` for every number.
    pub number: Option<PhoneNumber>,
    /// Those with this status; `None` for every status.
    pub status: Option<StatusFilter>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// One send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackRow {
    /// Which attempt of which verification.
    pub attempt: AttemptId,
    /// How it was to be delivered.
    pub channel: Channel,
    /// Whom it went to.
    pub number: PhoneNumber,
    /// Who was asked.
    pub gateway: GatewayName,
    /// The gateway's place in the order for this number, from 0.
    pub priority: u8,
    /// How far it came.
    pub send_status: SendStatus,
    /// What became of the verification.
    pub verify_status: VerifyStatus,
    /// How often it was tried again.
    pub retries: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// When it was tried last.
    pub at: Timestamp,
    /// What the provider reported about it.
    pub receipt: Option<ReceiptStatus>,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's error code.
    pub error_code: Option<u32>,
}

impl Tracker {
    /// What is remembered, the newest first, including what is not on the disk yet.
    ///
    /// Reads every record: for people, not for programs in a hurry.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, query: &TrackQuery) -> Result<Vec<TrackRow>, StoreError> {
        // What cannot be written is in memory all the same.
        let _ = self.flush().await;
        let unwritten = self.inner.flusher.lock().await.unwritten();
        let mut found = Found { query: query.clone(), rows: Vec::new() };
        let now = self.inner.clock.now();
        for (key, track) in &unwritten {
            found.look_at(*key, track);
        }
        let unwritten: HashMap<TrackKey, Track> = unwritten.into_iter().collect();
        let found = Arc::new(Mutex::new(found));
        let (into, around) = (Arc::clone(&found), Arc::clone(&self.inner));
        let visit = move |key, _, bytes: &[u8]| {
            let key = track_of(key);
            if unwritten.contains_key(&key) || !around.remembers(&key) {
                return;
            }
            // A record that cannot be read was reported when it was first met.
            let Ok(track) = record::decode(bytes) else { return };
            if now < track.created.plus(around.settings.keep_for) {
                into.lock().unwrap_or_else(PoisonError::into_inner).look_at(key, &track);
            }
        };
        self.inner.store.scan(Kind::Track, Box::new(visit)).await?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.keep_newest();
        Ok(std::mem::take(&mut found.rows))
    }
}

impl Inner {
    pub(super) fn remembers(&self, key: &TrackKey) -> bool {
        self.state().index.get(key).is_some()
    }
}

/// A list made of records that nobody writes meanwhile.
#[derive(Debug)]
pub struct Listing(Found);

impl Listing {
    /// Of nothing so far.
    pub const fn of(query: TrackQuery) -> Self {
        Self(Found { query, rows: Vec::new() })
    }

    /// Takes what is wanted of one record.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn add(&mut self, key: Key, record: &[u8]) -> Result<(), TrackRecordError> {
        self.0.look_at(track_of(key), &record::decode(record)?);
        Ok(())
    }

    /// The newest first.
    pub fn into_rows(mut self) -> Vec<TrackRow> {
        self.0.keep_newest();
        self.0.rows
    }
}

#[derive(Debug)]
struct Found {
    query: TrackQuery,
    rows: Vec<TrackRow>,
}

impl Found {
    fn look_at(&mut self, key: TrackKey, track: &Track) {
        if self.query.number.is_some_and(|wanted| wanted != track.number) {
            return;
        }
        for (attempt, row) in (0..).zip(&track.rows) {
            if self.query.status.is_none_or(|status| status.fits(row, track.verify)) {
                self.rows.push(listed(AttemptId { key, attempt }, track, row));
            }
        }
        // Sorts seldom and never holds many more than are wanted.
        if self.rows.len() > self.query.limit.saturating_mul(2).saturating_add(1_000) {
            self.keep_newest();
        }
    }

    fn keep_newest(&mut self) {
        let order = |row: &TrackRow| (row.at, row.attempt.key, row.attempt.attempt);
        self.rows.sort_unstable_by_key(|row| std::cmp::Reverse(order(row)));
        self.rows.truncate(self.query.limit);
    }
}

pub(super) fn listed(attempt: AttemptId, track: &Track, row: &Row) -> TrackRow {
    TrackRow {
        attempt,
        channel: row.channel,
        number: track.number,
        gateway: row.gateway,
        priority: row.priority,
        send_status: row.status,
        verify_status: track.verify,
        retries: row.retries,
        max_retries_reached: row.max_retries_reached,
        at: row.at,
        receipt: row.receipt,
        message_id: row.message_id.clone(),
        error_code: row.error_code,
    }
}

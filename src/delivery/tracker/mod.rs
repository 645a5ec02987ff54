//! What became of every send, and what is still to be sent.

mod note;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::TrackerSettings;
use crate::domain::{AttemptId, Channel, GatewayName, PhoneNumber, Timestamp, TrackKey};
use crate::store::{Key, Kind, Revision, Store, StoreError, Subject, Write};

pub use note::{Dropped, Due, FollowUp, Hop, Parcel, Reason, SendNote, SendStatus, VerifyStatus};

/// A cheap handle on the tracker.
#[derive(Clone, Default)]
pub struct Tracker {
    tracks: Arc<Mutex<BTreeMap<TrackKey, Track>>>,
    store: Option<(Arc<dyn Store>, Duration)>,
}

#[derive(Default)]
struct Track {
    number: Option<PhoneNumber>,
    rows: Vec<(Hop, u32, bool)>,
    plan: Option<(Due, bool)>,
}

/// Which sends are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackQuery {
    /// Those to this number; `None` for every number.
    pub number: Option<PhoneNumber>,
    /// Not used yet.
    pub status: Option<SendStatus>,
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
    /// Who was asked.
    pub gateway: GatewayName,
    /// The gateway's place in the order for this number, from 0.
    pub priority: u8,
    /// How far it came.
    pub send_status: SendStatus,
    /// How often it was tried again.
    pub retries: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// When it was tried last.
    pub at: Timestamp,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's error code.
    pub error_code: Option<u32>,
}

impl Tracker {
    /// A tracker without a disk.
    pub fn in_memory(_clock: Arc<dyn Clock>) -> Self {
        Self::default()
    }

    /// A tracker whose promises are as good as the store.
    pub async fn open(
        store: Arc<dyn Store>,
        _clock: Arc<dyn Clock>,
        _settings: TrackerSettings,
        commit_timeout: Duration,
    ) -> Result<Self, StoreError> {
        std::future::ready(Ok(Self { store: Some((store, commit_timeout)), ..Self::default() })).await
    }

    /// Remembers a delivery soon: nobody waits for the disk.
    pub fn note_send(&self, note: SendNote) {
        let SendNote { about, hops, retry_of, next } = note;
        let mut tracks = self.tracks();
        let track = tracks.entry(about.key).or_default();
        track.number = Some(about.number);
        let mut hops = hops.into_iter();
        let repeated = retry_of.and_then(|row| track.rows.get_mut(usize::from(row)));
        if let Some((row, hop)) = repeated.and_then(|row| Some((row, hops.next()?))) {
            *row = (hop, row.1.saturating_add(1), false);
        }
        track.rows.extend(hops.map(|hop| (hop, 0, false)));
        track.plan = next.map(|follow_up| (Due { about, follow_up }, false));
    }

    /// Remembers a delivery, and returns when that is durable: for what must go on after a crash.
    pub async fn note_send_durably(&self, note: SendNote) -> Result<(), StoreError> {
        let TrackKey { service, track } = note.about.key;
        let key = Key { kind: Kind::Number, service, subject: Subject(track) };
        let write = Write { key, expect: Revision::ABSENT, put: None, gc_after: note.about.expires };
        if let Some((store, timeout)) = &self.store {
            let written = store.cas(vec![write], *timeout).await;
            self.note_send(SendNote { next: note.next.filter(|_| written.is_ok()), ..note });
            return written.map(drop);
        }
        self.note_send(note);
        Ok(())
    }

    /// How many attempts of a verification are known: the number of its next one.
    pub fn attempts(&self, key: TrackKey) -> u8 {
        self.tracks().get(&key).map_or(0, |track| u8::try_from(track.rows.len()).unwrap_or(u8::MAX))
    }

    /// Remembers what became of a verification soon. `Success` ends whatever is planned for it.
    pub fn note_check(&self, _key: TrackKey, _status: VerifyStatus) {}

    /// Ends what is planned for a verification, and remembers why.
    pub fn drop_follow_up(&self, key: TrackKey, why: Dropped) {
        let mut tracks = self.tracks();
        let Some(track) = tracks.get_mut(&key) else { return };
        let row = match track.plan.take().map(|(due, _)| due.follow_up.reason) {
            Some(Reason::Retry { attempt, .. }) => Some(usize::from(attempt)),
            Some(Reason::NextStep) => None,
            None => track.rows.len().checked_sub(1),
        };
        let row = row.and_then(|row| track.rows.get_mut(row));
        if let Some(row) = row.filter(|row| row.0.status != SendStatus::Sent) {
            row.0.status = SendStatus::Unsendable;
            row.2 |= why == Dropped::MaxRetriesReached;
        }
    }

    /// Takes the follow-ups whose time has come. Each is handed out once: whoever takes one notes what
    /// came of it, or drops it; after a crash it is due again.
    pub fn take_due(&self, now: Timestamp) -> Vec<Due> {
        let mut tracks = self.tracks();
        let plans = tracks.values_mut().filter_map(|track| track.plan.as_mut());
        let due = plans.filter(|(due, taken)| !taken && due.follow_up.due <= now);
        due.map(|(due, taken)| {
            *taken = true;
            due.clone()
        })
        .collect()
    }

    /// What is remembered.
    pub fn list(&self, query: &TrackQuery) -> std::future::Ready<Result<Vec<TrackRow>, StoreError>> {
        let tracks = self.tracks();
        let wanted = tracks.iter().filter(|(_, track)| query.number.is_none_or(|n| track.number == Some(n)));
        let rows = wanted.flat_map(|(key, track)| {
            (0..).zip(&track.rows).map(|(attempt, (hop, retries, max_retries_reached))| TrackRow {
                attempt: AttemptId { key: *key, attempt },
                channel: hop.channel,
                gateway: hop.gateway,
                priority: hop.priority,
                send_status: hop.status,
                retries: *retries,
                max_retries_reached: *max_retries_reached,
                at: hop.at,
                message_id: hop.message_id.clone(),
                error_code: hop.error_code,
            })
        });
        std::future::ready(Ok(rows.take(query.limit).collect()))
    }

    fn tracks(&self) -> MutexGuard<'_, BTreeMap<TrackKey, Track>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

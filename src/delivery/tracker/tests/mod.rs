//! The tracker as its users see it. Helpers first here, because the files beside this one share
//! them.

mod ahead;
mod follow_ups;
mod listing;
mod record;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{AttemptId, Channel, PhoneNumber, ServiceId};
use crate::engine::Salt;
use crate::gateway::{Receipt, ReceiptStatus};
use crate::template::MessageStyle;

/// When the tests' clock begins.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const SECOND: Duration = Duration::from_secs(1);

/// How long a code lives here.
const CODE_LIVES: Duration = Duration::from_secs(300);

/// A tracker over a store in memory, and a clock that stands still.
struct World {
    store: MemoryStore,
    clock: Arc<ManualClock>,
    settings: TrackerSettings,
    tracker: Tracker,
}

impl World {
    async fn new() -> Self {
        Self::keeping(100_000).await
    }

    async fn keeping(keep_at_most: usize) -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let settings = TrackerSettings { keep_at_most, ..TrackerSettings::default() };
        let store = MemoryStore::new();
        let tracker = open(&store, &clock, settings).await;
        Self { store, clock, settings, tracker }
    }

    /// The process is killed and started again.
    async fn crash(&mut self) {
        self.store = self.store.reopen();
        self.tracker = open(&self.store, &self.clock, self.settings).await;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn hop(&self, status: SendStatus) -> Hop {
        let message_id = (status == SendStatus::Sent).then(|| "SM1".to_owned());
        let error_code = (status != SendStatus::Sent).then_some(20_429);
        let (channel, gateway) = (Channel::Sms, GatewayName::TwilioMessages);
        Hop { at: self.now(), channel, gateway, priority: 0, status, message_id, error_code }
    }

    fn note(&self, track: u64, hops: &[SendStatus]) -> SendNote {
        let hops = hops.iter().map(|status| self.hop(*status)).collect();
        SendNote { about: parcel(track), hops, retry_of: None, next: None }
    }

    fn sent(&self, track: u64) {
        self.tracker.note_send(self.note(track, &[SendStatus::Sent]));
    }

    /// A message was taken, and the next step comes after `after`.
    fn step(&self, track: u64, after: Duration) -> SendNote {
        let next = Some(self.follow_up(after, Reason::NextStep));
        SendNote { next, ..self.note(track, &[SendStatus::Sent]) }
    }

    /// A message was not taken, and is tried again after `after`.
    fn retry(&self, track: u64, after: Duration, retries: u32) -> SendNote {
        let next = Some(self.follow_up(after, Reason::Retry { attempt: 0, retries }));
        SendNote { next, ..self.note(track, &[SendStatus::GatewayError]) }
    }

    fn follow_up(&self, after: Duration, reason: Reason) -> FollowUp {
        FollowUp { due: self.now().plus(after), channel: Channel::Sms, reason, step: 1, sent: 1 }
    }

    /// What is due after `after`, by its verification.
    fn due(&self, after: Duration) -> Vec<u64> {
        self.clock.advance(after);
        self.tracker.take_due(self.now()).iter().map(|due| due.about.key.track).collect()
    }

    async fn rows(&self) -> Vec<TrackRow> {
        self.tracker.list(&everything()).await.expect("a list")
    }

    async fn row(&self) -> TrackRow {
        let rows = self.rows().await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.into_iter().next().expect("a row")
    }

    fn report(&self, track: u64, attempt: u8, status: ReceiptStatus) {
        self.tracker.note_receipt(&receipt(track, attempt, status));
    }
}

async fn open(store: &MemoryStore, clock: &Arc<ManualClock>, settings: TrackerSettings) -> Tracker {
    let tracker =
        Tracker::open(Arc::new(store.clone()), clock.clone(), settings, Duration::from_secs(1)).await;
    tracker.expect("a tracker")
}

fn everything() -> TrackQuery {
    TrackQuery { number: None, status: None, limit: usize::MAX }
}

fn key(track: u64) -> TrackKey {
    TrackKey { service: ServiceId::DEFAULT, track }
}

fn number(track: u64) -> PhoneNumber {
    PhoneNumber::from_u64(14_155_550_100 + track).expect("a number")
}

fn parcel(track: u64) -> Parcel {
    Parcel {
        key: key(track),
        number: number(track),
        salt: Salt([7; 16]),
        style: MessageStyle::default(),
        expires: START.plus(CODE_LIVES),
    }
}

fn receipt(track: u64, attempt: u8, status: ReceiptStatus) -> Receipt {
    let attempt = AttemptId { key: key(track), attempt };
    Receipt { attempt, message_id: "SM1".into(), status, code: None, class: None }
}

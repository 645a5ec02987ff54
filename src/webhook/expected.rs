//! Ends that come by themselves: somebody has to notice when a verification expires.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::seq::Seq;
use super::{About, Event, EventId, EventType};
use crate::domain::{ServiceId, Sid, Timestamp};

/// So long after its time a verification is told to have expired: longer than a check that came in time takes to be
/// durable.
const GRACE: Duration = Duration::from_secs(10);

/// A verification that expires, unless it ends before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// The event's id, decided beforehand: if a crash has it told twice, it is known again.
    pub id: EventId,
    pub service: ServiceId,
    pub verification: Sid,
    pub expires: Timestamp,
    pub about: About,
}

impl Expected {
    /// What is told when it has expired.
    pub(super) fn event(&self) -> Event {
        Event {
            kind: EventType::Expired,
            service: self.service,
            verification: self.verification,
            at: self.expires,
            about: About { status: "expired".to_owned(), message: None, ..self.about.clone() },
        }
    }
}

/// Which ends are expected, and when they are told.
#[derive(Default)]
pub(super) struct Timers {
    by_verification: HashMap<(ServiceId, Sid), (Seq, Timestamp)>,
    by_time: BTreeSet<(Timestamp, Seq)>,
}

impl Timers {
    pub(super) fn len(&self) -> usize {
        self.by_verification.len()
    }

    /// The record of this verification's end.
    pub(super) fn of(&self, service: ServiceId, verification: Sid) -> Option<Seq> {
        self.by_verification.get(&(service, verification)).map(|(seq, _)| *seq)
    }

    /// Expects an end, in place of one that was expected before.
    pub(super) fn set(&mut self, service: ServiceId, verification: Sid, seq: Seq, expires: Timestamp) {
        self.remove(service, verification);
        let due = expires.plus(GRACE);
        self.by_verification.insert((service, verification), (seq, due));
        self.by_time.insert((due, seq));
    }

    /// Expects it no more.
    pub(super) fn remove(&mut self, service: ServiceId, verification: Sid) -> Option<Seq> {
        let (seq, due) = self.by_verification.remove(&(service, verification))?;
        self.by_time.remove(&(due, seq));
        Some(seq)
    }

    /// The first whose time has come.
    pub(super) fn due(&self, now: Timestamp) -> Option<Seq> {
        self.by_time.first().filter(|(due, _)| *due <= now).map(|(_, seq)| *seq)
    }

    /// When the first one's time comes.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, _)| *due)
    }
}

//! One event on its way to one webhook.

use std::time::Duration;

use super::schedule::{self, is_too_old};
use super::transport::{Posted, Trouble};
use super::{Event, EventId};
use crate::domain::{ServiceId, Sid, Timestamp};

/// Attempts that are remembered of each delivery, the latest. Only who asks for it again and again has more.
const ATTEMPTS_KEPT: usize = 24;

/// One event on its way to one webhook, with what became of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event's id.
    pub id: EventId,
    /// The event.
    pub event: Event,
    /// The webhook (`YW`).
    pub webhook: Sid,
    /// How far it is.
    pub state: DeliveryState,
    /// When it is tried next, if nothing before it has to be waited for.
    pub due: Timestamp,
    /// From when on its attempts count: its event, or when somebody asked for it again.
    pub since: Timestamp,
    /// Attempts since then.
    pub tries: u8,
    /// The latest attempts, the oldest first.
    pub attempts: Vec<Attempt>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried, or tried again.
    Pending,
    /// The receiver has answered with a status of 200 to 299.
    Delivered,
    /// It is not tried any more.
    Failed,
}

impl DeliveryState {
    /// Its name in lists and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// Reads that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The HTTP status that was answered.
    pub status: Option<u16>,
    /// Why there was no answer, or no attempt.
    pub trouble: Option<Trouble>,
    /// The same in words.
    pub detail: Option<String>,
}

/// What an attempt says about its webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It takes events.
    Well,
    /// It does not, and wants to be left in peace for so long.
    Failing(Option<Duration>),
    /// It wants no events any more.
    Gone,
    /// Nothing: it was not asked.
    NotAsked,
}

/// Names all deliveries to one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneKey {
    pub service: ServiceId,
    pub webhook: Sid,
}

impl Delivery {
    pub(super) fn new(id: EventId, event: Event, webhook: Sid, now: Timestamp) -> Self {
        let state = DeliveryState::Pending;
        Self { id, event, webhook, state, due: now, since: now, tries: 0, attempts: Vec::new() }
    }

    pub(super) fn lane(&self) -> LaneKey {
        LaneKey { service: self.event.service, webhook: self.webhook }
    }

    /// It is to be tried from the beginning.
    pub(super) fn begin_again(&mut self, now: Timestamp) {
        (self.state, self.due, self.since, self.tries) = (DeliveryState::Pending, now, now, 0);
    }

    /// An attempt that began at `at` has come to an end, or could not be made.
    pub(super) fn conclude(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        posted: Posted,
        random: u32,
    ) -> Standing {
        let (status, trouble, detail, retry_after) = match posted {
            Posted::Answered { status, retry_after } => (Some(status), None, None, retry_after),
            Posted::NotAnswered(trouble, detail) => (None, Some(trouble), Some(detail), None),
        };
        if self.attempts.len() >= ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(Attempt { at, took: now.since(at), status, trouble, detail });
        let standing = match (status, trouble) {
            (Some(200..=299), _) => Standing::Well,
            (Some(410), _) => Standing::Gone,
            (_, Some(Trouble::Disabled | Trouble::Removed | Trouble::TooOld)) => Standing::NotAsked,
            _ => Standing::Failing(retry_after),
        };
        match standing {
            Standing::Well => self.state = DeliveryState::Delivered,
            Standing::Gone | Standing::NotAsked => self.state = DeliveryState::Failed,
            Standing::Failing(retry_after) => {
                self.tries = self.tries.saturating_add(1);
                match schedule::again(now, self.since, self.tries, retry_after, random) {
                    Some(due) => self.due = due,
                    None => self.state = DeliveryState::Failed,
                }
            }
        }
        standing
    }

    /// Whether its time has ended before its turn came.
    pub(super) fn is_too_old(&self, now: Timestamp) -> bool {
        is_too_old(now, self.since)
    }
}

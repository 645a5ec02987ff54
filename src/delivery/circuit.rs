//! The circuit breaker of one gateway as the shell uses it: shared, with log lines, and with rights
//! that come back by themselves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{debug, info, warn};

use super::breaker::{Breaker, Change, Circuit, Entry, Health};
use crate::config::BreakerSettings;
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::GatewayError;

/// The breaker of one gateway.
pub(super) struct Guard {
    gateway: GatewayName,
    open_for: Duration,
    breaker: Mutex<Breaker>,
}

/// The right to ask the gateway. Dropped without an answer, it is as if nobody had asked.
pub(super) struct Pass<'a> {
    guard: &'a Guard,
    entry: Option<Entry>,
}

impl Guard {
    pub const fn new(gateway: GatewayName, settings: BreakerSettings) -> Self {
        Self { gateway, open_for: settings.open_for, breaker: Mutex::new(Breaker::new(settings)) }
    }

    /// The right to ask now, if there is one.
    pub fn enter(&self, now: Timestamp) -> Option<Pass<'_>> {
        self.breaker().enter(now).map(|entry| Pass { guard: self, entry: Some(entry) })
    }

    /// Whether nobody would be let in now.
    pub fn keeps_out(&self, now: Timestamp) -> bool {
        self.breaker().keeps_out(now)
    }

    /// How it is shown, and when an open one lets somebody in again.
    pub fn shown(&self, now: Timestamp) -> (Circuit, Option<Timestamp>) {
        self.breaker().shown(now)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // Every change is complete before the lock opens, so a panic elsewhere spoils nothing.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Notes the gateway's answer; `None` for no answer within the budget.
    pub fn answered<T>(mut self, answer: Option<&Result<T, GatewayError>>, now: Timestamp) {
        let health = match answer {
            Some(Ok(_)) => Health::Lives,
            Some(Err(error)) => Health::of(error, self.guard.open_for),
            None => Health::Failed,
        };
        let change = self.entry.take().and_then(|entry| self.guard.breaker().record(entry, health, now));
        let gateway = self.guard.gateway.as_str();
        match change {
            None => {}
            Some(Change::Closed) => info!(gateway, "the gateway works again"),
            Some(Change::Opened(span)) => warn!(
                gateway,
                seconds = span.as_secs(),
                "the gateway is out of service: nobody asks it until one message tries it again"
            ),
            Some(Change::StillOpen(span)) => {
                debug!(gateway, seconds = span.as_secs(), "the gateway is still out of service");
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.guard.breaker().release(entry);
        }
    }
}

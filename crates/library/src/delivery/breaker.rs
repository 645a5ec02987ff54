//! The circuit breaker of a gateway. One rule: a gateway that fails again and again rests for a span; then one message in
//! each span asks it, until it answers.

use std::time::Duration;

use parking_lot::Mutex;
use tracing::{info, warn};

use super::error::NO_ANSWER;
use crate::config::BreakerSettings;
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::GatewayError;

crate::named! {
    /// The shown state of a circuit.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Circuit {
        /// The gateway is asked.
        Closed = "closed",
        /// It is not asked.
        Open = "open",
        /// The next message may try whether it works again.
        HalfOpen = "half-open",
    }
}

/// The breaker of a gateway, shared. Logs its changes.
pub(super) struct CircuitBreaker {
    gateway: GatewayName,
    settings: BreakerSettings,
    state: Mutex<CircuitState>,
}

#[derive(Default)]
struct CircuitState {
    /// Failures of the whole gateway in a row.
    failures: u32,
    /// `None` while the circuit is closed.
    outage: Option<Outage>,
}

struct Outage {
    /// The gateway's last failure.
    reason: String,
    /// The end of the present span.
    until: Timestamp,
}

impl CircuitBreaker {
    pub fn new(gateway: GatewayName, settings: BreakerSettings) -> Self {
        Self { gateway, settings, state: Mutex::default() }
    }

    /// Whether the gateway may be asked now. The message that asks it during an outage begins the next span: it is the only
    /// one of that span, also if it is given up.
    pub fn enter(&self, now: Timestamp) -> bool {
        match &mut self.state.lock().outage {
            None => true,
            Some(outage) if now < outage.until => false,
            Some(outage) => {
                outage.until = now.plus(self.settings.open_for);
                true
            }
        }
    }

    /// Whether [`enter`](Self::enter) would return `false` now.
    pub fn keeps_out(&self, now: Timestamp) -> bool {
        self.shown(now).0 == Circuit::Open
    }

    /// The shown state, and the time until which an open circuit stays open.
    pub fn shown(&self, now: Timestamp) -> (Circuit, Option<Timestamp>) {
        match &self.state.lock().outage {
            None => (Circuit::Closed, None),
            Some(outage) if now < outage.until => (Circuit::Open, Some(outage.until)),
            Some(_) => (Circuit::HalfOpen, None),
        }
    }

    /// The moment from which the gateway may be asked again.
    pub fn asked_again_at(&self, now: Timestamp) -> Timestamp {
        self.shown(now).1.unwrap_or(now)
    }

    /// The last failure of a gateway that is out of service.
    pub fn reason(&self) -> Option<String> {
        self.state.lock().outage.as_ref().map(|outage| outage.reason.clone())
    }

    /// Notes the gateway's answer, and returns it with a wait of at most `longest`; `None` for no answer in time.
    pub fn answered<T>(
        &self,
        answer: Option<Result<T, GatewayError>>,
        now: Timestamp,
    ) -> Option<Result<T, GatewayError>> {
        let BreakerSettings { open_for, longest, .. } = self.settings;
        // A single `Retry-After` must not close a gateway for a day.
        let answer =
            answer.map(|answer| answer.map_err(|error| error.waiting_at_most(longest.max(open_for))));
        match &answer {
            None => self.failed(None, NO_ANSWER, now),
            Some(Err(error)) if error.whole_gateway => self.failed(error.wait, &error.detail, now),
            // A refusal of one message is a sign of life too.
            Some(_) => {
                let CircuitState { outage, .. } = std::mem::take(&mut *self.state.lock());
                if outage.is_some() {
                    info!(gateway = self.gateway.as_str(), "gateway available again");
                }
            }
        }
        answer
    }

    /// Any message would have failed. A provider that asks for a pause of at least a span gets it at once.
    fn failed(&self, pause: Option<Duration>, reason: &str, now: Timestamp) {
        let (state, open_for) = (&mut *self.state.lock(), self.settings.open_for);
        state.failures = state.failures.saturating_add(1);
        let pause = pause.filter(|pause| *pause >= open_for);
        if state.outage.is_none() && pause.is_none() && state.failures < self.settings.failures {
            return;
        }
        let before = state.outage.take();
        // Of messages that failed together, the shorter pause does not end the longer one.
        let longest = before.as_ref().map(|outage| outage.until).unwrap_or_default();
        let until = now.plus(pause.unwrap_or(open_for)).max(longest);
        state.outage = Some(Outage { reason: reason.to_owned(), until });
        if before.is_none() {
            let (gateway, seconds) = (self.gateway.as_str(), until.since(now).as_secs());
            warn!(gateway, seconds, reason, "gateway unavailable, no messages until a probe succeeds");
        }
    }
}

#[cfg(test)]
mod tests;

//! A circuit breaker: decides when a gateway is out of service and when to probe it. It contains neither clock nor
//! lock.

use std::time::Duration;

use crate::config::BreakerSettings;
use crate::domain::Timestamp;
use crate::gateway::{ErrorClass, GatewayError};

/// The state of one gateway.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: BreakerState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// Every message is let through.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// No message is let through.
    Open {
        /// The end of the present span.
        until: Timestamp,
        /// The present span without the pause that the provider asked for, doubled if the next probe fails.
        span: Duration,
    },
    /// One message is let through.
    HalfOpen {
        /// Whether that message is at the gateway.
        probing: bool,
        /// The open span that preceded this probe.
        span: Duration,
    },
}

/// The right to ask the gateway, and what its answer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerPermit {
    /// One message of many.
    Regular,
    /// The only message: its answer decides whether the circuit closes.
    Probe,
}

/// The state of the whole gateway, as an answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It works, also when it refused one message.
    Lives,
    /// The gateway is out of service: any message would have failed.
    Failed,
    /// The gateway is out of service and names the pause, which is not longer than [`Breaker::longest`].
    OutFor(Duration),
}

/// A change for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CircuitChange {
    /// The gateway works again.
    Closed,
    /// The gateway is out of service for this long.
    Opened(Duration),
    /// The gateway is still out of service.
    StillOpen(Duration),
}

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

impl Health {
    /// The state that an error shows. A provider that asks for a pause of at least `open_for` gets it at once.
    pub fn of(error: &GatewayError, open_for: Duration) -> Self {
        match error.class {
            _ if !error.whole_gateway => Self::Lives,
            ErrorClass::Retry { after: Some(after) } if after >= open_for => Self::OutFor(after),
            _ => Self::Failed,
        }
    }
}

impl Breaker {
    pub const fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: BreakerState::Closed { failures: 0 } }
    }

    /// The right to ask now, if there is one. The caller [`record`](Self::record)s the answer, or
    /// [`release`](Self::release)s the right.
    pub const fn enter(&mut self, now: Timestamp) -> Option<BreakerPermit> {
        match self.state {
            BreakerState::Closed { .. } => Some(BreakerPermit::Regular),
            BreakerState::Open { until, span } if is_over(until, now) => {
                self.state = BreakerState::HalfOpen { probing: true, span };
                Some(BreakerPermit::Probe)
            }
            BreakerState::HalfOpen { probing: false, span } => {
                self.state = BreakerState::HalfOpen { probing: true, span };
                Some(BreakerPermit::Probe)
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen { probing: true, .. } => None,
        }
    }

    /// Whether [`enter`](Self::enter) would return `None` now.
    pub const fn keeps_out(&self, now: Timestamp) -> bool {
        match self.state {
            BreakerState::Closed { .. } | BreakerState::HalfOpen { probing: false, .. } => false,
            BreakerState::Open { until, .. } => !is_over(until, now),
            BreakerState::HalfOpen { probing: true, .. } => true,
        }
    }

    /// Notes an answer. The answer to a message that was sent before the circuit opened changes nothing any more.
    pub fn record(&mut self, entry: BreakerPermit, health: Health, now: Timestamp) -> Option<CircuitChange> {
        match (self.state, entry, health) {
            (BreakerState::Closed { .. }, _, Health::Lives) => {
                self.state = BreakerState::Closed { failures: 0 };
                None
            }
            (BreakerState::Closed { failures }, _, Health::Failed) => {
                let failures = failures.saturating_add(1);
                if failures >= self.settings.failures {
                    return Some(CircuitChange::Opened(self.open(
                        self.settings.open_for,
                        Duration::ZERO,
                        now,
                    )));
                }
                self.state = BreakerState::Closed { failures };
                None
            }
            (BreakerState::Closed { .. }, _, Health::OutFor(retry_after)) => {
                Some(CircuitChange::Opened(self.open(self.settings.open_for, retry_after, now)))
            }
            (BreakerState::HalfOpen { .. }, BreakerPermit::Probe, Health::Lives) => {
                self.state = BreakerState::Closed { failures: 0 };
                Some(CircuitChange::Closed)
            }
            (
                BreakerState::HalfOpen { span, .. },
                BreakerPermit::Probe,
                Health::Failed | Health::OutFor(_),
            ) => {
                let retry_after =
                    if let Health::OutFor(retry_after) = health { retry_after } else { Duration::ZERO };
                let span = span.saturating_mul(2).min(self.longest());
                Some(CircuitChange::StillOpen(self.open(span, retry_after, now)))
            }
            (BreakerState::Open { .. }, ..) | (BreakerState::HalfOpen { .. }, BreakerPermit::Regular, _) => {
                None
            }
        }
    }

    /// Gives a right back that was not used to the end.
    pub const fn release(&mut self, entry: BreakerPermit) {
        if let (BreakerState::HalfOpen { probing: true, span }, BreakerPermit::Probe) = (self.state, entry) {
            self.state = BreakerState::HalfOpen { probing: false, span };
        }
    }

    /// The shown state, and the time until which an open circuit stays open.
    pub const fn shown(&self, now: Timestamp) -> (Circuit, Option<Timestamp>) {
        match self.state {
            BreakerState::Closed { .. } => (Circuit::Closed, None),
            BreakerState::Open { until, .. } if !is_over(until, now) => (Circuit::Open, Some(until)),
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => (Circuit::HalfOpen, None),
        }
    }

    /// The longest time for which the circuit is open, also when a provider asks for a longer pause.
    pub fn longest(&self) -> Duration {
        self.settings.longest.max(self.settings.open_for)
    }

    fn open(&mut self, span: Duration, retry_after: Duration, now: Timestamp) -> Duration {
        let out_for = span.max(retry_after);
        self.state = BreakerState::Open { until: now.plus(out_for), span };
        out_for
    }
}

const fn is_over(until: Timestamp, now: Timestamp) -> bool {
    now.as_millis() >= until.as_millis()
}

#[cfg(test)]
mod tests;

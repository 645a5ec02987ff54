//! A circuit breaker: decides when a gateway is out of service and when to probe it. It contains neither clock nor
//! lock.

use std::time::Duration;

use crate::config::BreakerSettings;
use crate::domain::Timestamp;
use crate::gateway::{ErrorClass, GatewayError};

/// The longest pause that a provider can ask for: a daily cap, the longest known wait, is over after a day. A
/// header with nonsense in it must not last for years.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of one gateway.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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
pub(super) enum Entry {
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
    /// The gateway is out of service and names the pause.
    OutFor(Duration),
}

/// A change for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The gateway works again.
    Closed,
    /// The gateway is out of service for this long.
    Opened(Duration),
    /// The gateway is still out of service.
    StillOpen(Duration),
}

/// How a circuit is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// The gateway is asked.
    Closed,
    /// It is not asked.
    Open,
    /// The next message may try whether it works again.
    HalfOpen,
}

impl Circuit {
    /// The name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
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
        Self { settings, state: State::Closed { failures: 0 } }
    }

    /// The right to ask now, if there is one. The caller [`record`](Self::record)s the answer, or
    /// [`release`](Self::release)s the right.
    pub const fn enter(&mut self, now: Timestamp) -> Option<Entry> {
        match self.state {
            State::Closed { .. } => Some(Entry::Regular),
            State::Open { until, span } if is_over(until, now) => {
                self.state = State::HalfOpen { probing: true, span };
                Some(Entry::Probe)
            }
            State::HalfOpen { probing: false, span } => {
                self.state = State::HalfOpen { probing: true, span };
                Some(Entry::Probe)
            }
            State::Open { .. } | State::HalfOpen { probing: true, .. } => None,
        }
    }

    /// Whether [`enter`](Self::enter) would return `None` now.
    pub const fn keeps_out(&self, now: Timestamp) -> bool {
        match self.state {
            State::Closed { .. } | State::HalfOpen { probing: false, .. } => false,
            State::Open { until, .. } => !is_over(until, now),
            State::HalfOpen { probing: true, .. } => true,
        }
    }

    /// Notes an answer. The answer to a message that was sent before the circuit opened changes nothing any more.
    pub fn record(&mut self, entry: Entry, health: Health, now: Timestamp) -> Option<Change> {
        match (self.state, entry, health) {
            (State::Closed { .. }, _, Health::Lives) => {
                self.state = State::Closed { failures: 0 };
                None
            }
            (State::Closed { failures }, _, Health::Failed) => {
                let failures = failures.saturating_add(1);
                if failures >= self.settings.failures {
                    return Some(Change::Opened(self.open(self.settings.open_for, Duration::ZERO, now)));
                }
                self.state = State::Closed { failures };
                None
            }
            (State::Closed { .. }, _, Health::OutFor(wish)) => {
                Some(Change::Opened(self.open(self.settings.open_for, wish, now)))
            }
            (State::HalfOpen { .. }, Entry::Probe, Health::Lives) => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
            (State::HalfOpen { span, .. }, Entry::Probe, Health::Failed | Health::OutFor(_)) => {
                let wish = if let Health::OutFor(wish) = health { wish } else { Duration::ZERO };
                let longest = self.settings.longest.max(self.settings.open_for);
                let span = span.saturating_mul(2).min(longest);
                Some(Change::StillOpen(self.open(span, wish, now)))
            }
            (State::Open { .. }, ..) | (State::HalfOpen { .. }, Entry::Regular, _) => None,
        }
    }

    /// Gives a right back that was not used to the end.
    pub const fn release(&mut self, entry: Entry) {
        if let (State::HalfOpen { probing: true, span }, Entry::Probe) = (self.state, entry) {
            self.state = State::HalfOpen { probing: false, span };
        }
    }

    /// How it is shown, and until when an open one stays open.
    pub const fn shown(&self, now: Timestamp) -> (Circuit, Option<Timestamp>) {
        match self.state {
            State::Closed { .. } => (Circuit::Closed, None),
            State::Open { until, .. } if !is_over(until, now) => (Circuit::Open, Some(until)),
            State::Open { .. } | State::HalfOpen { .. } => (Circuit::HalfOpen, None),
        }
    }

    fn open(&mut self, span: Duration, wish: Duration, now: Timestamp) -> Duration {
        let out_for = span.max(wish.min(LONGEST_WISH));
        self.state = State::Open { until: now.plus(out_for), span };
        out_for
    }
}

const fn is_over(until: Timestamp, now: Timestamp) -> bool {
    now.as_millis() >= until.as_millis()
}

#[cfg(test)]
mod tests;

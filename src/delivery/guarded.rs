//! One gateway behind its concurrency limiter and its circuit breaker.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::Routed;
use super::breaker::{Breaker, BreakerPermit, Circuit, CircuitChange, Health};
use super::error::NO_ANSWER;
use super::limiter::ConcurrencyLimiter;
use crate::clock::{LastingCondition, Stopwatch};
use crate::config::{Bounds, BreakerSettings};
use crate::domain::{Channel, GatewayName, Held, Timestamp};
use crate::gateway::{Gateway, GatewayError};
use crate::metrics::{GatewayEnd, GatewayFacts, GatewayOperation, Metrics};

/// One gateway.
pub(super) struct GuardedGateway {
    pub routed_as: GatewayName,
    pub name: GatewayName,
    pub gateway: Arc<dyn Gateway>,
    pub limiter: ConcurrencyLimiter,
    pub circuit: CircuitBreaker,
    metrics: Arc<Metrics>,
}

/// Which gateways may carry a message: the messages of a verification carry the same code where that is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eligible {
    /// No gateway has accepted a message yet: all of them.
    All,
    /// A gateway made the code of an earlier message: that gateway first, because only it can repeat the code. If it
    /// fails, the others begin a new one.
    HolderFirst(GatewayName),
    /// A gateway that made the code has accepted a message of this plan: in a later step only that gateway may send.
    Only(GatewayName),
    /// A gateway accepted a message with our code: all gateways that do not make their own code.
    CarriersOfOurCode,
}

impl GuardedGateway {
    pub fn new(routed: Routed, bounds: &Bounds, breaker: BreakerSettings, metrics: &Arc<Metrics>) -> Self {
        let Routed { routed_as, gateway } = routed;
        let name = gateway.name();
        let limiter = ConcurrencyLimiter::new(
            name,
            bounds.sends,
            bounds.sends_waiting,
            metrics.service_names().clone(),
        );
        // The simulator plays silence for single numbers, which says nothing about the others.
        let failures = if name == GatewayName::Simulator { u32::MAX } else { breaker.failures };
        let breaker = BreakerSettings { failures, ..breaker };
        let (circuit, metrics) = (CircuitBreaker::new(name, breaker), Arc::clone(metrics));
        Self { routed_as, name, gateway, limiter, circuit, metrics }
    }

    /// Sends a request, counts it, and waits for the answer until `end`; `None` for no answer in time.
    pub async fn request<T>(
        &self,
        operation: GatewayOperation,
        request: impl Future<Output = Result<T, GatewayError>>,
        end: Instant,
    ) -> Option<Result<T, GatewayError>> {
        let stopwatch = Stopwatch::start();
        let answer = timeout_at(end, request).await.ok();
        let outcome = match &answer {
            Some(Ok(_)) => GatewayEnd::Answered,
            Some(Err(error)) => GatewayEnd::Refused(error.class),
            None => GatewayEnd::Silent,
        };
        let (gateway, took) = (self.name, stopwatch.elapsed());
        self.metrics.gateway(&GatewayFacts { gateway, operation, outcome, took });
        answer
    }

    pub fn serves(&self, channel: Channel) -> bool {
        self.gateway.channels().contains(&channel)
    }

    pub fn is_eligible(&self, eligible: Eligible) -> bool {
        match eligible {
            Eligible::All | Eligible::HolderFirst(_) => true,
            Eligible::Only(name) => self.name == name,
            Eligible::CarriersOfOurCode => self.gateway.checker().is_none(),
        }
    }

    /// The holder of the code of a message that this gateway accepted; `None` if the code is ours.
    pub fn holding(&self, channel: Channel) -> Option<Held> {
        self.gateway.checker().map(|_| Held { by: self.name, channel })
    }
}

/// A [`Breaker`] that is shared and logs its changes.
pub(super) struct CircuitBreaker {
    gateway: GatewayName,
    open_for: Duration,
    state: Mutex<CircuitState>,
}

struct CircuitState {
    breaker: Breaker,
    /// An outage: from the opening of the circuit until it closes, with the gateway's last failure.
    outage: Option<LastingCondition>,
}

/// The right to ask the gateway. Dropped without an answer, it is given back.
pub(super) struct CircuitPermit<'a> {
    circuit: &'a CircuitBreaker,
    entry: Option<BreakerPermit>,
}

impl CircuitBreaker {
    const fn new(gateway: GatewayName, settings: BreakerSettings) -> Self {
        let state = CircuitState { breaker: Breaker::new(settings), outage: None };
        Self { gateway, open_for: settings.open_for, state: Mutex::new(state) }
    }

    /// The right to ask now, if the circuit lets another message through.
    pub fn enter(&self, now: Timestamp) -> Option<CircuitPermit<'_>> {
        self.state().breaker.enter(now).map(|entry| CircuitPermit { circuit: self, entry: Some(entry) })
    }

    /// Whether [`enter`](Self::enter) would return `None` now.
    pub fn keeps_out(&self, now: Timestamp) -> bool {
        self.state().breaker.keeps_out(now)
    }

    /// The shown state of the circuit, and the time until which an open one stays open.
    pub fn shown(&self, now: Timestamp) -> (Circuit, Option<Timestamp>) {
        self.state().breaker.shown(now)
    }

    /// The moment from which the gateway may be asked again.
    pub fn asked_again_at(&self, now: Timestamp) -> Timestamp {
        self.shown(now).1.unwrap_or(now)
    }

    /// The present outage; `None` while the circuit is closed.
    pub fn outage(&self) -> Option<LastingCondition> {
        self.state().outage.clone()
    }

    /// Records the result of a message. Logs each change, and an open circuit every 10 minutes.
    fn record(&self, entry: BreakerPermit, health: Health, reason: &str, now: Timestamp) {
        let gateway = self.gateway.as_str();
        let mut state = self.state();
        let span = match state.breaker.record(entry, health, now) {
            None => return,
            Some(CircuitChange::Closed) => {
                state.outage = None;
                drop(state);
                return info!(gateway, "gateway available again");
            }
            Some(CircuitChange::Opened(span) | CircuitChange::StillOpen(span)) => span,
        };
        let is_logged = LastingCondition::report(&mut state.outage, reason, now);
        drop(state);
        let seconds = span.as_secs();
        if is_logged {
            warn!(gateway, seconds, reason, "gateway unavailable, no messages until a probe succeeds");
        } else {
            debug!(gateway, seconds, reason, "gateway still unavailable");
        }
    }

    fn state(&self) -> MutexGuard<'_, CircuitState> {
        // Every change is complete before the lock opens; therefore a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CircuitPermit<'_> {
    /// Records the answer, and returns it with a retry wait of at most [`Breaker::longest`].
    pub fn answered<T>(
        mut self,
        answer: Option<Result<T, GatewayError>>,
        now: Timestamp,
    ) -> Option<Result<T, GatewayError>> {
        let longest = self.circuit.state().breaker.longest();
        let answer = answer.map(|answer| answer.map_err(|error| error.waiting_at_most(longest)));
        let health = match &answer {
            Some(Ok(_)) => Health::Lives,
            Some(Err(error)) => Health::of(error, self.circuit.open_for),
            None => Health::Failed,
        };
        if let Some(entry) = self.entry.take() {
            let reason = match &answer {
                Some(Err(error)) => error.detail.as_str(),
                _ => NO_ANSWER,
            };
            self.circuit.record(entry, health, reason, now);
        }
        answer
    }
}

impl Drop for CircuitPermit<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.circuit.state().breaker.release(entry);
        }
    }
}

//! One gateway behind its concurrency limiter and its circuit breaker.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::Routed;
use super::breaker::{Breaker, BreakerPermit, Circuit, CircuitChange, Health};
use super::error::NO_ANSWER;
use super::limiter::ConcurrencyLimiter;
use crate::clock::{Clock, LastingCondition, Stopwatch};
use crate::config::{Bounds, BreakerSettings};
use crate::domain::{Channel, GatewayName, Held, Timestamp};
use crate::gateway::{Gateway, GatewayError};
use crate::observe::metrics::{GatewayEnd, GatewayFacts, GatewayOperation, Metrics};
use crate::observe::trace::{SpanContext, SpanKind};

/// One gateway.
pub(super) struct GuardedGateway {
    pub routed_as: GatewayName,
    pub name: GatewayName,
    pub gateway: Arc<dyn Gateway>,
    pub limiter: ConcurrencyLimiter,
    pub circuit: CircuitBreaker,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    recent: Mutex<Recent>,
}

/// The last requests to a gateway, for people.
#[derive(Default)]
struct Recent {
    /// The time that each of the last sends took, at most [`RECENT`] of them.
    took: VecDeque<Duration>,
    last_error: Option<(Timestamp, String)>,
}

/// Sends that the shown latency is about.
const RECENT: usize = 100;

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
    pub fn new(
        routed: Routed,
        bounds: &Bounds,
        breaker: BreakerSettings,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
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
        let (clock, recent) = (Arc::clone(clock), Mutex::default());
        Self { routed_as, name, gateway, limiter, circuit, metrics, clock, recent }
    }

    /// Sends a request, counts it, and waits for the answer until `end`; `None` for no answer in time. Its span is a
    /// child of `parent`.
    pub async fn request<T>(
        &self,
        operation: GatewayOperation,
        request: impl Future<Output = Result<T, GatewayError>>,
        end: Instant,
        parent: Option<&SpanContext>,
    ) -> Option<Result<T, GatewayError>> {
        let (gateway, name) = (self.name, operation.as_str());
        let child =
            |parent: &SpanContext| parent.child(format!("{name} {}", gateway.as_str()), SpanKind::Client);
        let span = parent.and_then(child);
        let stopwatch = Stopwatch::start();
        let answer = timeout_at(end, request).await.ok();
        let outcome = match &answer {
            Some(Ok(_)) => GatewayEnd::Answered,
            Some(Err(error)) => GatewayEnd::Refused(error.class),
            None => GatewayEnd::Silent,
        };
        if let Some(mut span) = span {
            span.text("onceward.gateway", gateway.as_str());
            span.text("onceward.outcome", outcome.as_str());
            if outcome != GatewayEnd::Answered {
                span.text("error.type", outcome.as_str());
                span.fail();
            }
        }
        let took = stopwatch.elapsed();
        self.metrics.gateway(&GatewayFacts { gateway, operation, outcome, took });
        let mut recent = self.recent_requests();
        if outcome != GatewayEnd::Answered {
            let cause = match &answer {
                Some(Err(error)) => format!("{}: {}", outcome.as_str(), error.detail),
                _ => "no answer in time".to_owned(),
            };
            recent.last_error = Some((self.clock.now(), cause));
        }
        if operation == GatewayOperation::Send {
            let surplus = (recent.took.len() + 1).saturating_sub(RECENT);
            recent.took.drain(..surplus);
            recent.took.push_back(took);
        }
        drop(recent);
        answer
    }

    /// The latency and the last error of a [`GatewayReading`](crate::observe::metrics::GatewayReading).
    pub fn recent(&self) -> (Option<[Duration; 2]>, Option<(Timestamp, String)>) {
        let recent = self.recent_requests();
        let (mut took, last_error) = (Vec::from(recent.took.clone()), recent.last_error.clone());
        drop(recent);
        took.sort_unstable();
        let at = |part: usize| took.get((took.len() * part / 20).min(took.len().saturating_sub(1))).copied();
        (at(10).zip(at(19)).map(|(median, most)| [median, most]), last_error)
    }

    fn recent_requests(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The breaker of a gateway, shared. Logs its changes.
pub(super) struct CircuitBreaker {
    gateway: GatewayName,
    open_for: Duration,
    state: Mutex<CircuitState>,
}

struct CircuitState {
    breaker: Breaker,
    /// From the opening of the circuit until it closes.
    outage: Option<Outage>,
}

/// An outage.
struct Outage {
    /// With the gateway's last failure.
    condition: LastingCondition,
    /// The longest time that the circuit was to stay open.
    longest: Duration,
}

/// The right to ask the gateway. Dropped without an answer, it is given back.
pub(super) struct CircuitPermit<'a> {
    circuit: &'a CircuitBreaker,
    entry: Option<BreakerPermit>,
}

impl CircuitBreaker {
    fn new(gateway: GatewayName, settings: BreakerSettings) -> Self {
        let state = CircuitState { breaker: Breaker::new(settings), outage: None };
        Self { gateway, open_for: settings.open_for, state: Mutex::new(state) }
    }

    /// The right to ask now, if the circuit lets another message through.
    pub fn enter(&self, now: Timestamp) -> Option<CircuitPermit<'_>> {
        let entry = self.state().breaker.enter(now)?;
        Some(CircuitPermit { circuit: self, entry: Some(entry) })
    }

    /// Whether [`enter`](Self::enter) would return `None` now.
    pub fn keeps_out(&self, now: Timestamp) -> bool {
        self.state().breaker.keeps_out(now)
    }

    /// The shown state, and the time until which an open circuit stays open.
    pub fn shown(&self, now: Timestamp) -> (Circuit, Option<Timestamp>) {
        self.state().breaker.shown(now)
    }

    /// The moment from which the gateway may be asked again.
    pub fn asked_again_at(&self, now: Timestamp) -> Timestamp {
        self.shown(now).1.unwrap_or(now)
    }

    /// The outage; `None` while the circuit is closed.
    pub fn outage(&self) -> Option<LastingCondition> {
        self.state().outage.as_ref().map(|outage| outage.condition.clone())
    }

    /// Notes the answer to an admitted message, and logs a change.
    fn record(&self, entry: BreakerPermit, health: Health, reason: &str, now: Timestamp) {
        let CircuitState { breaker, outage } = &mut *self.state();
        let Some(change) = breaker.record(entry, health, now) else { return };
        let gateway = self.gateway.as_str();
        let (span, before) = match change {
            CircuitChange::Closed => {
                *outage = None;
                return info!(gateway, "gateway available again");
            }
            CircuitChange::Opened(span) => (span, None),
            CircuitChange::StillOpen(span) => (span, outage.take()),
        };
        let longest = before.as_ref().map_or(span, |outage| outage.longest);
        let mut condition = before.map(|outage| outage.condition);
        let (is_news, seconds) = (LastingCondition::report(&mut condition, reason, now), span.as_secs());
        *outage = condition.map(|condition| Outage { condition, longest: longest.max(span) });
        if is_news {
            warn!(gateway, seconds, reason, "gateway unavailable, no messages until a probe succeeds");
        } else if span > longest {
            warn!(gateway, seconds, reason, "gateway still unavailable");
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
    /// Notes the gateway's answer, and returns it with a wait that is not longer than an open circuit lasts; `None`
    /// for no answer in time.
    pub fn answered<T>(
        mut self,
        answer: Option<Result<T, GatewayError>>,
        now: Timestamp,
    ) -> Option<Result<T, GatewayError>> {
        let longest = self.circuit.state().breaker.longest();
        let answer = answer.map(|answer| answer.map_err(|error| error.waiting_at_most(longest)));
        let (health, reason) = match &answer {
            Some(Ok(_)) => (Health::Lives, ""),
            Some(Err(error)) => (Health::of(error, self.circuit.open_for), error.detail.as_str()),
            None => (Health::Failed, NO_ANSWER),
        };
        if let Some(entry) = self.entry.take() {
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

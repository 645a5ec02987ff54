//! One gateway behind its concurrency limiter and its circuit breaker.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::Routed;
use super::breaker::{Circuit, CircuitChange, Health};
use super::circuits::{Answered, Circuits, CircuitsPermit};
use super::error::NO_ANSWER;
use super::limiter::ConcurrencyLimiter;
use crate::clock::{Clock, LastingCondition, Stopwatch};
use crate::config::{Bounds, BreakerSettings};
use crate::domain::{Channel, GatewayName, Held, ServiceId, Timestamp};
use crate::gateway::{ErrorClass, Gateway, GatewayError};
use crate::metrics::{GatewayEnd, GatewayFacts, GatewayOperation, Metrics, ServiceNames};
use crate::trace::{SpanContext, SpanKind};

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
        let (circuit, metrics) =
            (CircuitBreaker::new(name, breaker, metrics.service_names().clone()), Arc::clone(metrics));
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
        let span =
            parent.map(|parent| parent.child(format!("{name} {}", gateway.as_str()), SpanKind::Client));
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

    /// The latency and the last error of a [`GatewayReading`](crate::metrics::GatewayReading).
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

/// The [`Circuits`] of a gateway, shared. Logs their changes.
pub(super) struct CircuitBreaker {
    gateway: GatewayName,
    open_for: Duration,
    names: ServiceNames,
    state: Mutex<CircuitState>,
}

struct CircuitState {
    circuits: Circuits,
    /// The outages of services, and by `None` that of the gateway.
    outages: HashMap<Option<ServiceId>, Outage>,
}

/// An outage: from the opening of a circuit until it closes.
struct Outage {
    /// With the gateway's last failure.
    condition: LastingCondition,
    /// The longest time that the circuit was to stay open.
    longest: Duration,
    /// The service in the log, if the gateway serves others.
    service: Option<ServiceId>,
}

/// A change of a circuit for the log, with the service if it is not the gateway's.
enum CircuitLine {
    Closed(Option<ServiceId>),
    Open { service: Option<ServiceId>, span: Duration, news: News },
}

/// How an open circuit is logged.
#[derive(Clone, Copy)]
enum News {
    /// The outage has begun, or has lasted for ten minutes since its last line.
    Outage,
    /// The circuit is open for longer than before.
    Longer,
    None,
}

/// The right to ask the gateway. Dropped without an answer, it is given back.
pub(super) struct CircuitPermit<'a> {
    circuit: &'a CircuitBreaker,
    entry: Option<CircuitsPermit>,
}

impl CircuitState {
    /// Notes a change of the circuit of a service, or of all for `None`.
    fn changed(
        &mut self,
        of: Option<ServiceId>,
        change: CircuitChange,
        reason: &str,
        now: Timestamp,
    ) -> CircuitLine {
        let before = self.outages.remove(&of);
        let (span, before) = match change {
            CircuitChange::Closed => return CircuitLine::Closed(before.and_then(|outage| outage.service)),
            CircuitChange::Opened(span) => (span, None),
            CircuitChange::StillOpen(span) => (span, before),
        };
        let is_gateways = of.is_none() || self.circuits.sole_user(now) == of;
        let gateways = self.outages.get_mut(&None).filter(|_| !is_gateways);
        let is_told = gateways.is_some();
        if let Some(Outage { condition, .. }) = gateways {
            reason.clone_into(&mut condition.reason);
        }
        let longest = before.as_ref().map_or(span, |outage| outage.longest);
        let mut condition = before.map(|outage| outage.condition);
        let news = match LastingCondition::report(&mut condition, reason, now) {
            // The log has the outage of the gateway, and this is a failed probe of one service.
            true if is_told => News::Longer,
            _ if is_told => News::None,
            true => News::Outage,
            false if span > longest => News::Longer,
            false => News::None,
        };
        let (service, longest) = (of.filter(|_| !is_gateways), longest.max(span));
        self.outages.extend(condition.map(|condition| (of, Outage { condition, longest, service })));
        CircuitLine::Open { service, span, news }
    }
}

impl CircuitBreaker {
    fn new(gateway: GatewayName, settings: BreakerSettings, names: ServiceNames) -> Self {
        let state = CircuitState { circuits: Circuits::new(settings), outages: HashMap::new() };
        Self { gateway, open_for: settings.open_for, names, state: Mutex::new(state) }
    }

    /// The right of a service to ask now, if the circuit lets another message through.
    pub fn enter(&self, service: ServiceId, now: Timestamp) -> Option<CircuitPermit<'_>> {
        let entry = self.state().circuits.enter(service, now)?;
        Some(CircuitPermit { circuit: self, entry: Some(entry) })
    }

    /// Whether [`enter`](Self::enter) would return `None` now.
    pub fn keeps_out(&self, service: ServiceId, now: Timestamp) -> bool {
        self.state().circuits.keeps_out(service, now)
    }

    /// Whether the messages of a service are let through, and none of them is a probe.
    pub fn is_closed_for(&self, service: ServiceId, now: Timestamp) -> bool {
        self.state().circuits.is_closed_for(service, now)
    }

    /// The shown state of the gateway's circuit, and the time until which an open one stays open.
    pub fn shown(&self, now: Timestamp) -> (Circuit, Option<Timestamp>) {
        let (_, circuit, until) = self.state().circuits.shown(now);
        (circuit, until)
    }

    /// The names of the services whose messages the gateway does not get while it gets those of others, and until when.
    pub fn open_for_services(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        let open = self.state().circuits.open_for_services(now);
        let named = open.into_iter().filter_map(|(service, until)| Some((self.name(service)?, until)));
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        named
    }

    /// The moment from which a service may ask the gateway again.
    pub fn asked_again_at(&self, service: ServiceId, now: Timestamp) -> Timestamp {
        self.state().circuits.open_until(service, now).unwrap_or(now)
    }

    /// The outage that [`shown`](Self::shown) shows; `None` while the circuit is closed.
    pub fn outage(&self, now: Timestamp) -> Option<LastingCondition> {
        let state = self.state();
        let (service, ..) = state.circuits.shown(now);
        let outage = state.outages.get(&service).or_else(|| state.outages.get(&None))?;
        Some(outage.condition.clone())
    }

    /// Notes the answer to an admitted message, and logs a change. Of a change for all and one of the service, the log
    /// has the one for all.
    fn record(&self, entry: CircuitsPermit, answered: Answered, reason: &str, now: Timestamp) {
        let mut state = self.state();
        let changes = state.circuits.record(entry, answered, now);
        let all = changes.all.map(|change| state.changed(None, change, reason, now));
        let own = changes.own.map(|change| state.changed(Some(entry.service), change, reason, now));
        drop(state);
        let gateway = self.gateway.as_str();
        match all.or(own) {
            None => {}
            Some(CircuitLine::Closed(service)) => {
                let service = service.and_then(|service| self.name(service));
                info!(gateway, service, "gateway available again");
            }
            Some(CircuitLine::Open { service, span, news }) => {
                let (service, seconds) = (service.and_then(|service| self.name(service)), span.as_secs());
                match news {
                    News::Outage => warn!(
                        gateway,
                        service, seconds, reason, "gateway unavailable, no messages until a probe succeeds"
                    ),
                    News::Longer => warn!(gateway, service, seconds, reason, "gateway still unavailable"),
                    News::None => debug!(gateway, service, seconds, reason, "gateway still unavailable"),
                }
            }
        }
    }

    fn name(&self, service: ServiceId) -> Option<String> {
        self.names.of(service)
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
        let longest = self.circuit.state().circuits.longest();
        let answer = answer.map(|answer| answer.map_err(|error| error.waiting_at_most(longest)));
        let health = match &answer {
            Some(Ok(_)) => Health::Lives,
            Some(Err(error)) => Health::of(error, self.circuit.open_for),
            None => Health::Failed,
        };
        if let Some(entry) = self.entry.take() {
            let class = answer.as_ref().and_then(|answer| answer.as_ref().err()).map(|error| error.class);
            let account_refused = class == Some(ErrorClass::Configuration);
            let reason = match &answer {
                Some(Err(error)) => error.detail.as_str(),
                _ => NO_ANSWER,
            };
            self.circuit.record(entry, Answered { health, account_refused }, reason, now);
        }
        answer
    }
}

impl Drop for CircuitPermit<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.circuit.state().circuits.release(entry);
        }
    }
}

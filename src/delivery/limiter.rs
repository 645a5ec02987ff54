//! Limits the messages at one gateway, and those that wait for a permit, and gives each service its share of both.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::budget::now;
use super::error::DeliveryError;
use super::throughput::ThroughputEstimate;
use crate::domain::{GatewayName, ServiceId};
use crate::metrics::ServiceNames;
use crate::shard::Shares;

/// The interval at which a waiting message checks whether it can still be sent in time.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// The permits of one gateway, and the queues for them: one of each service, first come, first served.
///
/// Each service has its share ([`Shares`]) of the permits and of the places in the queues. A permit that is returned
/// goes to the waiting service with the fewest permits. A service that sends alone has all of the limits.
///
/// A message waits, and goes on waiting, only if it will probably get a permit in time. If all messages waited, a
/// gateway that is too slow for its load would get every message at the end of its budget, and none would be answered
/// in time.
pub(super) struct ConcurrencyLimiter {
    gateway: GatewayName,
    permits: usize,
    queue_length: usize,
    names: ServiceNames,
    state: Mutex<LimiterState>,
}

#[derive(Default)]
struct LimiterState {
    /// The permits that services hold.
    held: Shares,
    /// The messages that wait.
    waiting: Shares,
    /// Services that hold permits or wait for them.
    active: HashMap<ServiceId, ActiveService>,
    /// The estimate from the answers to all services.
    estimate: ThroughputEstimate,
    tickets: u64,
    /// The services whose messages were refused since a permit was last free for them: logged once, not per message.
    overloaded: HashSet<ServiceId>,
}

struct ActiveService {
    /// The messages that wait, by their tickets.
    queue: VecDeque<(u64, oneshot::Sender<()>)>,
    /// The estimate of all services when this one became active, and from then on from the answers to this one: the
    /// numbers of another service may be slow.
    estimate: ThroughputEstimate,
}

/// The right to ask the gateway, until it is dropped.
pub(super) struct GatewayPermit<'a> {
    /// Whether the message waited for it.
    pub waited: bool,
    /// When the gateway was asked; a permit that is returned unused says nothing about the throughput.
    asked: Option<Instant>,
    limiter: &'a ConcurrencyLimiter,
    service: ServiceId,
}

impl Drop for GatewayPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if let Some(asked) = self.asked {
            let held = now().saturating_duration_since(asked);
            state.estimates(self.service, |estimate| estimate.returned(held));
        }
        state.held.remove(self.service, 1);
        self.limiter.hand_on(&mut state, self.service);
    }
}

impl GatewayPermit<'_> {
    /// The gateway is asked from now on.
    pub fn ask(&mut self) {
        self.asked = Some(now());
    }

    /// The gateway's present response time.
    pub fn typical_time(&self) -> Duration {
        self.limiter.state().estimate_of(self.service).typical(now())
    }

    /// The time after which an answer of the gateway is overdue; `None` before that is known.
    pub fn overdue_after(&self) -> Option<Duration> {
        self.limiter.state().estimate_of(self.service).overdue_after()
    }
}

/// A place in the queue of a service, until it is dropped.
struct Waiting<'a> {
    limiter: &'a ConcurrencyLimiter,
    service: ServiceId,
    ticket: u64,
    permit: oneshot::Receiver<()>,
    is_taken: bool,
}

impl<'a> Waiting<'a> {
    /// The permit, once it was handed on to this message.
    fn take(mut self) -> GatewayPermit<'a> {
        self.is_taken = true;
        GatewayPermit { waited: true, asked: None, limiter: self.limiter, service: self.service }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let mut state = self.limiter.state();
        match state.position(self.service, self.ticket) {
            Some(position) => {
                if let Some(active) = state.active.get_mut(&self.service) {
                    active.queue.remove(position);
                }
                state.waiting.remove(self.service, 1);
            }
            // The permit came when the message had stopped waiting for it.
            None => state.held.remove(self.service, 1),
        }
        self.limiter.hand_on(&mut state, self.service);
    }
}

impl LimiterState {
    fn active(&mut self, service: ServiceId) -> &mut ActiveService {
        let estimate = &self.estimate;
        let new = || ActiveService { queue: VecDeque::new(), estimate: estimate.clone() };
        self.active.entry(service).or_insert_with(new)
    }

    fn estimate_of(&self, service: ServiceId) -> &ThroughputEstimate {
        self.active.get(&service).map_or(&self.estimate, |active| &active.estimate)
    }

    /// Changes the estimate of all services and that of this one.
    fn estimates(&mut self, service: ServiceId, change: impl Fn(&mut ThroughputEstimate)) {
        change(&mut self.active(service).estimate);
        change(&mut self.estimate);
    }

    /// The number of messages of the same service before this one; `None` if it does not wait.
    fn position(&self, service: ServiceId, ticket: u64) -> Option<usize> {
        let queue = &self.active.get(&service)?.queue;
        queue.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }

    fn hold(&mut self, service: ServiceId) {
        self.held.add(service, 1);
        self.estimates(service, |estimate| estimate.acquired(now()));
    }
}

impl ConcurrencyLimiter {
    pub fn new(gateway: GatewayName, permits: usize, queue_length: usize, names: ServiceNames) -> Self {
        Self { gateway, permits, queue_length, names, state: Mutex::default() }
    }

    /// Acquires a permit, and waits for one until `patience` if necessary. Refuses at once when the queue is full, or
    /// when a permit will probably not come before `patience`, or too late for an answer of the gateway before `end`.
    pub async fn acquire(
        &self,
        service: ServiceId,
        patience: Instant,
        end: Instant,
    ) -> Result<GatewayPermit<'_>, DeliveryError> {
        let mut waiting = {
            let mut state = self.state();
            // A service with room has no message that waits.
            if state.held.room(service, self.permits) > 0 {
                return Ok(self.permit(&mut state, service));
            }
            if let Err(wait) = self.can_wait(&state, service, patience, end) {
                self.log_refusal(&mut state, service, wait);
                return Err(DeliveryError::Overloaded);
            }
            let (sender, permit) = oneshot::channel();
            state.tickets += 1;
            let ticket = state.tickets;
            state.waiting.add(service, 1);
            state.active(service).queue.push_back((ticket, sender));
            Waiting { limiter: self, service, ticket, permit, is_taken: false }
        };
        // When the first messages arrived, it was perhaps not yet known how slow the gateway is.
        loop {
            match timeout_at(patience.min(now() + CHECK_EVERY), &mut waiting.permit).await {
                Ok(_) => return Ok(waiting.take()),
                Err(_) if now() >= patience => return Err(DeliveryError::TimedOutWaiting),
                Err(_) => self.can_go_on_waiting(&waiting, patience, end)?,
            }
        }
    }

    /// Acquires a permit that is free and that no message waits for.
    pub fn try_acquire(&self, service: ServiceId) -> Option<GatewayPermit<'_>> {
        let mut state = self.state();
        (state.held.room(service, self.permits) > 0).then(|| self.permit(&mut state, service))
    }

    /// The messages that have a permit, and those that wait for one.
    pub fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.held.held(), state.waiting.held())
    }

    /// The expected wait for a permit, if a message that arrived now would be refused.
    pub fn refuses(&self, service: ServiceId, end: Instant) -> Option<Duration> {
        let mut state = self.state();
        let wait = (state.held.room(service, self.permits) == 0)
            .then(|| self.can_wait(&state, service, end, end).err())
            .flatten()?;
        self.log_refusal(&mut state, service, wait);
        Some(wait)
    }

    /// Whether a message that arrives now has a place in the queue, and probably a permit in time. The error is the
    /// expected wait.
    fn can_wait(
        &self,
        state: &LimiterState,
        service: ServiceId,
        patience: Instant,
        end: Instant,
    ) -> Result<(), Duration> {
        let (now, ahead, permits) = (now(), state.waiting.of(service), self.permits_of(state, service));
        let estimate = state.estimate_of(service);
        let (wait, typical) = (estimate.wait(ahead, permits, now), estimate.typical(now));
        if state.waiting.room(service, self.queue_length) > 0 && is_in_time(wait, typical, now, patience, end)
        {
            return Ok(());
        }
        Err(wait)
    }

    /// The same for a message that waits already.
    fn can_go_on_waiting(
        &self,
        waiting: &Waiting<'_>,
        patience: Instant,
        end: Instant,
    ) -> Result<(), DeliveryError> {
        let (mut state, service, now) = (self.state(), waiting.service, now());
        let Some(ahead) = state.position(service, waiting.ticket) else { return Ok(()) };
        let (estimate, permits) = (state.estimate_of(service), self.permits_of(&state, service));
        let (wait, typical) = (estimate.wait_left(ahead, permits, now), estimate.typical(now));
        if is_in_time(wait, typical, now, patience, end) {
            return Ok(());
        }
        self.log_refusal(&mut state, service, wait);
        Err(DeliveryError::Overloaded)
    }

    /// The permits that a service may have while the others hold theirs.
    fn permits_of(&self, state: &LimiterState, service: ServiceId) -> usize {
        state.held.of(service) + state.held.room(service, self.permits)
    }

    fn log_refusal(&self, state: &mut LimiterState, service: ServiceId, wait: Duration) {
        if state.overloaded.insert(service) {
            warn!(
                gateway = self.gateway.as_str(),
                service = self.names.of(service),
                waiting = state.waiting.of(service),
                expected_wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "gateway overloaded; messages are refused until its queue has room"
            );
        }
    }

    /// A permit without a wait: the overload of the service is over.
    fn permit(&self, state: &mut LimiterState, service: ServiceId) -> GatewayPermit<'_> {
        state.overloaded.remove(&service);
        state.hold(service);
        GatewayPermit { waited: false, asked: None, limiter: self, service }
    }

    /// Hands the permits on that became free, after a change of this service.
    fn hand_on(&self, state: &mut LimiterState, service: ServiceId) {
        loop {
            // The service with the fewest permits has the most room. Of equal ones the message that came first.
            let first = |(service, active): (&ServiceId, &ActiveService)| {
                active.queue.front().map(|(ticket, _)| (state.held.of(*service), *ticket, *service))
            };
            let next = state.active.iter().filter_map(first).min();
            let Some((_, _, next)) = next.filter(|next| state.held.room(next.2, self.permits) > 0) else {
                break;
            };
            let Some((_, permit)) = state.active(next).queue.pop_front() else { break };
            state.waiting.remove(next, 1);
            state.hold(next);
            // The receiver lives: a message that stops waiting leaves its queue first.
            let _ = permit.send(());
        }
        if state.held.of(service) == 0 && state.waiting.of(service) == 0 {
            state.active.remove(&service);
        }
        if state.held.held() == 0 {
            state.overloaded.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        // Every change is complete before the lock opens; therefore a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a permit that comes after `wait` comes before `patience`, and leaves time for an answer before `end`.
fn is_in_time(wait: Duration, answer: Duration, now: Instant, patience: Instant, end: Instant) -> bool {
    let fits = |span: Duration, until: Instant| span <= until.saturating_duration_since(now);
    fits(wait, patience) && fits(wait.saturating_add(answer), end)
}

//! Limits the messages at one gateway, and those that wait for a permit.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::error::Failure;
use crate::domain::{GatewayName, ServiceId};
use crate::observe::metrics::ServiceNames;
use crate::shard::Shares;

/// The permits of one gateway, first come, first served. A fiftieth more is for services without a message at the gateway:
/// the messages of one service that hang there do not stop the others.
pub(super) struct ConcurrencyLimiter {
    gateway: GatewayName,
    permits: usize,
    all: Semaphore,
    last: Semaphore,
    places: usize,
    names: ServiceNames,
    state: Mutex<LimiterState>,
}

#[derive(Default)]
struct LimiterState {
    /// The messages that have a permit or wait for one.
    held: Shares,
    /// The services whose messages were refused since they had room: logged once, not per message.
    overloaded: HashSet<ServiceId>,
}

/// The right to ask the gateway, until it is dropped.
pub(super) struct GatewayPermit<'a> {
    limiter: &'a ConcurrencyLimiter,
    service: ServiceId,
    /// Whether the message waited for it.
    pub waited: bool,
    /// `None` while the message waits.
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for GatewayPermit<'_> {
    fn drop(&mut self) {
        let LimiterState { held, overloaded } = &mut *self.limiter.state.lock();
        held.remove(self.service, 1);
        // A line for each overload, not for each message of one.
        if held.of(self.service) <= self.limiter.permits / 50 {
            overloaded.remove(&self.service);
        }
    }
}

impl ConcurrencyLimiter {
    /// `waiting`: messages that may wait besides those with a permit.
    pub fn new(gateway: GatewayName, permits: usize, waiting: usize, names: ServiceNames) -> Self {
        let permits = permits.min(Semaphore::MAX_PERMITS);
        Self {
            gateway,
            permits,
            all: Semaphore::new(permits),
            last: Semaphore::new(permits.div_ceil(50)),
            places: permits.saturating_add(waiting),
            names,
            state: Mutex::default(),
        }
    }

    /// Acquires a permit, and waits for one until `patience` if necessary. Refuses at once when the service has no place
    /// left. Nothing is sent after an error.
    pub async fn acquire(&self, service: ServiceId, patience: Instant) -> Result<GatewayPermit<'_>, Failure> {
        let mut place = self.place(service).ok_or(Failure::Overloaded)?;
        if place.permit.is_none() {
            let Ok(Ok(permit)) = timeout_at(patience, self.all.acquire()).await else {
                self.log_refusal(&mut self.state.lock(), service);
                return Err(Failure::Overloaded);
            };
            (place.waited, place.permit) = (true, Some(permit));
        }
        Ok(place)
    }

    /// Acquires a permit that is free and that no message waits for.
    pub fn try_acquire(&self, service: ServiceId) -> Option<GatewayPermit<'_>> {
        self.place(service).filter(|place| place.permit.is_some())
    }

    /// The messages that have a permit, and those that wait for one.
    pub fn load(&self) -> (usize, usize) {
        let free = self.all.available_permits() + self.last.available_permits();
        let in_flight = (self.permits + self.permits.div_ceil(50)).saturating_sub(free);
        (in_flight, self.state.lock().held.held().saturating_sub(in_flight))
    }

    /// Whether a message of the service would be refused now.
    pub fn refuses(&self, service: ServiceId) -> bool {
        self.room(&mut self.state.lock(), service) == 0
    }

    /// The place of a message that has a permit or waits for one.
    fn place(&self, service: ServiceId) -> Option<GatewayPermit<'_>> {
        let mut state = self.state.lock();
        (self.room(&mut state, service) > 0).then(|| {
            let last = Some(&self.last).filter(|_| state.held.of(service) == 0);
            let permit = self.all.try_acquire().ok().or_else(|| last?.try_acquire().ok());
            state.held.add(service, 1);
            GatewayPermit { limiter: self, service, waited: false, permit }
        })
    }

    /// The places that are left for the service. Logs that there are none.
    fn room(&self, state: &mut LimiterState, service: ServiceId) -> usize {
        let room = state.held.room(service, self.places);
        if room == 0 {
            self.log_refusal(state, service);
        }
        room
    }

    fn log_refusal(&self, state: &mut LimiterState, service: ServiceId) {
        if state.overloaded.insert(service) {
            warn!(
                gateway = self.gateway.as_str(),
                service = self.names.of(service),
                messages = state.held.of(service),
                "gateway overloaded; messages are refused until its queue has room"
            );
        }
    }
}

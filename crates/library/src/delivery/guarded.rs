//! One gateway behind its concurrency limiter and its circuit breaker.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::Delivery;
use super::breaker::CircuitBreaker;
use super::error::{Failure, NO_ANSWER};
use crate::clock::Stopwatch;
use crate::config::{Bounds, BreakerSettings};
use crate::domain::{Channel, GatewayName, Held, Timestamp};
use crate::gateway::{Gateway, GatewayError};
use crate::observe::metrics::{ANSWERED, GatewayOperation, UNANSWERED};
use crate::observe::trace::RequestId;

/// A gateway under the name that the routing knows it by.
#[derive(Clone)]
pub struct Routed {
    /// The name in the routing. Twilio Voice goes by `TwilioMessages`, so that calls take the same way
    /// as text messages, unless the routing names it outright.
    pub routed_as: GatewayName,
    /// Sends the messages and checks the codes that it holds.
    pub gateway: Arc<dyn Gateway>,
}

/// One gateway.
pub(super) struct GuardedGateway {
    pub routed_as: GatewayName,
    pub name: GatewayName,
    pub gateway: Arc<dyn Gateway>,
    pub limiter: ConcurrencyLimiter,
    pub circuit: CircuitBreaker,
    last_error: Mutex<Option<(Timestamp, String)>>,
}

impl GuardedGateway {
    pub fn new(Routed { routed_as, gateway }: Routed, breaker: BreakerSettings, bounds: &Bounds) -> Self {
        let name = gateway.name();
        // The simulator plays silence for single numbers, which says nothing about the others.
        let failures = if name == GatewayName::Simulator { u32::MAX } else { breaker.failures };
        Self {
            routed_as,
            name,
            gateway,
            limiter: ConcurrencyLimiter::new(bounds.sends, bounds.sends_waiting),
            circuit: CircuitBreaker::new(name, BreakerSettings { failures, ..breaker }),
            last_error: Mutex::default(),
        }
    }

    /// The last error, for people.
    pub fn last_error(&self) -> Option<(Timestamp, String)> {
        self.last_error.lock().clone()
    }

    /// Restores the last error from the attempts before the start.
    pub fn restore_last_error(&self, at: Timestamp, said: String) {
        let mut last = self.last_error.lock();
        if last.as_ref().is_none_or(|(known, _)| *known < at) {
            *last = Some((at, said));
        }
    }

    pub fn serves(&self, channel: Channel) -> bool {
        self.gateway.channels().contains(&channel)
    }

    /// The parts of a message that it asks money for: none if it is the simulator. Of one that makes its own text, they are
    /// not known.
    pub fn parts(&self, channel: Channel, text: impl FnOnce() -> String) -> u8 {
        match self.name {
            GatewayName::Simulator => 0,
            _ if channel == Channel::Sms && self.carries_our_code() => {
                u8::try_from(self.gateway.parts(&text())).unwrap_or(u8::MAX)
            }
            _ => 1,
        }
    }

    /// Whether it carries our code. The others make codes of their own.
    pub fn carries_our_code(&self) -> bool {
        !self.gateway.holds_codes()
    }

    /// The holder of the code of a message that this gateway accepted; `None` if the code is ours.
    pub fn holding(&self, channel: Channel) -> Option<Held> {
        self.gateway.holds_codes().then_some(Held { by: self.name, channel })
    }
}

impl Delivery {
    /// Sends a request, counts it, and waits for the answer until `end`; `None` for no answer in time, or for a panic: the
    /// number of a message or check that is never settled would stay busy. Its span is a child of the client's request.
    pub(super) async fn request<T>(
        &self,
        to: &GuardedGateway,
        operation: GatewayOperation,
        request: impl Future<Output = Result<T, GatewayError>>,
        end: Instant,
        id: Option<&RequestId>,
    ) -> Option<Result<T, GatewayError>> {
        let (gateway, name) = (to.name, operation.as_str());
        let parent = id.and_then(RequestId::span);
        let span = parent.and_then(|parent| parent.child(format!("{name} {}", gateway.as_str())));
        let stopwatch = Stopwatch::start();
        let answered = timeout_at(end, AssertUnwindSafe(request).catch_unwind()).await;
        let answer = answered.ok().and_then(|answer| {
            answer
                .inspect_err(|_panic| tracing::error!(gateway = gateway.as_str(), name, "gateway panicked"))
                .ok()
        });
        let outcome = match &answer {
            Some(Ok(_)) => ANSWERED,
            Some(Err(error)) => error.class.into(),
            None => UNANSWERED,
        };
        if let Some(mut span) = span {
            span.text("onceward.gateway", gateway.as_str());
            span.text("onceward.outcome", outcome);
            if outcome != ANSWERED {
                span.text("error.type", outcome);
                span.fail();
            }
        }
        self.deps.metrics.gateway(gateway, operation, outcome, stopwatch.elapsed());
        if outcome != ANSWERED {
            let cause = match &answer {
                Some(Err(GatewayError { detail, said: Some(said), .. })) => {
                    format!("{outcome}: {detail}: {said}")
                }
                Some(Err(error)) => format!("{outcome}: {}", error.detail),
                _ => NO_ANSWER.to_owned(),
            };
            *to.last_error.lock() = Some((self.now(), cause));
        }
        answer
    }
}

// Limits the messages at one gateway, and those that wait for a permit.

/// The permits of one gateway: one queue for the messages of all services, first come, first served.
pub(super) struct ConcurrencyLimiter {
    sends: usize,
    permits: Semaphore,
    most_waiting: usize,
    /// Places for messages that wait.
    places: Semaphore,
}

impl ConcurrencyLimiter {
    /// `most_waiting`: messages that may wait besides those with a permit.
    pub fn new(sends: usize, most_waiting: usize) -> Self {
        let [sends, most_waiting] = [sends, most_waiting].map(|most| most.min(Semaphore::MAX_PERMITS));
        let (permits, places) = (Semaphore::new(sends), Semaphore::new(most_waiting));
        Self { sends, permits, most_waiting, places }
    }

    /// Acquires the right to ask the gateway until it is dropped, and waits for it until `patience` if necessary. Also
    /// returns whether it waited. Refuses at once when the queue is full. Nothing is sent after an error.
    pub async fn acquire(&self, patience: Instant) -> Result<(SemaphorePermit<'_>, bool), Failure> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok((permit, false));
        }
        let _place = self.places.try_acquire().map_err(|_| Failure::Overloaded)?;
        match timeout_at(patience, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok((permit, true)),
            _ => Err(Failure::Overloaded),
        }
    }

    /// The messages that have a permit, and those that wait for one.
    pub fn load(&self) -> (usize, usize) {
        let taken = |most: usize, of: &Semaphore| most.saturating_sub(of.available_permits());
        (taken(self.sends, &self.permits), taken(self.most_waiting, &self.places))
    }
}

// The time that one send may take.

/// The time from the start of a delivery to its end, waiting included.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimit {
    /// When it is used up.
    pub end: Instant,
    /// An attempt with less time than this would more likely end in doubt than in a message: a
    /// tenth of the limit, so 1 s of the default 10 s.
    pub least: Duration,
}

impl TimeLimit {
    pub fn starting_now(total: Duration) -> Self {
        Self { end: now() + total, least: total / 10 }
    }

    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(now())
    }
}

/// The middle of the time until `end`.
pub(super) fn half_until(end: Instant) -> Instant {
    end - end.saturating_duration_since(now()) / 2
}

/// The present moment.
#[expect(
    clippy::disallowed_methods,
    reason = "tokio's own time, which a test can stop; it measures a wait and dates nothing"
)]
fn now() -> Instant {
    Instant::now()
}

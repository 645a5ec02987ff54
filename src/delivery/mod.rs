//! Hands a message to the gateway within a time budget: who may send now, what an error means for
//! the next step, and what the caller may be told.
//!
//! Gateways translate; this decides, by the class of their errors only. What it promises: no
//! message leaves for a code that can no longer be used, and none leaves twice for one request.

mod budget;
mod error;
mod job;
mod next_step;
mod places;
pub mod tracker;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout_at};
use tracing::{debug, error, warn};

use crate::clock::Clock;
use crate::config::Bounds;
use crate::domain::{Channel, Code, PhoneNumber, Timestamp};
use crate::gateway::{Accepted, ErrorClass, Gateway, GatewayError, OutgoingMessage};
use crate::template::{MessageStyle, Rendered, Templates};

pub use crate::gateway::Verdict;
use budget::Budget;
pub use error::DeliveryError;
pub use job::{CheckError, Delivered, Job, Purpose};
use next_step::{NextStep, next_step};
use places::Places;

/// One message to one gateway. Has no `Debug`: it contains a code.
struct Letter {
    /// Whom it goes to.
    to: PhoneNumber,
    /// How it gets there.
    channel: Channel,
    /// How the text is worded.
    style: MessageStyle,
    /// The code.
    code: Code,
    /// From this moment on the code cannot succeed, so nothing leaves.
    expires: Timestamp,
}

/// Delivers through one gateway.
pub struct Delivery {
    gateway: Arc<dyn Gateway>,
    clock: Arc<dyn Clock>,
    templates: Templates,
    places: Places,
    send_budget: Duration,
    tracker: tracker::Tracker,
}

impl Delivery {
    /// Delivers through `gateway`, within [`Bounds::sends`], [`Bounds::sends_waiting`] and
    /// [`Bounds::send_budget`].
    pub fn new(
        gateway: Arc<dyn Gateway>,
        clock: Arc<dyn Clock>,
        templates: Templates,
        bounds: &Bounds,
    ) -> Self {
        let places = Places::new(bounds.sends, bounds.sends_waiting);
        let tracker = tracker::Tracker::default();
        Self { gateway, clock, templates, places, send_budget: bounds.send_budget, tracker }
    }

    /// Delivers one message. Returns when the gateway has accepted it or the outcome is as clear
    /// as it will get, at the latest when the budget is used up.
    ///
    /// `still_usable` says whether the code was neither used nor replaced nor locked since the
    /// caller decided to send it. It is asked after a wait only: for a place at the gateway, or
    /// before a second attempt.
    ///
    /// Failures are logged here. Dropping the future abandons the message, whether sent or not.
    async fn deliver_letter<U>(
        &self,
        job: Letter,
        still_usable: impl Fn() -> U,
    ) -> Result<Accepted, DeliveryError>
    where
        U: Future<Output = bool>,
    {
        let budget = Budget::starting_now(self.send_budget);
        let result = self.deliver_within(budget, &job, still_usable).await;
        self.log_outcome(&job, &result);
        result
    }

    async fn deliver_within<U>(
        &self,
        budget: Budget,
        job: &Letter,
        still_usable: impl Fn() -> U,
    ) -> Result<Accepted, DeliveryError>
    where
        U: Future<Output = bool>,
    {
        // Kept during a wait between two attempts too: whoever asks to be asked later is not
        // helped by others who ask meanwhile.
        let place = self.places.take(budget.end).await?;
        if place.waited && budget.left() < budget.least {
            return Err(DeliveryError::TimedOutWaiting);
        }
        let mut waited = place.waited;
        let mut attempt = 1;
        loop {
            if waited {
                let answer = timeout_at(budget.end, still_usable()).await;
                if !answer.map_err(|_| DeliveryError::TimedOutWaiting)? {
                    return Err(DeliveryError::NoLongerUsable);
                }
            }
            let message = self.message(job).ok_or(DeliveryError::NoLongerUsable)?;
            let error = match timeout_at(budget.end, self.gateway.send(&message)).await {
                Ok(Ok(accepted)) => return Ok(accepted),
                Ok(Err(error)) => error,
                Err(_) => return Err(DeliveryError::NoAnswerInTime),
            };
            match next_step(attempt, error.class, budget.left(), budget.least) {
                NextStep::GiveUp => return Err(DeliveryError::Gateway(error)),
                NextStep::TryAgain { after } => {
                    log_gateway_error(job, &error, "message not sent, will try once more");
                    sleep(after).await;
                    waited = true;
                    attempt += 1;
                }
            }
        }
    }

    /// The message as it is to leave now; `None` when the code has expired.
    fn message(&self, job: &Letter) -> Option<OutgoingMessage> {
        let valid_for = job.expires.since(self.clock.now());
        if valid_for.is_zero() {
            return None;
        }
        let (to, channel) = (job.to, job.channel);
        let Rendered { text, locale } = self.templates.render(&job.style, channel, to, &job.code, valid_for);
        Some(OutgoingMessage { to, channel, text, locale, code: job.code.clone(), valid_for, callback: None })
    }

    fn log_outcome(&self, job: &Letter, result: &Result<Accepted, DeliveryError>) {
        let (number, channel, gateway) = (job.to, job.channel.as_str(), self.gateway.name().as_str());
        match result {
            Ok(accepted) => {
                debug!(%number, channel, gateway, message_id = accepted.message_id, "message accepted");
            }
            Err(DeliveryError::Gateway(error)) if error.class.may_have_been_sent() => {
                log_gateway_error(job, error, "message may have been sent or not");
            }
            Err(DeliveryError::Gateway(error)) => log_gateway_error(job, error, "message not sent"),
            Err(reason @ (DeliveryError::TimedOutWaiting | DeliveryError::NoAnswerInTime)) => {
                warn!(%number, channel, gateway, "{reason}");
            }
            // Not a failure: there is nothing to send any more.
            Err(reason @ DeliveryError::NoLongerUsable) => debug!(%number, channel, gateway, "{reason}"),
            // Logged once for all of them by the queue that is full.
            Err(DeliveryError::Overloaded) => {}
        }
    }
}

fn log_gateway_error(job: &Letter, error: &GatewayError, outcome: &'static str) {
    let (number, channel) = (job.to, job.channel.as_str());
    let GatewayError { gateway, class, code, detail, whole_gateway: _ } = error;
    let gateway = gateway.as_str();
    if *class == ErrorClass::Configuration {
        error!(%number, channel, gateway, ?class, code, detail, "{outcome}");
    } else {
        warn!(%number, channel, gateway, ?class, code, detail, "{outcome}");
    }
}

#[cfg(test)]
mod tests;

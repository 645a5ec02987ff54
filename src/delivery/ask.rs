//! Asks one gateway to take the message, once.

use std::future::Future;

use tokio::time::{Instant, timeout_at};

use super::outlet::Outlet;
use super::tracker::SendStatus;
use super::trip::Trip;
use super::{Delivery, DeliveryError, log};
use crate::gateway::{Accepted, Callback, GatewayError, OutgoingMessage};
use crate::template::Rendered;

/// What came of it.
pub(super) enum Asked {
    /// It took the message.
    Taken(Accepted),
    /// It did not.
    Refused(GatewayError),
    /// It had the message when the budget ended.
    Silent,
    /// It was not asked, for nobody asks it now.
    OutOfService,
    /// It was not asked, for an attempt would have had too little time.
    NoTime,
    /// It was not asked, for there was no place.
    NoPlace(DeliveryError),
    /// It was not asked, for that could not be made durable: what was planned is still planned.
    NotBegun,
    /// Nobody is to be asked any more.
    Stopped(DeliveryError),
}

impl Delivery {
    /// Waits for a place until `patience` at the longest, and asks.
    pub(super) async fn ask<U>(
        &self,
        trip: &mut Trip,
        (priority, outlet): (u8, &Outlet),
        patience: Instant,
        still_usable: &impl Fn() -> U,
    ) -> Asked
    where
        U: Future<Output = bool>,
    {
        let budget = trip.budget;
        // Before the wait, so that an open circuit costs nothing.
        if outlet.guard.keeps_out(self.clock.now()) {
            return Asked::OutOfService;
        }
        if trip.time_has_passed && budget.left() < budget.least {
            return Asked::NoTime;
        }
        let mut place = match outlet.places.take(patience, budget.end).await {
            Ok(place) => place,
            Err(error) => {
                trip.time_has_passed = true;
                return Asked::NoPlace(error);
            }
        };
        // Without time for an answer the message would leave, and nobody would be told whether it did.
        if place.waited && budget.left() < budget.least.max(place.typical()) {
            return Asked::NoPlace(DeliveryError::TimedOutWaiting);
        }
        if trip.is_follow_up() && trip.hops.is_empty() {
            // A gateway that may have been asked is never asked again after a crash.
            if self.tracker.begin_follow_up(trip.job.about.key).await.is_err() {
                return Asked::NotBegun;
            }
            trip.time_has_passed = true;
        }
        if place.waited || trip.time_has_passed {
            match timeout_at(budget.end, still_usable()).await {
                Ok(true) => {}
                Ok(false) => return Asked::Stopped(DeliveryError::NoLongerUsable),
                Err(_) => return Asked::Stopped(DeliveryError::TimedOutWaiting),
            }
        }
        let Some(message) = self.message(trip) else {
            return Asked::Stopped(DeliveryError::NoLongerUsable);
        };
        let Some(pass) = outlet.guard.enter(self.clock.now()) else {
            return Asked::OutOfService;
        };
        place.ask();
        let answer = timeout_at(budget.end, outlet.gateway.send(&message)).await.ok();
        let now = self.clock.now();
        pass.answered(answer.as_ref(), now);
        trip.time_has_passed = true;
        log::answer(trip, outlet.name, answer.as_ref());
        match answer {
            Some(Ok(accepted)) => {
                let hop = trip.notes(now, outlet.name, priority, SendStatus::Sent);
                hop.message_id = Some(accepted.message_id.clone());
                Asked::Taken(accepted)
            }
            Some(Err(error)) => {
                trip.notes(now, outlet.name, priority, SendStatus::GatewayError).error_code = error.code;
                Asked::Refused(error)
            }
            None => {
                trip.notes(now, outlet.name, priority, SendStatus::GatewayError);
                Asked::Silent
            }
        }
    }

    /// The message as it is to leave now; `None` when the code has expired.
    fn message(&self, trip: &mut Trip) -> Option<OutgoingMessage> {
        let about = &trip.job.about;
        let valid_for = about.expires.since(self.clock.now());
        if valid_for.is_zero() {
            return None;
        }
        let (to, channel, code) = (about.number, trip.channel, trip.job.code.clone());
        let Rendered { text, locale } = self.templates.render(&about.style, channel, to, &code, valid_for);
        let pressed = about.style.send_digits.as_ref().filter(|_| channel == crate::domain::Channel::Call);
        let send_digits = pressed.map(|digits| digits.as_str().into());
        let callback = self.settings.public_url.as_ref().map(|public_url| Callback {
            public_url: public_url.clone(),
            attempt: trip.next_attempt(&self.tracker),
        });
        Some(OutgoingMessage { to, channel, text, locale, code, send_digits, valid_for, callback })
    }
}

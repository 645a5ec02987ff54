//! Asks the gateways of a number on one channel, in their order, until one takes the message.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;

use super::ask::Asked;
use super::next_step::{NextStep, next_step, once_more};
use super::outlet::Outlet;
use super::trip::Trip;
use super::{Delivery, DeliveryError};
use crate::domain::{Held, Timestamp};
use crate::gateway::{ErrorClass, GatewayError};

/// How it ended.
pub(super) enum PassEnd {
    /// A gateway took the message.
    Taken { message_id: String, held: Option<Held> },
    /// What was planned could not begin. It is still planned.
    NotBegun,
    /// Nobody is to be asked any more, now or later, in this way or another.
    Stopped { error: DeliveryError, held: Option<Held> },
    /// This channel does not reach the number.
    Unreachable(DeliveryError),
    /// No gateway took it.
    NotTaken {
        error: DeliveryError,
        /// When one of them may, if that can be expected.
        later: Option<Later>,
    },
}

/// A gateway can be expected to take the message later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Later {
    /// Not before this moment.
    pub not_before: Timestamp,
    /// The hop that is worth repeating; `None` when such gateways were not asked.
    pub hop: Option<usize>,
}

/// What the gateways asked so far have left behind.
#[derive(Default)]
struct Leftovers {
    /// The last reason given.
    error: Option<DeliveryError>,
    /// Why somebody was not asked.
    skipped: Option<DeliveryError>,
    later: Option<Later>,
    /// Who could be asked once more, after which wait: the one that asked for the shortest.
    again: Option<(usize, Option<Duration>)>,
}

impl Delivery {
    /// Asks them all once, and one of those that may take it soon a second time, unless the message
    /// can be retried in the background.
    pub(super) async fn pass<U>(&self, trip: &mut Trip, still_usable: &impl Fn() -> U) -> PassEnd
    where
        U: Future<Output = bool>,
    {
        let mut leftovers = Leftovers::default();
        let mut place = 0;
        while let Some(candidate) = self.candidate(trip, place) {
            let budget = trip.budget;
            // Whoever is next in the order must have time left.
            let is_last = self.candidate(trip, place + 1).is_none();
            let patience = if is_last { budget.end } else { budget.end - budget.left() / 2 };
            let asked = self.ask(trip, candidate, patience, still_usable).await;
            if let Some(end) = self.judge(trip, candidate.1, place, asked, &mut leftovers) {
                return end;
            }
            place += 1;
        }
        if let Some((place, wait)) = self.second_try(trip, &leftovers) {
            sleep(wait).await;
            trip.asked_once_more = true;
            if let Some(candidate) = self.candidate(trip, place) {
                let asked = self.ask(trip, candidate, trip.budget.end, still_usable).await;
                if let Some(end) = self.judge(trip, candidate.1, place, asked, &mut leftovers) {
                    return end;
                }
            }
        }
        let Leftovers { error, skipped, later, again: _ } = leftovers;
        let error = error.or(skipped).unwrap_or(DeliveryError::NotServed(trip.channel));
        PassEnd::NotTaken { error, later }
    }

    fn second_try(&self, trip: &Trip, leftovers: &Leftovers) -> Option<(usize, Duration)> {
        let (place, after) =
            leftovers.again.filter(|_| self.settings.retry.is_none() && !trip.asked_once_more)?;
        once_more(after, trip.budget.left(), trip.budget.least).map(|wait| (place, wait))
    }

    /// What an answer means: the end, or something to remember when the next one is asked.
    fn judge(
        &self,
        trip: &Trip,
        outlet: &Outlet,
        place: usize,
        asked: Asked,
        leftovers: &mut Leftovers,
    ) -> Option<PassEnd> {
        let now = self.clock.now();
        match asked {
            Asked::Taken(accepted) => {
                let held = outlet.holding(trip.channel);
                return Some(PassEnd::Taken { message_id: accepted.message_id, held });
            }
            Asked::Silent => {
                let held = outlet.holding(trip.channel);
                return Some(PassEnd::Stopped { error: DeliveryError::NoAnswerInTime, held });
            }
            Asked::NotBegun => return Some(PassEnd::NotBegun),
            Asked::Stopped(error) => return Some(PassEnd::Stopped { error, held: None }),
            Asked::OutOfService => {
                leftovers.skipped.get_or_insert(DeliveryError::OutOfService);
                leftovers.may_work_at(outlet.guard.shown(now).1.unwrap_or(now), None);
            }
            Asked::NoTime => {
                leftovers.skipped = Some(DeliveryError::TimedOutWaiting);
                leftovers.may_work_at(now, None);
            }
            Asked::NoPlace(error) => {
                leftovers.error = Some(error);
                // Somebody who waits is told of the crowd. Nobody would repeat a follow-up.
                if trip.is_follow_up() {
                    leftovers.may_work_at(now, None);
                }
            }
            Asked::Refused(error) => match next_step(error.class) {
                NextStep::NextGateway => leftovers.take_in(error, trip, outlet, place, now),
                // Another gateway would take a text for a landline too, and be paid for it.
                NextStep::OtherChannel => return Some(PassEnd::Unreachable(DeliveryError::Gateway(error))),
                NextStep::Stop => {
                    let in_doubt = error.class.may_have_been_sent();
                    let held = outlet.holding(trip.channel).filter(|_| in_doubt);
                    return Some(PassEnd::Stopped { error: DeliveryError::Gateway(error), held });
                }
            },
        }
        None
    }
}

impl Leftovers {
    fn take_in(&mut self, error: GatewayError, trip: &Trip, outlet: &Outlet, place: usize, now: Timestamp) {
        if let ErrorClass::Retry { after } = error.class {
            // The answer itself may have opened the circuit.
            let opens = outlet.guard.shown(now).1.unwrap_or(now);
            self.may_work_at(now.plus(after.unwrap_or_default()).max(opens), trip.hops.len().checked_sub(1));
            let sooner = |(_, other): (usize, Option<Duration>)| after < other;
            if !outlet.guard.keeps_out(now) && self.again.is_none_or(sooner) {
                self.again = Some((place, after));
            }
        }
        self.error = Some(DeliveryError::Gateway(error));
    }

    /// The earliest moment counts, and the first hop.
    fn may_work_at(&mut self, moment: Timestamp, hop: Option<usize>) {
        self.later = Some(match self.later {
            None => Later { not_before: moment, hop },
            Some(Later { not_before, hop: first }) => {
                Later { not_before: not_before.min(moment), hop: first.or(hop) }
            }
        });
    }
}

//! From a job to its end: over the channels that stand in for each other and the steps of the
//! workflow.

use std::future::Future;
use std::sync::PoisonError;

use rand::Rng as _;

use super::backoff::{Retry, Situation, retry};
use super::budget::Budget;
use super::next_step::stand_in;
use super::pass::{Later, PassEnd};
use super::tracker::{Dropped, FollowUp, Reason, SendStatus, Tracker};
use super::trip::Trip;
use super::{Delivered, Delivery, DeliveryError, Job};
use crate::domain::{Channel, Held, Timestamp};

/// How a delivery ended.
pub(super) enum End {
    /// A gateway took the message.
    Taken { message_id: String, held: Option<Held> },
    /// Something is to be tried later.
    Later {
        error: DeliveryError,
        follow_up: FollowUp,
        /// The row that waits for it.
        row: u8,
    },
    /// What was to be done now is still planned, as it was.
    StillPlanned,
    /// Nothing is.
    Failed { error: DeliveryError, held: Option<Held>, dropped: Dropped },
}

impl Delivery {
    /// Delivers one message. Returns when a gateway has accepted it, when it is durably planned for
    /// later, or when the outcome is as clear as it will get: at the latest when the budget is used
    /// up and what is to be remembered is on the disk.
    ///
    /// `still_usable` says whether the code was neither used nor replaced nor locked since the
    /// caller decided to send it. It is asked when time has passed: after a wait for a place, and
    /// before every gateway but the first.
    ///
    /// Failures are logged and noted in the tracker here. Dropping the future abandons the message,
    /// whether sent or not, and notes nothing.
    pub async fn deliver<U>(&self, job: Job, still_usable: impl Fn() -> U) -> Delivered
    where
        U: Future<Output = bool>,
    {
        let budget = Budget::starting_now(self.send_budget);
        let workflow = self.workflow_of(job.about.key.service);
        let mut trip = Trip::new(job, budget, workflow, &self.workflow);
        let end = self.travel(&mut trip, &still_usable).await;
        self.conclude(trip, end).await
    }

    async fn travel<U>(&self, trip: &mut Trip, still_usable: &impl Fn() -> U) -> End
    where
        U: Future<Output = bool>,
    {
        if !self.workflow_for(trip).allows_after(trip.sent) {
            return End::stopped(DeliveryError::TooManyMessages, None);
        }
        loop {
            trip.tries(trip.channel);
            let (error, later) = match self.pass(trip, still_usable).await {
                PassEnd::Taken { message_id, held } => return End::Taken { message_id, held },
                PassEnd::NotBegun => return End::StillPlanned,
                PassEnd::Stopped { error, held } => return End::stopped(error, held),
                PassEnd::Unreachable(error) => match self.stand_in(trip) {
                    Some(channel) => {
                        trip.go_to(self.workflow_for(trip).step_on(trip.step, channel), channel);
                        continue;
                    }
                    None => (error, None),
                },
                PassEnd::NotTaken { error, later } => (error, later),
            };
            let mut dropped = reason(&error);
            if let Some(later) = later {
                let planned = self.plan_retry(trip, later);
                self.note_that_nobody_was_asked(trip, planned.is_ok());
                match planned {
                    Ok(due) => return End::later(trip, due, later, error, &self.tracker),
                    Err(NoRetry::ItIsOff) => {}
                    Err(NoRetry::Because(why)) => {
                        trip.is_unsendable(later.hop);
                        dropped = why;
                    }
                }
            }
            match self.workflow_for(trip).after(trip.step) {
                Some((step, channel)) if !trip.has_tried(channel) => {
                    if trip.budget.left() < trip.budget.least {
                        return self.next_step_in_the_background(trip, step, channel, error);
                    }
                    trip.go_to(step, channel);
                }
                _ => return End::Failed { error, held: None, dropped },
            }
        }
    }

    /// The channel to go on with when the present one does not reach the number.
    fn stand_in(&self, trip: &Trip) -> Option<Channel> {
        let next = |channel: &Channel| stand_in(*channel, self.settings.voice_fallback);
        std::iter::successors(next(&trip.channel), next).find(|channel| {
            let is_new =
                !trip.has_tried(*channel) && !self.workflow_for(trip).came_before(trip.step, *channel);
            is_new && self.candidates(trip, *channel).next().is_some()
        })
    }

    /// When to try again on the same channel.
    fn plan_retry(&self, trip: &Trip, later: Later) -> Result<Timestamp, NoRetry> {
        let settings = self.settings.retry.ok_or(NoRetry::ItIsOff)?;
        let situation = Situation {
            retries: trip.retries(),
            not_before: later.not_before,
            expires: trip.job.about.expires,
            patience: self.workflow_for(trip).patience(trip.step),
            now: self.clock.now(),
        };
        let random = self.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u32();
        match retry(&settings, situation, random) {
            Retry::At(due) => Ok(due),
            Retry::AsOftenAsAllowed => Err(NoRetry::Because(Dropped::MaxRetriesReached)),
            Retry::TooLate => Err(NoRetry::Because(Dropped::NotUsable)),
        }
    }

    /// A message that no gateway was asked to take gets a row all the same, so that people who look for
    /// it find it.
    fn note_that_nobody_was_asked(&self, trip: &mut Trip, is_tried_later: bool) {
        let has_a_row = trip.hops.len() > trip.first_hop_here || trip.repeated.is_some();
        if !has_a_row && let Some((priority, outlet)) = self.candidate(trip, 0) {
            let status = if is_tried_later { SendStatus::New } else { SendStatus::Unsendable };
            let name = outlet.name;
            trip.notes(self.clock.now(), name, priority, status);
        }
    }

    /// A step that the budget has no time for.
    fn next_step_in_the_background(
        &self,
        trip: &mut Trip,
        step: u8,
        channel: Channel,
        error: DeliveryError,
    ) -> End {
        let (due, sent) = (self.clock.now(), trip.sent);
        let row = trip.row(trip.hops.len(), &self.tracker);
        End::Later { error, follow_up: FollowUp { due, channel, reason: Reason::NextStep, step, sent }, row }
    }
}

/// Why a message is not tried again.
enum NoRetry {
    /// Nothing is.
    ItIsOff,
    /// This one would be.
    Because(Dropped),
}

impl End {
    fn later(trip: &mut Trip, due: Timestamp, later: Later, error: DeliveryError, tracker: &Tracker) -> Self {
        let row = trip.row_to_repeat(later.hop, tracker);
        let reason = Reason::Retry { attempt: row, retries: trip.retries() };
        let (channel, step, sent) = (trip.channel, trip.step, trip.sent);
        Self::Later { error, follow_up: FollowUp { due, channel, reason, step, sent }, row }
    }

    fn stopped(error: DeliveryError, held: Option<Held>) -> Self {
        let dropped = reason(&error);
        Self::Failed { error, held, dropped }
    }
}

/// What the tracker is told of a follow-up that came to nothing.
const fn reason(error: &DeliveryError) -> Dropped {
    match error {
        DeliveryError::NoLongerUsable => Dropped::NotUsable,
        DeliveryError::TooManyMessages => Dropped::BudgetSpent,
        DeliveryError::Gateway(_)
        | DeliveryError::NoAnswerInTime
        | DeliveryError::TimedOutWaiting
        | DeliveryError::Overloaded
        | DeliveryError::OutOfService
        | DeliveryError::NotServed(_)
        | DeliveryError::NotRemembered => Dropped::Refused,
    }
}

//! The end of a delivery: what the tracker is told, and what the caller is.

use tracing::error;

use super::tracker::{FollowUp, Reason, SendNote};
use super::travel::End;
use super::trip::Trip;
use super::{Delivered, Delivery, DeliveryError, log};
use crate::domain::AttemptId;

impl Delivery {
    /// Notes what happened. What is planned is on the disk before the caller hears of it.
    pub(super) async fn conclude(&self, trip: Trip, end: End) -> Delivered {
        let key = trip.job.about.key;
        match end {
            End::Taken { message_id, held } => {
                let sent = trip.sent.saturating_add(1);
                let expires = trip.job.about.expires;
                let plan = self.workflow_for(&trip).plan(trip.step, sent, self.clock.now(), expires);
                let follow_up =
                    |(due, step, channel)| FollowUp { due, channel, reason: Reason::NextStep, step, sent };
                // The message was sent, so the caller is told that, whatever becomes of the rest.
                let _ = self.note(trip, plan.map(follow_up)).await;
                Delivered::Accepted { message_id, held }
            }
            End::Later { error, follow_up, row } => {
                log::postponed(&trip, &error);
                let message_id = format!("postponed-{}", AttemptId { key, attempt: row });
                match self.note(trip, Some(follow_up)).await {
                    Ok(()) => Delivered::Postponed { message_id },
                    Err(NotDurable) => Delivered::Failed { error: DeliveryError::NotRemembered, held: None },
                }
            }
            End::StillPlanned => {
                let attempt = trip.retry_of.unwrap_or_else(|| self.tracker.attempts(key));
                let message_id = format!("postponed-{}", AttemptId { key, attempt });
                Delivered::Postponed { message_id }
            }
            End::Failed { error, held, dropped } => {
                log::failed(&trip, &error, dropped);
                let is_follow_up = trip.is_follow_up();
                if !trip.hops.is_empty() {
                    let _ = self.note(trip, None).await;
                }
                // After the note, which writes the row that the reason belongs to. One that may have been sent
                // stays a gateway's error: nobody knows that it was not.
                if is_follow_up && !error.may_have_been_sent() {
                    self.tracker.drop_follow_up(key, dropped);
                }
                Delivered::Failed { error, held }
            }
        }
    }

    async fn note(&self, trip: Trip, next: Option<FollowUp>) -> Result<(), NotDurable> {
        let Trip { job, hops, retry_of, .. } = trip;
        let (number, is_planned) = (job.about.number, next.is_some());
        let note = SendNote { about: job.about, hops, retry_of, next };
        if !is_planned {
            self.tracker.note_send(note);
            return Ok(());
        }
        self.tracker.note_send_durably(note).await.map_err(|reason| {
            error!(%number, "what is to be sent later could not be written down: {reason}");
            NotDurable
        })
    }
}

/// A plan that a crash would lose. Logged already.
struct NotDurable;

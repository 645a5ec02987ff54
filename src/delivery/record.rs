//! What delivery tells the tracker. Nothing else in this module writes to it.

use std::sync::Arc;

use tracing::error;

use super::Delivery;
use super::error::Trouble;
use super::job::{Attempt, Delivered, PlanChange};
use super::tracker::{Hop, Parcel, SendNote, VerifyStatus};
use crate::domain::TrackKey;
use crate::engine::SendResult;

impl Delivery {
    /// Records the attempts and the plan of a run. A plan is durable when this returns; if that failed, a message
    /// that was to be retried counts as failed. What is returned may be told to the caller.
    pub async fn record(&self, about: Parcel, delivered: Delivered) -> (SendResult, Option<Trouble>) {
        let Delivered { result, attempts, plan, trouble } = delivered;
        let key = about.key;
        match plan {
            PlanChange::Keep => {}
            PlanChange::Set(follow_up) => {
                let number = about.number;
                let note = SendNote { next: Some(follow_up), ..note(about, attempts) };
                if let Err(reason) = self.tracker.note_send_durably(note).await {
                    error!(%number, "what is to be sent later could not be written down: {reason}");
                    if let SendResult::Postponed { .. } = result {
                        let failed = SendResult::Failed { may_have_been_sent: false, held: None };
                        return (failed, Some(Trouble::Gateway));
                    }
                }
            }
            PlanChange::End(dropped) => {
                if !attempts.is_empty() {
                    self.tracker.note_send(note(about, attempts));
                }
                // After the attempts, because the reason is noted at the last of them.
                if let Some(reason) = dropped {
                    self.tracker.drop_follow_up(key, reason);
                }
            }
        }
        (result, trouble)
    }

    /// Records a decided check. A successful one ends what is planned for the verification, and its provider is
    /// told in the background, if one of the gateways wants to know.
    pub fn note_check(self: &Arc<Self>, key: TrackKey, status: VerifyStatus) {
        self.tracker.note_check(key, status);
        if status == VerifyStatus::Success && self.confirms {
            let delivery = Arc::clone(self);
            tokio::spawn(async move {
                if let Some((gateway, message_id)) = delivery.tracker.accepted_message(key).await {
                    delivery.confirm(gateway, &message_id).await;
                }
            });
        }
    }
}

fn note(about: Parcel, attempts: Vec<Attempt>) -> SendNote {
    let retry_of = attempts.first().and_then(|attempt| attempt.repeats);
    let hop = |attempt| {
        let Attempt { gateway, channel, priority, ended, status, message_id, error_code, .. } = attempt;
        Hop { at: ended, channel, gateway, priority, status, message_id, error_code }
    };
    SendNote { about, hops: attempts.into_iter().map(hop).collect(), retry_of, next: None }
}

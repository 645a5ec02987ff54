//! What providers are told about messages that led to a verified number.

use std::sync::Arc;

use super::Delivery;
use super::tracker::VerifyStatus;
use crate::domain::TrackKey;

impl Delivery {
    /// Takes note of a decided check. A success ends what is planned for the verification, and the
    /// provider of its message is told, in the background, where one wants to know.
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

//! What the shards ask of delivery, and what they are told.

use std::future::Future;

use tokio::time::timeout;

use super::tracker::{FollowUp, Parcel, Tracker};
use super::{Delivery, DeliveryError, Letter};
use crate::domain::{Channel, Code, Held, PhoneNumber};
use crate::gateway::{ErrorClass, Verdict};

/// One message to deliver. Has no `Debug`: it contains a code.
pub struct Job {
    /// The verification and its message.
    pub about: Parcel,
    /// How it is to get there.
    pub channel: Channel,
    /// The code.
    pub code: Code,
    /// Why it is sent.
    pub purpose: Purpose,
}

/// Why a message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody asked for it, and waits.
    Request,
    /// It was planned by an earlier delivery.
    FollowUp(FollowUp),
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// A gateway took the message.
    Accepted {
        /// The provider's id of it.
        message_id: String,
        /// Who holds the code, if that gateway does.
        held: Option<Held>,
    },
    /// Nothing was sent yet; it will be tried again.
    Postponed {
        /// An id of ours.
        message_id: String,
    },
    /// No gateway took it.
    Failed {
        /// Why.
        error: DeliveryError,
        /// Who holds the code, if a message may have left all the same.
        held: Option<Held>,
    },
}

/// The gateway that holds a code did not say whether a submitted one is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway that holds the code did not say whether it is right")]
pub struct CheckError {
    /// Whether it may have looked at the code. `false` is certain.
    pub may_have_been_looked_at: bool,
}

impl Delivery {
    /// Delivers one message. `still_usable` says whether its code was neither used nor replaced nor
    /// locked meanwhile; it is asked after a wait.
    pub async fn deliver<U>(&self, job: Job, still_usable: impl Fn() -> U) -> Delivered
    where
        U: Future<Output = bool>,
    {
        let Job { about, channel, code, purpose: _ } = job;
        let Parcel { number: to, style, expires, .. } = about;
        let letter = Letter { to, channel, style, code, expires };
        let holds = self.gateway.checker().map(|_| Held { by: self.gateway.name(), channel });
        match self.deliver_letter(letter, still_usable).await {
            Ok(accepted) => Delivered::Accepted { message_id: accepted.message_id, held: holds },
            Err(error) => {
                let held = holds.filter(|_| error.may_have_been_sent());
                Delivered::Failed { error, held }
            }
        }
    }

    /// Asks whoever holds a code whether a submitted one is right.
    ///
    /// # Errors
    /// [`CheckError`] when there is no answer.
    pub async fn check(&self, held: Held, to: PhoneNumber, code: &Code) -> Result<Verdict, CheckError> {
        let checker = self.gateway.checker().filter(|_| self.gateway.name() == held.by);
        let Some(checker) = checker else { return Err(CheckError { may_have_been_looked_at: false }) };
        match timeout(self.send_budget, checker.check(to, held.channel, code)).await {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(error)) => {
                Err(CheckError { may_have_been_looked_at: error.class == ErrorClass::Ambiguous })
            }
            Err(_elapsed) => Err(CheckError { may_have_been_looked_at: true }),
        }
    }

    /// What became of every send.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// How a code is sent when nobody says how.
    pub fn first_channel(&self) -> Channel {
        Channel::Sms
    }
}

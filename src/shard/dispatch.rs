//! One send, from its durable decision to the command that settles it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::command::{Command, CommandKind, Dispatch, SendEnd, SettleCommand};
use super::surroundings::Surroundings;
use crate::delivery::tracker::Parcel;
use crate::delivery::{Delivered, DeliveryError, Job, Purpose};
use crate::domain::TrackKey;
use crate::engine::derive_code;

/// Delivers and settles. Runs in a task of its own: a caller that hangs up must not cancel a send
/// half way, and the shard waits for no gateway.
pub async fn run(send: Dispatch, around: Arc<Surroundings>) {
    let Dispatch { key, permit, channel, style, reply } = send;
    let code = derive_code(&around.server_key, &permit.salt, key.number, key.service, permit.length);
    let track = u64::from_be_bytes(permit.salt.0.first_chunk().copied().unwrap_or_default());
    let about = Parcel {
        key: TrackKey { service: key.service, track },
        number: key.number,
        salt: permit.salt,
        style,
        expires: permit.expires,
    };
    let job = Job { about, channel, code, held: None, purpose: Purpose::Request };
    let still_usable = async || around.router.is_usable(key, permit.salt).await;
    // A send that is never settled would count against its number for ever.
    let end = match AssertUnwindSafe(around.delivery.deliver(job, still_usable)).catch_unwind().await {
        Ok(Delivered::Accepted { message_id, .. } | Delivered::Postponed { message_id }) => {
            SendEnd::Accepted { message_id }
        }
        Ok(Delivered::Failed { error, .. }) => end_of(&error),
        Err(_panic) => {
            tracing::error!(number = %key.number, "delivery panicked; the message may have been sent or not");
            SendEnd::Failed { may_have_been_sent: true }
        }
    };
    let settle = SettleCommand { permit, end, reply, decided: None };
    around.router.send(Command::new(key, CommandKind::Settle(settle)));
}

fn end_of(error: &DeliveryError) -> SendEnd {
    match error {
        DeliveryError::Overloaded => SendEnd::Overloaded,
        error if error.is_about_the_number() => SendEnd::NumberRefused,
        error => SendEnd::Failed { may_have_been_sent: error.may_have_been_sent() },
    }
}

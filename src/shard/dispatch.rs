//! One send, from its durable decision to the command that settles it.

use std::sync::Arc;

use super::command::{Command, CommandKind, Dispatch, SendEnd, SettleCommand};
use super::surroundings::Surroundings;
use crate::delivery::{DeliveryError, Job};
use crate::domain::Channel;
use crate::engine::derive_code;

/// Delivers and settles. Runs in a task of its own: a caller that hangs up must not cancel a send
/// half way, and the shard waits for no gateway.
pub async fn run(send: Dispatch, around: Arc<Surroundings>) {
    let Dispatch { key, permit, template, reply } = send;
    let code = derive_code(&around.server_key, &permit.salt, key.number, key.service, permit.length);
    let job = Job { to: key.number, channel: Channel::Sms, template, code, expires: permit.expires };
    let still_usable = async || around.router.is_usable(key, permit.salt).await;
    let end = match around.delivery.deliver(job, still_usable).await {
        Ok(accepted) => SendEnd::Accepted { message_id: accepted.message_id },
        Err(error) => end_of(&error),
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

//! One send, from its durable decision to the command that settles it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::command::{Command, CommandKind, Dispatch, NumberKey, SettleCommand};
use super::decide::track_key;
use super::surroundings::Surroundings;
use crate::delivery::tracker::Parcel;
use crate::delivery::{Job, Owner};
use crate::domain::TrackKey;
use crate::engine::{Salt, SendResult, code_of};

/// Delivers, records and settles. Runs in a task of its own: a caller that hangs up must not cancel a send
/// half way, and the shard waits for no gateway.
pub async fn run(send: Dispatch, around: Arc<Surroundings>) {
    let Dispatch { key, permit, channel, style, purpose, caller } = send;
    let offset = permit.offset();
    let code = code_of(&around.server_key, &permit.salt, key.number, key.service, permit.length, offset);
    let track = track_key(key.service, &permit.salt);
    let about = Parcel { key: track, number: key.number, salt: permit.salt, style, expires: permit.expires };
    let job = Job {
        about,
        channel,
        code,
        held: permit.held,
        ours_only: offset != 0,
        earlier_attempts: around.delivery.tracker().attempts(track),
        purpose,
    };
    let shard = Shard { around: &around, key, salt: permit.salt, track };
    let delivering = async {
        let delivered = around.delivery.deliver(&job, &shard).await;
        around.delivery.record(job.about, delivered).await
    };
    // A send that is never settled would count against its number for ever.
    let (end, trouble) = AssertUnwindSafe(delivering).catch_unwind().await.unwrap_or_else(|_panic| {
        tracing::error!(number = %key.number, "delivery panicked; the message may have been sent or not");
        (SendResult::Failed { may_have_been_sent: true, held: None }, None)
    });
    let settle = SettleCommand { permit, end, trouble, caller, decided: None };
    around.router.send(Command::new(key, CommandKind::Settle(settle)));
}

/// The shard that owns the number, as far as a delivery asks it.
struct Shard<'a> {
    around: &'a Surroundings,
    key: NumberKey,
    salt: Salt,
    track: TrackKey,
}

impl Owner for Shard<'_> {
    async fn still_usable(&self) -> bool {
        self.around.router.is_usable(self.key, self.salt).await
    }

    async fn begin_follow_up(&self) -> bool {
        self.around.delivery.tracker().begin_follow_up(self.track).await.is_ok()
    }
}

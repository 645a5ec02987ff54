//! One question for the gateway that holds a code, from its durable count to the command that settles
//! it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::command::{Ask, Command, CommandKind, SettleCheckCommand};
use super::surroundings::Surroundings;
use crate::delivery::{CheckError, Verdict};
use crate::engine::CheckResult;

/// Asks and settles. Runs in a task of its own: the shard waits for no gateway, and a caller that hangs
/// up must not leave it open what became of the attempt.
pub async fn run(ask: Ask, around: Arc<Surroundings>) {
    let Ask { key, permit, code, reply } = ask;
    let asking = async {
        // Delivery keeps the time; this is for a delivery that does not. Nobody believes a later answer,
        // and the next code may be asked about then.
        let left = permit.until.since(around.clock.now());
        if left.is_zero() {
            return CheckResult::NotAsked;
        }
        match timeout(left, around.delivery.check(permit.held, key.number, &code)).await {
            Ok(Ok(Verdict::Approved)) => CheckResult::Approved,
            Ok(Ok(Verdict::Wrong)) => CheckResult::Wrong,
            Ok(Ok(Verdict::NotLive)) => CheckResult::NotLive,
            Ok(Err(CheckError { may_have_been_looked_at: false })) => CheckResult::NotAsked,
            Ok(Err(CheckError { may_have_been_looked_at: true })) | Err(_) => CheckResult::Unknown,
        }
    };
    // A check that is never settled would hold up its number until its time has passed.
    let result = AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|_panic| {
        tracing::error!(number = %key.number, "a check at a gateway panicked; the attempt counts");
        CheckResult::Unknown
    });
    let settle = SettleCheckCommand { permit, result, reply, decided: None };
    around.router.send(Command::new(key, CommandKind::SettleCheck(settle)));
}

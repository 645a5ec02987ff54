//! What was decided about a number, carried out: messages to gateways, questions to the gateways that hold codes. Each
//! comes back as a command that settles it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::command::{
    Ask, CommandKind, Deps, Dispatch, Effects, NumberCommand, SettleCheckCommand, SettleCommand, track_key,
};
use super::happened::{Happened, Recorder};
use super::record::NumberKey;
use crate::delivery::tracker::Parcel;
use crate::delivery::tracker::VerifyStatus;
use crate::delivery::{CheckError, Delivery, Job, Owner, Verdict};
use crate::domain::{Timestamp, TrackKey};
use crate::engine::{CheckResult, Ending, NumberState, Salt, SendResult, code_of};
use crate::shard::{Record, RecordKey, Shards, Transaction};

/// The gateways, as decisions reach them. The shards are put in when they run.
pub struct Gateways {
    delivery: Arc<Delivery>,
    links: OnceLock<Links>,
}

#[derive(Clone)]
struct Links {
    deps: Arc<Deps>,
    shards: Shards,
    delivery: Arc<Delivery>,
}

impl Gateways {
    /// Over delivery.
    pub fn new(delivery: Arc<Delivery>) -> Arc<Self> {
        Arc::new(Self { delivery, links: OnceLock::new() })
    }

    /// Results go to these shards.
    pub fn connect(&self, deps: Arc<Deps>, shards: Shards) {
        let delivery = Arc::clone(&self.delivery);
        let _ = self.links.set(Links { deps, shards, delivery });
    }
}

/// Each in a task of its own: a caller that hangs up must not cancel a send half way, and the shard waits for no gateway.
impl Effects for Gateways {
    fn deliver(&self, dispatch: Dispatch) {
        if let Some(links) = self.links.get().cloned() {
            tokio::spawn(links.deliver(dispatch));
        }
    }

    fn ask(&self, ask: Ask) {
        if let Some(links) = self.links.get().cloned() {
            tokio::spawn(links.ask(ask));
        }
    }
}

impl Links {
    async fn deliver(self, dispatch: Dispatch) {
        let Dispatch { key, permit, channel, style, purpose, caller } = dispatch;
        let Self { deps, shards, delivery } = &self;
        let offset = permit.offset();
        let code = code_of(&deps.key, &permit.salt, key.number, key.service, permit.length, offset);
        let track = track_key(key.service, &permit.salt);
        let about =
            Parcel { key: track, number: key.number, salt: permit.salt, style, expires: permit.expires };
        let job = Job {
            about,
            channel,
            code,
            held: permit.held,
            ours_only: offset != 0,
            earlier_attempts: delivery.tracker().attempts(track),
            purpose,
        };
        let owner = NumberOwner { links: &self, key, salt: permit.salt, track };
        let delivering = async {
            let delivered = delivery.deliver(&job, &owner).await;
            delivery.record(job.about, delivered).await
        };
        // A send that is never settled would count against its number for ever.
        let (result, trouble) = AssertUnwindSafe(delivering).catch_unwind().await.unwrap_or_else(|_panic| {
            tracing::error!(number = %key.number, "delivery panicked; the message may have been sent");
            (SendResult::Failed { may_have_been_sent: true, held: None }, None)
        });
        let settle = SettleCommand { permit, result, trouble, caller, decided: None };
        shards.router().send(NumberCommand::new(key, CommandKind::Settle(settle), Arc::clone(deps)));
    }

    async fn ask(self, ask: Ask) {
        let Ask { key, permit, code, reply } = ask;
        let Self { deps, shards, delivery } = self;
        let asking = async {
            // Delivery keeps the time; this is for a delivery that does not. A later answer is not believed, and the next
            // code may be asked about then.
            let left = permit.until.since(shards.clock().now());
            if left.is_zero() {
                return CheckResult::NotAsked;
            }
            match timeout(left, delivery.check(permit.held, key.number, &code)).await {
                Ok(Ok(Verdict::Approved)) => CheckResult::Approved,
                Ok(Ok(Verdict::Wrong)) => CheckResult::Wrong,
                Ok(Ok(Verdict::NotLive)) => CheckResult::NotLive,
                Ok(Err(CheckError { may_have_been_looked_at: false })) => CheckResult::NotAsked,
                Ok(Err(CheckError { may_have_been_looked_at: true })) | Err(_) => CheckResult::Unknown,
            }
        };
        // A check that is never settled would hold up its number until its time has passed.
        let result = AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|_panic| {
            tracing::error!(number = %key.number, "check at a gateway panicked; the attempt counts");
            CheckResult::Unknown
        });
        let settle = SettleCheckCommand { permit, result, reply, decided: None };
        shards.router().send(NumberCommand::new(key, CommandKind::SettleCheck(settle), deps));
    }
}

/// Whether a message with the code of `salt` is still worth sending. A shard that cannot say says no.
async fn is_usable(shards: &Shards, deps: &Arc<Deps>, key: NumberKey, salt: Salt) -> bool {
    let subject = deps.subject(&key);
    let policy = deps.policies.of(key.service);
    let record = RecordKey { slot: subject.slot, kind: NumberState::KIND, id: subject.id };
    let usable = shards.router().read(subject.slot, move |tables, now| {
        let state = tables.get::<NumberState>(&record, now)?;
        state.present(&policy, now).verification().filter(|v| v.is_live(now) && v.salt == salt)
    });
    usable.await.is_ok_and(|live| live.is_some())
}

/// The shard that owns a number, as far as a delivery asks it.
struct NumberOwner<'a> {
    links: &'a Links,
    key: NumberKey,
    salt: Salt,
    track: TrackKey,
}

impl Owner for NumberOwner<'_> {
    async fn still_usable(&self) -> bool {
        is_usable(&self.links.shards, &self.links.deps, self.key, self.salt).await
    }

    async fn begin_follow_up(&self) -> bool {
        self.links.delivery.tracker().begin_follow_up(self.track).await.is_ok()
    }
}

/// Notes what became of verifications in the list of attempts.
pub struct NoteChecks(pub Arc<Delivery>);

impl Recorder for NoteChecks {
    fn record(&self, key: NumberKey, happened: &Happened<'_>, _now: Timestamp, _view: &mut Transaction<'_>) {
        let (verification, status) = match happened {
            Happened::Checked { verification, status, .. } => (verification, *status),
            Happened::Ended { verification, ending: Ending::Approved } => {
                (verification, VerifyStatus::Success)
            }
            Happened::Permitted { .. } | Happened::Settled { .. } | Happened::Ended { .. } => return,
        };
        self.0.note_check(track_key(key.service, &verification.salt), status);
    }
}

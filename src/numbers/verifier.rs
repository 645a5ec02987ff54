//! The front door: one handle that the HTTP layer and library users call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError, watch};

use super::capacity::{Capacity, Usage};
use super::check::{CheckCommand, EndCommand};
use super::command::{CommandKind, Deps, NumberCommand, PendingReply, Responder, track_key};
use super::deliver::Gateways;
use super::follow_up::{self, FollowUps};
use super::happened::Recorder;
use super::policies::Policies;
use super::receipt::ReceiptCommand;
use super::record::NumberKey;
use super::reply::{Facts, Reply, SendOutcome};
use super::send::{OwnOptions, SendCommand};
use crate::attempts::{Attempts, ReceiptOutcome};
use crate::config::Bounds;
use crate::delivery::Delivery;
use crate::domain::{Channel, Code, PhoneNumber, ServerKey, ServiceId, TrackKey};
use crate::engine::{
    CheckOutcome, Ending, NumberState, SendOptions, SlotHash, Verification, VerificationName,
};
use crate::gateway::Receipt;
use crate::shard::{Record, RecordKey, Refusal, Shards, Tables};
use crate::template::MessageStyle;

/// A request to send a code: the first one of a verification, or a repetition.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// The service that the number is counted in.
    pub service: ServiceId,
    /// The recipient.
    pub number: PhoneNumber,
    /// Properties of a new code; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// How the message is delivered; `None` for the channel that the service's delivery begins with.
    pub channel: Option<Channel>,
    /// How the message is worded.
    pub style: MessageStyle,
    /// Begins a verification with limits and an id of its own. `None` for the compatible routes: each of their messages
    /// replaces the code, and nothing limits them.
    pub own: Option<OwnOptions>,
}

/// A request to check a code.
#[derive(Debug)]
pub struct CheckRequest {
    /// The service that the number is counted in.
    pub service: ServiceId,
    /// The number that the code was sent to.
    pub number: PhoneNumber,
    /// The submitted code; `None` for a text that cannot be one, which counts as a wrong code.
    pub code: Option<Code>,
    /// The verification; `None` for the one that is under way.
    pub named: Option<VerificationName>,
    /// For a test number: nothing is limited.
    pub is_test: bool,
}

/// A request to end a verification, or to clear the counts of a number.
#[derive(Debug, Clone, Copy)]
pub struct EndRequest {
    /// The service that the number is counted in.
    pub service: ServiceId,
    /// The number.
    pub number: PhoneNumber,
    /// How it ends.
    pub ending: Ending,
    /// The verification; `None` for the one that is under way.
    pub named: Option<VerificationName>,
}

/// One in so many of the commands in flight is reserved for checks.
const CHECKS_SHARE: usize = 4;

/// The dependencies of a [`Verifier`].
pub struct VerifierDeps {
    /// They keep numbers ([`NumberTable`](super::table::NumberTable)) and decide.
    pub shards: Shards,
    /// The slot of a number.
    pub slots: SlotHash,
    /// How many numbers may be remembered; the number tables count in it.
    pub capacity: Arc<Capacity>,
    /// The delivery attempts that the shards keep.
    pub attempts: Attempts,
    /// Sends messages.
    pub delivery: Arc<Delivery>,
    /// The rules of every service.
    pub policies: Policies,
    /// Codes are derived with it.
    pub server_key: ServerKey,
    /// Commands, sends and times.
    pub bounds: Bounds,
    /// They write records of decisions in the same commit.
    pub recorders: Vec<Arc<dyn Recorder>>,
}

/// A cheap handle on all shards.
#[derive(Clone)]
pub struct Verifier {
    shards: Shards,
    deps: Arc<Deps>,
    attempts: Attempts,
    delivery: Arc<Delivery>,
    /// One permit for each command in flight: ractor's mailboxes have no bound of their own.
    places: Arc<Semaphore>,
    bound: u32,
    /// Places that sends cannot take, so that a slow gateway never keeps a check waiting.
    kept_for_checks: usize,
    /// Stops the scheduler of planned sends, as does the drop of the last handle.
    stop: watch::Sender<bool>,
}

impl Verifier {
    /// Starts the scheduler of planned sends. Needs a tokio runtime.
    pub fn new(deps: VerifierDeps) -> Self {
        let VerifierDeps {
            shards,
            slots,
            capacity,
            attempts,
            delivery,
            policies,
            server_key,
            bounds,
            recorders,
        } = deps;
        // Delivery's own budget begins when the decision is durable.
        let send_budget = bounds.send_budget + bounds.commit_timeout;
        let effects = Gateways::new(Arc::clone(&delivery));
        let deps = Arc::new(Deps {
            policies,
            key: server_key,
            slots,
            capacity,
            send_budget,
            // A gateway's answer is decided with the batch after the one that is in flight when it arrives.
            check_budget: send_budget + bounds.commit_timeout,
            effects: Arc::clone(&effects) as _,
            tracker: attempts.settings(),
            recorders,
        });
        effects.connect(&deps, shards.clone());
        let bound = u32::try_from(bounds.commands).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(bounds.commands));
        let stop = watch::Sender::new(false);
        let kept_for_checks = bounds.commands / CHECKS_SHARE;
        let verifier = Self { shards, deps, attempts, delivery, places, bound, kept_for_checks, stop };
        let follow_ups = FollowUps {
            attempts: verifier.attempts.clone(),
            shards: verifier.shards.clone(),
            deps: Arc::clone(&verifier.deps),
            places: Arc::clone(&verifier.places),
            at_once: bounds.sends,
        };
        tokio::spawn(follow_up::run(follow_ups, verifier.stop.subscribe()));
        verifier
    }

    /// The delivery attempts.
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Sends a code and waits until a gateway has accepted it. The command is carried out even if the caller goes away.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn send(&self, request: SendRequest) -> Result<Reply<SendOutcome>, Refusal> {
        let SendRequest { service, number, options, channel, style, own } = request;
        let channel = channel.unwrap_or_else(|| self.delivery.first_channel_of(service));
        // A refusal here costs no commit. Two threads that look at the same moment may both go on.
        if self.places.available_permits() <= self.kept_for_checks && !self.places.is_closed() {
            return Err(Refusal::Overloaded);
        }
        let is_silent = own.as_ref().is_some_and(|own| own.is_test);
        if !is_silent && self.delivery.is_overloaded(service, number, channel) {
            return Err(Refusal::SendsOverloaded);
        }
        let key = NumberKey { service, number };
        self.decide(key, |responder| {
            CommandKind::Send(SendCommand { options, channel, style, own, responder, decided: None })
        })
        .await
    }

    /// Checks a submitted code. The command is carried out even if the caller goes away.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn check(&self, request: CheckRequest) -> Result<Reply<CheckOutcome>, Refusal> {
        let CheckRequest { service, number, code, named, is_test } = request;
        let key = NumberKey { service, number };
        self.decide(key, |responder| {
            CommandKind::Check(CheckCommand { code, named, is_test, responder, decided: None })
        })
        .await
    }

    /// Ends a verification, or clears the counts of a number. Returns the verification that ended; `None` if there was
    /// none.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn end(&self, request: EndRequest) -> Result<Option<Facts>, Refusal> {
        let EndRequest { service, number, ending, named } = request;
        let key = NumberKey { service, number };
        self.decide(key, |responder| CommandKind::End(EndCommand { ending, named, responder, decided: None }))
            .await
    }

    /// Records a provider's report about a message. Of two equal reports one is news.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was recorded.
    pub async fn receive(&self, receipt: Receipt) -> Result<ReceiptOutcome, Refusal> {
        let (command, pending) = ReceiptCommand::new(receipt, Arc::clone(&self.deps));
        self.shards.submit(command);
        pending.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// The verification that is under way for a number.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the number's shard restarts.
    pub async fn facts(&self, service: ServiceId, number: PhoneNumber) -> Result<Option<Facts>, Refusal> {
        let policy = self.deps.policies.of(service);
        let verification = self.present(NumberKey { service, number }).await?;
        Ok(verification.map(|v| Facts::of(&v, &policy)))
    }

    /// The live code of a verification and the rest of its life, for a voice call that reads it again when it is answered.
    /// `track` is the record of the verification's attempts.
    pub async fn code_of(&self, number: PhoneNumber, track: TrackKey) -> Option<(Code, Duration)> {
        let service = track.service;
        let verification = self.present(NumberKey { service, number }).await.ok().flatten()?;
        let now = self.shards.clock().now();
        let slot = self.deps.subject(&NumberKey { service, number }).slot;
        if track_key(service, &verification.salt, slot) != track || !verification.is_live(now) {
            return None;
        }
        let code = verification.code_seed(service, number).code(&self.deps.key);
        Some((code, verification.expires.since(now)))
    }

    /// Commands accepted and not yet answered.
    pub fn commands_in_flight(&self) -> usize {
        usize::try_from(self.bound).unwrap_or(usize::MAX).saturating_sub(self.places.available_permits())
    }

    /// How many numbers are remembered, and how many may be, for `/readyz`.
    pub fn usage(&self) -> Usage {
        self.deps.capacity.usage()
    }

    /// Whether every shard is running, for `/readyz`.
    pub fn is_ready(&self) -> bool {
        self.shards.router().is_complete()
    }

    /// Refuses new commands and waits until those in flight have their replies. Planned sends that have not begun wait for
    /// the next start.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let all = self.places.acquire_many(self.bound).await;
        self.places.close();
        drop(all);
    }

    /// Has the number's shard decide a command, and waits for its reply.
    async fn decide<T>(
        &self,
        key: NumberKey,
        command: impl FnOnce(Responder<T>) -> CommandKind,
    ) -> Result<T, Refusal> {
        let (responder, pending) = self.responder()?;
        self.shards.submit(NumberCommand::new(key, command(responder), Arc::clone(&self.deps)));
        pending.await.unwrap_or(Err(Refusal::Stopping))
    }

    fn responder<T>(&self) -> Result<(Responder<T>, PendingReply<T>), Refusal> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok(Responder::new(place)),
            Err(TryAcquireError::NoPermits) => Err(Refusal::Overloaded),
            Err(TryAcquireError::Closed) => Err(Refusal::Stopping),
        }
    }

    /// The verification that is under way, whether or not attempts are left.
    async fn present(&self, key: NumberKey) -> Result<Option<Verification>, Refusal> {
        let policy = self.deps.policies.of(key.service);
        let subject = self.deps.subject(&key);
        let record = RecordKey { slot: subject.slot, kind: NumberState::KIND, id: subject.id };
        let look = move |tables: &Tables, now| {
            let state = tables.get::<NumberState>(&record, now)?;
            state.at(&policy, now).verification().filter(|v| now < v.expires)
        };
        self.shards.router().read(subject.slot, look).await
    }
}

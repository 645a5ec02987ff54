//! The front door: one handle that the HTTP layer and library users call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError, watch};

use super::answer::{CheckAnswer, Facts, Limit, SendAnswer, Told};
use super::capacity::{Capacity, Usage};
use super::command::{
    Answer, CheckCommand, CommandKind, Deps, EndCommand, NumberCommand, OwnOptions, Reply, SendCommand,
    track_key,
};
use super::deliver::Gateways;
use super::follow_up::{self, FollowUps};
use super::happened::Recorder;
use super::policies::Policies;
use super::receipt::ReceiptCommand;
use super::record::NumberKey;
use crate::attempts::{Attempts, ReceiptOutcome};
use crate::config::Bounds;
use crate::delivery::Delivery;
use crate::domain::{Channel, Code, PhoneNumber, ServerKey, ServiceId, TrackKey};
use crate::engine::{Ending, NumberState, SendOptions, SlotHash, Verification, VerificationName, code_of};
use crate::gateway::Receipt;
use crate::shard::{Record, RecordKey, Refusal, Shards, Tables};
use crate::template::MessageStyle;

/// Ask for a code to be sent.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// The namespace it is counted in.
    pub service: ServiceId,
    /// Whom it goes to.
    pub number: PhoneNumber,
    /// What the code is like; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// How the code is sent; `None` for the way that delivery begins with.
    pub channel: Option<Channel>,
    /// How the message is worded.
    pub style: MessageStyle,
}

/// Ask for a verification to begin by itself, or for a further message of it.
#[derive(Debug, Clone)]
pub struct BeginRequest {
    /// As in a send; the channel is how it is delivered and shown.
    pub send: SendRequest,
    /// The code, where the caller brings one.
    pub brought: Option<Code>,
    /// Whether it is a test number: no message is sent, and nothing is limited.
    pub is_test: bool,
    /// What the caller attaches to the verification, for its events.
    pub tags: BTreeMap<String, String>,
}

/// Ask whether a code is right, of a verification that may be named.
#[derive(Debug)]
pub struct NamedCheck {
    /// As in a check.
    pub check: CheckRequest,
    /// Which verification; `None` for whatever is under way.
    pub named: Option<VerificationName>,
    /// Whether it is a test number.
    pub is_test: bool,
}

/// End a verification, or what was counted of a number.
#[derive(Debug, Clone, Copy)]
pub struct EndRequest {
    /// The namespace.
    pub service: ServiceId,
    /// Whose.
    pub number: PhoneNumber,
    /// How.
    pub ending: Ending,
    /// Which verification; `None` for whatever is under way.
    pub named: Option<VerificationName>,
}

/// Ask whether a code is right.
#[derive(Debug)]
pub struct CheckRequest {
    /// The namespace it is counted in.
    pub service: ServiceId,
    /// Whose code it is.
    pub number: PhoneNumber,
    /// What was submitted; `None` when it cannot be a code, which counts as a wrong one.
    pub code: Option<Code>,
}

/// What part of the commands in flight may be checks only: one in so many.
const CHECKS_SHARE: usize = 4;

/// What the front door is made of.
pub struct Parts {
    /// Who decides; they keep numbers ([`NumberTable`](super::table::NumberTable)).
    pub shards: Shards,
    /// Which slot a number is in.
    pub slots: SlotHash,
    /// What the number tables count in.
    pub capacity: Arc<Capacity>,
    /// The delivery attempts that the shards keep.
    pub attempts: Attempts,
    /// Who sends.
    pub delivery: Arc<Delivery>,
    /// The rules of every service.
    pub policies: Policies,
    /// What codes are derived with.
    pub server_key: ServerKey,
    /// The limit on everything.
    pub bounds: Bounds,
    /// What else keeps records of decisions, in the same commit.
    pub recorders: Vec<Arc<dyn Recorder>>,
}

/// A cheap handle on all shards.
#[derive(Clone)]
pub struct Verifier {
    shards: Shards,
    deps: Arc<Deps>,
    attempts: Attempts,
    delivery: Arc<Delivery>,
    /// One permit per command in flight: ractor's mailboxes have no bound of their own.
    places: Arc<Semaphore>,
    bound: u32,
    /// So many of them are for checks only: a slow gateway cannot take these, and people who hold a code are answered.
    kept_for_checks: usize,
    /// Stops the scheduler of planned sends; so does the end of the last handle.
    stop: watch::Sender<bool>,
}

impl Verifier {
    /// Takes commands from here on, and makes what is planned. Needs a tokio runtime.
    pub fn new(parts: Parts) -> Self {
        let Parts { shards, slots, capacity, attempts, delivery, policies, server_key, bounds, recorders } =
            parts;
        // Delivery's own budget begins when the decision is durable.
        let send_budget = bounds.send_budget + bounds.commit_timeout;
        let effects = Gateways::new(Arc::clone(&delivery));
        let deps = Arc::new(Deps {
            policies,
            key: server_key,
            slots,
            capacity,
            send_budget,
            // What a gateway says is decided with the batch after the one that is in flight when it says it.
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

    /// Records what a provider reported about a message, and returns what came of it, with the record of its attempts where
    /// it was news. Of two equal reports one is news.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn receive(&self, receipt: Receipt) -> Result<ReceiptOutcome, Refusal> {
        let (command, answer) = ReceiptCommand::new(receipt, Arc::clone(&self.deps));
        self.shards.router().send(command);
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Sends a code and waits until the provider has accepted it. The command is carried out even
    /// if the caller goes away.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn send(&self, request: SendRequest) -> Result<SendAnswer, Refusal> {
        known(self.send_told(request).await)
    }

    /// The same as [`Verifier::send`], with what is known of the verification.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn send_told(&self, request: SendRequest) -> Result<Told<SendAnswer>, Refusal> {
        self.hand_over(request, None).await
    }

    /// The same as [`Verifier::check`], with what is known of the verification.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn check_told(&self, check: CheckRequest) -> Result<Told<CheckAnswer>, Refusal> {
        self.check_named(NamedCheck { check, named: None, is_test: false }).await
    }

    /// Begins a verification, or sends its code again, by the rules of its service. Otherwise as [`Verifier::send`].
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn begin(&self, request: BeginRequest) -> Result<Told<SendAnswer>, Refusal> {
        let BeginRequest { send, brought, is_test, tags } = request;
        self.hand_over(send, Some(OwnOptions { brought, is_test, tags })).await
    }

    async fn hand_over(
        &self,
        request: SendRequest,
        own: Option<OwnOptions>,
    ) -> Result<Told<SendAnswer>, Refusal> {
        let SendRequest { service, number, options, channel, style } = request;
        let channel = channel.unwrap_or_else(|| self.delivery.first_channel_of(service));
        // Refused here it costs no commit. Two threads that look at the same moment may both go on.
        if self.places.available_permits() <= self.kept_for_checks && !self.places.is_closed() {
            return Err(Refusal::Overloaded);
        }
        let is_silent = own.as_ref().is_some_and(|own| own.is_test);
        if !is_silent && self.delivery.is_overloaded(service, number, channel) {
            return Err(Refusal::SendsOverloaded);
        }
        let (reply, answer) = self.reply()?;
        let send = SendCommand { options, channel, style, own, reply, decided: None };
        self.submit(NumberKey { service, number }, CommandKind::Send(send));
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    fn submit(&self, key: NumberKey, kind: CommandKind) {
        self.shards.router().send(NumberCommand::new(key, kind, Arc::clone(&self.deps)));
    }

    /// Checks a submitted code. The command is carried out even if the caller goes away.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn check(&self, check: CheckRequest) -> Result<CheckAnswer, Refusal> {
        known(self.check_told(check).await)
    }

    /// Ends a verification, or clears the counts of a number.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn end(&self, request: EndRequest) -> Result<Told<()>, Refusal> {
        let (reply, answer) = self.reply()?;
        let EndRequest { service, number, ending, named } = request;
        let end = EndCommand { ending, named, reply, decided: None };
        self.submit(NumberKey { service, number }, CommandKind::End(end));
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// What is known of the verification that is under way for a number.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the number's shard cannot say.
    pub async fn facts(&self, service: ServiceId, number: PhoneNumber) -> Result<Option<Facts>, Refusal> {
        let policy = self.deps.policies.of(service);
        let verification = self.present(NumberKey { service, number }).await?;
        Ok(verification.map(|v| Facts::of(&v, &policy)))
    }

    /// The verification that is under way, whether or not attempts are left.
    async fn present(&self, key: NumberKey) -> Result<Option<Verification>, Refusal> {
        let policy = self.deps.policies.of(key.service);
        let subject = self.deps.subject(&key);
        let record = RecordKey { slot: subject.slot, kind: NumberState::KIND, id: subject.id };
        let look = move |tables: &Tables, now| {
            let state = tables.get::<NumberState>(&record, now)?;
            state.present(&policy, now).verification().filter(|v| now < v.expires)
        };
        self.shards.router().read(subject.slot, look).await
    }

    /// Checks a submitted code of a verification that may be named, by the rules of its service.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn check_named(&self, request: NamedCheck) -> Result<Told<CheckAnswer>, Refusal> {
        let (reply, answer) = self.reply()?;
        let NamedCheck { check: CheckRequest { service, number, code }, named, is_test } = request;
        let check = CheckCommand { code, named, is_test, reply, decided: None };
        self.submit(NumberKey { service, number }, CommandKind::Check(check));
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// The code that is out for a verification and how much longer it can be used, if it can: for a caller that has to be
    /// told it a second time, such as a voice call that was answered. `track` is the record of its attempts.
    pub async fn code_of(&self, number: PhoneNumber, track: TrackKey) -> Option<(Code, Duration)> {
        let service = track.service;
        let verification = self.present(NumberKey { service, number }).await.ok().flatten()?;
        let now = self.shards.clock().now();
        let slot = self.deps.subject(&NumberKey { service, number }).slot;
        if track_key(service, &verification.salt, slot) != track || !verification.is_live(now) {
            return None;
        }
        let Verification { salt, length, expires, .. } = verification;
        let code = code_of(&self.deps.key, &salt, number, service, length, verification.offset());
        Some((code, expires.since(now)))
    }

    fn reply<T>(&self) -> Result<(Reply<T>, Answer<T>), Refusal> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok(Reply::new(place)),
            Err(TryAcquireError::NoPermits) => Err(Refusal::Overloaded),
            Err(TryAcquireError::Closed) => Err(Refusal::Stopping),
        }
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

    /// Waits until every command in flight has its answer, and refuses new ones. Planned sends that have not begun wait for the next start.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let all = self.places.acquire_many(self.bound).await;
        self.places.close();
        drop(all);
    }
}

/// The answer as the contract's routes know it. They are for the default service, whose rules refuse nothing that they
/// have no word for; should a rule forbid it all the same, the number is said to be busy.
pub fn known<A>(told: Result<Told<A>, Refusal>) -> Result<A, Refusal> {
    told?.answer.map_err(|_: Limit| Refusal::NumberBusy)
}

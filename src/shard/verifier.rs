//! The front door: one handle that the HTTP layer and library users call.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef, SpawnErr};
use rand::rngs::StdRng;
use tokio::sync::{Semaphore, TryAcquireError, watch};

use super::command::{
    Answer, BeginWishes, CheckCommand, Command, CommandKind, EndCommand, NumberKey, Reply, SendCommand,
};
use super::decide::Judge;
use super::follow_up::{self, FollowUps};
use super::room::{Occupancy, Room};
use super::router::Router;
use super::supervisor::{self, Supervisor};
use super::surroundings::Surroundings;
use super::{Facts, Limit, Policies, Told};
use crate::clock::Clock;
use crate::config::Bounds;
use crate::delivery::Delivery;
use crate::domain::{Channel, Code, PhoneNumber, ServerKey, ServiceId};
use crate::engine::{Ending, SendOptions, Verification, VerificationName, code_of};
use crate::store::Store;
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
    /// Whether it is a test number: nobody is sent anything, and nothing is limited.
    pub is_test: bool,
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

/// What became of a send. Leaves the shard only when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendAnswer {
    /// The provider accepted the message, or it will be tried again until one does.
    Sent {
        /// Wrong codes still allowed.
        attempts_left: u8,
        /// The provider's id of the message, or one of ours.
        message_id: String,
        /// Whether no gateway took it yet: it is tried again in the background.
        postponed: bool,
    },
    /// The number is locked out.
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The provider says that the number does not exist or cannot take messages.
    NumberRefused,
    /// The provider refused otherwise, or did not answer in time.
    GatewayFailed,
}

/// What became of a check. Leaves the shard only when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAnswer {
    /// The code was right, and is now used.
    Approved,
    /// It was not.
    Wrong {
        /// Wrong codes still allowed after this one.
        attempts_left: u8,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// This wrong code used the last attempt: the number is locked from now on.
    LockedNow {
        /// Until it may ask again.
        remaining: Duration,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// The number was locked already; the code was not looked at.
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The gateway that holds the code did not say whether it is right. The attempt counts, unless the
    /// gateway surely did not look at the code.
    GatewayFailed,
}

/// Why a command was not decided. Nothing was guessed and nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many commands are waiting for an answer.
    #[error("too many requests are in progress")]
    Overloaded,
    /// Too many commands for this one number are waiting for an answer.
    #[error("too many requests for this number are in progress")]
    NumberBusy,
    /// The messages waiting for the gateway have filled their queue.
    #[error("too many messages are waiting for the gateway")]
    SendsOverloaded,
    /// As many numbers are remembered as may be, and this one is not among them.
    #[error("too many numbers are remembered already")]
    TooManyNumbers,
    /// The decision could not be made durable.
    #[error("the store is not available")]
    StoreUnavailable,
    /// The server is stopping, or the shard is restarting.
    #[error("the server is stopping or restarting")]
    Stopping,
}

/// What part of the commands in flight may be checks only: one in so many.
const CHECKS_SHARE: usize = 4;

/// What the shards are built from.
pub struct Parts {
    /// Where decisions become durable.
    pub store: Arc<dyn Store>,
    /// Who sends.
    pub delivery: Arc<Delivery>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The rules of every service.
    pub policies: Policies,
    /// What codes are derived with.
    pub server_key: ServerKey,
    /// Where each shard's random source gets its seed.
    pub seeds: Box<dyn Fn() -> StdRng + Send + Sync>,
    /// How many shards; at least 1.
    pub shards: usize,
    /// The limit on everything.
    pub bounds: Bounds,
}

/// A cheap handle on all shards.
#[derive(Clone)]
pub struct Verifier {
    around: Arc<Surroundings>,
    supervisor: ActorRef<supervisor::Message>,
    /// One permit per command in flight: ractor's mailboxes have no bound of their own.
    places: Arc<Semaphore>,
    bound: u32,
    /// So many of them are for checks only: people who hold a code get their answer also when sends have
    /// taken every other place, and a gateway that is slow cannot take these.
    kept_for_checks: usize,
    /// Tells the maker of planned sends to stop; so does the end of the last handle.
    stop: watch::Sender<bool>,
}

impl Verifier {
    /// Loads every number from the store and starts the shards.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { store, delivery, clock, policies, server_key, seeds, shards, bounds } = parts;
        let router = Arc::new(Router::new(shards));
        let around = Arc::new(Surroundings {
            store,
            delivery,
            clock,
            server_key: server_key.clone(),
            router,
            room: Room::new(bounds.numbers),
            commit_timeout: bounds.commit_timeout,
        });
        // Delivery's own budget begins when the decision is durable.
        let send_budget = bounds.send_budget + bounds.commit_timeout;
        // What a gateway says is decided with the batch after the one that is in flight when it says it.
        let check_budget = send_budget + bounds.commit_timeout;
        let judge = Box::new(move || Judge {
            policies: policies.clone(),
            key: server_key.clone(),
            rng: seeds(),
            send_budget,
            check_budget,
        });
        let commands_per_number = bounds.commands_per_number;
        let plan = supervisor::Plan { around: Arc::clone(&around), judge, commands_per_number };
        let (supervisor, _) =
            Supervisor::spawn(None, Supervisor, plan).await.map_err(|error| match error {
                SpawnErr::StartupFailed(why) => StartError(why.to_string()),
                other => StartError(other.to_string()),
            })?;
        let bound = u32::try_from(bounds.commands).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(bounds.commands));
        let stop = watch::Sender::new(false);
        let kept_for_checks = bounds.commands / CHECKS_SHARE;
        let verifier = Self { around, supervisor, places, bound, kept_for_checks, stop };
        verifier.follow(verifier.around.delivery.tracker().clone(), bounds.sends);
        Ok(verifier)
    }

    /// Makes what is planned, `at_once` of it at the same time, until the stop.
    pub(super) fn follow(&self, plan: impl follow_up::Plan, at_once: usize) {
        let (around, places) = (Arc::clone(&self.around), Arc::clone(&self.places));
        let follow_ups = FollowUps { plan, around, places, at_once };
        tokio::spawn(follow_up::run(follow_ups, self.stop.subscribe()));
    }

    /// Sends a code and waits until the provider has accepted it. The command is carried out even
    /// if the caller goes away.
    pub async fn send(&self, request: SendRequest) -> Result<SendAnswer, Refusal> {
        known(self.send_told(request).await)
    }

    /// The same as [`Verifier::send`], with what is known of the verification.
    pub async fn send_told(&self, request: SendRequest) -> Result<Told<SendAnswer>, Refusal> {
        self.hand_over(request, None).await
    }

    /// The same as [`Verifier::check`], with what is known of the verification.
    pub async fn check_told(&self, check: CheckRequest) -> Result<Told<CheckAnswer>, Refusal> {
        self.check_named(NamedCheck { check, named: None, is_test: false }).await
    }

    /// Begins a verification, or sends its code again, by the rules of its service. Otherwise as [`Verifier::send`].
    pub async fn begin(&self, request: BeginRequest) -> Result<Told<SendAnswer>, Refusal> {
        let BeginRequest { send, brought, is_test } = request;
        self.hand_over(send, Some(BeginWishes { brought, is_test })).await
    }

    async fn hand_over(
        &self,
        request: SendRequest,
        begin: Option<BeginWishes>,
    ) -> Result<Told<SendAnswer>, Refusal> {
        let SendRequest { service, number, options, channel, style } = request;
        let channel = channel.unwrap_or_else(|| self.around.delivery.first_channel_of(service));
        // Refused here it costs no commit. Two threads that look at the same moment may both go on.
        if self.places.available_permits() <= self.kept_for_checks && !self.places.is_closed() {
            return Err(Refusal::Overloaded);
        }
        let is_silent = begin.as_ref().is_some_and(|begin| begin.is_test);
        if !is_silent && self.around.delivery.is_overloaded(service, number, channel) {
            return Err(Refusal::SendsOverloaded);
        }
        let (reply, answer) = self.reply()?;
        let send = SendCommand { options, channel, style, begin, reply, decided: None };
        self.around.router.send(Command::new(NumberKey { service, number }, CommandKind::Send(send)));
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Checks a submitted code. The command is carried out even if the caller goes away.
    pub async fn check(&self, check: CheckRequest) -> Result<CheckAnswer, Refusal> {
        known(self.check_told(check).await)
    }

    /// Ends a verification, or clears what was counted of a number.
    pub async fn end(&self, request: EndRequest) -> Result<Told<()>, Refusal> {
        let (reply, answer) = self.reply()?;
        let EndRequest { service, number, ending, named } = request;
        let end = EndCommand { ending, named, reply, decided: None };
        self.around.router.send(Command::new(NumberKey { service, number }, CommandKind::End(end)));
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// What is known of the verification that is under way for a number.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the number's shard cannot say.
    pub async fn facts(&self, service: ServiceId, number: PhoneNumber) -> Result<Option<Facts>, Refusal> {
        self.around.router.facts(NumberKey { service, number }).await.map_err(|()| Refusal::Stopping)
    }

    /// Checks a submitted code of a verification that may be named, by the rules of its service.
    pub async fn check_named(&self, request: NamedCheck) -> Result<Told<CheckAnswer>, Refusal> {
        let (reply, answer) = self.reply()?;
        let NamedCheck { check: CheckRequest { service, number, code }, named, is_test } = request;
        let check = CheckCommand { code, named, is_test, reply, decided: None };
        self.around.router.send(Command::new(NumberKey { service, number }, CommandKind::Check(check)));
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// The code that is out for a verification and how much longer it can be used, if it can: for a caller that has to be
    /// told it a second time, such as a voice call that was answered. `track` is its
    /// [`TrackKey::track`](crate::domain::TrackKey).
    pub async fn code_of(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        track: u64,
    ) -> Option<(Code, Duration)> {
        let key = NumberKey { service, number };
        let verification = self.around.router.live(key, track).await?;
        let Verification { salt, length, expires, .. } = verification;
        let key = &self.around.server_key;
        let code = code_of(key, &salt, number, service, length, verification.offset());
        Some((code, expires.since(self.around.clock.now())))
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
    pub fn occupancy(&self) -> Occupancy {
        self.around.room.occupancy()
    }

    /// Whether every shard is running, for `/readyz`.
    pub fn is_ready(&self) -> bool {
        self.around.router.is_complete()
    }

    /// Waits until every command in flight has its answer, refuses new ones, and ends the shards.
    /// Planned sends that have not begun wait for the next start.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let all = self.places.acquire_many(self.bound).await;
        self.places.close();
        drop(all);
        self.supervisor.stop(None);
    }
}

/// The answer as the contract's routes know it. They are for the default service, whose rules refuse nothing that they
/// have no word for; should a rule stand against it all the same, the number is said to be busy.
pub fn known<A>(told: Result<Told<A>, Refusal>) -> Result<A, Refusal> {
    told?.answer.map_err(|_: Limit| Refusal::NumberBusy)
}

/// Why the shards did not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    /// Says what could not be done, and why.
    pub const fn new(why: String) -> Self {
        Self(why)
    }
}

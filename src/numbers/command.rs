//! Commands about one number: the shard decides them in order, and their replies leave when the decision is durable.
//!
//! What a command asks for, how it is decided and how it leaves is in [`send`](super::send) and
//! [`check`](super::check). This module has what they share: the records that a decision writes beside the number's own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::capacity::{Capacity, Reservation};
use super::check::{CheckCommand, CheckDecision, EndCommand, GatewayCheck, SettleCheckCommand};
use super::happened::{Happened, Recorder};
use super::policies::Policies;
use super::record::NumberKey;
use super::send::{Caller, Dispatch, ResumeCommand, SendCommand, SendDecision, SettleCommand};
use crate::attempts::{EndedSend, Track, TrackWriter, VerifyStatus};
use crate::config::TrackerSettings;
use crate::domain::{GatewayName, ServerKey, ServiceId, TrackKey};
use crate::engine::{EndOutcome, Ending, NumberState, Policy, Rules, Salt, SlotHash, Verification};
use crate::shard::{
    Command, Decision, Durability, Load, Record, Refusal, ReplyContext, Subject, Transaction,
};

/// What decisions about numbers need besides state and time.
pub struct Deps {
    /// The rules of every service.
    pub policies: Policies,
    /// Codes are derived with it.
    pub key: ServerKey,
    /// The slot of a number.
    pub slots: SlotHash,
    /// How many numbers may be remembered.
    pub capacity: Arc<Capacity>,
    /// How long delivery may take for one send, from its decision on.
    pub send_budget: Duration,
    /// How long a gateway that holds a code may take for one check, from its decision to the decision about its answer.
    pub check_budget: Duration,
    /// How much is kept of delivery attempts.
    pub tracker: TrackerSettings,
    /// Carries out what was decided.
    pub effects: Arc<dyn Effects>,
    /// They write records of decisions in the same commit.
    pub recorders: Vec<Arc<dyn Recorder>>,
}

impl Deps {
    /// The subject of a number's commands.
    pub fn subject(&self, key: &NumberKey) -> Subject {
        Subject { slot: self.slots.of_number(key.service, key.number), id: key.id() }
    }

    fn rules(&self, policy: Policy) -> Rules<'_> {
        Rules { policy, key: &self.key, send_budget: self.send_budget, check_budget: self.check_budget }
    }
}

/// Carries out decisions that are durable. Must not block: each result comes back as a command.
pub trait Effects: Send + Sync {
    /// Hands a message to the gateways.
    fn deliver(&self, dispatch: Dispatch);
    /// Asks the gateway that holds a code.
    fn check(&self, check: GatewayCheck);
    /// Tells a gateway that its message led to a verified number, if it wants to know.
    fn confirm(&self, gateway: GatewayName, message_id: String) {
        let _ = (gateway, message_id);
    }
}

/// Sends the reply to a command, whose place among the commands in flight it holds until then.
#[derive(Debug)]
pub struct Responder<T> {
    sender: oneshot::Sender<Result<T, Refusal>>,
    _place: OwnedSemaphorePermit,
}

/// Receives the reply. An error means that the shard dropped the command: it has failed and restarts.
pub type PendingReply<T> = oneshot::Receiver<Result<T, Refusal>>;

impl<T> Responder<T> {
    /// Both ends.
    pub fn new(place: OwnedSemaphorePermit) -> (Self, PendingReply<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _place: place }, receiver)
    }

    /// Replies. A caller that has gone away does not change what was decided.
    pub fn send(self, reply: Result<T, Refusal>) {
        let _ = self.sender.send(reply);
    }
}

/// One command about one number.
pub struct NumberCommand {
    /// The number.
    pub key: NumberKey,
    /// What to do.
    pub kind: CommandKind,
    deps: Arc<Deps>,
    subject: Subject,
    /// The place of a number that this command adds.
    reservation: Option<Reservation>,
    /// The number of the first attempt of the send that is permitted.
    first_attempt: u8,
}

impl NumberCommand {
    /// A command that has not been decided yet.
    pub fn new(key: NumberKey, kind: CommandKind, deps: Arc<Deps>) -> Box<Self> {
        let subject = deps.subject(&key);
        Box::new(Self { key, kind, deps, subject, reservation: None, first_attempt: 0 })
    }
}

/// What to do. Each kind carries its own decision.
#[derive(Debug)]
pub enum CommandKind {
    /// Send a code.
    Send(SendCommand),
    /// Make a planned send of the live code.
    Resume(ResumeCommand),
    /// Check a code.
    Check(CheckCommand),
    /// End a verification, or clear the counts of a number.
    End(EndCommand),
    /// Take in the result of a send.
    Settle(SettleCommand),
    /// Take in what the gateway that holds a code said about a submitted one.
    SettleCheck(SettleCheckCommand),
}

impl Command for NumberCommand {
    fn subject(&self) -> Subject {
        self.subject
    }

    fn load(&self) -> Load {
        match self.kind {
            CommandKind::Send(_) | CommandKind::Resume(_) => Load::UntilAnswered,
            CommandKind::Check(_) | CommandKind::End(_) => Load::UntilDecided,
            CommandKind::Settle(_) | CommandKind::SettleCheck(_) => Load::Report,
        }
    }

    fn must_wait(&self, view: &mut Transaction<'_>) -> bool {
        let now = view.now();
        let state = view.get::<NumberState>(self.subject.id);
        state.and_then(|state| state.verification()).is_some_and(|v| v.is_checking(now))
    }

    /// Refusals of a locked number, and checks of a number without a record.
    fn changes_nothing(&self, view: &mut Transaction<'_>) -> bool {
        match (view.get::<NumberState>(self.subject.id), &self.kind) {
            (Some(NumberState::Open { .. }), _)
            | (
                _,
                CommandKind::Resume(_)
                | CommandKind::End(_)
                | CommandKind::Settle(_)
                | CommandKind::SettleCheck(_),
            ) => false,
            (Some(NumberState::Locked { .. }), _) => true,
            (Some(NumberState::Fresh) | None, kind) => !matches!(kind, CommandKind::Send(_)),
        }
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        let Self { key, kind, deps, subject, reservation, first_attempt } = self;
        let now = view.now();
        let before = view.get::<NumberState>(subject.id);
        if matches!(kind, CommandKind::Send(_)) && before.is_none() && reservation.is_none() {
            *reservation = deps.capacity.reserve();
            if reservation.is_none() {
                return Decision::Full(NumberState::KIND, Refusal::TooManyNumbers);
            }
        }
        let state = before.unwrap_or(NumberState::Fresh);
        let rules = deps.rules(deps.policies.of(key.service));
        let next = match kind {
            CommandKind::Send(send) => send.decide(*key, state, rules, view.rng(), now),
            CommandKind::Resume(resume) => {
                let track = &mut TrackWriter::new(view, resume.track, deps.tracker);
                resume.decide(track, deps.policies.serves(key.service), state, &rules, now)
            }
            CommandKind::Check(check) => check.decide(*key, state, rules, now),
            CommandKind::End(end) => end.decide(state, &rules, now),
            CommandKind::Settle(settle) => Some(settle.decide(state, &rules, now)),
            CommandKind::SettleCheck(settle) => Some(settle.decide(state, &rules, now)),
        };
        let Some((next, durability)) = next else { return Decision::Wait };
        view.put(subject.id, (next != NumberState::Fresh).then_some(&next), durability);
        let before = state.at(&deps.policies.of(key.service), now).verification();
        if let Some(first) = write_attempts(view, deps, *key, kind, before.as_ref()) {
            *first_attempt = first;
        }
        if let Some(happened) = happened(kind, before.as_ref(), next.verification().as_ref()) {
            for recorder in &deps.recorders {
                recorder.record(*key, &happened, now, view);
            }
        }
        Decision::Made
    }

    fn answer(self: Box<Self>, leaving: &mut ReplyContext<'_>) {
        let Self { key, kind, deps, subject, reservation: _reservation, first_attempt } = *self;
        let exit = Exit { key, deps: &deps, subject, leaving };
        match kind {
            CommandKind::Send(send) => send.leave(first_attempt, exit),
            CommandKind::Resume(resume) => resume.leave(first_attempt, exit),
            CommandKind::Check(check) => check.leave(exit),
            CommandKind::End(end) => end.leave(&exit),
            CommandKind::Settle(settle) => settle.leave(),
            CommandKind::SettleCheck(settle) => settle.leave(&exit),
        }
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        match self.kind {
            CommandKind::Send(send) => send.responder.send(Err(refusal)),
            CommandKind::Resume(resume) => resume.responder.send(Err(refusal)),
            CommandKind::Check(check) => check.responder.send(Err(refusal)),
            CommandKind::End(end) => end.responder.send(Err(refusal)),
            CommandKind::Settle(settle) => settle.caller.reply(Err(refusal)),
            CommandKind::SettleCheck(settle) => settle.responder.send(Err(refusal)),
        }
    }
}

/// The next state, and whether the reply waits for it. `None`: a gateway is being asked about a code of the number.
pub(super) type Next = Option<(NumberState, Durability)>;

/// A durable decision on its way out.
pub(super) struct Exit<'a, 'b> {
    pub(super) key: NumberKey,
    pub(super) deps: &'a Arc<Deps>,
    pub(super) subject: Subject,
    pub(super) leaving: &'a mut ReplyContext<'b>,
}

impl Exit<'_, '_> {
    /// The number's state, which later commands of the same batch may have changed.
    pub(super) fn state(&self) -> Option<NumberState> {
        self.leaving.get::<NumberState>(self.subject.slot, self.subject.id)
    }

    pub(super) fn policy(&self) -> Policy {
        self.deps.policies.of(self.key.service)
    }

    /// Tells the gateway whose message led to a verified number.
    pub(super) fn confirm(&self, track: u64) {
        let key = TrackKey::new(self.key.service, track, self.subject.slot);
        let track = self.leaving.get::<Track>(self.subject.slot, key.id());
        if let Some((gateway, message_id)) = track.and_then(|track| track.accepted()) {
            self.deps.effects.confirm(gateway, message_id);
        }
    }

    /// Has a further command decided with the next batch.
    pub(super) fn then(&mut self, kind: CommandKind) {
        self.leaving.enqueue(NumberCommand::new(self.key, kind, Arc::clone(self.deps)));
    }
}

/// The key of the record of a verification's attempts, which is in the slot of its number.
pub fn track_key(service: ServiceId, salt: &Salt, slot: u8) -> TrackKey {
    TrackKey::new(service, salt.track(), slot)
}

/// Writes what the decision means for the delivery attempts. Returns the number of the first attempt of a send that is
/// permitted.
fn write_attempts(
    view: &mut Transaction<'_>,
    deps: &Deps,
    NumberKey { service, number }: NumberKey,
    kind: &CommandKind,
    before: Option<&Verification>,
) -> Option<u8> {
    let slot = view.slot();
    let key = |salt: &Salt| track_key(service, salt, slot);
    let (salt, status) = match kind {
        CommandKind::Send(SendCommand { decided: Some(SendDecision::Permitted(permit)), .. }) => {
            return Some(TrackWriter::new(view, key(&permit.salt), deps.tracker).permit(number));
        }
        CommandKind::Resume(ResumeCommand { decided: Some((permit, _)), .. }) => {
            return Some(TrackWriter::new(view, key(&permit.salt), deps.tracker).begin_follow_up());
        }
        CommandKind::Settle(SettleCommand { permit, style, purpose, first_attempt, delivered, .. }) => {
            let first_attempt = *first_attempt;
            let ended = EndedSend { permit, style, purpose, first_attempt, delivered };
            TrackWriter::new(view, key(&permit.salt), deps.tracker).settle(number, ended);
            return None;
        }
        CommandKind::Check(CheckCommand { decided: Some(CheckDecision::Reply(_, Some(status))), .. }) => {
            (before.map(|v| v.salt), *status)
        }
        CommandKind::SettleCheck(SettleCheckCommand { decided: Some((_, status)), permit, .. }) => {
            (Some(permit.salt), *status)
        }
        CommandKind::End(EndCommand {
            ending: Ending::Approved,
            decided: Some(EndOutcome::Ended(Some(_))),
            ..
        }) => (before.map(|v| v.salt), VerifyStatus::Success),
        CommandKind::Send(_)
        | CommandKind::Resume(_)
        | CommandKind::Check(_)
        | CommandKind::SettleCheck(_)
        | CommandKind::End(_) => return None,
    };
    TrackWriter::new(view, key(&salt?), deps.tracker).check(status);
    None
}

/// What the recorders are told, with the verification before and after the decision.
fn happened<'a>(
    kind: &'a CommandKind,
    before: Option<&'a Verification>,
    after: Option<&'a Verification>,
) -> Option<Happened<'a>> {
    let is_spent = after.is_some_and(Verification::is_spent);
    match kind {
        CommandKind::Send(SendCommand { decided, channel, style, own, .. }) => {
            let (Some(SendDecision::Permitted(permit) | SendDecision::Silent(permit, _)), Some(verification)) =
                (decided, after)
            else {
                return None;
            };
            let is_silent = own.as_ref().is_some_and(|own| own.is_test);
            let tags = own.as_ref().map(|own| &own.tags);
            Some(Happened::Permitted { permit, verification, channel: *channel, style, is_silent, tags })
        }
        CommandKind::Settle(SettleCommand { permit, style, delivered, caller, .. }) => {
            let verification = after.filter(|v| v.salt == permit.salt);
            let is_follow_up = matches!(caller, Caller::FollowUp(_));
            Some(Happened::Settled { permit, verification, style, delivered, is_follow_up })
        }
        CommandKind::Check(CheckCommand { decided: Some(CheckDecision::Reply(reply, status)), .. }) => {
            let (outcome, status) = (reply.outcome, (*status)?);
            Some(Happened::Checked { verification: before?, outcome, status, is_spent })
        }
        CommandKind::Check(_) | CommandKind::Resume(_) => None,
        CommandKind::SettleCheck(SettleCheckCommand { decided, permit, .. }) => {
            let (reply, status) = decided.as_ref()?;
            let verification = before.filter(|v| v.salt == permit.salt)?;
            Some(Happened::Checked { verification, outcome: reply.outcome, status: *status, is_spent })
        }
        CommandKind::End(EndCommand { ending, decided, .. }) => match decided {
            Some(EndOutcome::Ended(Some(verification))) => {
                Some(Happened::Ended { verification, ending: *ending })
            }
            Some(EndOutcome::Ended(None) | EndOutcome::NotFound | EndOutcome::Busy { .. }) | None => None,
        },
    }
}

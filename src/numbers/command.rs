//! The commands about one number: what is asked, how it is decided, how the decision leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::answer::{CheckAnswer, Facts, Limit, SendAnswer, Told};
use super::capacity::{Capacity, Reservation};
use super::happened::{Happened, Recorder};
use super::policies::Policies;
use super::record::NumberKey;
use crate::attempts::{Decided as Attempts, EndedSend, Plan, Track, VerifyStatus};
use crate::config::TrackerSettings;
use crate::delivery::{Delivered, Dropped, PlanChange, Purpose};
use crate::domain::{Channel, Code, GatewayName, ServerKey, Timestamp, TrackKey};
use crate::engine::{
    self, Begin, BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, EndOutcome, Ending,
    NumberState, OwnVerification, Policy, ResumeOutcome, Rules, Salt, SendOptions, SendPermit, SendResult,
    SettleOutcome, SlotHash, Submitted, Verification, VerificationName,
};
use crate::shard::{Command, Decision, Durability, Leaving, Load, Refusal, Subject, Transaction};
use crate::template::MessageStyle;
use rand::Rng;

/// What decisions about numbers are made with, besides state and time, and who carries them out.
pub struct Deps {
    /// The rules of every service.
    pub policies: Policies,
    /// What codes are derived with.
    pub key: ServerKey,
    /// Which slot a number is in.
    pub slots: SlotHash,
    /// How many numbers may be remembered.
    pub capacity: Arc<Capacity>,
    /// How long delivery may take for one send, from its decision on.
    pub send_budget: Duration,
    /// How long a gateway that holds a code may take for one check, from its decision to the decision about its answer.
    pub check_budget: Duration,
    /// What is kept of delivery attempts.
    pub tracker: TrackerSettings,
    /// Who carries out what was decided.
    pub effects: Arc<dyn Effects>,
    /// Who keeps records of decisions, in the same commit.
    pub recorders: Vec<Arc<dyn Recorder>>,
}

impl Deps {
    /// What a number's commands are ordered by.
    pub fn subject(&self, key: &NumberKey) -> Subject {
        Subject { slot: self.slots.of_number(key.service, key.number), id: key.id() }
    }

    fn rules(&self, policy: Policy) -> Rules<'_> {
        Rules { policy, key: &self.key, send_budget: self.send_budget, check_budget: self.check_budget }
    }
}

/// Carries out what was decided, once that is durable. Must not block: each comes back as a command.
pub trait Effects: Send + Sync {
    /// Hands a message to the gateways.
    fn deliver(&self, dispatch: Dispatch);
    /// Asks the gateway that holds a code.
    fn ask(&self, ask: Ask);
    /// Tells a gateway that its message led to a verified number, if it wants to know.
    fn confirm(&self, gateway: GatewayName, message_id: String) {
        let _ = (gateway, message_id);
    }
}

/// Where an answer goes. Holds the command's place among the commands in flight until then.
#[derive(Debug)]
pub struct Reply<T> {
    sender: oneshot::Sender<Result<T, Refusal>>,
    _place: OwnedSemaphorePermit,
}

/// The end at which an answer arrives. An error means that the shard dropped the command: it has failed and restarts.
pub type Answer<T> = oneshot::Receiver<Result<T, Refusal>>;

impl<T> Reply<T> {
    /// A reply and the end at which its answer arrives.
    pub fn new(place: OwnedSemaphorePermit) -> (Self, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _place: place }, receiver)
    }

    /// Answers. A caller that has gone away does not change what was decided.
    pub fn send(self, answer: Result<T, Refusal>) {
        let _ = self.sender.send(answer);
    }
}

/// One command about one number.
pub struct NumberCommand {
    /// The number.
    pub key: NumberKey,
    /// What is asked, and the decision once it is made.
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

/// What is asked. Each kind carries its own decision.
#[derive(Debug)]
pub enum CommandKind {
    /// Send a code.
    Send(SendCommand),
    /// Send the code that is out once more.
    Resume(ResumeCommand),
    /// Check a code.
    Check(CheckCommand),
    /// End a verification, or clear the counts of a number.
    End(EndCommand),
    /// A send ended.
    Settle(SettleCommand),
    /// The gateway that holds a code answered about a submitted one.
    SettleCheck(SettleCheckCommand),
}

/// Send a code.
#[derive(Debug)]
pub struct SendCommand {
    /// Properties of a new code; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// How the code is sent.
    pub channel: Channel,
    /// How the message is worded.
    pub style: MessageStyle,
    /// What makes it a verification with limits and an id of its own.
    pub own: Option<OwnOptions>,
    /// Where the answer goes once the gateway has answered too.
    pub reply: Reply<Told<SendAnswer>>,
    /// The decision.
    pub decided: Option<SendDecision>,
}

/// What a caller may ask for who begins a verification with an id of its own.
#[derive(Debug, Clone, Default)]
pub struct OwnOptions {
    /// The code that the caller supplies.
    pub brought: Option<Code>,
    /// Whether it is a test number: no message is sent, and nothing is limited.
    pub is_test: bool,
    /// What the caller attaches to the verification, for its events.
    pub tags: BTreeMap<String, String>,
}

/// No tags.
static NO_TAGS: BTreeMap<String, String> = BTreeMap::new();

/// What was decided about a send.
#[derive(Debug, Clone)]
pub enum SendDecision {
    /// Hand it to delivery.
    Permitted(SendPermit),
    /// Answer at once: the number is a test number, which is sent no message.
    Silent(SendPermit, Told<SendAnswer>),
    /// Refuse.
    Refused(Told<SendAnswer>),
}

/// Send the code that is out once more, as planned.
#[derive(Debug)]
pub struct ResumeCommand {
    /// The record that contains the plan.
    pub track: TrackKey,
    /// Answered when delivery has ended, or when there is nothing to send.
    pub reply: Reply<()>,
    /// The decision; `None` when the code is not worth sending any more, or nothing is due.
    pub decided: Option<(SendPermit, Box<Plan>)>,
}

/// Check a code.
#[derive(Debug)]
pub struct CheckCommand {
    /// What was submitted; `None` when it cannot be a code.
    pub code: Option<Code>,
    /// Which verification the caller named.
    pub named: Option<VerificationName>,
    /// Whether it is a test number.
    pub is_test: bool,
    /// Where the answer goes.
    pub reply: Reply<Told<CheckAnswer>>,
    /// The decision.
    pub decided: Option<CheckDecision>,
}

/// What was decided about a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckDecision {
    /// Answer. The verdict is there if a code was looked at.
    Answer(Told<CheckAnswer>, Option<Verdict>),
    /// Ask the gateway that holds the code.
    Ask(CheckPermit),
}

/// What came of a code that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The engine's outcome.
    pub outcome: CheckOutcome,
    /// The same for the list of attempts.
    pub status: VerifyStatus,
}

/// The gateway that holds a code answered about a submitted one.
#[derive(Debug)]
pub struct SettleCheckCommand {
    /// The permit that it was asked with.
    pub permit: CheckPermit,
    /// What it said.
    pub result: CheckResult,
    /// The reply of the check.
    pub reply: Reply<Told<CheckAnswer>>,
    /// The decision.
    pub decided: Option<(Told<CheckAnswer>, Verdict)>,
}

/// End a verification, or clear the counts of a number.
#[derive(Debug)]
pub struct EndCommand {
    /// How.
    pub ending: Ending,
    /// Which verification; `None` for the one that is under way.
    pub named: Option<VerificationName>,
    /// Where the answer goes.
    pub reply: Reply<Told<()>>,
    /// The decision, and whether it ended a verification.
    pub decided: Option<(Told<()>, bool)>,
}

/// A send ended.
#[derive(Debug)]
pub struct SettleCommand {
    /// The permit that the send was made with.
    pub permit: SendPermit,
    /// How its message is worded.
    pub style: MessageStyle,
    /// Why it was made.
    pub purpose: Purpose,
    /// The number that was reserved for its first attempt.
    pub first_attempt: u8,
    /// How it ended.
    pub delivered: Delivered,
    /// Who is answered.
    pub caller: Caller,
    /// The decision.
    pub decided: Option<Result<Told<SendAnswer>, Refusal>>,
}

/// Who waits for the end of a send.
#[derive(Debug)]
pub enum Caller {
    /// A client.
    Client(Reply<Told<SendAnswer>>),
    /// The scheduler of planned sends.
    FollowUp(Reply<()>),
}

impl Caller {
    /// Answers. A planned send has been made, or not, whatever became of the decision about it: it must not be made again
    /// because the store failed.
    fn answer(self, answer: Result<Told<SendAnswer>, Refusal>) {
        match self {
            Self::Client(reply) => reply.send(answer),
            Self::FollowUp(reply) => reply.send(Ok(())),
        }
    }
}

/// A send to hand to delivery, now that its decision is durable.
#[derive(Debug)]
pub struct Dispatch {
    /// The number it goes to.
    pub key: NumberKey,
    /// The right to send, to be settled with the result.
    pub permit: SendPermit,
    /// How the code is sent.
    pub channel: Channel,
    /// How the message is worded.
    pub style: MessageStyle,
    /// Why it is sent.
    pub purpose: Purpose,
    /// The record of its attempts.
    pub track: TrackKey,
    /// The number of its first attempt.
    pub first_attempt: u8,
    /// Who is answered in the end.
    pub caller: Caller,
}

/// A question for the gateway that holds a code, now that the attempt is durably counted.
#[derive(Debug)]
pub struct Ask {
    /// The number of the code.
    pub key: NumberKey,
    /// The right to ask, to be settled with the answer.
    pub permit: CheckPermit,
    /// What was submitted.
    pub code: Code,
    /// Where the answer goes in the end.
    pub reply: Reply<Told<CheckAnswer>>,
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

    /// Refusals of a locked number, and checks of a number that never asked.
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
                return Decision::Full(<NumberState as crate::shard::Record>::KIND, Refusal::TooManyNumbers);
            }
        }
        let state = before.unwrap_or(NumberState::Fresh);
        let rules = deps.rules(deps.policies.of(key.service));
        let decided = match kind {
            CommandKind::Send(send) => {
                let mut salt = [0; 16];
                view.rng().fill_bytes(&mut salt);
                send.decide(*key, state, rules, Salt(salt), now)
            }
            CommandKind::Resume(resume) => {
                let track = &mut Attempts::new(view, resume.track, deps.tracker);
                resume.decide(track, deps.policies.serves(key.service), state, &rules, now)
            }
            CommandKind::Check(check) => check.decide(*key, state, rules, now),
            CommandKind::End(end) => end.decide(state, &rules, now),
            CommandKind::Settle(settle) => Some(settle.decide(state, &rules, now)),
            CommandKind::SettleCheck(settle) => Some(settle.decide(state, &rules, now)),
        };
        let Some((next, durability)) = decided else { return Decision::Wait };
        view.put(subject.id, (next != NumberState::Fresh).then_some(&next), durability);
        let asked_about = state.present(&deps.policies.of(key.service), now).verification();
        if let Some(first) = keep_attempts(view, deps, *key, kind, asked_about.as_ref()) {
            *first_attempt = first;
        }
        if let Some(happened) = happened(kind, asked_about.as_ref(), next.verification().as_ref()) {
            for recorder in &deps.recorders {
                recorder.record(*key, &happened, now, view);
            }
        }
        Decision::Made
    }

    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>) {
        let Self { key, kind, deps, subject, reservation: _reservation, first_attempt } = *self;
        let context = Context { key, deps: &deps, subject, first_attempt };
        match kind {
            CommandKind::Send(send) => context.leave_send(send, leaving),
            CommandKind::Resume(resume) => context.leave_resume(resume, leaving),
            CommandKind::Check(check) => context.leave_check(check, leaving),
            CommandKind::Settle(settle) => {
                let answer = settle.decided.unwrap_or(Err(Refusal::StoreUnavailable));
                settle.caller.answer(answer);
            }
            CommandKind::End(end) => {
                let decided = end.decided.map(|(told, _)| told);
                if end.ending == Ending::Approved {
                    context.confirm(decided.as_ref().and_then(|told| told.facts.as_ref()), leaving);
                }
                end.reply.send(decided.ok_or(Refusal::StoreUnavailable));
            }
            CommandKind::SettleCheck(settle) => {
                let decided = settle.decided.map(|(answer, _)| answer);
                context.confirm_if_approved(decided.as_ref(), leaving);
                settle.reply.send(decided.ok_or(Refusal::StoreUnavailable));
            }
        }
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        match self.kind {
            CommandKind::Send(send) => send.reply.send(Err(refusal)),
            CommandKind::Resume(resume) => resume.reply.send(Err(refusal)),
            CommandKind::Check(check) => check.reply.send(Err(refusal)),
            CommandKind::End(end) => end.reply.send(Err(refusal)),
            CommandKind::Settle(settle) => settle.caller.answer(Err(refusal)),
            CommandKind::SettleCheck(settle) => settle.reply.send(Err(refusal)),
        }
    }
}

/// Writes what the decision means for the delivery attempts. Returns the number of the first attempt of a send that is
/// permitted.
fn keep_attempts(
    view: &mut Transaction<'_>,
    deps: &Deps,
    NumberKey { service, number }: NumberKey,
    kind: &CommandKind,
    before: Option<&Verification>,
) -> Option<u8> {
    let slot = view.slot();
    let key = |salt: &Salt| track_key(service, salt, slot);
    let checked = |verdict: &Verdict| (before.map(|v| v.salt), verdict.status);
    let (salt, status) = match kind {
        CommandKind::Send(SendCommand { decided: Some(SendDecision::Permitted(permit)), .. }) => {
            return Some(Attempts::new(view, key(&permit.salt), deps.tracker).permit(number));
        }
        CommandKind::Resume(ResumeCommand { decided: Some((permit, _)), .. }) => {
            return Some(Attempts::new(view, key(&permit.salt), deps.tracker).begin_follow_up());
        }
        CommandKind::Settle(SettleCommand { permit, style, purpose, first_attempt, delivered, .. }) => {
            let first_attempt = *first_attempt;
            let ended = EndedSend { permit, style, purpose, first_attempt, delivered };
            Attempts::new(view, key(&permit.salt), deps.tracker).settle(number, ended);
            return None;
        }
        CommandKind::Check(CheckCommand {
            decided: Some(CheckDecision::Answer(_, Some(verdict))), ..
        }) => checked(verdict),
        CommandKind::SettleCheck(SettleCheckCommand { decided: Some((_, verdict)), permit, .. }) => {
            (Some(permit.salt), verdict.status)
        }
        CommandKind::End(EndCommand { ending: Ending::Approved, decided: Some((_, true)), .. }) => {
            (before.map(|v| v.salt), VerifyStatus::Success)
        }
        CommandKind::Send(_)
        | CommandKind::Resume(_)
        | CommandKind::Check(_)
        | CommandKind::SettleCheck(_)
        | CommandKind::End(_) => return None,
    };
    Attempts::new(view, key(&salt?), deps.tracker).check(status);
    None
}

/// What others keep records of, with the verification before and after the decision.
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
            let tags = own.as_ref().map_or(&NO_TAGS, |own| &own.tags);
            Some(Happened::Permitted { permit, verification, channel: *channel, style, is_silent, tags })
        }
        CommandKind::Settle(SettleCommand { permit, style, delivered, caller, .. }) => {
            let verification = after.filter(|v| v.salt == permit.salt);
            let is_follow_up = matches!(caller, Caller::FollowUp(_));
            Some(Happened::Settled { permit, verification, style, delivered, is_follow_up })
        }
        CommandKind::Check(CheckCommand { decided: Some(CheckDecision::Answer(_, verdict)), .. }) => {
            let Verdict { outcome, status } = (*verdict)?;
            Some(Happened::Checked { verification: before?, outcome, status, is_spent })
        }
        CommandKind::Check(_) | CommandKind::Resume(_) => None,
        CommandKind::SettleCheck(SettleCheckCommand { decided, permit, .. }) => {
            let (_, Verdict { outcome, status }) = decided.as_ref()?;
            let verification = before.filter(|v| v.salt == permit.salt)?;
            Some(Happened::Checked { verification, outcome: *outcome, status: *status, is_spent })
        }
        CommandKind::End(EndCommand { ending, decided, .. }) => {
            let (_, ended) = decided.as_ref()?;
            ended.then_some(())?;
            Some(Happened::Ended { verification: before?, ending: *ending })
        }
    }
}

/// The next state, and whether the answer waits for it. `None`: a gateway is being asked about a code of the number.
type Decided = Option<(NumberState, Durability)>;

impl SendCommand {
    fn decide(
        &mut self,
        NumberKey { service, number }: NumberKey,
        state: NumberState,
        mut rules: Rules<'_>,
        salt: Salt,
        now: Timestamp,
    ) -> Decided {
        let is_test = self.own.as_ref().is_some_and(|own| own.is_test);
        if is_test {
            rules.policy = rules.policy.without_limits();
        }
        let policy = rules.policy;
        let own = self.own.as_ref();
        let request = Begin {
            service,
            number,
            options: self.options.unwrap_or(policy.code),
            channel: self.channel,
            own: own.map(|own| OwnVerification { brought: own.brought.as_ref(), silent: is_test }),
        };
        let (next, outcome) = engine::begin(state, &rules, request, salt, now);
        let facts = next.verification().map(|v| Facts::of(&v, &policy));
        let limited = |limit| SendDecision::Refused(Told::limit(limit).about(facts));
        self.decided = Some(match outcome {
            BeginOutcome::Permitted(permit) if is_test => {
                let answer = SendAnswer::Sent {
                    attempts_left: policy.max_attempts,
                    message_id: format!("test-{:016x}", permit.salt.track()),
                    postponed: false,
                };
                let facts = Facts::of_permit(&permit, &policy);
                SendDecision::Silent(permit, Told::from(answer).about(Some(facts)))
            }
            BeginOutcome::Permitted(permit) => SendDecision::Permitted(permit),
            BeginOutcome::Locked { until } => {
                SendDecision::Refused(SendAnswer::Locked { remaining: until.since(now) }.into())
            }
            BeginOutcome::NoChecksLeft { until } => {
                limited(Limit::NoChecksLeft { remaining: until.map(|until| until.since(now)) })
            }
            BeginOutcome::NoSendsLeft { until } => {
                limited(Limit::NoSendsLeft { remaining: until.since(now) })
            }
            BeginOutcome::CoolingDown { until } => {
                limited(Limit::CoolingDown { remaining: until.since(now) })
            }
            BeginOutcome::StillSending { until } => {
                limited(Limit::StillSending { remaining: until.since(now) })
            }
            BeginOutcome::Busy { .. } => return None,
        });
        Some((next, Durability::Durable))
    }
}

impl ResumeCommand {
    fn decide(
        &mut self,
        track: &mut Attempts<'_, '_>,
        serves: bool,
        state: NumberState,
        rules: &Rules<'_>,
        now: Timestamp,
    ) -> Decided {
        // It has begun, was put off or was dropped since it was due.
        let Some(plan) = track.due() else { return Some((state, Durability::Lazy)) };
        if !serves {
            track.drop_follow_up(Dropped::NotUsable);
            return Some((state, Durability::Lazy));
        }
        let (next, outcome) = engine::resume(state, rules, plan.salt, now);
        match outcome {
            ResumeOutcome::Permitted(permit) => {
                self.decided = Some((permit, plan));
                // What gateways said of earlier sends may not be durable yet. Without it this one alone would decide the
                // code's fate after a crash: a failure would withdraw a code that a person has.
                Some((next, Durability::Durable))
            }
            ResumeOutcome::NotUsable => {
                track.drop_follow_up(Dropped::NotUsable);
                Some((next, Durability::Lazy))
            }
            ResumeOutcome::Busy { .. } => None,
        }
    }
}

impl CheckCommand {
    fn decide(
        &mut self,
        NumberKey { service, number }: NumberKey,
        state: NumberState,
        mut rules: Rules<'_>,
        now: Timestamp,
    ) -> Decided {
        if self.is_test {
            rules.policy = rules.policy.without_limits();
        }
        let asked_about = state.present(&rules.policy, now).verification();
        let submitted = Submitted { code: self.code.as_ref(), number, service, named: self.named };
        let (next, step) = engine::check(state, &rules, submitted, now);
        self.decided = Some(match step {
            CheckStep::Busy { .. } => return None,
            CheckStep::Ask(permit) => CheckDecision::Ask(permit),
            CheckStep::Decided(outcome) => {
                let status = match outcome {
                    CheckOutcome::Approved => Some(VerifyStatus::Success),
                    CheckOutcome::Wrong { live, .. } | CheckOutcome::LockedNow { live, .. } => {
                        Some(if live { VerifyStatus::InvalidCode } else { VerifyStatus::Expired })
                    }
                    CheckOutcome::Locked { .. }
                    | CheckOutcome::NoChecksLeft { .. }
                    | CheckOutcome::NotFound
                    | CheckOutcome::GatewayFailed => None,
                };
                let verdict = status.map(|status| Verdict { outcome, status });
                CheckDecision::Answer(told(outcome, next, asked_about, &rules.policy, now), verdict)
            }
        });
        Some((next, Durability::Durable))
    }
}

/// What the caller of a check is told. The facts are as they are now: this check may have been the last one.
fn told(
    outcome: CheckOutcome,
    next: NumberState,
    asked_about: Option<Verification>,
    policy: &Policy,
    now: Timestamp,
) -> Told<CheckAnswer> {
    let facts = next.verification().or(asked_about).map(|v| Facts::of(&v, policy));
    let answer = match outcome {
        CheckOutcome::Approved => CheckAnswer::Approved,
        CheckOutcome::Wrong { attempts_left, live } => CheckAnswer::Wrong { attempts_left, live },
        CheckOutcome::LockedNow { until, live } => {
            CheckAnswer::LockedNow { remaining: until.since(now), live }
        }
        CheckOutcome::Locked { until } => return CheckAnswer::Locked { remaining: until.since(now) }.into(),
        CheckOutcome::NotFound => return Told::limit(Limit::NotFound),
        CheckOutcome::NoChecksLeft { until } => {
            let remaining = until.map(|until| until.since(now));
            let facts = asked_about.map(|v| Facts::of(&v, policy));
            return Told::limit(Limit::NoChecksLeft { remaining }).about(facts);
        }
        CheckOutcome::GatewayFailed => CheckAnswer::GatewayFailed,
    };
    Told::from(answer).about(facts)
}

impl SettleCheckCommand {
    fn decide(&mut self, state: NumberState, rules: &Rules<'_>, now: Timestamp) -> (NumberState, Durability) {
        let asked_about = state.present(&rules.policy, now).verification();
        let (next, outcome) = engine::settle_check(state, rules, &self.permit, self.result, now);
        let status = match (self.result, outcome) {
            (CheckResult::Approved, CheckOutcome::Approved) => VerifyStatus::Success,
            (CheckResult::Wrong, _) => VerifyStatus::InvalidCode,
            (CheckResult::NotLive, _) => VerifyStatus::Expired,
            // An approval that came too late is as good as no answer.
            (CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown, _) => {
                VerifyStatus::GatewayError
            }
        };
        let verdict = Verdict { outcome, status };
        self.decided = Some((told(outcome, next, asked_about, &rules.policy, now), verdict));
        // The attempt is durable already. If it is lost that a wrong code was asked about to the end, the record says so
        // by itself when its time has passed.
        let durability = match outcome {
            CheckOutcome::Wrong { .. } => Durability::Lazy,
            CheckOutcome::GatewayFailed if self.result == CheckResult::Unknown => Durability::Lazy,
            _ => Durability::Durable,
        };
        (next, durability)
    }
}

impl EndCommand {
    fn decide(&mut self, state: NumberState, rules: &Rules<'_>, now: Timestamp) -> Decided {
        let (next, outcome) = engine::end(state, rules, self.ending, self.named, now);
        self.decided = Some(match outcome {
            EndOutcome::Busy { .. } => return None,
            EndOutcome::NotFound => (Told::limit(Limit::NotFound), false),
            EndOutcome::Ended(verification) => {
                let facts = verification.map(|v| Facts::of(&v, &rules.policy));
                (Told::from(()).about(facts), verification.is_some())
            }
        });
        Some((next, Durability::Durable))
    }
}

impl SettleCommand {
    fn decide(&mut self, state: NumberState, rules: &Rules<'_>, now: Timestamp) -> (NumberState, Durability) {
        let (next, outcome) = engine::settle(state, rules, &self.permit, &self.delivered.result, now);
        let policy = &rules.policy;
        // As it is now, if it is still under way.
        let current = next.verification().filter(|v| v.salt == self.permit.salt);
        let facts = current.map_or_else(|| Facts::of_permit(&self.permit, policy), |v| Facts::of(&v, policy));
        let Delivered { result, trouble, .. } = &self.delivered;
        let trouble = *trouble;
        let told = |answer| Told { trouble, ..Told::from(answer) }.about(Some(facts));
        self.decided = Some(answer(result, outcome, now).map(told));
        let durability = match result {
            // A code that stays needs no second record: what is lost in a crash is only that its message has been
            // accepted, which a record of a send that was not settled allows for.
            SendResult::Accepted { held: None, .. }
            | SendResult::Failed { may_have_been_sent: true, held: None }
            | SendResult::Postponed { .. } => Durability::Lazy,
            // A code that is withdrawn has to stay withdrawn. And without the holder's name the right code would be
            // compared with one that no person has.
            _ => Durability::Durable,
        };
        (next, durability)
    }
}

fn answer(result: &SendResult, outcome: SettleOutcome, now: Timestamp) -> Result<SendAnswer, Refusal> {
    let postponed = matches!(result, SendResult::Postponed { .. });
    match (result, outcome) {
        (SendResult::NumberRefused, _) => Ok(SendAnswer::NumberRefused),
        (SendResult::Overloaded, _) => Err(Refusal::SendsOverloaded),
        (_, SettleOutcome::Locked { until }) => Ok(SendAnswer::Locked { remaining: until.since(now) }),
        (
            SendResult::Accepted { message_id, .. } | SendResult::Postponed { message_id },
            SettleOutcome::Open { attempts_left },
        ) => Ok(SendAnswer::Sent { attempts_left, message_id: message_id.clone(), postponed }),
        (SendResult::Failed { .. } | SendResult::NoLongerUsable, SettleOutcome::Open { .. }) => {
            Ok(SendAnswer::GatewayFailed)
        }
    }
}

/// What a decision leaves with.
struct Context<'a> {
    key: NumberKey,
    deps: &'a Arc<Deps>,
    subject: Subject,
    first_attempt: u8,
}

impl Context<'_> {
    fn leave_send(&self, send: SendCommand, leaving: &mut Leaving<'_>) {
        let SendCommand { channel, style, reply, decided, options: _, own: _ } = send;
        match decided {
            Some(SendDecision::Permitted(permit)) => {
                let (purpose, caller) = (Purpose::Request, Caller::Client(reply));
                self.dispatch(self.dispatch_of(permit, channel, style, purpose, caller), leaving);
            }
            Some(SendDecision::Silent(_, told) | SendDecision::Refused(told)) => reply.send(Ok(told)),
            None => reply.send(Err(Refusal::StoreUnavailable)),
        }
    }

    fn leave_resume(&self, resume: ResumeCommand, leaving: &mut Leaving<'_>) {
        let ResumeCommand { track: _, reply, decided } = resume;
        let Some((permit, plan)) = decided else { return reply.send(Ok(())) };
        let Plan { style, follow_up, .. } = *plan;
        let channel = follow_up.channel;
        let (purpose, caller) = (Purpose::FollowUp(follow_up), Caller::FollowUp(reply));
        self.dispatch(self.dispatch_of(permit, channel, style, purpose, caller), leaving);
    }

    fn dispatch_of(
        &self,
        permit: SendPermit,
        channel: Channel,
        style: MessageStyle,
        purpose: Purpose,
        caller: Caller,
    ) -> Dispatch {
        let track = track_key(self.key.service, &permit.salt, self.subject.slot);
        let first_attempt = self.first_attempt;
        Dispatch { key: self.key, permit, channel, style, purpose, track, first_attempt, caller }
    }

    /// Hands a message to delivery, unless a later command of the same batch made its code useless.
    fn dispatch(&self, mut dispatch: Dispatch, leaving: &mut Leaving<'_>) {
        leaving.went_to_gateway();
        let live = self.present(leaving).filter(|v| v.is_live(leaving.now()));
        if let Some(live) = live.filter(|live| live.salt == dispatch.permit.salt) {
            // A later command of the batch may have prolonged its life, and the message says how long it is.
            dispatch.permit.expires = live.expires;
            self.deps.effects.deliver(dispatch);
        } else {
            let Dispatch { permit, style, purpose, first_attempt, caller, .. } = dispatch;
            let plan = match purpose {
                Purpose::Request => PlanChange::Keep,
                Purpose::FollowUp(_) => PlanChange::End(Some(Dropped::NotUsable)),
            };
            let result = SendResult::NoLongerUsable;
            let delivered = Delivered { result, attempts: Vec::new(), plan, trouble: None };
            let settle =
                SettleCommand { permit, style, purpose, first_attempt, delivered, caller, decided: None };
            self.then(CommandKind::Settle(settle), leaving);
        }
    }

    fn leave_check(&self, check: CheckCommand, leaving: &mut Leaving<'_>) {
        let CheckCommand { code, reply, decided, named: _, is_test: _ } = check;
        match (decided, code) {
            (Some(CheckDecision::Answer(answer, _)), _) => {
                self.confirm_if_approved(Some(&answer), leaving);
                reply.send(Ok(answer));
            }
            (Some(CheckDecision::Ask(permit)), Some(code)) if self.is_open(&permit, leaving) => {
                leaving.went_to_gateway();
                self.deps.effects.ask(Ask { key: self.key, permit, code, reply });
            }
            (Some(CheckDecision::Ask(permit)), _) => {
                // The commit took longer than the question may: an answer would not be believed.
                leaving.went_to_gateway();
                let result = CheckResult::NotAsked;
                let settle = SettleCheckCommand { permit, result, reply, decided: None };
                self.then(CommandKind::SettleCheck(settle), leaving);
            }
            (None, _) => reply.send(Err(Refusal::StoreUnavailable)),
        }
    }

    fn confirm_if_approved(&self, told: Option<&Told<CheckAnswer>>, leaving: &Leaving<'_>) {
        let approved = told.filter(|told| told.answer == Ok(CheckAnswer::Approved));
        self.confirm(approved.and_then(|told| told.facts.as_ref()), leaving);
    }

    /// Has the gateway told whose message led to a verified number.
    fn confirm(&self, approved: Option<&Facts>, leaving: &Leaving<'_>) {
        let Some(facts) = approved else { return };
        let key = TrackKey::new(self.key.service, facts.track, self.subject.slot);
        let track = leaving.get::<Track>(self.subject.slot, key.id());
        if let Some((gateway, message_id)) = track.and_then(|track| track.accepted()) {
            self.deps.effects.confirm(gateway, message_id);
        }
    }

    /// Whether the gateway may still be asked.
    fn is_open(&self, permit: &CheckPermit, leaving: &Leaving<'_>) -> bool {
        let now = leaving.now();
        let current = leaving.get::<NumberState>(self.subject.slot, self.subject.id);
        current
            .and_then(|state| state.verification())
            .is_some_and(|v| v.salt == permit.salt && v.checking_until == permit.until && v.is_checking(now))
    }

    fn present(&self, leaving: &Leaving<'_>) -> Option<Verification> {
        let policy = self.deps.policies.of(self.key.service);
        let state = leaving.get::<NumberState>(self.subject.slot, self.subject.id)?;
        state.present(&policy, leaving.now()).verification()
    }

    fn then(&self, kind: CommandKind, leaving: &mut Leaving<'_>) {
        leaving.then(NumberCommand::new(self.key, kind, Arc::clone(self.deps)));
    }
}

/// The key of the record of a verification's attempts, which is in the slot of its number.
pub fn track_key(service: crate::domain::ServiceId, salt: &Salt, slot: u8) -> TrackKey {
    TrackKey::new(service, salt.track(), slot)
}

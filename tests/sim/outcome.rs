//! The output of a shard after each call: answers, messages, questions, and the next commit.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Poll, Waker};

use onceward::delivery::attempts::{AttemptLog, VerifyStatus};
use onceward::delivery::{FollowUp, Reason};
use onceward::domain::AttemptLogKey;
use onceward::engine::{NumberState, Salt};
use onceward::shard::{Record as _, Write};
use onceward::verification::command::{Asking, Sending};
use onceward::verification::{CheckOutcome, NumberKey, Refusal, SendOutcome};

use crate::clients::command_of;
use crate::disk::log_of;
use crate::facts::{Checked, CommandId, End, Fact, Intent, Outcome, Salted, Stage, What};
use crate::setup::{millis, server_key};
use crate::shard::{CommitNotice, InFlight, Left, Progress};
use crate::world::{Answer, AtGateway, Open, Since, World};

/// A call of a shard, and the commit that ended in it.
#[derive(Clone, Copy)]
struct Call<'a> {
    place: u64,
    shard: usize,
    notice: Option<&'a CommitNotice>,
}

impl World {
    /// Processes a shard's output. `None` if the call was not the end of a commit.
    pub fn comes_out(&mut self, shard: usize, notice: Option<&CommitNotice>) -> Checked {
        let call = Call { place: self.event(), shard, notice };
        let left = self.captured.take();
        let (mut answers, mut joined) = (BTreeMap::new(), Vec::new());
        for left in &left {
            let Left::Outcome(command) = left else { continue };
            let heard =
                |answer: &mut Answer| match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(answer) => Ok(answer),
                    Poll::Pending => Err(format!("command {command} was woken for nothing")),
                };
            if let Some(mut other) = self.joined.remove(command) {
                joined.push((other.first, heard(&mut other.answer)?));
                continue;
            }
            let mut open = self.commands.remove(command).expect("a command that waits");
            let mut answer = heard(&mut open.answer)?;
            // A planned send that has begun has ended, also if the store refuses its result.
            if let (Intent::Resume { .. }, Stage::Sent { .. }, Outcome::Refused(_)) =
                (&open.intent, &open.stage, &answer)
            {
                answer = Outcome::Followed;
            }
            self.first.remove(command);
            answers.insert(*command, (open, answer));
        }
        for (first, answer) in joined {
            self.tally.count(format!("joined {}", name(&answer)));
            if answers.get(&first).is_none_or(|(_, told)| *told != answer) {
                return Err(format!("{answer:?} is not what command {first} was told"));
            }
        }
        let answered: Vec<usize> = answers.values().map(|(open, _)| open.number).collect();
        let is_approved = |answer: &Outcome| *answer == Outcome::Check(CheckOutcome::Approved);
        let approved = answers.values().filter(|(_, answer)| is_approved(answer));
        let approved: Vec<usize> = approved.map(|(open, _)| open.number).collect();
        for left in left {
            let command = match left {
                Left::Outcome(command) if !answers.contains_key(&command) => continue,
                Left::Outcome(command) => command,
                Left::Message(dispatch) => {
                    self.dispatches(call, *dispatch)?;
                    continue;
                }
                Left::Check(check) => {
                    self.consults(call, *check)?;
                    continue;
                }
            };
            let (mut open, answer) = answers.remove(&command).expect("one answer to each command");
            let is_put_off = matches!(answer, Outcome::Send(SendOutcome::Sent { postponed: true, .. }));
            if let Some(heard_at) = open.useless_since.filter(|_| !is_put_off) {
                // Its code had ended before the message could leave: the send was decided again, perhaps several times, and
                // this answers the last one.
                let ended = std::mem::replace(&mut open.stage, Stage::Direct);
                let fact = self.fact(call, open.number, open.since, What::Uncertain(command, ended));
                let again = What::Uncertain(command, Stage::Direct);
                self.notes(fact.clone());
                self.notes(Fact { what: again, at: [heard_at, fact.at[1]], ..fact });
            }
            self.tally.count(name(&answer));
            let what = What::Answered(command, open.stage.clone(), answer.clone());
            let fact = self.fact(call, open.number, open.since, what);
            let at = fact.at;
            self.notes(fact.clone());
            self.is_not_sent(command, &open, &answer, &fact);
            let is_current = !approved.contains(&open.number) || is_approved(&answer);
            if is_current && !is_forgotten(&open, answers.values()) {
                self.is_durable(&open, &answer, at)?;
            }
            // Another decision of the batch may have ended the plan.
            if answered.iter().filter(|number| **number == open.number).count() == 1 {
                self.is_planned(&open, &answer)?;
            }
        }
        if !(self.setup.gathers && notice.is_none() && self.chance(50)) {
            self.takes_commit(shard);
        }
        Ok(())
    }

    /// Hands the store what a shard has decided.
    pub fn takes_commit(&mut self, shard: usize) {
        if let Some(writes) = self.shards[shard].core.take_commit() {
            assert!(self.shards[shard].commit.is_none(), "a second commit while one is in flight");
            let mut numbers: Vec<usize> = writes.iter().filter_map(|write| self.number_of(write)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            self.says(&numbers, || format!("[shard {shard}] wants numbers {numbers:?} written"));
            let (taken_at, taken) = (self.shards[shard].seen, self.event());
            let notice = CommitNotice { numbers, taken_at, taken };
            self.shards[shard].commit = Some(InFlight { writes, notice, progress: Progress::Before });
        }
    }

    /// A fact about a command that came at `since`: the commit may have it. What an earlier commit left to decide was decided
    /// when that ended, or now.
    fn fact(&self, call: Call<'_>, number: usize, since: Since, what: What) -> Fact {
        let is_in_it =
            |notice: &&CommitNotice| notice.numbers.contains(&number) && since.event < notice.taken;
        let commit = call.notice.filter(is_in_it);
        let later = commit.map_or_else(|| self.shards[call.shard].seen, |commit| commit.taken_at);
        Fact {
            call: call.place,
            number,
            shard: call.shard,
            at: [since.at, later],
            in_commit: commit.is_some(),
            what,
        }
    }

    /// The number of a written record. `None` for the removal of a record that the disk does not have.
    fn number_of(&self, write: &Write) -> Option<usize> {
        let Write { key, put, .. } = write;
        if key.kind == AttemptLog::KIND {
            let log = put.as_deref().map(log_of).or_else(|| self.disk.log(key))?;
            let owner = NumberKey::new(AttemptLogKey::from_id(key.id).service, log.number);
            return Some(self.setup.numbers.iter().position(|known| *known == owner).expect("a number"));
        }
        let same = |number: &usize| self.record_key(*number) == *key;
        Some((0..self.setup.numbers.len()).find(same).expect("a number of this world"))
    }

    fn dispatches(&mut self, call: Call<'_>, dispatch: Sending) -> Checked {
        let shard = call.shard;
        let command = match &dispatch.permitted.follow_up {
            None => command_of(&dispatch.outgoing),
            Some(follow_up) => self.begins_plan(shard, &dispatch, follow_up)?,
        };
        let open = self.commands.get_mut(&command).ok_or("a message left for a command that is answered")?;
        // Its code had ended before the message could leave: the send was decided again.
        let ended = (open.stage != Stage::Direct).then(|| std::mem::replace(&mut open.stage, Stage::Direct));
        if open.at_gateway || ended.is_some() && open.useless_since.take().is_none() {
            return Err(format!("a second message left for command {command}"));
        }
        open.at_gateway = true;
        let (number, since) = (open.number, open.since);
        if let Some(ended) = ended {
            let fact = self.fact(call, number, since, What::Uncertain(command, ended));
            self.notes(fact);
            self.tally.count("send decided again");
        }
        let open = &self.commands[&command];
        let planned = matches!(open.intent, Intent::Resume { .. });
        let (key, verification) = (dispatch.outgoing.key, dispatch.permitted.permit.verification);
        if key != self.setup.numbers[number] {
            return Err("a message left for another number".to_owned());
        }
        let (salt, expires) = (Salted(verification.salt.0), verification.expires.as_millis());
        let code = verification.code_seed(key.service, key.number).code(&server_key());
        let code = code.expose().to_owned();
        let what = What::Dispatched { command, salt, code: code.clone(), expires, planned };
        let fact = self.fact(call, number, since, what);
        self.notes(fact);
        let state = self.durable(number);
        if state.verification().is_none_or(|v| v.salt.0 != salt.0) {
            return Err(format!("a message left for a code that the disk does not have: {state:?}"));
        }
        self.inbox.entry(number).or_default().push(code);
        self.salts.entry(number).or_default().push(salt);
        let life = self.shards[shard].life;
        self.sends.push(AtGateway { shard, life, command, request: dispatch });
        Ok(())
    }

    /// The command that offered a planned send, which leaves once and is then no longer planned on the disk.
    fn begins_plan(
        &mut self,
        shard: usize,
        dispatch: &Sending,
        follow_up: &FollowUp,
    ) -> Result<CommandId, String> {
        let Reason::Retry { retries: plan, .. } = follow_up.reason else {
            return Err("a message was sent without a plan".to_owned());
        };
        if !self.made.insert(plan) {
            return Err(format!("planned send {plan} left twice"));
        }
        self.tally.count("planned send made");
        let planned = self.durable_log(dispatch.permitted.log).and_then(|log| log.plan);
        if planned.is_some_and(|planned| planned.follow_up == *follow_up) {
            return Err(format!("planned send {plan} left, and a start would send it again"));
        }
        // If several commands offer one plan, the first one gets it.
        let salt = Salted(dispatch.permitted.permit.verification.salt.0);
        let is_this = |open: &Open| open.intent == Intent::Resume { salt } && open.waits_for(shard);
        let found = self.commands.iter().find(|(_, open)| is_this(open)).map(|(command, _)| *command);
        found.ok_or(format!("planned send {plan} left, and no command offered it"))
    }

    /// A due planned send that was decided alone and not sent must have an unusable code.
    fn is_not_sent(&mut self, command: CommandId, open: &Open, answer: &Outcome, answered: &Fact) {
        let (Intent::Resume { salt }, Stage::Direct, Outcome::Followed) = (&open.intent, &open.stage, answer)
        else {
            return;
        };
        if !self.alone.remove(&command) {
            return self.tally.count("planned send without a plan");
        }
        // Its code was used when it could leave, and the store refused that.
        if !answered.in_commit {
            return self.tally.count("planned send that was undone");
        }
        if answered.at[1] >= answered.at[0] + millis(self.setup.send_budget) {
            return self.tally.count("planned send whose commit took too long");
        }
        self.tally.count("planned send not usable");
        let what = What::Usable { salt: *salt, said: false, planned: true };
        self.notes(Fact { what, in_commit: false, ..answered.clone() });
    }

    /// If a client learned that its message is sent later, the disk must have the plan.
    fn is_planned(&self, open: &Open, answer: &Outcome) -> Checked {
        let (Stage::Sent { salt, .. }, Outcome::Send(SendOutcome::Sent { postponed: true, .. })) =
            (&open.stage, answer)
        else {
            return Ok(());
        };
        // The same batch may have begun or dropped a planned send of the same verification.
        let of_number =
            |other: &Open| other.number == open.number && matches!(other.intent, Intent::Resume { .. });
        if self.commands.values().any(of_number) {
            return Ok(());
        }
        let service = self.setup.numbers[open.number].service;
        let log = self.durable_log(AttemptLogKey::new(service, Salt(salt.0).id(), self.slot(open.number)));
        match log {
            Some(log) if log.plan.is_some() || log.verify == VerifyStatus::Success => Ok(()),
            log => Err(format!("told that a message is sent later, and the disk says {log:?}")),
        }
    }

    fn consults(&mut self, call: Call<'_>, check: Asking) -> Checked {
        let shard = call.shard;
        let number = self.setup.numbers.iter().position(|key| *key == check.check.key).expect("a number");
        let code = check.check.code.as_ref().map(|code| code.expose().to_owned());
        let intent = Intent::Check { code };
        // Of several checks with the same code, the gateway is asked about the first.
        let found = self
            .commands
            .iter_mut()
            .find(|(_, open)| open.intent == intent && open.number == number && open.waits_for(shard));
        let (command, open) = found.ok_or("a gateway is asked about a code that no client submitted")?;
        open.at_gateway = true;
        let (command, since, until) = (*command, open.since, check.permit.until.as_millis());
        let fact = self.fact(call, number, since, What::Consulted { until });
        self.says(&[number], || {
            format!("[shard {shard}] number {number}: command {command} goes to a gateway")
        });
        self.notes(fact);
        let verification = self.durable(number).verification();
        let is_counted = verification.is_some_and(|v| v.checking_until.as_millis() == until);
        if !is_counted {
            let what = "a gateway is asked about a code before the attempt is counted on the disk";
            return Err(what.to_owned());
        }
        let life = self.shards[shard].life;
        self.checks.push(AtGateway { shard, life, command, request: check });
        Ok(())
    }

    /// Asserts that the disk has an answer that has left.
    fn is_durable(&self, open: &Open, answer: &Outcome, at: [u64; 2]) -> Checked {
        let state = self.durable(open.number);
        // An expired record proves nothing, and nothing had to be written.
        if state.ends().is_some_and(|end| end.as_millis() <= at[0].max(at[1])) {
            return Ok(());
        }
        let (key, policy) = (self.setup.numbers[open.number], self.setup.policy(open.number));
        let holds = match answer {
            // A later decision of the batch may have found that the record had ended.
            Outcome::Check(CheckOutcome::Wrong { .. } | CheckOutcome::LockedNow { .. }) if at[0] < at[1] => {
                true
            }
            Outcome::Check(CheckOutcome::Wrong { attempts_left, .. }) => match state {
                NumberState::Open(open) => open.failures.in_a_row >= policy.max_attempts - attempts_left,
                NumberState::Locked { .. } => true,
                NumberState::Fresh => *attempts_left == policy.max_attempts,
            },
            Outcome::Check(CheckOutcome::LockedNow { .. }) => {
                let ends = at.map(|at| at + millis(policy.lockout_time()));
                matches!(state, NumberState::Locked { until } if ends.contains(&until.as_millis()))
            }
            Outcome::Check(CheckOutcome::Approved) => {
                match (&open.stage, state.verification(), &open.intent) {
                    (Stage::CheckReported { salt, .. }, Some(v), _) => v.salt.0 != salt.0,
                    (_, Some(v), Intent::Check { code }) => {
                        let same = v.code_seed(key.service, key.number).code(&server_key());
                        code.as_deref() != Some(same.expose())
                    }
                    _ => true,
                }
            }
            Outcome::Send(SendOutcome::Sent { .. }) => match (&open.stage, state.verification()) {
                (Stage::Sent { salt, end: end @ (End::Held | End::Ours) }, Some(v)) => {
                    // Nothing has to be noted for an expired code.
                    let ended = v.expires.as_millis() <= at[0].max(at[1]);
                    let noted = v.salt.0 != salt.0 || v.held.is_some() == (*end == End::Held) || ended;
                    noted || self.may_be_forgotten_since_it_left(open.number, *salt)
                }
                _ => true,
            },
            _ => true,
        };
        if holds { Ok(()) } else { Err(format!("answered {answer:?}, and the disk says {state:?}")) }
    }

    /// Whether a command got 503 after the code first left: a lockout may have removed the code in memory only, and
    /// nothing is noted for a missing code. Or whether another code replaced it for a while.
    fn may_be_forgotten_since_it_left(&self, number: usize, salt: Salted) -> bool {
        let of_number = || self.facts.iter().filter(|fact| fact.number == number);
        let left = |what: &What| matches!(what, What::Dispatched { salt: other, .. } if *other == salt);
        let sends = |command: &CommandId| {
            let asks =
                |what: &What| matches!(what, What::Asked(other, Intent::Send { .. }) if other == command);
            of_number().any(|fact| asks(&fact.what))
        };
        let refused = |what: &What| match what {
            What::Answered(_, _, answer) => *answer == Outcome::Refused(Refusal::OutcomeUnknown),
            What::MayBeDecided(command) => sends(command),
            _ => false,
        };
        let first = of_number().find(|fact| left(&fact.what)).map_or(u64::MAX, |fact| fact.call);
        of_number().any(|fact| fact.call > first && refused(&fact.what))
    }

    /// Notes the commands whose decisions may have become durable.
    pub fn may_be_decided(&mut self, shard: usize, notice: &CommitNotice) {
        self.notes_those_in(shard, notice, |command, open| {
            let may_be = open.stage == Stage::Direct || open.useless_since.is_some();
            // The end of a useless send comes first, and no answer tells of it.
            let ended = open.useless_since.map(|_| What::Uncertain(command, open.stage.clone()));
            ended.into_iter().chain(may_be.then_some(What::MayBeDecided(command))).collect()
        });
    }

    /// Notes the commands that a batch in flight may have decided and that will get no answer.
    pub fn doubts(&mut self, shard: usize, notice: &CommitNotice) {
        self.notes_those_in(shard, notice, |command, open| {
            // A send that was useless may have been decided again.
            let again = open.useless_since.map(|_| Stage::Direct);
            let stages = std::iter::once(open.stage.clone()).chain(again);
            stages.map(|stage| What::Uncertain(command, stage)).collect()
        });
        // A send that an earlier commit decided, and whose code another command of that commit used, is decided again
        // after the commands that came meanwhile.
        let may_be = |fact: &Fact| match fact.what {
            What::MayBeDecided(command) => Some(command),
            _ => None,
        };
        let decided: BTreeSet<CommandId> = self.facts.iter().filter_map(may_be).collect();
        self.notes_those_in(shard, notice, |command, open| {
            let is_send = matches!(open.intent, Intent::Send { .. }) && open.stage == Stage::Direct;
            let again = is_send && decided.contains(&command);
            again.then_some(What::Uncertain(command, Stage::Direct)).into_iter().collect()
        });
    }

    fn notes_those_in(
        &mut self,
        shard: usize,
        notice: &CommitNotice,
        what: impl Fn(CommandId, &Open) -> Vec<What>,
    ) {
        let CommitNotice { numbers, taken_at, taken } = notice;
        let call = self.event();
        let mut facts = Vec::new();
        for (command, open) in &self.commands {
            let number = open.number;
            let may_be_in_it = open.shard == shard && !open.at_gateway && open.since.event < *taken;
            if may_be_in_it && numbers.contains(&number) {
                let at = [open.since.at, *taken_at];
                let noted = what(*command, open).into_iter();
                facts.extend(noted.map(|what| Fact { call, number, shard, at, in_commit: true, what }));
            }
        }
        for fact in facts {
            self.notes(fact);
        }
    }
}

impl Open {
    /// Whether this shard decides about it next.
    fn waits_for(&self, shard: usize) -> bool {
        self.shard == shard && self.stage == Stage::Direct && !self.at_gateway
    }
}

/// Whether the code of an accepted message was already replaced and returns as it was then, because the same batch
/// withdraws the newer code; or the same batch replaces it with the code of a later accepted message.
fn is_forgotten<'a>(open: &Open, mut later: impl Iterator<Item = &'a (Open, Outcome)>) -> bool {
    let Stage::Sent { salt, end: accepted @ (End::Held | End::Ours) } = open.stage else { return false };
    later.any(|(other, answer)| {
        let forgotten = match other.stage {
            Stage::Direct => *answer == Outcome::Send(SendOutcome::GatewayFailed),
            Stage::Sent { salt: newer, end } if newer != salt => end == End::Nothing,
            Stage::Sent { end, .. } => matches!(end, End::Held | End::Ours) && end != accepted,
            Stage::CheckReported { .. } => false,
        };
        forgotten && other.number == open.number
    })
}

/// Such as `answer Check(Wrong`.
fn name(answer: &Outcome) -> String {
    let text = format!("{answer:?}");
    let variant = text.split([' ', ',']).next().unwrap_or_default().trim_end_matches(')');
    let later = if text.contains("postponed: true") { ", postponed" } else { "" };
    format!("answer {variant}{later}")
}

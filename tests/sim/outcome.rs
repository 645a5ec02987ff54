//! The output of a shard: decisions, answers, messages, questions, and the next commit.

use std::task::{Context, Poll, Waker};

use onceward::delivery::attempts::{AttemptLog, VerifyStatus};
use onceward::delivery::{PlannedMessage, Reason};
use onceward::domain::AttemptLogKey;
use onceward::shard::{Record as _, Write};
use onceward::verification::command::{Asking, Sending, Task};
use onceward::verification::{NumberKey, Refusal, Sent};

use crate::disk::log_of;
use crate::facts::{Checked, CommandId, Fact, Outcome, Salted, Stage, What};
use crate::number::Step;
use crate::setup::server_key;
use crate::shard::{InFlight, Left, Progress};
use crate::world::{Answer, AtGateway, Open, World};

impl World {
    /// Processes a shard's output, and mostly hands the store what it has decided.
    pub fn comes_out(&mut self, shard: usize) -> Checked {
        self.notes_output(shard)?;
        if !(self.setup.commits_late && self.chance(50)) {
            self.takes_commit(shard);
        }
        Ok(())
    }

    pub fn notes_output(&mut self, shard: usize) -> Checked {
        let (call, seen) = (self.event(), self.shards[shard].seen);
        let refuses = self.refuses(shard);
        let (mut told, mut joined, mut ending) = (Vec::new(), Vec::new(), None);
        for left in self.captured.take() {
            let (command, stage) = match left {
                Left::Decision { at, .. } if at.as_millis() != seen => {
                    return Err(format!("a decision at {at:?}, and the time is {seen}"));
                }
                Left::Decision { command, is_due, drawn, .. } => {
                    self.commands.get_mut(&command).expect("a command that waits").is_due |= is_due;
                    (command, Stage::Decided { is_due, drawn })
                }
                Left::End(command, fate) => {
                    if fate == Err(Refusal::TooLarge) {
                        self.tally.count("a record is too long");
                    }
                    ending = Some(command);
                    (command, Stage::Ended(fate))
                }
                Left::Effect(task) => {
                    let command = ending.ok_or("an effect without a decision")?;
                    let stage = match *task {
                        Task::Deliver(sending) => self.dispatches(shard, command, sending)?,
                        Task::AskGateway(asking) => self.consults(shard, command, asking)?,
                        // The model has it lost, as by a crash: the answer does not depend on it.
                        Task::SettleAgain(_) => continue,
                    };
                    (command, stage)
                }
                Left::Outcome(command) => {
                    if let Some(mut other) = self.joined.remove(&command) {
                        joined.push((other.first, heard(&mut other.answer, command)?));
                        continue;
                    }
                    let open = self.commands.get_mut(&command).ok_or("a second answer")?;
                    let answer = heard(&mut open.answer, command)?;
                    (command, Stage::Answered(answer))
                }
            };
            let number = self.commands[&command].number;
            if let Stage::Answered(answer) = &stage {
                let open = self.commands.remove(&command).expect("a command that waits");
                self.first.remove(&command);
                self.counts(&open, answer);
                told.push((command, open, answer.clone()));
            }
            let what = What::Command(command, stage);
            self.notes(Fact { call, number, shard, at: seen, refuses, what });
        }
        for (first, answer) in joined {
            self.tally.count(format!("joined {}", name(&answer)));
            if !told.iter().any(|(command, _, told)| *command == first && *told == answer) {
                return Err(format!("{answer:?} is not what command {first} was told"));
            }
        }
        for (_, open, answer) in &told {
            // Another decision of the batch may have ended the plan.
            if told.iter().filter(|(_, other, _)| other.number == open.number).count() == 1 {
                self.is_planned(open, answer)?;
            }
        }
        Ok(())
    }

    fn counts(&mut self, open: &Open, answer: &Outcome) {
        self.tally.count(name(answer));
        if let (Step::Resume { .. }, Outcome::Followed, None) = (&open.asked, answer, open.log) {
            let why = if open.is_due { "not usable" } else { "without a plan" };
            self.tally.count(format!("planned send {why}"));
        }
    }

    /// Hands the store what a shard has decided.
    pub fn takes_commit(&mut self, shard: usize) {
        if let Some(writes) = self.shards[shard].core.take_commit() {
            assert!(self.shards[shard].commit.is_none(), "a second commit while one is in flight");
            let mut numbers: Vec<usize> = writes.iter().filter_map(|write| self.number_of(write)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            self.says(&numbers, || format!("[shard {shard}] wants numbers {numbers:?} written"));
            let (taken, began) = (self.event(), self.shards[shard].seen);
            self.shards[shard].commit =
                Some(InFlight { writes, numbers, taken, began, progress: Progress::Before });
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

    fn dispatches(&mut self, shard: usize, command: CommandId, request: Sending) -> Result<Stage, String> {
        if let Some(planned) = &request.permitted.planned {
            self.begins_plan(shard, &request, planned)?;
        }
        let open = self.commands.get_mut(&command).ok_or("a message left for a command that is answered")?;
        open.log = Some(request.permitted.log);
        let number = open.number;
        let (key, verification) = (request.outgoing.key, request.permitted.permit.verification);
        if key != self.setup.numbers[number] {
            return Err("a message left for another number".to_owned());
        }
        let code = verification.code_seed(key.service, key.number).code(&server_key()).expose().to_owned();
        let (salt, expires) = (Salted(verification.salt.0), verification.expires.as_millis());
        self.inbox.entry(number).or_default().push(code.clone());
        self.salts.entry(number).or_default().push(salt);
        let life = self.shards[shard].life;
        self.sends.push(AtGateway { shard, life, command, request });
        Ok(Stage::Dispatched { salt, code, expires })
    }

    /// A planned send leaves once, not before it is due, and is then no longer planned on the disk.
    fn begins_plan(&mut self, shard: usize, request: &Sending, message: &PlannedMessage) -> Checked {
        let Reason::Retry { retries: plan } = message.reason else {
            return Err("a message was sent without a plan".to_owned());
        };
        let due = self.due.remove(&plan).ok_or_else(|| format!("planned send {plan} left twice"))?;
        if due > self.shards[shard].seen {
            return Err(format!("planned send {plan} left before it was due"));
        }
        self.tally.count("planned send made");
        let planned = self.durable_log(request.permitted.log).and_then(|log| log.plan);
        if planned.is_some_and(|planned| *planned == *message) {
            return Err(format!("planned send {plan} left, and a start would send it again"));
        }
        Ok(())
    }

    /// If a client learned that its message is sent later, the disk must have the plan.
    fn is_planned(&self, open: &Open, answer: &Outcome) -> Checked {
        let (Some(log), Outcome::Send(Ok(Sent { is_postponed: true, .. }))) = (open.log, answer) else {
            return Ok(());
        };
        // The same batch may have begun or dropped a planned send of the same verification.
        let of_number =
            |other: &Open| other.number == open.number && matches!(other.asked, Step::Resume { .. });
        if self.commands.values().any(of_number) {
            return Ok(());
        }
        // A code that is over needs no plan: the same batch may have dropped it, or forgotten its record.
        let now = self.shards[self.owner(open.number)].seen;
        let is_over = self.on_disk(open.number).code().is_none_or(|code| code.expires <= now);
        match self.durable_log(log) {
            _ if is_over => Ok(()),
            Some(log) if log.plan.is_some() || log.verify == VerifyStatus::Success => Ok(()),
            log => Err(format!("told that a message is sent later, and the disk says {log:?}")),
        }
    }

    fn consults(&mut self, shard: usize, command: CommandId, request: Asking) -> Result<Stage, String> {
        let code = request.check.code.as_ref().map(|code| code.expose().to_owned());
        let open = &self.commands[&command];
        if open.asked != (Step::Check { code }) || self.setup.numbers[open.number] != request.check.key {
            return Err("a gateway is asked about a code that no client submitted".to_owned());
        }
        let (life, until) = (self.shards[shard].life, request.permit.until.as_millis());
        self.checks.push(AtGateway { shard, life, command, request });
        Ok(Stage::Consulted { until })
    }
}

/// The answer to a command that was woken.
fn heard(answer: &mut Answer, command: CommandId) -> Result<Outcome, String> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => Err(format!("command {command} was woken for nothing")),
    }
}

/// Such as `answer Check(Wrong`.
fn name(answer: &Outcome) -> String {
    let text = format!("{answer:?}");
    let variant = text.split([' ', ',']).next().unwrap_or_default().trim_end_matches(')');
    let later = if text.contains("postponed: true") { ", postponed" } else { "" };
    format!("answer {variant}{later}")
}

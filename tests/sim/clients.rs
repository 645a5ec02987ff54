//! Commands of clients, and of delivery on their behalf.

use std::future::Future;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use onceward::delivery::{Check, Outgoing};
use onceward::domain::{Channel, Code, ServiceId};
use onceward::engine::SendOptions;
use onceward::verification::command::{Request, command};
use onceward::verification::in_flight::{Place, Responder};
use onceward::verification::{Refusal, Reply, SendOutcome};
use rand::RngExt;
use tokio::sync::oneshot::error::RecvError;

use crate::facts::{Checked, CommandId, Outcome, Stage, What};
use crate::number::Step;
use crate::setup::{WRONG_LENGTH, length, millis};
use crate::world::{Answer, First, Joined, Open, Plan, World};

/// The message that a client asks for.
type Message = (Channel, Option<SendOptions>);

impl World {
    pub fn client_asks(&mut self) -> Checked {
        let number = self.any_number();
        // Concurrent commands for one number cause most errors.
        let crowd = if self.chance(15) { self.rng.random_range(2..6) } else { 1 };
        let sends = self.chance(35) || !self.inbox.contains_key(&number);
        let message = self.some_message();
        for _ in 0..crowd {
            if sends && !self.chance(10) {
                let other = self.some_message();
                let message = if self.chance(50) { message } else { other };
                self.sends(number, message)?;
            } else {
                let code = self.some_code(number);
                self.checks(number, code)?;
            }
        }
        Ok(())
    }

    /// A right code, an earlier one, one that cannot be right, or `None`.
    fn some_code(&mut self, number: usize) -> Option<String> {
        if self.chance(self.setup.right)
            && let Some(codes) = self.inbox.get(&number)
        {
            let last = codes.len() - 1;
            let place = if self.rng.random_range(0..10) < 7 { last } else { self.rng.random_range(0..=last) };
            return Some(self.inbox[&number][place].clone());
        }
        (!self.chance(15)).then(|| format!("{:0WRONG_LENGTH$}", self.next_command % 10_000_000))
    }

    pub fn some_message(&mut self) -> Message {
        let life = Duration::from_secs([3, 30, 90][self.rng.random_range(0..3)]);
        let options = self.chance(30).then(|| SendOptions { life, length: length(&mut self.rng) });
        (Channel::ALL[self.rng.random_range(0..3)], options)
    }

    pub fn sends(&mut self, number: usize, message: Message) -> Checked {
        let (channel, options) = message;
        let life = options.map_or(self.setup.policy(number).code.life, |options| options.life);
        let (mut responder, pending) = Responder::new(self.place()?);
        let outgoing = Outgoing { options, ..Outgoing::new(self.setup.numbers[number], channel) };
        self.tally.count("command send");
        let owner = self.asks(number);
        let asked = First { number, message };
        let same = self.first.iter().find(|(_, first)| **first == asked).map(|(command, _)| *command);
        let outcome = |reply: Reply<SendOutcome>| Outcome::Send(reply.outcome);
        match responder.ask(&outgoing, pending) {
            Err(refusal) => {
                let of_number = |first: &First| first.number == number;
                let first = self.first.values().filter(|first| of_number(first)).count();
                let joined = self
                    .joined
                    .values()
                    .filter(|joined| self.first.get(&joined.first).is_some_and(&of_number));
                let is_full = first + joined.count() >= self.setup.commands_per_number;
                self.tally.count("a number has too many requests for messages");
                if is_full && refusal == Refusal::NumberBusy { Ok(()) } else { Err(format!("{refusal:?}")) }
            }
            Ok((answer, false)) => {
                let first = same.ok_or("a request joins no other one")?;
                let mut answer = told(answer, outcome);
                let waiting =
                    answer.as_mut().poll(&mut Context::from_waker(&self.captured.waker(self.next_command)));
                assert!(waiting.is_pending(), "nothing answers before it is asked");
                self.joined.insert(self.next_command, Joined { first, answer, _place: responder });
                self.next_command += 1;
                Ok(())
            }
            Ok(_) if same.is_some() => Err("a request does not join the same one".to_owned()),
            Ok((answer, true)) => {
                self.first.insert(self.next_command, asked);
                let request = Request::Send(Box::new(outgoing), None, responder);
                self.submits(owner, number, Step::Send { life: millis(life) }, told(answer, outcome), request)
            }
        }
    }

    pub fn checks(&mut self, number: usize, code: Option<String>) -> Checked {
        let parsed = code.as_deref().map(|code| Code::parse(code).expect("a code"));
        let (responder, answer) = Responder::new(self.place()?);
        let check = Check::new(self.setup.numbers[number], parsed);
        self.tally.count("command check");
        let request = Request::Check(check, responder);
        let owner = self.asks(number);
        self.submits(
            owner,
            number,
            Step::Check { code },
            told(answer, |reply| Outcome::Check(reply.outcome)),
            request,
        )
    }

    /// A planned send is due. It is tried again while the store fails, and sometimes is one that has already begun.
    pub fn planned_send(&mut self) -> Checked {
        if self.plans.is_empty() {
            return Ok(());
        }
        let place = self.rng.random_range(0..self.plans.len());
        let plan = if self.chance(50) { self.plans[place].clone() } else { self.plans.swap_remove(place) };
        let Plan { number, salt, log, expires } = plan;
        if self.clock >= expires {
            self.plans.retain(|plan| plan.salt != salt);
            return Ok(());
        }
        let (responder, answer) = Responder::new(self.place()?);
        self.tally.count("command resume");
        let asked = Step::Resume { salt };
        let planned = Box::new(Outgoing::new(self.setup.numbers[number], Channel::Sms));
        let request = Request::Send(planned, Some(log), responder);
        let owner = self.asks(number);
        self.submits(owner, number, asked, told(answer, |_| Outcome::Followed), request)
    }

    fn place(&self) -> Result<Place, String> {
        let permit = self.places.acquire(ServiceId::DEFAULT, false);
        permit.map_err(|_| "the places of commands ran out".to_owned())
    }

    /// The shard that is asked, if one runs.
    fn asks(&mut self, number: usize) -> Option<usize> {
        // Some commands come while the shard of the number restarts.
        Some(self.owner(number)).filter(|_| self.setup.calm || !self.chance(2))
    }

    fn submits(
        &mut self,
        owner: Option<usize>,
        number: usize,
        step: Step,
        answer: Answer,
        request: Request,
    ) -> Checked {
        let command = self.next_command;
        self.next_command += 1;
        let asked = Stage::Asked { step: step.clone(), has_shard: owner.is_some() };
        self.notes_now(owner.unwrap_or(0), number, What::Command(command, asked));
        let mut open = Open { number, asked: step, is_due: false, log: None, answer };
        let waker = self.captured.waker(command);
        let waiting = open.answer.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(waiting.is_pending(), "nothing answers before it is asked");
        self.commands.insert(command, open);
        self.hands_over(owner, command, request)
    }

    /// Passes a command, or its result, to the owner of its number; without one it is refused, as by the shards.
    pub fn hands_over(&mut self, owner: Option<usize>, name: CommandId, request: Request) -> Checked {
        let planned = if let Request::Send(_, log, _) = &request { *log } else { None };
        let command = command(request, Arc::clone(&self.deps));
        let Some(shard) = owner else {
            self.tally.count("a command for a shard that restarts");
            (command.decide)(Err(Refusal::Stopping));
            return self.comes_out(0);
        };
        let number = self.setup.numbers[self.commands[&name].number].id();
        let command = self.captured.watches(name, number, planned.map(|log| log.id()), command);
        let now = self.shards[shard].tick(self.clock);
        self.shards[shard].core.submit(command, now);
        self.comes_out(shard)
    }
}

/// The answer that a client gets. `Dropped` if the shard or its process died with the command.
fn told<T: 'static>(
    answer: impl Future<Output = Result<Result<T, Refusal>, RecvError>> + 'static,
    of: fn(T) -> Outcome,
) -> Answer {
    Box::pin(async move {
        answer.await.map_or(Outcome::Dropped, |answer| answer.map_or_else(Outcome::Refused, of))
    })
}

//! Checks the facts of each number against the rules: at each moment it has one memory, which the shard's decisions change in
//! their order. Therefore each answer and each message is known beforehand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use onceward::verification::{CheckOutcome, Refusal};

use crate::facts::{Checked, CommandId, End, Fact, Outcome, Salted, Stage, What};
use crate::number::{Code, Decision, Memory, Permit, Rules, Step, Then};
use crate::runs::Broken;

/// The rules are indexed by number.
pub fn check(facts: &[Fact], rules: &[Rules]) -> Result<(), Box<Broken>> {
    let mut models: Vec<_> = rules.iter().map(NumberModel::new).collect();
    for fact in facts {
        let seen = models[fact.number].sees(fact);
        seen.map_err(|what| Box::new(Broken { fact: Some(fact.clone()), what }))?;
    }
    Ok(())
}

/// One number's state, according to the facts until now.
struct NumberModel<'a> {
    rules: &'a Rules,
    /// In the memory of its shard.
    memory: Memory,
    /// After the last decision whose effects have left.
    durable: Memory,
    /// The decisions whose effects wait for the store.
    held: VecDeque<Held>,
    /// The disk has the decisions before this event.
    stored: u64,
    /// What was asked, and what happens next.
    commands: BTreeMap<CommandId, (Step, Next)>,
    /// The codes of messages that left.
    texts: BTreeMap<Salted, String>,
    /// Codes that were approved, locked, or replaced by an accepted message.
    over: BTreeSet<Salted>,
}

struct Held {
    call: u64,
    command: CommandId,
    is_bounded: bool,
    after: Memory,
    then: Then,
    /// The code that it ends for good.
    ends: Option<Salted>,
}

/// The next event of a command.
#[derive(Debug, Clone, PartialEq)]
enum Next {
    /// It is decided. One that is not a result may be refused instead.
    Decide(Step),
    /// Its decision is durable, or fails.
    End,
    Dispatch(Permit),
    Consult(Code),
    /// Something becomes of its message, unless the shard that sent it is no more.
    HearOfMessage(Permit),
    HearOfCheck(Code),
    Answer(Outcome),
}

impl<'a> NumberModel<'a> {
    const fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            memory: Memory::Nothing,
            durable: Memory::Nothing,
            held: VecDeque::new(),
            stored: 0,
            commands: BTreeMap::new(),
            texts: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    fn sees(&mut self, fact: &Fact) -> Checked {
        match &fact.what {
            What::Command(command, stage) => self.comes_to(*command, stage, fact)?,
            What::Stored(event, found) => {
                self.is_done()?;
                self.stored = *event;
                must_be(self.upto(*event), *found, fact.at)?;
            }
            What::Reloaded(event, found) => {
                self.is_done()?;
                must_be(self.upto(*event), *found, fact.at)?;
                (self.memory, self.durable) = (*found, *found);
                self.held.clear();
                for (_, next) in self.commands.values_mut().filter(|(_, next)| *next == Next::End) {
                    *next = Next::Answer(Outcome::Dropped);
                }
            }
            What::Usable { salt, said } => {
                if self.memory.is_usable(*salt, fact.at, self.rules) != *said {
                    return Err(format!("asked about a code, the shard says {said} for {:?}", self.memory));
                }
            }
        }
        Ok(())
    }

    /// A command comes to its next stage, which must be the expected one.
    fn comes_to(&mut self, command: CommandId, stage: &Stage, fact: &Fact) -> Checked {
        if let Stage::Asked { step, has_shard } = stage {
            self.is_done()?;
            let refused = Next::Answer(Outcome::Refused(Refusal::Stopping));
            let next = if *has_shard { Next::Decide(step.clone()) } else { refused };
            self.commands.insert(command, (step.clone(), next));
            return Ok(());
        }
        let known = self.commands.remove(&command);
        let (asked, next) = known.ok_or_else(|| format!("command {command} is answered already"))?;
        let next = match (stage, next) {
            (Stage::SendEnded(end), Next::HearOfMessage(permit)) => {
                Next::Decide(Step::SendEnds(permit, *end))
            }
            (Stage::CheckEnded(result), Next::HearOfCheck(code)) => {
                Next::Decide(Step::CheckEnds(code, *result))
            }
            (Stage::Decided { is_due, drawn }, Next::Decide(step)) => {
                self.decided(command, &step, (*is_due, *drawn), fact)?;
                Next::End
            }
            (Stage::Ended(fate), Next::End) => {
                let place = self.held.iter().position(|held| held.command == command);
                let place = place.ok_or("a decision ended that does not wait")?;
                match fate {
                    Ok(()) => self.is_durable(place, &asked, fact.at)?,
                    Err(refusal) => self.has_failed(place, *refusal),
                }
            }
            (Stage::Dispatched { salt, code, expires }, Next::Dispatch(permit))
                if (permit.code.salt, permit.code.expires) == (*salt, *expires) =>
            {
                if self.texts.entry(*salt).or_insert_with(|| code.clone()) != code {
                    return Err("a message left with another code".to_owned());
                }
                if self.over.contains(salt) {
                    return Err("a message left with a code that is over".to_owned());
                }
                Next::HearOfMessage(permit)
            }
            (Stage::Consulted { until }, Next::Consult(code)) if code.asking == *until => {
                Next::HearOfCheck(code)
            }
            (Stage::Answered(answer), next) if self.may_answer(&next, answer, fact) => return Ok(()),
            (stage, next) => {
                return Err(format!("{stage:?} before {next:?}; in memory is {:?}", self.memory));
            }
        };
        self.commands.insert(command, (asked, next));
        Ok(())
    }

    fn decided(
        &mut self,
        command: CommandId,
        step: &Step,
        (is_due, drawn): (bool, Option<Salted>),
        fact: &Fact,
    ) -> Checked {
        if let Some(refusal) = self.refusal(step, fact) {
            return Err(format!("decided, and should say {refusal}"));
        }
        let decided = match step {
            Step::Resume { .. } if !is_due => Ok((self.memory, Then::Answer(Outcome::Followed))),
            step => self.decision(fact.at, drawn).of(self.memory, step),
        };
        let (after, then) = decided.map_err(|refusal| format!("decided, and should say {refusal}"))?;
        if let Then::Deliver(Permit { code, is_planned: false, .. }) = &then
            && code.sending == 1
            && self.texts.contains_key(&code.salt)
        {
            return Err("an earlier code is drawn again".to_owned());
        }
        let ended = match (&then, step) {
            (Then::Answer(Outcome::Check(CheckOutcome::Approved | CheckOutcome::LockedNow { .. })), _) => {
                self.memory.code()
            }
            (Then::Answer(Outcome::Send(Ok(_))), Step::SendEnds(permit, _)) => permit.replaced,
            _ => None,
        };
        let (is_bounded, ends) = (is_bounded(step), ended.map(|code| code.salt));
        self.memory = after;
        self.held.push_back(Held { call: fact.call, command, is_bounded, after, then, ends });
        Ok(())
    }

    const fn decision(&self, now: u64, drawn: Option<Salted>) -> Decision<'_> {
        Decision { rules: self.rules, now, texts: &self.texts, drawn }
    }

    /// Why the shard must refuse this step before it decides it.
    fn refusal(&self, step: &Step, fact: &Fact) -> Option<Refusal> {
        let is_full = self.held.iter().filter(|held| held.is_bounded).count() >= self.rules.waiting;
        let unavailable = fact.refuses.then_some(Refusal::StoreUnavailable);
        is_full.then_some(Refusal::NumberBusy).or(unavailable).filter(|_| is_bounded(step))
    }

    /// A decision is durable: its effects leave, if they still make sense.
    fn is_durable(&mut self, place: usize, asked: &Step, now: u64) -> Result<Next, String> {
        let Some(held) = self.held.pop_front().filter(|_| place == 0) else {
            return Err("its effects leave before those of an earlier decision".to_owned());
        };
        if held.call > self.stored && held.after != self.durable {
            return Err("its effects leave before the disk has it".to_owned());
        }
        self.durable = held.after;
        if held.then == Then::Answer(Outcome::Check(CheckOutcome::Approved)) && self.is_over(&held, asked) {
            return Err("a code that is over is approved".to_owned());
        }
        self.over.extend(held.ends);
        Ok(match held.then {
            Then::Answer(answer) => Next::Answer(answer),
            Then::Deliver(permit) if self.memory.lets_leave(&permit, now, self.rules) => {
                Next::Dispatch(permit)
            }
            Then::Deliver(permit) => Next::Decide(Step::SendEnds(permit, End::NoLongerUsable)),
            Then::Ask(code) => Next::Consult(code),
        })
    }

    /// Whether the submitted code, or else the code that a gateway has approved, is over. Independent of what memory says
    /// of our codes.
    fn is_over(&self, held: &Held, asked: &Step) -> bool {
        let Step::Check { code: Some(submitted) } = asked else { return true };
        let ours = self.texts.iter().filter(|(_, text)| *text == submitted).map(|(salt, _)| *salt);
        let mut meant: Vec<Salted> = ours.collect();
        if meant.is_empty() {
            meant.extend(held.ends);
        }
        meant.iter().all(|salt| self.over.contains(salt))
    }

    /// The store has refused a decision and all later ones, or it is unknown which of them the disk has.
    fn has_failed(&mut self, place: usize, refusal: Refusal) -> Next {
        let is_bounded = self.held[place].is_bounded;
        if refusal == Refusal::StoreUnavailable {
            self.held.remove(place);
            self.memory = self.durable;
        }
        // It alone, and at once.
        if refusal == Refusal::TooLarge {
            self.held.remove(place);
            self.memory = self.held.back().map_or(self.durable, |before| before.after);
        }
        // What a gateway has done cannot be refused.
        let refusal = if is_bounded { refusal } else { Refusal::OutcomeUnknown };
        Next::Answer(Outcome::Refused(refusal))
    }

    fn may_answer(&self, next: &Next, answer: &Outcome, fact: &Fact) -> bool {
        match (next, answer) {
            (Next::Answer(expected), answer) => expected == answer,
            (Next::HearOfMessage(_) | Next::HearOfCheck(_), Outcome::Dropped) => true,
            (Next::Decide(step), Outcome::Refused(refusal)) if is_bounded(step) => {
                let busy = || self.decision(fact.at, None).of(self.memory, step).err();
                self.refusal(step, fact).or_else(busy) == Some(*refusal)
            }
            _ => false,
        }
    }

    /// The memory after the decisions before this event.
    fn upto(&self, event: u64) -> Memory {
        let before = self.held.iter().take_while(|held| held.call < event);
        before.last().map_or(self.durable, |held| held.after)
    }

    /// Whatever had to happen at once has happened.
    fn is_done(&self) -> Checked {
        let is_at_once = |next: &Next| {
            matches!(next, Next::Decide(_) | Next::Dispatch(_) | Next::Consult(_) | Next::Answer(_))
        };
        match self.commands.iter().find(|(_, (_, next))| is_at_once(next)) {
            Some((command, (_, next))) => {
                Err(format!("before, command {command} should have come to {next:?}"))
            }
            None => Ok(()),
        }
    }
}

/// The disk must have the expected memory, unless it has ended and was swept.
fn must_be(expected: Memory, found: Memory, now: u64) -> Checked {
    let is_swept = found == Memory::Nothing && now >= expected.ends();
    if found == expected || is_swept { Ok(()) } else { Err(format!("the disk must have {expected:?}")) }
}

/// Whether the shard may refuse it.
const fn is_bounded(step: &Step) -> bool {
    matches!(step, Step::Send { .. } | Step::Check { .. } | Step::Resume { .. })
}

//! A lockout that grows, against an independent model: every answer, while sends are settled at once.

use proptest::prelude::*;

use super::growing_steps::{By, Number, Step, brought, name_of, named, policy, step};
use super::held_steps::other_code;
use super::world::{CHECK_BUDGET, secs};
use crate::domain::{Code, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckSettled, EndOutcome, Ending, GatewayResult,
    Policy, ResumeOutcome, Salt, SendPermit, VerificationName,
};

/// What is known of the verification under way.
#[derive(Clone)]
struct Known {
    salt: Salt,
    name: VerificationName,
    code: String,
    begun: Timestamp,
    ends: Timestamp,
    asked_last: Timestamp,
    messages: u8,
    wrong_by_name: u8,
    wrong_by_number: u8,
    ours_is_out: bool,
    held: bool,
    postponed: bool,
}

/// What a number remembers, in plain facts.
#[derive(Default, Clone)]
struct Model {
    /// Consecutive wrong codes of those who did not name the verification.
    by_number: u32,
    by_name: u32,
    wait_until: Option<Timestamp>,
    forgotten_at: Option<Timestamp>,
    for_ever: bool,
    current: Option<Known>,
    asking_until: Option<Timestamp>,
}

impl Model {
    fn at(&mut self, now: Timestamp) {
        if self.asking_until.is_some_and(|end| now >= end) {
            self.asking_until = None;
        }
        if !self.for_ever && self.forgotten_at.is_some_and(|end| now >= end) {
            *self = Self::default();
        }
    }

    fn remember(&mut self, until: Timestamp) {
        self.forgotten_at = self.forgotten_at.max(Some(until));
    }

    fn live(&self, now: Timestamp) -> Option<&Known> {
        self.current.as_ref().filter(|known| now < known.ends)
    }

    fn counted_nothing(&self) -> bool {
        self.by_number == 0 && self.by_name == 0 && self.wait_until.is_none()
    }

    /// Whether a message may be asked for, and if not why.
    fn begin(&mut self, policy: &Policy, now: Timestamp) -> Result<(), BeginOutcome> {
        self.at(now);
        if let Some(until) = self.asking_until {
            return Err(BeginOutcome::Busy { until });
        }
        if self.by_name >= 100 {
            return Err(BeginOutcome::NoChecksLeft { until: None });
        }
        let Some(known) = self.live(now) else { return Ok(()) };
        if known.wrong_by_name >= policy.max_attempts {
            return Err(BeginOutcome::NoChecksLeft { until: Some(known.ends) });
        }
        if policy.sends.max.is_some_and(|max| known.messages >= max) {
            return Err(BeginOutcome::NoSendsLeft { until: known.ends });
        }
        let wait = match known.messages {
            1 => 30,
            2 => 60,
            3 => 120,
            _ => 300,
        };
        let until = known.asked_last.plus(secs(wait));
        if policy.sends.cools_down && now < until {
            return Err(BeginOutcome::CoolingDown { until });
        }
        Ok(())
    }

    /// It was permitted. Says whether the code must be the one before.
    fn begun(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        permit: &SendPermit,
        code: &Code,
        brings: bool,
    ) -> bool {
        let before = self.live(now).cloned();
        let same_code = |known: &Known| !brings || known.code == code.expose();
        let repeats = before.as_ref().is_some_and(|known| policy.sends.keeps_code && same_code(known));
        let ends = if repeats { permit.expires } else { now.plus(policy.code.life) };
        let known = Known {
            salt: permit.salt,
            name: name_of(permit),
            code: code.expose().to_owned(),
            begun: before.as_ref().map_or(now, |known| known.begun),
            ends,
            asked_last: now,
            messages: before.as_ref().map_or(0, |known| known.messages) + 1,
            wrong_by_name: before.as_ref().map_or(0, |known| known.wrong_by_name),
            wrong_by_number: before.as_ref().map_or(0, |known| known.wrong_by_number),
            ours_is_out: repeats && before.as_ref().is_some_and(|known| known.ours_is_out),
            held: repeats && before.as_ref().is_some_and(|known| known.held),
            postponed: repeats && before.as_ref().is_some_and(|known| known.postponed),
        };
        self.remember(known.ends.plus(policy.lockout));
        self.current = Some(known);
        repeats
    }

    /// What a gateway said of the code that is out; `before` is what it replaced.
    fn settled(&mut self, result: GatewayResult, before: Option<Known>) {
        let Some(known) = &mut self.current else { return };
        match result {
            GatewayResult::Accepted | GatewayResult::Unknown => known.ours_is_out = true,
            GatewayResult::Held(_) => known.held = true,
            GatewayResult::Postponed => known.postponed = true,
            GatewayResult::Failed => {}
        }
        if known.ours_is_out || known.held || known.postponed {
            return;
        }
        let failed = known.clone();
        self.current = before.map(|old| {
            // The code before is good again, and nothing that was counted is forgotten.
            if old.name == failed.name {
                Known { messages: failed.messages, asked_last: failed.asked_last, ..old }
            } else {
                old
            }
        });
        if self.current.is_none() && self.counted_nothing() {
            *self = Self::default();
        }
    }

    fn check(&mut self, policy: &Policy, now: Timestamp, asked: &Asked<'_>) -> CheckOutcome {
        self.at(now);
        if let Some(until) = self.asking_until {
            return CheckOutcome::Busy { until };
        }
        let is_meant = |known: &&Known| asked.name.is_none_or(|name| name == known.name);
        let Some(known) = self.live(now).filter(is_meant).cloned() else { return CheckOutcome::NotFound };
        let refused = |until| CheckOutcome::NoChecksLeft { until };
        if known.wrong_by_name >= policy.max_attempts {
            return refused(Some(known.ends));
        }
        let by_name = asked.name.is_some();
        if self.by_name >= 100 || (!by_name && self.by_name + self.by_number >= 100) {
            return refused(None);
        }
        if !by_name && known.wrong_by_number >= policy.max_attempts {
            return refused(Some(known.ends).max(self.wait_until));
        }
        if let Some(until) = self.wait_until.filter(|until| !by_name && now < *until) {
            return refused(Some(until));
        }
        if asked.code.is_some_and(|code| code == known.code) && (known.ours_is_out || !known.held) {
            *self = Self::default();
            return CheckOutcome::Approved;
        }
        let left = self.count(policy, now, by_name);
        if known.held && asked.code.is_some() {
            let until = now.plus(CHECK_BUDGET);
            self.asking_until = Some(until);
            self.remember(until.plus(policy.lockout));
            let held = super::world::HOLDER;
            return CheckOutcome::Ask(CheckPermit { salt: known.salt, held, until, is_named: by_name });
        }
        CheckOutcome::Wrong { attempts_left: left, live: true }
    }

    fn count(&mut self, policy: &Policy, now: Timestamp, by_name: bool) -> u8 {
        let known = self.current.as_mut().expect("a verification");
        let wrong = if by_name {
            self.by_name += 1;
            known.wrong_by_name += 1;
            known.wrong_by_name
        } else {
            self.by_number += 1;
            known.wrong_by_number += 1;
            let beyond = self.by_number.checked_sub(u32::from(policy.max_attempts));
            let wait = beyond.map_or(0, |n| (30_u64 << n.min(10)).min(3600));
            self.wait_until = self.wait_until.max(Some(now.plus(secs(wait))));
            known.wrong_by_number
        };
        self.remember(now.plus(policy.lockout));
        self.for_ever |= self.by_name + self.by_number >= 100;
        policy.max_attempts - wrong
    }

    fn hear(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        permit: &CheckPermit,
        result: CheckResult,
    ) -> CheckSettled {
        self.at(now);
        let is_open = self.asking_until == Some(permit.until);
        let Some(known) = self.current.as_mut().filter(|known| is_open && known.salt == permit.salt) else {
            let left = u32::from(policy.max_attempts).saturating_sub(self.by_number);
            let attempts_left = u8::try_from(left).expect("a small number");
            return match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    CheckSettled::Wrong { attempts_left, live: false }
                }
                _ => CheckSettled::Failed,
            };
        };
        self.asking_until = None;
        let wrong = if permit.is_named { &mut known.wrong_by_name } else { &mut known.wrong_by_number };
        let attempts_left = policy.max_attempts - *wrong;
        match result {
            CheckResult::Approved => {
                *self = Self::default();
                CheckSettled::Approved
            }
            CheckResult::NotAsked => {
                *wrong -= 1;
                *(if permit.is_named { &mut self.by_name } else { &mut self.by_number }) -= 1;
                CheckSettled::Failed
            }
            CheckResult::Unknown => CheckSettled::Failed,
            CheckResult::Wrong => CheckSettled::Wrong { attempts_left, live: true },
            CheckResult::NotLive => CheckSettled::Wrong { attempts_left, live: known.ours_is_out },
        }
    }

    fn end(&mut self, ending: Ending, now: Timestamp) -> Result<bool, Timestamp> {
        self.at(now);
        if let Some(until) = self.asking_until {
            return Err(until);
        }
        let is_live = self.live(now).is_some();
        match ending {
            Ending::Cleared => *self = Self::default(),
            Ending::Approved if is_live => *self = Self::default(),
            Ending::Canceled if is_live => {
                self.current = None;
                if self.counted_nothing() {
                    *self = Self::default();
                }
            }
            Ending::Approved | Ending::Canceled => return Ok(false),
        }
        Ok(true)
    }
}

/// What is submitted.
struct Asked<'a> {
    code: Option<&'a str>,
    name: Option<VerificationName>,
}

struct Run {
    number: Number,
    model: Model,
    sent: Vec<SendPermit>,
    asked: Vec<CheckPermit>,
}

impl Run {
    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Wait(by) => self.number.now = self.number.now.plus(by),
            Step::Crash => self.asked.clear(),
            Step::NextCommitFails { .. } | Step::Settle { .. } => {}
            Step::Begin { brought: which, silent, result } => self.begin(which, silent, result)?,
            Step::Resume { pick, result } => self.resume(pick, result)?,
            Step::CheckRight { pick, by } => {
                if self.sent.is_empty() {
                    return Ok(());
                }
                let chosen = self.sent.len() - 1 - pick % self.sent.len();
                let code = self.number.code_of(&self.sent[chosen]);
                self.check(Some(&code), by)?;
            }
            Step::Guess { times, by, is_code } => {
                let code = is_code.then(other_code);
                for _ in 0..times {
                    self.check(code.as_ref(), by)?;
                }
            }
            Step::Hear { pick, result } => {
                if self.asked.is_empty() {
                    return Ok(());
                }
                let permit = self.asked.swap_remove(pick % self.asked.len());
                let expected = self.model.hear(&self.number.policy, self.number.now, &permit, result);
                prop_assert_eq!(self.number.hears(&permit, result), expected);
            }
            Step::End(ending) => {
                let expected = self.model.end(ending, self.number.now);
                let found = match self.number.ends(ending) {
                    EndOutcome::Ended(_) => Ok(true),
                    EndOutcome::NotFound => Ok(false),
                    EndOutcome::Busy { until } => Err(until),
                };
                prop_assert_eq!(found, expected);
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        which: Option<usize>,
        silent: bool,
        result: GatewayResult,
    ) -> Result<(), TestCaseError> {
        let (policy, now) = (self.number.policy, self.number.now);
        let expected = self.model.begin(&policy, now);
        let brings = brought(which);
        let outcome = self.number.asks(brings.as_ref(), silent);
        let BeginOutcome::Permitted(permit) = outcome else {
            prop_assert_eq!(Err(outcome), expected);
            return Ok(());
        };
        prop_assert_eq!(expected, Ok(()));
        let code = self.number.code_of(&permit);
        if let Some(brings) = &brings {
            prop_assert_eq!(code.expose(), brings.expose());
        }
        let before = self.model.current.clone();
        let was_live = self.model.live(now).cloned();
        let repeats = self.model.begun(&policy, now, &permit, &code, brings.is_some());
        let known = self.model.current.clone().expect("it was begun");
        let told = permit.counted.map(|counted| (counted.begun, counted.sends));
        prop_assert_eq!(told, Some((known.begun, known.messages)));
        prop_assert_eq!(permit.expires, known.ends);
        if let Some(was) = was_live {
            prop_assert_eq!(was.name, known.name, "a verification keeps its name");
            prop_assert_eq!(was.salt == known.salt, repeats);
            prop_assert!(!repeats || (was.ends == known.ends && was.code == known.code));
        }
        // Whoever gets the message can use it.
        let copy = self.number.clone().submits(Some(&code), Some(known.name));
        prop_assert_eq!(copy, CheckOutcome::Approved);
        if silent {
            self.model.current.as_mut().expect("it was begun").ours_is_out = true;
        } else {
            self.number.settles(&permit, result);
            self.model.settled(result, before.filter(|_| !repeats));
        }
        self.sent.push(permit);
        Ok(())
    }

    fn resume(&mut self, pick: usize, result: GatewayResult) -> Result<(), TestCaseError> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let (salt, now) = (self.sent[pick % self.sent.len()].salt, self.number.now);
        self.model.at(now);
        let max = self.number.policy.max_attempts;
        let is_usable =
            self.model.live(now).is_some_and(|known| known.salt == salt && known.wrong_by_name < max);
        match self.number.resumes(salt) {
            ResumeOutcome::Permitted(permit) => {
                prop_assert!(is_usable && self.model.asking_until.is_none());
                self.number.settles(&permit, result);
                self.model.current.as_mut().expect("it is usable").postponed = false;
                self.model.settled(result, None);
            }
            ResumeOutcome::NotUsable => prop_assert!(!is_usable),
            ResumeOutcome::Busy { until } => {
                prop_assert!(is_usable);
                prop_assert_eq!(Some(until), self.model.asking_until);
            }
        }
        Ok(())
    }

    fn check(&mut self, code: Option<&Code>, by: By) -> Result<(), TestCaseError> {
        let name = named(by, &self.sent);
        let asked = Asked { code: code.map(Code::expose), name };
        let expected = self.model.check(&self.number.policy, self.number.now, &asked);
        let outcome = self.number.submits(code, name);
        if let CheckOutcome::Ask(permit) = outcome {
            self.asked.push(permit);
        }
        prop_assert_eq!(outcome, expected);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Sends are settled at once here; what a gateway says of a code comes late, in any order, or never.
    #[test]
    fn where_a_lockout_grows_every_answer_is_the_one_that_the_rules_say(
        policy in policy(),
        steps in proptest::collection::vec(step(), 1..100),
    ) {
        let (number, model) = (Number::new(policy), Model::default());
        let mut run = Run { number, model, sent: Vec::new(), asked: Vec::new() };
        for step in steps {
            run.take(step)?;
        }
    }
}

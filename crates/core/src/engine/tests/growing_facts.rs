//! The model of a number whose lockout grows: the documented rules once more, written without the engine.

use super::growing_steps::name_of;
use super::world::GatewayResult;
use super::world::{CHECK_BUDGET, HOLDER, secs};
use crate::domain::{Code, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, Ending, Policy,
    Salt, SendLimit, SendPermit, VerificationName,
};

/// The verification under way.
#[derive(Clone)]
pub struct Known {
    pub salt: Salt,
    pub name: VerificationName,
    pub code: String,
    pub begun: Timestamp,
    pub ends: Timestamp,
    pub asked_last: Timestamp,
    pub messages: u8,
    pub wrong_by_name: u8,
    pub wrong_by_number: u8,
    pub ours_is_out: bool,
    pub held: bool,
    pub postponed: bool,
}

/// The memory of a number, in plain facts.
#[derive(Default, Clone)]
pub struct Model {
    /// Consecutive wrong codes of those who did not name the verification.
    pub by_number: u32,
    pub by_name: u32,
    pub wait_until: Option<Timestamp>,
    pub forgotten_at: Option<Timestamp>,
    pub for_ever: bool,
    pub current: Option<Known>,
    pub asking_until: Option<Timestamp>,
}

impl Model {
    pub fn at(&mut self, now: Timestamp) {
        if self.asking_until.is_some_and(|end| now >= end) {
            self.asking_until = None;
        }
        if !self.for_ever && self.forgotten_at.is_some_and(|end| now >= end) {
            *self = Self::default();
        }
    }

    pub fn remember(&mut self, until: Timestamp) {
        self.forgotten_at = self.forgotten_at.max(Some(until));
    }

    pub fn live(&self, now: Timestamp) -> Option<&Known> {
        self.current.as_ref().filter(|known| now < known.ends)
    }

    pub fn counted_nothing(&self) -> bool {
        self.by_number == 0 && self.by_name == 0 && self.wait_until.is_none()
    }

    /// Why no message may be asked for, if so.
    pub fn begin(&mut self, policy: &Policy, now: Timestamp) -> Option<BeginOutcome> {
        self.at(now);
        if let Some(until) = self.asking_until {
            return Some(BeginOutcome::Busy { until });
        }
        if self.by_name >= 100 {
            return Some(BeginOutcome::Limited(SendLimit::NoChecksLeft { until: None }));
        }
        let known = self.live(now)?;
        if known.wrong_by_name >= policy.max_attempts {
            return Some(BeginOutcome::Limited(SendLimit::NoChecksLeft { until: Some(known.ends) }));
        }
        if policy.sends.max.is_some_and(|max| known.messages >= max) {
            return Some(BeginOutcome::Limited(SendLimit::NoSendsLeft { until: known.ends }));
        }
        let wait = match known.messages {
            1 => 30,
            2 => 60,
            3 => 120,
            _ => 300,
        };
        let until = known.asked_last.plus(secs(wait));
        if policy.sends.cools_down && now < until {
            return Some(BeginOutcome::Limited(SendLimit::CoolingDown { until }));
        }
        None
    }

    /// It was permitted. Says whether the code must be the one before.
    pub fn begun(
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
        let ends = if repeats { permit.verification.expires } else { now.plus(policy.code.life) };
        let known = Known {
            salt: permit.verification.salt,
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

    /// Takes over the result of a send; `before` is the verification that it replaced.
    pub fn settled(&mut self, result: GatewayResult, before: Option<Known>) {
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

    pub fn check(&mut self, policy: &Policy, now: Timestamp, asked: &Submission<'_>) -> CheckStep {
        self.at(now);
        if let Some(until) = self.asking_until {
            return CheckStep::Busy { until };
        }
        let is_meant = |known: &&Known| asked.name.is_none_or(|name| name == known.name);
        let Some(known) = self.live(now).filter(is_meant).cloned() else {
            return Decided(CheckOutcome::NotFound);
        };
        let refused = |until| Decided(CheckOutcome::NoChecksLeft { until });
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
            return Decided(CheckOutcome::Approved);
        }
        let left = self.count(policy, now, by_name);
        if known.held && asked.code.is_some() {
            let until = now.plus(CHECK_BUDGET);
            self.asking_until = Some(until);
            self.remember(until.plus(policy.lockout));
            let held = HOLDER;
            return CheckStep::AskGateway(CheckPermit { salt: known.salt, held, until, is_named: by_name });
        }
        Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
    }

    pub fn count(&mut self, policy: &Policy, now: Timestamp, by_name: bool) -> u8 {
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

    pub fn hear(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        permit: &CheckPermit,
        result: CheckResult,
    ) -> CheckOutcome {
        self.at(now);
        let is_open = self.asking_until == Some(permit.until);
        let Some(known) = self.current.as_mut().filter(|known| is_open && known.salt == permit.salt) else {
            let left = u32::from(policy.max_attempts).saturating_sub(self.by_number);
            let attempts_left = u8::try_from(left).expect("a small number");
            return match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    CheckOutcome::Wrong { attempts_left, live: false }
                }
                _ => CheckOutcome::GatewayFailed,
            };
        };
        self.asking_until = None;
        let wrong = if permit.is_named { &mut known.wrong_by_name } else { &mut known.wrong_by_number };
        let attempts_left = policy.max_attempts - *wrong;
        match result {
            CheckResult::Approved => {
                *self = Self::default();
                CheckOutcome::Approved
            }
            CheckResult::NotAsked => {
                *wrong -= 1;
                *(if permit.is_named { &mut self.by_name } else { &mut self.by_number }) -= 1;
                CheckOutcome::GatewayFailed
            }
            CheckResult::Unknown => CheckOutcome::GatewayFailed,
            CheckResult::Wrong => CheckOutcome::Wrong { attempts_left, live: true },
            CheckResult::NotLive => CheckOutcome::Wrong { attempts_left, live: known.ours_is_out },
        }
    }

    pub fn end(&mut self, ending: Ending, now: Timestamp) -> Result<bool, Timestamp> {
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

/// A submitted code.
pub struct Submission<'a> {
    pub code: Option<&'a str>,
    pub name: Option<VerificationName>,
}

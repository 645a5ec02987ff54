//! The model of a number without a fixed lockout: the documented rules once more, written without the engine.

use super::world::{CHECK_BUDGET, HOLDER, name_of, secs};
use crate::domain::{Code, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, Ending, Policy,
    PossiblySent, Salt, SendLimit, SendPermit, SendResult, VerificationName,
};

/// The open verification.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Known {
    pub salt: Salt,
    pub name: VerificationName,
    pub code: String,
    pub begun: Timestamp,
    pub ends: Timestamp,
    pub asked_last: Timestamp,
    pub messages: u8,
    pub wrong: u8,
    pub used_up: bool,
    pub ours_is_out: bool,
    pub held: bool,
    pub postponed: bool,
}

impl Known {
    /// When it ends after a further message with its code at `now`; `None` if no such message may leave.
    pub fn after_a_message(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let life = u64::try_from(policy.code.life.as_millis()).expect("a life");
        // Half of the life is left, at most five minutes, even if the message takes all of its ten seconds.
        let (needed, twice) = (300_000.min(life / 2), self.begun.as_millis() + 2 * life);
        let end = twice.min(now.as_millis() + needed + 10_000).max(self.ends.as_millis());
        (end >= now.as_millis() + needed).then_some(Timestamp::from_millis(end))
    }
}

/// Wrong codes in a row. Ninety days after the last one they are forgotten. A hundred stop the number for thirty days,
/// and are fifty afterwards. Those that a success does not clear are forgotten one by one, each after 7.2 hours; more than
/// 99 of them stop the number, too.
#[derive(Default, Clone, Copy)]
pub struct InARow {
    pub wrong: u8,
    pub last: Option<Timestamp>,
    /// When the last of them is forgotten.
    pub forgotten: Timestamp,
}

const REMEMBERED: u64 = 25_920;

impl InARow {
    fn day(&self, days: u64) -> Option<Timestamp> {
        self.last.map(|last| last.plus(secs(days * 24 * 3600)))
    }

    pub fn at(&mut self, now: Timestamp) {
        if self.stop().is_some_and(|end| now >= end) {
            (self.wrong, self.forgotten) = (self.wrong.min(50), Timestamp::EPOCH);
        }
        if now >= self.forgotten {
            self.forgotten = Timestamp::EPOCH;
        }
        if self.day(90).is_some_and(|end| now >= end) {
            *self = Self::default();
        }
    }

    /// A right code.
    pub fn succeed(&mut self) {
        *self = Self { forgotten: self.forgotten, ..Self::default() };
    }

    pub fn count(&mut self, now: Timestamp) {
        let forgotten = self.forgotten.max(now).plus(secs(REMEMBERED));
        *self = Self { wrong: self.wrong + 1, last: Some(now), forgotten };
    }

    pub fn give_back(&mut self) {
        self.wrong = self.wrong.saturating_sub(1);
        let before = Timestamp::from_millis(self.forgotten.as_millis().saturating_sub(REMEMBERED * 1_000));
        self.forgotten = if self.last.is_none_or(|last| before > last) { before } else { Timestamp::EPOCH };
        if self.wrong == 0 {
            self.last = None;
        }
    }

    fn stop(&self) -> Option<Timestamp> {
        let remembers = |last: Timestamp| self.forgotten > last.plus(secs(99 * REMEMBERED));
        self.day(30).filter(|_| self.wrong == 100 || self.last.is_some_and(remembers))
    }
}

/// The memory of a number, in plain facts.
#[derive(Default, Clone)]
pub struct Model {
    pub in_a_row: InARow,
    pub current: Option<Known>,
    pub asking_until: Option<Timestamp>,
}

impl Model {
    pub fn at(&mut self, now: Timestamp) {
        if self.asking_until.is_some_and(|end| now >= end) {
            self.asking_until = None;
        }
        self.in_a_row.at(now);
    }

    pub fn live(&self, now: Timestamp) -> Option<&Known> {
        self.current.as_ref().filter(|known| now < known.ends)
    }

    fn succeed(&mut self) {
        self.in_a_row.succeed();
        *self = Self { in_a_row: self.in_a_row, ..Self::default() };
    }

    /// Why no message may be asked for, if so. The caller may bring a code.
    pub fn begin(&mut self, policy: &Policy, now: Timestamp, brought: Option<&Code>) -> Option<BeginOutcome> {
        self.at(now);
        if self.asking_until.is_some() {
            return Some(BeginOutcome::Busy);
        }
        let used_up = self.live(now).filter(|known| known.used_up).map(|known| known.ends);
        if let Some(until) = used_up.max(self.in_a_row.stop()) {
            return Some(BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
        }
        let known = self.live(now)?;
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
        let is_old = Self::repeats(known, policy, brought) && known.after_a_message(policy, now).is_none();
        is_old.then_some(BeginOutcome::Limited(SendLimit::NoSendsLeft { until: known.ends }))
    }

    fn repeats(known: &Known, policy: &Policy, brought: Option<&Code>) -> bool {
        policy.sends.keeps_code && brought.is_none_or(|code| known.code == code.expose())
    }

    /// Records a permitted beginning. Returns whether the code must be the previous one.
    pub fn begun(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        permit: &SendPermit,
        code: &Code,
        brings: bool,
    ) -> bool {
        let before = self.live(now).cloned();
        let brought = brings.then_some(code);
        let repeated = before.as_ref().filter(|known| Self::repeats(known, policy, brought));
        let prolonged = repeated.map(|known| known.after_a_message(policy, now).expect("it may leave"));
        let (repeats, ends) = (repeated.is_some(), prolonged.unwrap_or(now.plus(policy.code.life)));
        let known = Known {
            salt: permit.verification.salt,
            name: name_of(permit),
            code: code.expose().to_owned(),
            begun: before.as_ref().map_or(now, |known| known.begun),
            ends,
            asked_last: now,
            messages: before.as_ref().map_or(0, |known| known.messages) + 1,
            wrong: before.as_ref().map_or(0, |known| known.wrong),
            used_up: false,
            ours_is_out: repeats && before.as_ref().is_some_and(|known| known.ours_is_out),
            held: repeats && before.as_ref().is_some_and(|known| known.held),
            postponed: repeats && before.as_ref().is_some_and(|known| known.postponed),
        };
        self.current = Some(known);
        repeats
    }

    /// Takes over the result of a send; `before` is the verification that it replaced, and `counts` are the messages before
    /// it and the time of the last one.
    pub fn settled(&mut self, result: &SendResult, before: Option<Known>, counts: Option<(u8, Timestamp)>) {
        let Some(known) = &mut self.current else { return };
        // The last accepted message decides which code is right; one that may have been sent only if there is none.
        let is_first = !known.ours_is_out && !known.held;
        match result {
            SendResult::Accepted { held: None, .. } => (known.ours_is_out, known.held) = (true, false),
            SendResult::Accepted { .. } => (known.ours_is_out, known.held) = (false, true),
            SendResult::Failed { may_have_been_sent: Some(PossiblySent { held: None }) } => {
                known.ours_is_out |= is_first;
            }
            SendResult::Failed { may_have_been_sent: Some(_) } => known.held |= is_first,
            SendResult::Postponed { .. } => known.postponed = true,
            SendResult::Failed { may_have_been_sent: None } => {
                (known.messages, known.asked_last) = counts.unwrap_or((known.messages, known.asked_last));
            }
        }
        if known.ours_is_out || known.held || known.postponed {
            return;
        }
        let failed = known.clone();
        self.current = before.map(|old| {
            // The previous code is valid again, and no count is forgotten.
            if old.name == failed.name {
                Known { messages: failed.messages, asked_last: failed.asked_last, ..old }
            } else {
                old
            }
        });
    }

    pub fn check(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        code: Option<&Code>,
        name: Option<VerificationName>,
    ) -> CheckStep {
        self.at(now);
        if self.asking_until.is_some() {
            return CheckStep::Busy;
        }
        let is_meant = |known: &&Known| name.is_none_or(|name| name == known.name);
        let Some(known) = self.live(now).filter(is_meant).cloned() else {
            return Decided(CheckOutcome::NotFound);
        };
        if let Some(until) = known.used_up.then_some(known.ends).max(self.in_a_row.stop()) {
            return Decided(CheckOutcome::NoChecksLeft { until });
        }
        if code.is_some_and(|code| code.expose() == known.code) && !known.held {
            self.succeed();
            return Decided(CheckOutcome::Approved);
        }
        let left = self.count(policy, now);
        if known.held && code.is_some() {
            let until = now.plus(CHECK_BUDGET);
            self.asking_until = Some(until);
            let held = HOLDER;
            return CheckStep::AskGateway(CheckPermit { salt: known.salt, held, until });
        }
        Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
    }

    fn count(&mut self, policy: &Policy, now: Timestamp) -> u8 {
        self.in_a_row.count(now);
        let stopped = self.in_a_row.stop().is_some();
        let known = self.current.as_mut().expect("a verification");
        known.wrong += 1;
        known.used_up = stopped || known.wrong >= policy.max_attempts;
        Self::left(known, policy)
    }

    fn left(known: &Known, policy: &Policy) -> u8 {
        if known.used_up { 0 } else { policy.max_attempts - known.wrong }
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
            let attempts_left = policy.max_attempts.saturating_sub(self.in_a_row.wrong);
            return match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    CheckOutcome::Wrong { attempts_left, live: false }
                }
                _ => CheckOutcome::GatewayFailed,
            };
        };
        self.asking_until = None;
        let attempts_left = Self::left(known, policy);
        match result {
            CheckResult::Approved => {
                self.in_a_row.give_back();
                self.succeed();
                CheckOutcome::Approved
            }
            CheckResult::NotAsked => {
                known.wrong -= 1;
                known.used_up = false;
                self.in_a_row.give_back();
                CheckOutcome::GatewayFailed
            }
            CheckResult::Unknown => CheckOutcome::GatewayFailed,
            CheckResult::Wrong => CheckOutcome::Wrong { attempts_left, live: true },
            CheckResult::NotLive => CheckOutcome::Wrong { attempts_left, live: known.ours_is_out },
        }
    }

    pub fn end(&mut self, ending: Ending, now: Timestamp) -> Result<bool, ()> {
        self.at(now);
        if self.asking_until.is_some() {
            return Err(());
        }
        let is_live = self.live(now).is_some();
        match ending {
            Ending::Cleared => *self = Self::default(),
            Ending::Erased => panic!("no step erases a number"),
            Ending::Approved if is_live => self.succeed(),
            Ending::Canceled if is_live => self.current = None,
            Ending::Approved | Ending::Canceled => return Ok(false),
        }
        Ok(true)
    }
}

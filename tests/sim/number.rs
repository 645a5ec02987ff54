//! The rules of one number, in the contract's words and without code of the engine: what each decision makes of its memory,
//! and what it leaves to do. Times are milliseconds.

use std::collections::BTreeMap;

use onceward::domain::Timestamp;
use onceward::engine::CheckResult;
use onceward::verification::{CheckOutcome, Failure, Refusal, Sent};

use crate::facts::{End, Outcome, Salted};

/// Limits of one service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    pub attempts: u8,
    pub lockout: u64,
    /// The life of the service's codes.
    pub life: u64,
    /// The longest time that a message takes.
    pub sending: u64,
    /// The longest time that a gateway takes for a check.
    pub asking: u64,
    /// The most commands of one number that wait for the store.
    pub waiting: usize,
}

/// The memory of one number, as it is stored: its time may be over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Memory {
    #[default]
    Nothing,
    Open(Open),
    Locked {
        until: u64,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// Wrong codes in a row.
    pub wrong: u8,
    pub keep_until: u64,
    pub code: Option<Code>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Code {
    pub salt: Salted,
    pub expires: u64,
    /// Messages on their way, and until when the last of them can be.
    pub sending: u8,
    pub sending_until: u64,
    /// A message with our code was or may have been sent.
    pub sent: bool,
    pub postponed: bool,
    /// A gateway has made the right code.
    pub held: bool,
    /// Until when a gateway may be checking a submitted code; zero if none is.
    pub asking: u64,
    /// When its last requested message left, if a planned one has prolonged it.
    pub begun: Option<u64>,
}

use Memory::{Locked, Nothing};

/// A message that may leave: its code as it was decided, and the code that it replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    pub code: Code,
    pub replaced: Option<Code>,
    pub is_planned: bool,
}

/// An input of a decision: a command, or its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Requests a code with this life.
    Send {
        life: u64,
    },
    Check {
        code: Option<String>,
    },
    /// Repeats a code as planned.
    Resume {
        salt: Salted,
    },
    SendEnds(Permit, End),
    /// The code as it was when its gateway was asked.
    CheckEnds(Code, CheckResult),
}

/// The effect of a decision, once it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    Answer(Outcome),
    /// Send the message if its code can still be used.
    Deliver(Permit),
    /// Ask the gateway if that is still in time.
    Ask(Code),
}

impl Code {
    fn is_live(&self, now: u64) -> bool {
        now < self.expires
    }

    fn is_sending(&self, now: u64) -> bool {
        self.sending > 0 && now < self.sending_until
    }

    const fn can_arrive(&self) -> bool {
        self.sent || self.held || self.postponed || self.sending > 0
    }

    /// For one more planned message. It leaves its code half of the service's life, at most five minutes, and prolongs it to
    /// twice that life at most.
    fn prolonged(self, now: u64, rules: &Rules) -> Option<Self> {
        let needed = (rules.life / 2).min(300_000);
        let begun = self.begun.unwrap_or(self.expires - rules.life);
        let expires = self.expires.max((now + needed + rules.sending).min(begun + 2 * rules.life));
        (now + needed <= expires).then_some(Self { expires, begun: Some(begun), ..self })
    }
}

impl Open {
    fn left(&self, rules: &Rules) -> u8 {
        rules.attempts.saturating_sub(self.wrong)
    }

    /// With this code. The memory outlives it by a lockout.
    fn with(self, code: Code, rules: &Rules) -> Memory {
        let keep_until = self.keep_until.max(code.expires.max(code.asking) + rules.lockout);
        Memory::Open(Self { keep_until, code: Some(code), ..self })
    }

    fn is_used_up(&self, rules: &Rules) -> bool {
        self.wrong >= rules.attempts
    }
}

impl Memory {
    /// When it is over.
    pub const fn ends(&self) -> u64 {
        match self {
            Nothing => 0,
            Self::Open(open) => open.keep_until,
            Locked { until } => *until,
        }
    }

    /// The memory at `now`, if nothing happens until then. The last attempt that a gateway did not settle locks the number.
    pub fn at(self, now: u64, rules: &Rules) -> Self {
        if now >= self.ends() {
            return Nothing;
        }
        match self {
            Self::Open(open @ Open { code: Some(code), .. }) if code.asking > 0 && now >= code.asking => {
                if open.is_used_up(rules) {
                    return Locked { until: code.asking + rules.lockout }.at(now, rules);
                }
                Self::Open(Open { code: Some(Code { asking: 0, ..code }), ..open })
            }
            same => same,
        }
    }

    /// The code, which may have expired.
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Open(open) => open.code,
            Nothing | Locked { .. } => None,
        }
    }

    pub fn is_usable(&self, salt: Salted, now: u64, rules: &Rules) -> bool {
        self.at(now, rules).code().is_some_and(|code| code.salt == salt && code.is_live(now))
    }

    /// Whether the message can still leave.
    pub fn lets_leave(&self, permit: &Permit, now: u64, rules: &Rules) -> bool {
        self.is_usable(permit.code.salt, now, rules) && permit.code.is_sending(now)
    }

    /// The memory that the shard stores: the end of one is not written.
    fn or_ended(self, before: Self, now: u64) -> Self {
        if self == Nothing && now >= before.ends() { before } else { self }
    }
}

/// A decision: the rules, its time, the codes of messages that left, and the code that is drawn if it is a new one.
pub struct Decision<'a> {
    pub rules: &'a Rules,
    pub now: u64,
    pub texts: &'a BTreeMap<Salted, String>,
    pub drawn: Option<Salted>,
}

impl Decision<'_> {
    /// The memory after a step, and what is left to do. An error refuses it.
    pub fn of(&self, memory: Memory, step: &Step) -> Result<(Memory, Then), Refusal> {
        let before = memory.at(self.now, self.rules);
        let (after, then) = match before {
            Nothing => self.opened(before, Open::default(), step),
            Memory::Open(open) => self.opened(before, open, step),
            Locked { until } => Ok((before, locked(until, step))),
        }?;
        Ok((after.or_ended(memory, self.now), then))
    }

    fn opened(&self, before: Memory, open: Open, step: &Step) -> Result<(Memory, Then), Refusal> {
        let is_asking = open.code.is_some_and(|code| code.asking > 0);
        let busy = is_asking.then_some(Refusal::NumberBusy).map_or(Ok(()), Err);
        let code = open.code.filter(|code| code.is_live(self.now));
        let (rules, now) = (self.rules, self.now);
        Ok(match step {
            Step::Send { life } => {
                busy?;
                // Another message with the code is on its way: this one repeats it.
                let repeated = code.filter(|code| code.is_sending(now));
                let fresh = Code { salt: self.drawn.unwrap_or_default(), ..Code::default() };
                let code = repeated.unwrap_or(fresh);
                let (expires, sending) = (code.expires.max(now + life), code.sending + 1);
                let code = Code { expires, sending, sending_until: now + rules.sending, ..code };
                let replaced = open.code.filter(|before| before.salt != code.salt);
                (open.with(code, rules), Then::Deliver(Permit { code, replaced, is_planned: false }))
            }
            Step::Resume { salt } => {
                let meant = code.filter(|code| code.salt == *salt);
                let Some(code) = meant else { return Ok((before, Then::Answer(Outcome::Followed))) };
                busy?;
                let Some(code) = code.prolonged(now, rules) else {
                    return Ok((before, Then::Answer(Outcome::Followed)));
                };
                let (sending, sending_until) =
                    (code.sending + 1, code.sending_until.max(now + rules.sending));
                let code = Code { sending, sending_until, postponed: false, ..code };
                (open.with(code, rules), Then::Deliver(Permit { code, replaced: None, is_planned: true }))
            }
            Step::Check { .. } if before == Nothing => {
                (before, checked(CheckOutcome::Wrong { attempts_left: rules.attempts, live: false }))
            }
            Step::Check { code: submitted } => {
                busy?;
                self.checks(before, open, code, submitted.as_ref())
            }
            Step::SendEnds(permit, end) => self.send_ends(before, open, permit, *end),
            Step::CheckEnds(asked, result) => self.check_ends(before, open, asked, *result),
        })
    }

    fn checks(
        &self,
        before: Memory,
        mut open: Open,
        live: Option<Code>,
        submitted: Option<&String>,
    ) -> (Memory, Then) {
        let is_right = |code: &Code| {
            !code.held && submitted.is_some_and(|text| self.texts.get(&code.salt) == Some(text))
        };
        if live.as_ref().is_some_and(is_right) {
            return (Nothing, checked(CheckOutcome::Approved));
        }
        let wrong = |open: Open| {
            checked(CheckOutcome::Wrong { attempts_left: open.left(self.rules), live: live.is_some() })
        };
        if submitted.is_none() {
            return (before, wrong(open));
        }
        open.wrong += 1;
        // It is counted before its gateway is asked.
        if let Some(code) = live.filter(|code| code.held) {
            let code = Code { asking: self.now + self.rules.asking, ..code };
            return (open.with(code, self.rules), Then::Ask(code));
        }
        if open.is_used_up(self.rules) {
            return self.locks(live.is_some());
        }
        (Memory::Open(open), wrong(open))
    }

    fn locks(&self, live: bool) -> (Memory, Then) {
        let until = self.now + self.rules.lockout;
        let told = Timestamp::from_millis(until);
        (Locked { until }, checked(CheckOutcome::LockedNow { until: told, live }))
    }

    fn send_ends(&self, before: Memory, open: Open, permit: &Permit, end: End) -> (Memory, Then) {
        let code = open.code.filter(|code| code.salt == permit.code.salt);
        let sent = Sent {
            attempts_left: open.left(self.rules),
            message_id: "SM1".to_owned(),
            is_postponed: end == End::Postponed,
        };
        let then = told_of(permit, end, Outcome::Send(Ok(sent)));
        let Some(code) = code else { return (before, then) };
        let mut ended = Code { sending: code.sending.saturating_sub(1), ..code };
        // The code of the last accepted message is right. One that may have been sent replaces none.
        match end {
            End::Ours => (ended.sent, ended.held) = (true, false),
            End::Held => (ended.sent, ended.held) = (false, true),
            End::MaybeOurs => ended.sent |= !code.held,
            End::MaybeHeld => ended.held |= !code.sent,
            End::Postponed => ended.postponed = true,
            End::Failed | End::NumberRefused | End::Overloaded | End::NoLongerUsable => {}
        }
        let code = if ended.can_arrive() { Some(ended) } else { permit.replaced.filter(Code::can_arrive) };
        let after = match code {
            Some(code) => open.with(code, self.rules),
            None if open.wrong == 0 => Nothing,
            None => Memory::Open(Open { code: None, ..open }),
        };
        (after, then)
    }

    fn check_ends(&self, before: Memory, open: Open, asked: &Code, result: CheckResult) -> (Memory, Then) {
        let is_it = |code: &Code| code.salt == asked.salt && code.asking == asked.asking;
        let Some(code) = open.code.filter(is_it) else {
            let too_late = match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    CheckOutcome::Wrong { attempts_left: open.left(self.rules), live: false }
                }
                _ => CheckOutcome::GatewayFailed,
            };
            return (before, checked(too_late));
        };
        let code = Code { asking: 0, ..code };
        let live = result != CheckResult::NotLive || !code.held;
        let (wrong, outcome) = match result {
            CheckResult::Approved => return (Nothing, checked(CheckOutcome::Approved)),
            CheckResult::NotAsked => (open.wrong.saturating_sub(1), CheckOutcome::GatewayFailed),
            _ if open.is_used_up(self.rules) => return self.locks(live),
            CheckResult::Unknown => (open.wrong, CheckOutcome::GatewayFailed),
            CheckResult::Wrong | CheckResult::NotLive => {
                (open.wrong, CheckOutcome::Wrong { attempts_left: open.left(self.rules), live })
            }
        };
        (Open { wrong, ..open }.with(code, self.rules), checked(outcome))
    }
}

const fn checked(outcome: CheckOutcome) -> Then {
    Then::Answer(Outcome::Check(outcome))
}

/// The effect of a step on a locked number.
fn locked(until: u64, step: &Step) -> Then {
    match step {
        Step::Send { .. } => Then::Answer(Outcome::locked(until)),
        Step::Resume { .. } => Then::Answer(Outcome::Followed),
        Step::Check { .. } | Step::CheckEnds(..) => {
            checked(CheckOutcome::Locked { until: Timestamp::from_millis(until) })
        }
        Step::SendEnds(permit, End::Failed | End::MaybeOurs | End::MaybeHeld) if !permit.is_planned => {
            Then::Answer(Outcome::locked(until))
        }
        Step::SendEnds(permit, end) => told_of(permit, *end, Outcome::locked(until)),
    }
}

/// The answer to the client of a message; `accepted` if a gateway accepted it.
fn told_of(permit: &Permit, end: End, accepted: Outcome) -> Then {
    Then::Answer(match end {
        End::Overloaded => Outcome::Refused(Refusal::SendsOverloaded),
        _ if permit.is_planned => Outcome::Followed,
        End::NoLongerUsable => Outcome::Refused(Refusal::NumberBusy),
        End::NumberRefused => Outcome::Send(Err(Failure::BadNumber)),
        End::Ours | End::Held | End::Postponed => accepted,
        End::Failed | End::MaybeOurs | End::MaybeHeld => Outcome::Send(Err(Failure::Gateway)),
    })
}

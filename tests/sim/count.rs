//! The possible memories of one number: the count of wrong codes, the lockout, and their ends, in the contract's words
//! and without code of the engine.
//!
//! A decision without an answer is in doubt. The model keeps every memory that fits the facts, and each answer removes
//! those that do not fit it. If none is left, an answer was impossible.

use std::collections::BTreeSet;

use onceward::domain::Timestamp;
use onceward::engine::CheckResult;
use onceward::verification::{CheckOutcome, SendOutcome};

use crate::facts::End;

/// Limits of one service. Times are milliseconds.
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
    /// Whether some gateway holds codes.
    pub held: bool,
}

impl Rules {
    /// What a planned message leaves to its code: half of the service's life, at most five minutes.
    pub fn needed(&self) -> u64 {
        (self.life / 2).min(300_000)
    }

    /// When a code ends with a planned message at `now`, unless it ends later anyway. `last` is the end that no planned
    /// message changes.
    pub fn planned_end(&self, now: u64, last: u64) -> u64 {
        (now + self.needed() + self.sending).min(last)
    }
}

/// One memory of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    Nothing,
    Open {
        wrong: u8,
        keep: u64,
        /// Until when a gateway may be checking a submitted code; zero if none is.
        asking: u64,
    },
    Locked {
        until: u64,
    },
}

use Memory::{Locked, Nothing, Open};

pub type Memories = BTreeSet<Memory>;

impl Memory {
    /// The memory at `now`, if nothing happens until then.
    fn at(self, now: u64, rules: &Rules) -> Self {
        match self {
            Open { keep, .. } if now >= keep => Nothing,
            Open { wrong, keep, asking } if asking > 0 && now >= asking => {
                if wrong >= rules.attempts {
                    Locked { until: asking + rules.lockout }.at(now, rules)
                } else {
                    Open { wrong, keep, asking: 0 }
                }
            }
            Locked { until } if now >= until => Nothing,
            same => same,
        }
    }

    /// For an answer that changes nothing. The end of an unsettled question may be written with it; the end of a record
    /// is not.
    fn or_what_became_of_it(self, now: u64, rules: &Rules) -> impl Iterator<Item = Self> {
        let asked = matches!(self, Open { asking, .. } if asking > 0);
        std::iter::once(self).chain(asked.then(|| self.at(now, rules)))
    }

    /// One more wrong code for a number with a memory.
    fn counted(wrong: u8, keep: u64, now: u64, rules: &Rules) -> Self {
        if wrong + 1 >= rules.attempts {
            return Locked { until: now + rules.lockout };
        }
        Open { wrong: wrong + 1, keep, asking: 0 }
    }

    fn consulted(self, now: u64, until: u64, rules: &Rules) -> Option<Self> {
        match self.at(now, rules) {
            Open { wrong, keep, asking: 0 } => {
                Some(Open { wrong: wrong + 1, keep: keep.max(until + rules.lockout), asking: until })
            }
            _ => None,
        }
    }

    fn sent(self, now: u64, expires: u64, rules: &Rules) -> Option<Self> {
        match self.at(now, rules) {
            Nothing => Some(Open { wrong: 0, keep: expires + rules.lockout, asking: 0 }),
            Open { wrong, keep, asking: 0 } => {
                Some(Open { wrong, keep: keep.max(expires + rules.lockout), asking: 0 })
            }
            Open { .. } | Locked { .. } => None,
        }
    }
}

/// The memories before a decision, which was made at one of two times.
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    pub from: &'a Memories,
    pub at: [u64; 2],
    pub rules: &'a Rules,
}

impl Decision<'_> {
    /// Every memory that `step` makes of one before, at either time.
    fn each<I: IntoIterator<Item = Memory>>(&self, step: impl Fn(Memory, u64) -> I) -> Memories {
        let times = if self.at[0] == self.at[1] { &self.at[..1] } else { &self.at };
        let mut to = Memories::new();
        for now in times {
            to.extend(self.from.iter().flat_map(|memory| step(*memory, *now)));
        }
        to
    }

    /// The end of an unsettled question or of a record may be written with any other fact about its number. A clock that is
    /// set back before a start then does not restore it.
    pub fn or_what_it_is_now(&self) -> Memories {
        self.each(|memory, now| [memory, memory.at(now, self.rules)])
    }

    /// The memory while a gateway that holds codes is asked.
    fn question(&self, memory: Memory, now: u64) -> Option<Memory> {
        memory.consulted(now, now + self.rules.asking, self.rules).filter(|_| self.rules.held)
    }

    /// A check was answered without a gateway.
    pub fn checked(&self, answer: &CheckOutcome) -> Memories {
        self.each(|memory, now| {
            let mut to = Vec::new();
            match (memory.at(now, self.rules), answer) {
                (Open { asking: 0, .. }, CheckOutcome::Approved) => to.push(Nothing),
                // Nothing is written for it: the disk keeps what it had.
                (Nothing, CheckOutcome::Wrong { attempts_left, live: false })
                    if *attempts_left == self.rules.attempts =>
                {
                    to.extend(memory.or_what_became_of_it(now, self.rules));
                }
                (Open { wrong, keep, asking: 0 }, CheckOutcome::Wrong { attempts_left, .. })
                    if wrong + 1 + attempts_left == self.rules.attempts && *attempts_left > 0 =>
                {
                    to.push(Memory::counted(wrong, keep, now, self.rules));
                }
                (Open { wrong, keep, asking: 0 }, CheckOutcome::LockedNow { until, .. })
                    if wrong + 1 >= self.rules.attempts && until.as_millis() == now + self.rules.lockout =>
                {
                    to.push(Memory::counted(wrong, keep, now, self.rules));
                }
                (Locked { until }, CheckOutcome::Locked { until: told }) if told.as_millis() == until => {
                    to.extend(memory.or_what_became_of_it(now, self.rules));
                }
                _ => {}
            }
            // The commit took too long for the gateway request: the attempt stays counted. Meanwhile a gateway may be asked
            // about another one.
            if self.rules.held
                && *answer == CheckOutcome::GatewayFailed
                && matches!(memory.at(now, self.rules), Open { .. } | Nothing)
            {
                to.extend(memory.or_what_became_of_it(now, self.rules));
            }
            to
        })
    }

    /// An answer that fits some memories, and changes none.
    fn unchanged(&self, fits: impl Fn(Memory) -> bool) -> Memories {
        self.each(|memory, now| {
            let fits = fits(memory.at(now, self.rules));
            fits.then(|| memory.or_what_became_of_it(now, self.rules)).into_iter().flatten()
        })
    }

    /// A check whose text held no code was answered: it is wrong, and counts nothing.
    pub fn checked_nothing(&self, answer: &CheckOutcome) -> Memories {
        self.unchanged(|memory| match (memory, answer) {
            (Nothing, CheckOutcome::Wrong { attempts_left, live: false }) => {
                *attempts_left == self.rules.attempts
            }
            (Open { wrong, asking: 0, .. }, CheckOutcome::Wrong { attempts_left, .. }) => {
                wrong + attempts_left == self.rules.attempts
            }
            (Locked { until }, CheckOutcome::Locked { until: told }) => told.as_millis() == until,
            _ => false,
        })
    }

    /// A check may have been decided. `right`: its code may have been right.
    pub fn may_have_checked(&self, right: bool) -> Memories {
        self.each(|memory, now| {
            let mut to = vec![memory];
            if let Open { wrong, keep, asking: 0 } = memory.at(now, self.rules) {
                to.push(Memory::counted(wrong, keep, now, self.rules));
                to.extend(right.then_some(Nothing));
            }
            to.extend(self.question(memory, now));
            to
        })
    }

    /// An attempt may have been counted without a gateway request.
    pub fn may_be_counted(&self) -> Memories {
        self.each(|memory, now| std::iter::once(memory).chain(self.question(memory, now)))
    }

    /// A gateway was asked about a code after the attempt was counted.
    pub fn consulted(&self, until: u64) -> Memories {
        self.each(|memory, now| memory.consulted(now, until, self.rules))
    }

    /// A check was answered after its gateway answered.
    pub fn settled(&self, (until, result): (u64, CheckResult), answer: &CheckOutcome) -> Memories {
        self.each(|memory, now| {
            let (next, open) = heard(memory, now, until, result, self.rules);
            let fits = match (answer, next) {
                (CheckOutcome::Approved, Nothing) => open && result == CheckResult::Approved,
                (CheckOutcome::Wrong { attempts_left, .. }, Open { wrong, .. }) => {
                    matches!(result, CheckResult::Wrong | CheckResult::NotLive)
                        && attempts_left + wrong.min(self.rules.attempts) == self.rules.attempts
                }
                (CheckOutcome::Wrong { attempts_left, .. }, Nothing) => {
                    !open && *attempts_left == self.rules.attempts && !matches!(result, CheckResult::Approved)
                }
                (CheckOutcome::LockedNow { until: told, .. }, Locked { until }) => {
                    open && until == now + self.rules.lockout && told.as_millis() == until
                }
                (CheckOutcome::Locked { until: told }, Locked { until }) => {
                    !open && told.as_millis() == until
                }
                (CheckOutcome::GatewayFailed, Open { .. }) => {
                    matches!(result, CheckResult::NotAsked | CheckResult::Unknown)
                        || (result == CheckResult::Approved && !open)
                }
                (CheckOutcome::GatewayFailed, Nothing) => !open,
                _ => false,
            };
            let mut to = Vec::new();
            if fits {
                if open {
                    to.push(next);
                } else {
                    to.extend(memory.or_what_became_of_it(now, self.rules));
                }
            }
            to
        })
    }

    /// A gateway's answer may have been processed.
    pub fn may_have_settled(&self, (until, result): (u64, CheckResult)) -> Memories {
        self.each(|memory, now| {
            let (next, open) = heard(memory, now, until, result, self.rules);
            std::iter::once(memory).chain(open.then_some(next))
        })
    }

    /// A message was handed over after its decision was durable.
    pub fn dispatched(&self, expires: u64, planned: bool) -> Memories {
        self.each(|memory, now| {
            // Without a code in memory nothing planned is sent.
            memory
                .sent(now, expires, self.rules)
                .filter(|_| !planned || memory.at(now, self.rules) != Nothing)
        })
    }

    /// A planned message may have been decided, whose code ends at one of these times at the latest.
    pub fn may_have_resumed(&self, last: &BTreeSet<u64>) -> Memories {
        self.each(|memory, now| {
            let ends = last.iter().map(move |last| self.rules.planned_end(now, *last));
            let is_open = matches!(memory.at(now, self.rules), Open { .. });
            let resumed = ends.filter_map(move |end| memory.sent(now, end, self.rules));
            std::iter::once(memory).chain(resumed.filter(move |_| is_open))
        })
    }

    pub fn may_have_sent(&self, life: u64) -> Memories {
        self.each(|memory, now| std::iter::once(memory).chain(memory.sent(now, now + life, self.rules)))
    }

    pub fn send_answered(&self, end: End, answer: &SendOutcome) -> Memories {
        let kept = self.unchanged(|memory| match (memory, answer) {
            (Open { wrong, .. }, SendOutcome::Sent { attempts_left, .. }) => {
                self.rules.attempts.saturating_sub(wrong) == *attempts_left
            }
            (Nothing, SendOutcome::Sent { attempts_left, .. }) => *attempts_left == self.rules.attempts,
            (Locked { until }, SendOutcome::Locked { until: told }) => told.as_millis() == until,
            (Open { .. } | Nothing, SendOutcome::GatewayFailed) | (_, SendOutcome::NumberRefused) => true,
            _ => false,
        });
        may_have_ended(&kept, end)
    }

    /// A send was refused because the number is locked.
    pub fn refused_locked(&self, told: Timestamp) -> Memories {
        self.unchanged(|memory| matches!(memory, Locked { until } if told.as_millis() == until))
    }
}

/// The memory after a gateway's answer about a code, and whether the question was still open.
fn heard(memory: Memory, now: u64, until: u64, result: CheckResult, rules: &Rules) -> (Memory, bool) {
    let now_is = memory.at(now, rules);
    let Open { wrong, keep, asking } = now_is else { return (now_is, false) };
    if asking != until {
        return (now_is, false);
    }
    let next = match result {
        CheckResult::Approved => Nothing,
        CheckResult::NotAsked => Open { wrong: wrong.saturating_sub(1), keep, asking: 0 },
        _ if wrong >= rules.attempts => Locked { until: now + rules.lockout },
        _ => Open { wrong, keep, asking: 0 },
    };
    (next, true)
}

/// The end of a send may have been noted. A send that reached no person leaves nothing, if nothing was counted.
pub fn may_have_ended(from: &Memories, end: End) -> Memories {
    let mut to = from.clone();
    if end == End::Nothing && from.iter().any(|memory| matches!(memory, Open { wrong: 0, .. })) {
        to.insert(Nothing);
    }
    to
}

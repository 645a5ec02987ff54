//! The possible memories of one number: the count of wrong codes, the lockout, and their ends, in the contract's words
//! and without code of the engine.
//!
//! A decision without an answer is in doubt. The model keeps every memory that fits the facts, and each answer removes
//! those that do not fit it. If none is left, an answer was impossible.

use std::collections::BTreeSet;

use onceward::domain::Timestamp;
use onceward::engine::CheckResult;
use onceward::numbers::{CheckOutcome, SendOutcome};

use crate::facts::End;

/// Limits of one service. Times are milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub attempts: u8,
    pub lockout: u64,
    /// The longest time that a gateway takes for a check.
    pub asking: u64,
    /// Whether some gateway holds codes.
    pub held: bool,
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

/// Every memory that `step` makes of one in `from`, at either time.
fn each<I: IntoIterator<Item = Memory>>(
    from: &Memories,
    times: [u64; 2],
    step: impl Fn(Memory, u64) -> I,
) -> Memories {
    let second = (times[1] != times[0]).then_some(times[1]);
    let mut to = Memories::new();
    for now in std::iter::once(times[0]).chain(second) {
        to.extend(from.iter().flat_map(|memory| step(*memory, now)));
    }
    to
}

/// `Nothing`, if one of the memories ends as that.
pub fn that_forgot(from: &Memories, at: [u64; 2], rules: &Rules) -> Memories {
    each(from, at, |memory, now| (memory.at(now, rules) == Nothing).then_some(Nothing))
}

/// The end of an unsettled question or of a record may be written with any other fact about its number. A clock that is
/// set back before a start then does not restore it.
pub fn or_what_it_is_now(from: &Memories, at: [u64; 2], rules: &Rules) -> Memories {
    each(from, at, |memory, now| [memory, memory.at(now, rules)])
}

/// A check was answered without a gateway.
pub fn checked(from: &Memories, at: [u64; 2], rules: &Rules, answer: &CheckOutcome) -> Memories {
    each(from, at, |memory, now| {
        let mut to = Vec::new();
        match (memory.at(now, rules), answer) {
            (Open { asking: 0, .. }, CheckOutcome::Approved) => to.push(Nothing),
            // Nothing is written for it: the disk keeps what it had.
            (Nothing, CheckOutcome::Wrong { attempts_left, live: false })
                if *attempts_left == rules.attempts =>
            {
                to.extend(memory.or_what_became_of_it(now, rules));
            }
            (Open { wrong, keep, asking: 0 }, CheckOutcome::Wrong { attempts_left, .. })
                if wrong + 1 + attempts_left == rules.attempts && *attempts_left > 0 =>
            {
                to.push(Memory::counted(wrong, keep, now, rules));
            }
            (Open { wrong, keep, asking: 0 }, CheckOutcome::LockedNow { until, .. })
                if wrong + 1 >= rules.attempts && until.as_millis() == now + rules.lockout =>
            {
                to.push(Memory::counted(wrong, keep, now, rules));
            }
            (Locked { until }, CheckOutcome::Locked { until: told }) if told.as_millis() == until => {
                to.extend(memory.or_what_became_of_it(now, rules));
            }
            _ => {}
        }
        // The commit took too long for the gateway request: the attempt stays counted. Meanwhile a gateway may be asked
        // about another one.
        if rules.held
            && *answer == CheckOutcome::GatewayFailed
            && matches!(memory.at(now, rules), Open { .. } | Nothing)
        {
            to.extend(memory.or_what_became_of_it(now, rules));
        }
        to
    })
}

/// A check may have been decided. `right`: its code may have been right.
pub fn may_have_checked(from: &Memories, at: [u64; 2], rules: &Rules, right: bool) -> Memories {
    each(from, at, |memory, now| {
        let mut to = vec![memory];
        if let Open { wrong, keep, asking: 0 } = memory.at(now, rules) {
            to.push(Memory::counted(wrong, keep, now, rules));
            to.extend(right.then_some(Nothing));
        }
        let counted = memory.consulted(now, now + rules.asking, rules).filter(|_| rules.held);
        if let Some(Open { wrong, keep, asking }) = counted {
            // A question that was not durable was never asked: it is over at once, and counts.
            to.extend([Open { wrong, keep, asking }, Open { wrong, keep, asking: now }]);
        }
        to
    })
}

/// A check with a wrong code was decided without an answer: memory counts it.
pub fn counted(from: &Memories, at: [u64; 2], rules: &Rules) -> Memories {
    each(from, at, |memory, now| {
        let Open { wrong, keep, asking: 0 } = memory.at(now, rules) else { return vec![memory] };
        let mut to = vec![Memory::counted(wrong, keep, now, rules)];
        // A lockout that ends before its commit fails does not count.
        if matches!(to[0], Locked { until } if until <= at[0].max(at[1])) {
            to.push(memory);
        }
        if let Some(Open { wrong, keep, asking }) =
            memory.consulted(now, now + rules.asking, rules).filter(|_| rules.held)
        {
            to.extend([Open { wrong, keep, asking }, Open { wrong, keep, asking: now }]);
        }
        to
    })
}

/// An attempt may have been counted without a gateway request.
pub fn may_be_counted(from: &Memories, at: [u64; 2], rules: &Rules) -> Memories {
    each(from, at, |memory, now| {
        let counted = memory.consulted(now, now + rules.asking, rules).filter(|_| rules.held);
        std::iter::once(memory).chain(counted)
    })
}

/// A gateway was asked about a code after the attempt was counted.
pub fn consulted(from: &Memories, at: [u64; 2], rules: &Rules, until: u64) -> Memories {
    each(from, at, |memory, now| memory.consulted(now, until, rules))
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

/// A check was answered after its gateway answered.
pub fn settled(
    from: &Memories,
    at: [u64; 2],
    rules: &Rules,
    (until, result): (u64, CheckResult),
    answer: &CheckOutcome,
) -> Memories {
    each(from, at, |memory, now| {
        let (next, open) = heard(memory, now, until, result, rules);
        let fits = match (answer, next) {
            (CheckOutcome::Approved, Nothing) => open && result == CheckResult::Approved,
            (CheckOutcome::Wrong { attempts_left, .. }, Open { wrong, .. }) => {
                matches!(result, CheckResult::Wrong | CheckResult::NotLive)
                    && attempts_left + wrong.min(rules.attempts) == rules.attempts
            }
            (CheckOutcome::Wrong { attempts_left, .. }, Nothing) => {
                !open && *attempts_left == rules.attempts && !matches!(result, CheckResult::Approved)
            }
            (CheckOutcome::LockedNow { until: told, .. }, Locked { until }) => {
                open && until == now + rules.lockout && told.as_millis() == until
            }
            (CheckOutcome::Locked { until: told }, Locked { until }) => !open && told.as_millis() == until,
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
                to.extend(memory.or_what_became_of_it(now, rules));
            }
            // The end of a question about a wrong code need not be durable, because the question ends by itself.
            let forgotten = matches!(next, Open { .. }) && open && result != CheckResult::NotAsked;
            to.extend(forgotten.then_some(memory));
        }
        to
    })
}

/// A gateway's answer may have been processed.
pub fn may_have_settled(
    from: &Memories,
    at: [u64; 2],
    rules: &Rules,
    (until, result): (u64, CheckResult),
) -> Memories {
    each(from, at, |memory, now| {
        let (next, open) = heard(memory, now, until, result, rules);
        let mut to = vec![memory];
        if let (true, Open { wrong, keep, asking }) = (open, memory) {
            to.push(next);
            // The stricter of both: counted, and the question is over.
            to.push(Open { wrong, keep, asking: 0 });
            to.push(Open { wrong, keep, asking: asking.min(now) });
        }
        to
    })
}

/// A message was handed over after its decision was durable.
pub fn dispatched(from: &Memories, at: [u64; 2], rules: &Rules, expires: u64, planned: bool) -> Memories {
    each(from, at, |memory, now| {
        if planned {
            return matches!(memory.at(now, rules), Open { asking: 0, .. }).then_some(memory);
        }
        memory.sent(now, expires, rules)
    })
}

/// A send may have been decided.
pub fn may_have_sent(from: &Memories, at: [u64; 2], rules: &Rules, life: u64) -> Memories {
    each(from, at, |memory, now| std::iter::once(memory).chain(memory.sent(now, now + life, rules)))
}

/// The client of a send got its result.
pub fn send_answered(
    from: &Memories,
    at: [u64; 2],
    rules: &Rules,
    end: End,
    answer: &SendOutcome,
) -> Memories {
    let kept = each(from, at, |memory, now| {
        let fits = match (memory.at(now, rules), answer) {
            (Open { wrong, .. }, SendOutcome::Sent { attempts_left, .. }) => {
                rules.attempts.saturating_sub(wrong) == *attempts_left
            }
            (Nothing, SendOutcome::Sent { attempts_left, .. }) => *attempts_left == rules.attempts,
            (Locked { until }, SendOutcome::Locked { until: told }) => told.as_millis() == until,
            (Open { .. } | Nothing, SendOutcome::GatewayFailed) | (_, SendOutcome::NumberRefused) => true,
            _ => false,
        };
        fits.then(|| memory.or_what_became_of_it(now, rules)).into_iter().flatten()
    });
    may_have_ended(&kept, end)
}

/// The end of a send may have been noted. A send that reached no person leaves nothing, if nothing was counted.
pub fn may_have_ended(from: &Memories, end: End) -> Memories {
    let mut to = from.clone();
    if end == End::Nothing && from.iter().any(|memory| matches!(memory, Open { wrong: 0, .. })) {
        to.insert(Nothing);
    }
    to
}

/// A send was refused because the number is locked.
pub fn refused_locked(from: &Memories, at: [u64; 2], rules: &Rules, told: Timestamp) -> Memories {
    each(from, at, |memory, now| {
        let fits = matches!(memory.at(now, rules), Locked { until } if told.as_millis() == until);
        fits.then(|| memory.or_what_became_of_it(now, rules)).into_iter().flatten()
    })
}

//! Replay: runs traffic against a defence on a manual clock, and counts what it let through and whom it refused.

use std::collections::{HashMap, HashSet};

use super::budget::{Allowance, Budget, BudgetState};
use super::counters::Period;
use super::decide::{Bounds, Guard};
use super::finding::Verdict;
use super::rules::GuardRules;
use super::signals::Signals;
use crate::domain::{PhoneNumber, Timestamp};

/// One thing that a user did.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub at: Timestamp,
    /// Numbers the users. A user whose messages were all refused cannot verify.
    pub user: u32,
    pub signals: Signals,
    pub action: Action,
    pub is_attack: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Asks for a message. The price is in millionths of the currency.
    Send { price: u64, expires: Timestamp },
    /// Submits the right code.
    Verify,
}

/// The defence that traffic runs against.
#[derive(Debug, Clone)]
pub enum Defence {
    Off,
    /// The most messages to one number in a day.
    FixedLimit(u32),
    Guard {
        rules: Box<GuardRules>,
        /// The most messages in an hour.
        budget: Option<u64>,
    },
}

/// The result, over the scored time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Messages of attackers before the first one was refused.
    pub attack_before_block: u32,
    pub attack_sent: u32,
    pub attack_refused: u32,
    /// Price of the attackers' messages, in millionths of the currency.
    pub attack_cost: u64,
    pub honest_users: u32,
    /// Honest users of whom a message was refused.
    pub honest_refused: u32,
}

/// A replay on a manual clock. A clone goes on from the same state.
#[derive(Clone)]
pub struct Replay<'a> {
    gate: Gate<'a>,
    scored_from: Timestamp,
    /// Users who have a message and have not verified.
    reached: HashSet<u32>,
    honest: HashSet<u32>,
    refused: HashSet<u32>,
    outcome: Outcome,
}

impl<'a> Replay<'a> {
    /// Events before `scored_from` are history. `seed` is that of [`Guard::new`].
    pub fn new(defence: &'a Defence, scored_from: Timestamp, seed: u64) -> Self {
        Self {
            gate: Gate::new(defence, seed),
            scored_from,
            reached: HashSet::new(),
            honest: HashSet::new(),
            refused: HashSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// Runs events, which are in the order of time.
    pub fn run(&mut self, events: &[Event]) {
        for event in events {
            match event.action {
                Action::Send { price, expires } => self.send(event, price, expires),
                Action::Verify if self.reached.remove(&event.user) => {
                    self.gate.verified(&event.signals, event.at);
                }
                Action::Verify => {}
            }
        }
    }

    /// The result so far.
    pub fn outcome(&self) -> Outcome {
        let count = |users: &HashSet<u32>| u32::try_from(users.len()).unwrap_or(u32::MAX);
        Outcome { honest_users: count(&self.honest), honest_refused: count(&self.refused), ..self.outcome }
    }

    fn send(&mut self, event: &Event, price: u64, expires: Timestamp) {
        let passes = self.gate.passes(&event.signals, expires, event.at);
        if passes {
            self.reached.insert(event.user);
        }
        if event.at < self.scored_from {
            return;
        }
        let outcome = &mut self.outcome;
        match (event.is_attack, passes) {
            (true, true) => {
                outcome.attack_sent += 1;
                outcome.attack_cost += price;
                outcome.attack_before_block += u32::from(outcome.attack_refused == 0);
            }
            (true, false) => outcome.attack_refused += 1,
            (false, passes) => {
                self.honest.insert(event.user);
                if !passes {
                    self.refused.insert(event.user);
                }
            }
        }
    }
}

/// A defence with its state.
#[derive(Clone)]
enum Gate<'a> {
    Off,
    FixedLimit {
        most: u32,
        sent: HashMap<(PhoneNumber, u32), u32>,
    },
    Guard {
        guard: Box<Guard>,
        rules: &'a GuardRules,
        budget: Option<(Budget, BudgetState, Option<Allowance>)>,
    },
}

impl<'a> Gate<'a> {
    fn new(defence: &'a Defence, seed: u64) -> Self {
        match defence {
            Defence::Off => Self::Off,
            Defence::FixedLimit(most) => Self::FixedLimit { most: *most, sent: HashMap::new() },
            Defence::Guard { rules, budget } => {
                let hourly = |limit| (Budget { limit, period: Period::Hour }, BudgetState::default(), None);
                Self::Guard {
                    guard: Box::new(Guard::new(Bounds::default(), seed)),
                    rules,
                    budget: budget.map(hourly),
                }
            }
        }
    }

    fn passes(&mut self, signals: &Signals, expires: Timestamp, at: Timestamp) -> bool {
        match self {
            Self::Off => true,
            Self::FixedLimit { most, sent } => {
                let sent = sent.entry((signals.number, Period::Day.index(at))).or_default();
                *sent += 1;
                sent <= most
            }
            Self::Guard { guard, rules, budget } => {
                if guard.assess(signals, rules, expires, at).verdict != Verdict::Allow {
                    return false;
                }
                let Some((budget, state, allowance)) = budget else { return true };
                if allowance.as_mut().is_some_and(|allowance| allowance.take(1, at)) {
                    return true;
                }
                let drawn = budget.draw(*state, 1, at);
                if let Ok((drawn, mut fresh)) = drawn {
                    *state = drawn;
                    fresh.take(1, at);
                    *allowance = Some(fresh);
                } else {
                    guard.withdraw(signals, at);
                }
                drawn.is_ok()
            }
        }
    }

    fn verified(&mut self, signals: &Signals, at: Timestamp) {
        if let Self::Guard { guard, .. } = self {
            guard.verified(signals.service, signals.number, at);
        }
    }
}

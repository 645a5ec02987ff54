//! Replay: runs generated traffic against a defence on a manual clock, and counts what it let through and whom it
//! refused.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::budget::{Allowance, Budget, BudgetState};
use super::counters::Period;
use super::decide::{Bounds, Guard};
use super::rules::{GuardRules, Verdict};
use super::scenario::{Action, Event, SCORED_FROM, Scenario, World};
use crate::domain::{PhoneNumber, Timestamp};

/// Messages to one number in a day that the fixed limit allows.
pub const FIXED_LIMIT: u32 = 5;

/// Messages in an hour on a new installation.
pub const FIRST_BUDGET: u64 = 500;

/// The lifetime of a code.
const LIFE: Duration = Duration::from_secs(600);

/// The result of a replay, over the scored time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outcome {
    /// Messages of attackers before the first one was refused.
    pub attack_before_block: u32,
    pub attack_sent: u32,
    pub attack_refused: u32,
    /// Price of the attackers' messages, in millionths of a dollar.
    pub attack_cost: u64,
    pub honest_users: u32,
    /// Honest users of whom a message was refused.
    pub honest_refused: u32,
}

impl Outcome {
    /// `$9.30`.
    pub fn cost(&self) -> String {
        format!("${}.{:02}", self.attack_cost / 1_000_000, self.attack_cost / 10_000 % 100)
    }

    /// Refused honest users and their share: `15 (0.055 %)`.
    pub fn refused(&self) -> String {
        let share = u64::from(self.honest_refused) * 100_000 / u64::from(self.honest_users.max(1));
        format!("{} ({}.{:03} %)", self.honest_refused, share / 1_000, share % 1_000)
    }
}

/// The outcomes of one scenario.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    pub scenario: &'static str,
    /// With no defence.
    pub off: Outcome,
    /// With [`FIXED_LIMIT`].
    pub fixed_limit: Outcome,
    /// With the default rules, and [`FIRST_BUDGET`] without history.
    pub guard: Outcome,
}

/// Runs scenarios. The same scenario and seed give the same outcomes, whatever else runs.
pub fn compare(scenarios: &[Scenario], seed: u64) -> Vec<Comparison> {
    let new = Defence::all(seed, Some(FIRST_BUDGET)).map(Replay::of);
    let (mut old, mut past) = (Defence::all(seed, None).map(Replay::of), World::new(seed));
    if scenarios.iter().any(|scenario| !scenario.is_new) {
        let events = past.history();
        for replay in &mut old {
            replay.run(&events);
        }
    }
    let outcomes = |scenario: &Scenario| {
        let (world, replays) = if scenario.is_new { (World::new(seed), &new) } else { (past.clone(), &old) };
        let events = world.scored(scenario, seed);
        let [off, fixed_limit, guard] = replays.clone().map(|mut replay| {
            replay.run(&events);
            replay.outcome()
        });
        Comparison { scenario: scenario.name, off, fixed_limit, guard }
    };
    scenarios.iter().map(outcomes).collect()
}

/// A defence and the traffic so far.
#[derive(Clone)]
struct Replay {
    defence: Defence,
    /// Users who have a message and have not verified.
    reached: HashSet<u32>,
    honest: HashSet<u32>,
    refused: HashSet<u32>,
    outcome: Outcome,
}

impl Replay {
    fn of(defence: Defence) -> Self {
        let none = HashSet::new;
        Self { defence, reached: none(), honest: none(), refused: none(), outcome: Outcome::default() }
    }

    /// Runs events, which are in the order of time.
    fn run(&mut self, events: &[Event]) {
        for event in events {
            match event.action {
                Action::Send { price } => self.send(event, price),
                Action::Verify if self.reached.remove(&event.user) => self.defence.verified(event),
                Action::Verify => {}
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let count = |users: &HashSet<u32>| u32::try_from(users.len()).unwrap_or(u32::MAX);
        Outcome { honest_users: count(&self.honest), honest_refused: count(&self.refused), ..self.outcome }
    }

    fn send(&mut self, event: &Event, price: u64) {
        let passes = self.defence.passes(event);
        if passes {
            self.reached.insert(event.user);
        }
        if event.at < SCORED_FROM {
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
enum Defence {
    Off,
    FixedLimit(HashMap<(PhoneNumber, u32), u32>),
    Guard { guard: Box<Guard>, rules: Box<GuardRules>, budget: Option<HourlyBudget> },
}

#[derive(Clone)]
struct HourlyBudget {
    budget: Budget,
    state: BudgetState,
    allowance: Option<Allowance>,
}

impl HourlyBudget {
    fn take(&mut self, at: Timestamp) -> bool {
        if self.allowance.as_mut().is_some_and(|allowance| allowance.take(1, at)) {
            return true;
        }
        let Ok((state, mut allowance)) = self.budget.draw(self.state, 1, at) else { return false };
        allowance.take(1, at);
        (self.state, self.allowance) = (state, Some(allowance));
        true
    }
}

impl Defence {
    fn all(seed: u64, budget: Option<u64>) -> [Self; 3] {
        let budget = budget.map(|limit| HourlyBudget {
            budget: Budget { limit, period: Period::Hour },
            state: BudgetState::default(),
            allowance: None,
        });
        let guard = Box::new(Guard::new(Bounds::default(), seed));
        [Self::Off, Self::FixedLimit(HashMap::new()), Self::Guard { guard, rules: Box::default(), budget }]
    }

    fn passes(&mut self, Event { at, signals, .. }: &Event) -> bool {
        match self {
            Self::Off => true,
            Self::FixedLimit(sent) => {
                let sent = sent.entry((signals.number, Period::Day.index(*at))).or_default();
                *sent += 1;
                *sent <= FIXED_LIMIT
            }
            Self::Guard { guard, rules, budget } => {
                if guard.assess(signals, rules, at.plus(LIFE), *at).verdict != Verdict::Allow {
                    return false;
                }
                let is_paid = budget.as_mut().is_none_or(|budget| budget.take(*at));
                if !is_paid {
                    guard.withdraw(signals, *at);
                }
                is_paid
            }
        }
    }

    fn verified(&mut self, event: &Event) {
        if let Self::Guard { guard, .. } = self {
            guard.verified(event.signals.service, event.signals.number, event.at);
        }
    }
}

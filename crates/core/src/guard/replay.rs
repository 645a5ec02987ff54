//! Replay: runs generated or recorded traffic against a defence on a manual clock, and counts what it let through and
//! whom it refused.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::budget::{Allowance, Budget, BudgetState};
use super::counters::Period;
use super::decide::{Bounds, Guard};
use super::rules::GuardRules;
use super::scenario::{Action, Event, SCORED_FROM, Scenario, World};
use super::signals::Signals;
use crate::domain::{Channel, PhoneNumber, Region, ServiceId, Timestamp};

/// Messages to one number in a day that the fixed limit allows.
pub const FIXED_LIMIT: u32 = 5;

/// Messages in an hour without history.
pub const FIRST_BUDGET: u64 = 500;

/// The lifetime of a code.
const LIFE: Duration = Duration::from_secs(600);

/// The result of a replay, over the scored time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outcome {
    pub sent: u32,
    pub refused: u32,
    /// Price of the messages, in millionths of the currency.
    pub cost: u64,
    /// Messages of attackers before the first one was refused. In recorded traffic, numbers that were never verified
    /// take the place of attackers.
    pub attack_before_block: u32,
    pub attack_sent: u32,
    pub attack_refused: u32,
    /// Price of the attackers' messages, in millionths of the currency.
    pub attack_cost: u64,
    pub honest_users: u32,
    /// Honest users of whom a message was refused.
    pub honest_refused: u32,
}

/// An amount of millionths: `9.30`.
pub fn money(micros: u64) -> String {
    format!("{}.{:02}", micros / 1_000_000, micros / 10_000 % 100)
}

impl Outcome {
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
    /// With the rules, and their budget.
    pub guard: Outcome,
}

/// The price of a message, in millionths of the currency.
pub type PriceOf<'a> = &'a dyn Fn(Option<Region>, Channel) -> u64;

/// The rules of the guard in a replay, and its budget of messages an hour.
#[derive(Debug, Clone, Copy)]
pub struct ReplayRules<'a> {
    pub rules: &'a GuardRules,
    pub budget: Option<u64>,
}

/// Runs scenarios. The budget is [`FIRST_BUDGET`] by default for those without history. Without `price`, messages have
/// the prices of their scenario. The same scenario and seed give the same outcomes, whatever else runs.
pub fn compare(
    scenarios: &[Scenario],
    rules: ReplayRules<'_>,
    price: Option<PriceOf<'_>>,
    seed: u64,
) -> Vec<Comparison> {
    let budget = rules.budget.or(Some(FIRST_BUDGET));
    let new = Replay::all(ReplayRules { budget, ..rules }, seed, SCORED_FROM);
    let (mut old, mut past) = (Replay::all(rules, seed, SCORED_FROM), World::new(seed));
    if scenarios.iter().any(|scenario| !scenario.is_new) {
        let events = past.history();
        for replay in &mut old {
            replay.run(&events);
        }
    }
    let outcomes = |scenario: &Scenario| {
        let (world, replays) = if scenario.is_new { (World::new(seed), &new) } else { (past.clone(), &old) };
        let mut events = world.scored(scenario, seed);
        for Event { action, signals, .. } in &mut events {
            if let (Action::Send { price }, Some(price_of)) = (action, price) {
                *price = price_of(signals.country, signals.channel);
            }
        }
        let [off, fixed_limit, guard] = replays.clone().map(|mut replay| {
            replay.run(&events);
            replay.outcome()
        });
        Comparison { scenario: scenario.name, off, fixed_limit, guard }
    };
    scenarios.iter().map(outcomes).collect()
}

/// A message of recorded traffic.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    pub at: Timestamp,
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub channel: Channel,
    /// In millionths of the currency.
    pub price: u64,
    /// When the right code was submitted. Honest users are the numbers with such a message.
    pub verified_at: Option<Timestamp>,
}

/// Runs recorded traffic, in any order: with no defence, with [`FIXED_LIMIT`], and with these rules. Addresses are not
/// known.
pub fn compare_recorded(messages: &[Recorded], rules: ReplayRules<'_>, seed: u64) -> [Outcome; 3] {
    let verified: HashSet<_> =
        messages.iter().filter(|m| m.verified_at.is_some()).map(Recorded::user).collect();
    let mut users = HashMap::new();
    let mut events = Vec::with_capacity(messages.len() * 2);
    for message in messages {
        let next = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let (user, (country, number_type)) =
            *users.entry(message.user()).or_insert_with(|| (next, message.number.region_and_type()));
        let Recorded { at, service, number, channel, price, verified_at } = *message;
        let signals =
            Signals { service, number, country, number_type, channel, address: None, is_trusted: false };
        let is_attack = !verified.contains(&message.user());
        let event = Event { at, user, signals, action: Action::Send { price }, is_attack };
        events.push(event);
        events.extend(verified_at.map(|at| Event { at, action: Action::Verify, ..event }));
    }
    events.sort_by_key(|event| (event.at, event.user));
    Replay::all(rules, seed, Timestamp::EPOCH).map(|mut replay| {
        replay.run(&events);
        replay.outcome()
    })
}

impl Recorded {
    const fn user(&self) -> (ServiceId, PhoneNumber) {
        (self.service, self.number)
    }
}

/// A defence and the traffic so far.
#[derive(Clone)]
struct Replay {
    defence: Defence,
    /// Users who have a message and have not verified.
    reached: HashSet<u32>,
    honest: HashSet<u32>,
    refused: HashSet<u32>,
    /// The outcome counts from here on.
    scored_from: Timestamp,
    outcome: Outcome,
}

impl Replay {
    /// Without a defence, with a fixed limit and with the guard.
    fn all(rules: ReplayRules<'_>, seed: u64, scored_from: Timestamp) -> [Self; 3] {
        let none = HashSet::new;
        Defence::all(rules, seed).map(|defence| Self {
            defence,
            reached: none(),
            honest: none(),
            refused: none(),
            scored_from,
            outcome: Outcome::default(),
        })
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
        if event.at < self.scored_from {
            return;
        }
        let outcome = &mut self.outcome;
        if passes {
            outcome.sent += 1;
            outcome.cost += price;
        } else {
            outcome.refused += 1;
        }
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
        if self.allowance.as_mut().is_some_and(|allowance| allowance.take(1, at).is_some()) {
            return true;
        }
        let Ok((state, mut allowance)) = self.budget.draw(self.state, 1, at) else { return false };
        let _ = allowance.split(1);
        (self.state, self.allowance) = (state, Some(allowance));
        true
    }
}

impl Defence {
    fn all(ReplayRules { rules, budget }: ReplayRules<'_>, seed: u64) -> [Self; 3] {
        let budget = budget.map(|limit| HourlyBudget {
            budget: Budget { limit, period: Period::Hour },
            state: BudgetState::default(),
            allowance: None,
        });
        let guard = Box::new(Guard::new(Bounds::default(), seed));
        let rules = Box::new(rules.clone());
        [Self::Off, Self::FixedLimit(HashMap::new()), Self::Guard { guard, rules, budget }]
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
                if guard.assess(signals, rules, at.plus(LIFE), *at).verdict.is_err() {
                    return false;
                }
                let is_paid = budget.as_mut().is_none_or(|budget| budget.take(*at));
                if !is_paid {
                    guard.withdraw(signals.service, signals.number, *at);
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

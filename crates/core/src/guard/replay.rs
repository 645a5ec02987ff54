//! Replay: runs recorded traffic against the guard on a manual clock, and counts what it lets through and whom it refuses.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::allowance::{Ticket, VerifiedNumber};
use super::decide::Guard;
use super::rules::{GuardRules, Refused};
use super::signals::{Exemption, Signals};
use crate::domain::{Channel, PhoneNumber, ServiceId, Timestamp};

/// A guard, and the numbers that were verified.
#[derive(Debug, Clone)]
pub struct Replay {
    pub guard: Guard,
    pub rules: GuardRules,
    pub verified: HashMap<(ServiceId, PhoneNumber), VerifiedNumber>,
}

impl Replay {
    pub fn send(&mut self, signals: &Signals, at: Timestamp) -> Result<Ticket, Refused> {
        self.guard.rows.sweep(2, at);
        let verified = self.known(signals.service, signals.number, at);
        let assessment = self.guard.assess(signals, &self.rules, verified, at);
        assessment.verdict.map(|()| assessment.ticket)
    }

    pub fn verify(&mut self, service: ServiceId, number: PhoneNumber, at: Timestamp) {
        let earlier = self.known(service, number, at);
        let verified = self.guard.verified(service, number, &self.rules, earlier, true, at);
        self.verified.extend(verified.map(|verified| ((service, number), verified)));
    }

    fn known(&self, service: ServiceId, number: PhoneNumber, at: Timestamp) -> Option<VerifiedNumber> {
        self.verified.get(&(service, number)).copied().filter(|verified| at < verified.expires())
    }
}

/// The result of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Outcome {
    pub sent: u32,
    pub refused: u32,
    /// Price of the sent messages, in millionths of the currency.
    pub cost: u64,
    /// The same of the refused ones.
    pub saved: u64,
    /// Numbers that were verified in the recording.
    pub honest_users: u32,
    pub honest_refused: u32,
}

/// An amount of millionths: `9.30`.
pub fn money(micros: u64) -> String {
    format!("{}.{:02}", micros / 1_000_000, micros / 10_000 % 100)
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
    /// When the right code was submitted.
    pub verified_at: Option<Timestamp>,
}

/// Runs recorded traffic, in any order, against these rules. Addresses are not known.
pub fn replay(messages: &[Recorded], rules: &GuardRules, seed: u64) -> Outcome {
    let user = |message: &Recorded| (message.service, message.number);
    let honest: HashSet<_> = messages.iter().filter(|m| m.verified_at.is_some()).map(user).collect();
    let sent = messages.iter().map(|message| (message.at, false, message));
    let verified = messages.iter().filter_map(|message| Some((message.verified_at?, true, message)));
    let mut events: Vec<_> = sent.chain(verified).collect();
    events.sort_by_key(|(at, is_verified, message)| (*at, *is_verified, message.service, message.number));
    let (guard, rules) = (Guard::new(usize::MAX, seed), rules.clone());
    let mut replay = Replay { guard, rules, verified: HashMap::new() };
    let mut outcome = Outcome::default();
    // Numbers with a message that was not refused: the others cannot verify.
    let (mut reached, mut refused) = (HashSet::new(), HashSet::new());
    for (at, is_verified, message) in events {
        let Recorded { service, number, channel, price, .. } = *message;
        let (country, number_type) = number.region_and_type();
        let signals = Signals {
            service,
            number,
            country,
            number_type,
            channel,
            address: None,
            exemption: Exemption::None,
            only_number: false,
            has_proof: false,
        };
        if is_verified {
            if reached.remove(&user(message)) {
                replay.verify(service, number, at);
            }
        } else if replay.send(&signals, at).is_ok() {
            outcome.sent += 1;
            outcome.cost += price;
            reached.insert(user(message));
        } else {
            outcome.refused += 1;
            outcome.saved += price;
            refused.insert(user(message));
        }
    }
    let count = |users: usize| u32::try_from(users).unwrap_or(u32::MAX);
    outcome.honest_users = count(honest.len());
    outcome.honest_refused = count(honest.intersection(&refused).count());
    outcome
}

//! The settings of a world, which its seed decides first.

use std::collections::BTreeSet;
use std::time::Duration;

use onceward::config::AttemptLogSettings;
use onceward::domain::{CodeLength, PhoneNumber, ServerKey, ServiceId};
use onceward::engine::{LockoutRule, Policy, SendOptions, SendRules};
use onceward::store::StoreLimits;
use onceward::verification::{NumberKey, Policies};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::number::Rules;

#[derive(Debug, Clone)]
pub struct Setup {
    pub steps: usize,
    pub shards: usize,
    pub numbers: Vec<NumberKey>,
    policies: Vec<Policy>,
    pub send_budget: Duration,
    /// The settings of the list of sends.
    pub attempt_log: AttemptLogSettings,
    pub commands_per_number: usize,
    /// What the store takes: in some worlds so little that the longer records of attempts are refused.
    pub limits: StoreLimits,
    /// Whether what a shard has decided is often taken to the store later, with more.
    pub commits_late: bool,
    /// Percentage of commits with a fault.
    pub faults: u32,
    /// Crashes per 1,000 steps.
    pub crashes: u32,
    /// Steps per 1,000 that set the clock back.
    pub clock_backwards: u32,
    /// Percentage of messages through a gateway that holds the code.
    pub held: u32,
    /// No more faults, and no gateway holds codes.
    pub calm: bool,
    /// Percentage of checks with a right code.
    pub right: u32,
}

/// No service uses this length for codes: a wrong code is never right by chance.
pub const WRONG_LENGTH: usize = 7;

pub fn server_key() -> ServerKey {
    ServerKey::from_bytes([5; 32])
}

impl Setup {
    pub fn of(seed: u64) -> (Self, StdRng) {
        let mut rng = StdRng::seed_from_u64(seed);
        let shards = rng.random_range(1..=2);
        let policies: Vec<_> = (0..2).map(|_| policy(&mut rng)).collect();
        let many = rng.random_range(0..5) == 0;
        let count = if many { 20 } else { rng.random_range(1..=4_u64) };
        let numbers = (0..count)
            .map(|i| {
                let service = ServiceId::new(u32::from(rng.random_range(0..4) == 0));
                NumberKey::new(service, PhoneNumber::from_u64(14_155_550_000 + i).expect("a number"))
            })
            .collect();
        let send_budget = Duration::from_secs(rng.random_range(2..20));
        let setup = Self {
            steps: rng.random_range(300..1_500),
            shards,
            numbers,
            policies,
            send_budget,
            attempt_log: AttemptLogSettings {
                keep_for: Duration::from_secs([60, 24 * 3_600][rng.random_range(0..2)]),
                keep_at_most: 1_000,
            },
            commands_per_number: [3, 8, 64][rng.random_range(0..3)],
            limits: StoreLimits {
                bytes_per_record: [usize::MAX, usize::MAX, 250][rng.random_range(0..3)],
                ..StoreLimits::NONE
            },
            commits_late: rng.random_range(0..2) == 0,
            faults: [0, 5, 15, 40][rng.random_range(0..4)],
            crashes: [0, 5, 20, 60][rng.random_range(0..4)],
            clock_backwards: [0, 0, 10][rng.random_range(0..3)],
            held: [0, 0, 30, 80][rng.random_range(0..4)],
            calm: false,
            right: [5, 20, 50][rng.random_range(0..3)],
        };
        (setup, rng)
    }

    pub fn slots_of(&self, shard: usize) -> BTreeSet<u8> {
        (0..=u8::MAX).filter(|slot| usize::from(*slot) % self.shards == shard % self.shards).collect()
    }

    pub fn policy(&self, number: usize) -> &Policy {
        &self.policies[usize::from(self.numbers[number].service != ServiceId::DEFAULT)]
    }

    pub fn policies(&self) -> Policies {
        let policies = Policies::new(self.policies[0]);
        policies.set(ServiceId::new(1), &self.policies[1]);
        policies
    }

    /// The rules of each number, as the checker needs them.
    pub fn number_rules(&self) -> Vec<Rules> {
        let rules = |number| Rules {
            attempts: self.policy(number).max_attempts,
            lockout: millis(self.policy(number).lockout_time()),
            life: millis(self.policy(number).code.life),
            sending: millis(self.send_budget),
            asking: millis(self.send_budget),
            waiting: self.commands_per_number,
        };
        (0..self.numbers.len()).map(rules).collect()
    }
}

pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("a span that fits")
}

pub fn length(rng: &mut StdRng) -> CodeLength {
    CodeLength::new([8, 8, 8, 10][rng.random_range(0..4)]).expect("a length")
}

fn policy(rng: &mut StdRng) -> Policy {
    Policy {
        max_attempts: rng.random_range(1..=6),
        lockout: LockoutRule::Fixed(Duration::from_secs([20, 60, 1800][rng.random_range(0..3)])),
        sends: SendRules::CONTRACT,
        code: SendOptions {
            life: Duration::from_secs([5, 30, 600][rng.random_range(0..3)]),
            length: length(rng),
        },
    }
}

//! Random choices from a seed.

use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use foldhash::quality::FixedState;
use onceward_core::domain::PhoneNumber;
use onceward_core::guard::ClientNet;

use super::countries::number;

#[derive(Debug, Clone)]
pub struct Dice {
    stream: FixedState,
    drawn: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { stream: FixedState::with_seed(seed), drawn: 0 }
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        self.stream.hash_one(self.drawn) % bound.max(1)
    }

    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    pub fn seconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from * 1_000 + self.below((to - from) * 1_000))
    }

    pub fn weighted(&mut self, mut weights: impl Iterator<Item = u32> + Clone) -> usize {
        let (place, mut end) = (self.below(weights.clone().map(u64::from).sum()), 0);
        let is_there = |weight| {
            end += u64::from(weight);
            place < end
        };
        weights.position(is_there).unwrap_or(0)
    }

    pub fn number(&mut self, country: usize, prefixes: u64) -> PhoneNumber {
        let prefix = self.below(prefixes);
        number(country, prefix * 10_000 + self.below(10_000))
    }

    /// An address of a network that no other has.
    pub fn fresh(&mut self) -> ClientNet {
        let host = self.below(1 << 48);
        IpAddr::V6(Ipv6Addr::from_bits((0x2a00_u128 << 112) | (u128::from(host) << 64))).into()
    }

    /// `own` per mille have an address to themselves; the others share those of offices, carriers and VPNs.
    pub fn address(&mut self, country: usize, own: u64) -> ClientNet {
        let place = u64::try_from(country).expect("small") << 16;
        if self.chance(own) {
            return self.fresh();
        }
        let host = match self.below(300) {
            0..10 => 0x0100_0000 + self.below(10),
            10..100 => 0x0200_0000 + place + 300 * self.below(5),
            _ => 0x0300_0000 + place + self.below(400),
        };
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(host).expect("32 bits"))).into()
    }
}

//! A smaller world of its own: one process, services whose lockout grows, verifications that are asked for by themselves.
//!
//! The big world plays the contract, whose model is about numbers; here everything is about verifications and who
//! names them. The disk, its faults, crashes and the shard are the same.

mod belief;
mod judge;
mod told;
mod world;

use self::world::World;
use crate::runs::number_from;

/// Seeds of a normal run.
const SEEDS: u64 = 300;

#[test]
fn where_a_lockout_grows_the_promises_hold_whatever_happens() {
    let only = number_from("SIM_SEED");
    let first = only.or_else(|| number_from("SIM_FIRST")).unwrap_or(0);
    let seeds = if only.is_some() { 1 } else { number_from("SIM_SEEDS").unwrap_or(SEEDS) };
    let mut tally = std::collections::BTreeMap::<&str, u64>::new();
    for seed in first..first + seeds {
        let mut world = World::new(seed);
        if let Err(broken) = world.runs() {
            let log = world.log.join("\n");
            panic!("seed {seed}: {broken}\n{log}\nSIM_SEED={seed} cargo test --test sim growing repeats it");
        }
        for (what, times) in world.tally {
            *tally.entry(what).or_default() += times;
        }
    }
    println!("{tally:#?}\n{seeds} seeds from {first}");
    for what in
        ["approved", "wrong by name", "wrong by number", "used up", "canceled", "message", "503 or dropped"]
    {
        assert!(seeds < SEEDS || tally.contains_key(what), "this never happened: {what}");
    }
}

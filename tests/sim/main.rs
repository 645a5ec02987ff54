//! The real engine and the real shard logic over a faulty disk, with every kind of fault, against an independent model
//! of the contract. `README.md` in this folder says how to read a failure.
//!
//! The world only notes what clients and gateways got, what the disk has, and in which order the shards decided. The checker
//! (`checker`, `number`) reads these facts and does not use the engine.
#![expect(clippy::expect_used, reason = "a simulation that cannot go on fails")]

mod checker;
mod clients;
mod commits;
mod disk;
mod facts;
mod gateways;
mod number;
mod outcome;
mod runs;
mod setup;
mod shard;
mod trouble;
mod world;

use runs::{Run, number_from};

/// Seeds of a normal run.
const SEEDS: u64 = 500;

#[test]
fn whatever_happens_the_promises_hold() {
    if let Some(seed) = number_from("SIM_SEED") {
        let run = Run::of(seed, true);
        run.log.iter().for_each(|line| println!("{}", line.text));
        println!("{:?}\n{:#?}", run.setup, run.tally);
        assert!(run.broken.is_none(), "{}", run.story(seed));
        return;
    }
    let seeds = number_from("SIM_SEEDS").unwrap_or(SEEDS);
    let first = number_from("SIM_FIRST").unwrap_or(0);
    let (tally, broken) = runs::all(first..first + seeds);
    println!("{tally:#?}\n{seeds} seeds from {first}");
    if let Some(seed) = broken {
        panic!("{}", Run::of(seed, true).story(seed));
    }
    let missing = tally.missing();
    assert!(seeds < SEEDS || missing.is_empty(), "this never happened: {missing:?}");
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..40 {
        let (first, second) = (Run::of(seed, true), Run::of(seed, true));
        assert!(first.log.len() > 100, "seed {seed}: a log of {} lines", first.log.len());
        let differs = first.log.iter().zip(&second.log).find(|(a, b)| a != b);
        assert!(differs.is_none() && first.log.len() == second.log.len(), "seed {seed}: {differs:?}");
    }
}

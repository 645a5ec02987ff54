//! Power loss: what was not synced is not relied on.
//!
//! A shim notes everything that a program does to its files. From that, a disk is built as it may be
//! when the power fails at some place: what was synced is there, of all else any part. The real
//! store opens it, and must find what was acknowledged before that place.
//!
//! `POWER_CUTS=10000` cuts more often, `POWER_SEED` loads and cuts in another way. A failure prints
//! the line that repeats it on the trace that it was found in.

mod binary;
mod content;
mod cuts;
mod disk;
mod import;
mod layers;
mod promises;
mod shim;
mod store_load;
mod trace;

use self::cuts::{Cuts, everywhere, notices_without_syncs_of};
use self::disk::Named;
use self::shim::Watched;
use self::store_load::{End, Load, Rounds};

#[test]
fn after_a_power_cut_the_store_has_all_that_it_acknowledged() {
    let cuts = Cuts::from_environment(200);
    cuts.run(|seed| {
        let watched = Watched::new();
        let processes = [
            (300, Rounds::Frequent, End::Killed),
            (250, Rounds::Frequent, End::Closed),
            // A large round that is killed, begun again, killed again, and at last carried out by the next start.
            (600, Rounds::Large, End::KilledInRound),
            (600, Rounds::Large, End::KilledInRound),
            (200, Rounds::Frequent, End::Killed),
            // Layers that have their names in the system's cache only, when the next start builds on them.
            (900, Rounds::Frequent, End::KilledAtName),
            (900, Rounds::Frequent, End::KilledAtName),
            (150, Rounds::Frequent, End::Killed),
            (150, Rounds::Frequent, End::Closed),
        ];
        for (process, (commits, rounds, end)) in (1000..).step_by(1000).zip(processes) {
            Load { seed: seed + process, commits, rounds, end }.run(&watched);
        }
        watched
    });
}

/// The first one makes the directory, the second one finds it.
#[test]
fn wherever_the_power_is_cut_at_the_first_starts_the_next_one_is_good() {
    let (cuts, watched) = (Cuts::from_environment(0), Watched::new());
    for (commits, end) in [(0, End::Killed), (2, End::Killed), (2, End::Closed)] {
        Load { seed: 1, commits, rounds: Rounds::Large, end }.run(&watched);
    }
    everywhere(&watched, 4, cuts.seed());
}

/// The model is only worth something if it sees what is missing.
#[test]
fn a_disk_that_ignores_a_sync_loses_something_and_it_is_noticed() {
    let watched = Watched::new();
    for (seed, end) in [(1, End::Killed), (2, End::Closed)] {
        Load { seed, commits: 250, rounds: Rounds::Frequent, end }.run(&watched);
    }
    let ignored: [(&str, Named); 7] = [
        ("segments", |name| name.contains(".seg")),
        ("the journal's directory", |name| name == "journal"),
        ("new layers", |name| name.contains('-') && name.contains(".new")),
        ("the snapshot's directory", |name| name == "snapshot"),
        ("FORMAT", |name| name == "FORMAT.new"),
        ("the data directory", |name| name == "data"),
        ("what the data directory is in", str::is_empty),
    ];
    for (what, named) in ignored {
        assert!(
            notices_without_syncs_of(what, named, &watched, 7),
            "nothing is missing without syncs of {what}"
        );
    }
}

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
mod promises;
mod shim;
mod store_load;
mod trace;

use self::cuts::{Cuts, notices_without_syncs_of};
use self::shim::Watched;
use self::store_load::{End, Load};

#[test]
fn after_a_power_cut_the_store_has_all_that_it_acknowledged() {
    let cuts = Cuts::from_environment(150);
    cuts.run(|seed| {
        let watched = Watched::new();
        let processes = [
            (300, End::Killed),
            (250, End::Closed),
            (200, End::Killed),
            (150, End::Killed),
            (150, End::Closed),
        ];
        for (process, (commits, end)) in (1000..).step_by(1000).zip(processes) {
            Load { seed: seed + process, commits, end }.run(&watched);
        }
        watched
    });
}

/// The model is only worth something if it sees what is missing.
#[test]
fn a_disk_that_ignores_a_sync_loses_something_and_it_is_noticed() {
    let watched = Watched::new();
    for (seed, end) in [(1, End::Killed), (2, End::Closed)] {
        Load { seed, commits: 250, end }.run(&watched);
    }
    for name in [".seg", "journal", "db", "snapshot", "FORMAT.new", "data"] {
        assert!(notices_without_syncs_of(name, &watched, 7), "nothing is missing without syncs of {name}");
    }
}

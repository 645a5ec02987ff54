//! Power loss: what was not synced is not relied on.
//!
//! A shim notes everything that a program does to its files. From that, a disk is built as it may be
//! when the power fails at some place: what was synced is there, of all else any part. The real
//! store opens it, and must find what was acknowledged before that place.
//!
//! `POWER_CUTS=10000` cuts more often, `POWER_SEED` loads and cuts in another way. A failure prints
//! the line that repeats it on the trace that it was found in.

mod content;
mod cuts;
mod disk;
mod promises;
mod shim;
mod store_load;
mod trace;

use self::cuts::Cuts;
use self::shim::Watched;
use self::store_load::{End, Load};

#[test]
fn after_a_power_cut_the_store_has_all_that_it_acknowledged() {
    let cuts = Cuts::from_environment(150);
    cuts.run(|seed| {
        let watched = Watched::new();
        for (process, (commits, end)) in
            [(500, End::Killed), (400, End::Closed), (300, End::Killed), (200, End::Closed)].into_iter().enumerate()
        {
            Load { seed: seed + process as u64 * 1000, commits, end }.run(&watched);
        }
        watched
    });
}

//! Power loss: the store does not rely on anything that it has not synced.
//!
//! A shim notes everything that a program does to its files. From the notes, a test builds a disk as it may be when the
//! power fails at some place: it has what was synced, and any part of the rest. The real store opens it, and must find
//! what was acknowledged before that place.
//!
//! `POWER_CUTS=10000` cuts more often, `POWER_SEED` changes the load and the cuts. A failure keeps the disk that the store
//! found.

mod binary;
mod cuts;
mod disk;
mod store_load;
mod trace;

use self::cuts::{Checkpoint, Cuts, everywhere, notices_without_syncs_of, places};
use self::disk::Named;
use self::store_load::{End, Load};
use self::trace::Watched;

#[test]
fn after_a_power_cut_the_store_has_all_that_it_acknowledged() {
    let cuts = Cuts::from_environment(60);
    let (seed, count) = (cuts.seed, cuts.count);
    let processes = [
        (300, End::Killed),
        (250, End::Closed),
        // A checkpoint that is killed, and another by the next process.
        (600, End::KilledInCheckpoint),
        (600, End::KilledInCheckpoint),
        (200, End::Killed),
        // The next start builds on a snapshot whose name is only in the system's cache.
        (900, End::KilledAtName),
        (900, End::KilledAtName),
        (150, End::Killed),
        (150, End::Closed),
    ];
    let seeds = (1..).map(|process| seed + 1000 * process);
    let loads = seeds.zip(processes).map(|(seed, (commits, end))| Load { seed, commits, end });
    cuts.run(&loaded(loads), |events, rng| {
        let places = places(events, count, rng);
        Checkpoint::are_worth_cutting(&Checkpoint::all_in(events), &places);
        places
    });
}

/// The first process makes the directory, the second one finds it.
#[test]
fn wherever_the_power_is_cut_at_the_first_starts_the_next_one_is_good() {
    let processes = [(0, End::Killed), (2, End::Killed), (2, End::Closed)];
    let loads = processes.map(|(commits, end)| Load { seed: 1, commits, end });
    Cuts::from_environment(0).run(&loaded(loads), |events, _| everywhere(events, 4));
}

/// The model is only useful if it notices missing syncs.
#[test]
fn a_disk_that_ignores_a_sync_loses_something_and_it_is_noticed() {
    let processes = [(1, End::Killed), (2, End::Closed)];
    let watched = loaded(processes.map(|(seed, end)| Load { seed, commits: 250, end }));
    let ignored: [(&str, Named); 9] = [
        ("segments", |name| name.contains(".seg")),
        ("the journal's directory", |name| name == "journal"),
        ("databases", |name| name == "db"),
        ("manifests", |name| name == "MANIFEST"),
        ("the directories of new snapshots", |name| name.contains('-') && name.contains(".new")),
        ("the directory of snapshots", |name| name == "snapshot"),
        ("FORMAT", |name| name == "FORMAT.new"),
        ("the data directory", |name| name == "data"),
        ("what the data directory is in", str::is_empty),
    ];
    for (what, named) in ignored {
        let is_noticed = notices_without_syncs_of(what, named, &watched, 7);
        assert!(is_noticed, "nothing is missing without syncs of {what}");
    }
}

/// What the shim notes of these processes, one after the other.
fn loaded(loads: impl IntoIterator<Item = Load>) -> Watched {
    let watched = Watched::new();
    loads.into_iter().for_each(|load| load.run(&watched));
    watched
}

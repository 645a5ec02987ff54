//! Chooses where the power is cut, and checks what the store finds afterwards.
#![expect(clippy::print_stdout, reason = "the test runner keeps it together with the failure")]

use std::path::Path;

use onceward::store::EmbeddedStore;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::disk::{Disk, Named};
use super::store_load::{Possible, Promises, contents, open};
use super::trace::{self, Event, Place, Watched, scratch};
use crate::support::prelude::*;

/// Cuts that are examined in parallel. Opening a store waits more than it computes.
const LOOKERS: usize = 4;

/// The number of events of a start and what follows it.
const A_START: usize = 80;

pub struct Cuts {
    pub seed: u64,
    pub count: usize,
}

impl Cuts {
    /// Reads the environment; `usually` is the default number of cuts.
    pub fn from_environment(usually: usize) -> Self {
        let (seed, count) =
            (from_environment("POWER_SEED", 20_251_120), from_environment("POWER_CUTS", usually));
        Self { seed, count }
    }

    /// Cuts the trace of this load at the places that are chosen.
    pub fn run(self, watched: &Watched, choose: impl FnOnce(&[(Place, Event)], &mut StdRng) -> Vec<usize>) {
        println!("POWER_SEED={} POWER_CUTS={}", self.seed, self.count);
        let events = trace::read(&watched.traces());
        let promises = Promises::read(&watched.promises());
        let mut rng = StdRng::seed_from_u64(self.seed);
        let places = choose(&events, &mut rng);
        println!("{} events, {} cuts", events.len(), places.len());
        let cuts: Vec<(usize, u64)> = places.into_iter().map(|event| (event, rng.random())).collect();
        // Each ends with its first failure, and keeps that disk as it was when the power came back.
        let looks = |looker: usize| {
            let mut disk = Disk::default();
            cuts.iter().skip(looker).step_by(LOOKERS).find_map(|&(event, seed)| {
                let possible = promises.at(disk.advance_to(event, &events));
                let why = look(&disk, scratch().path(), seed, &possible).err()?;
                let (what, kept) = (describe(&events[event - 1]), scratch().keep());
                disk.cut_into(&kept, &mut StdRng::seed_from_u64(seed));
                Some(format!("behind {what}: {why}, on {}", kept.display()))
            })
        };
        let failures = std::thread::scope(|scope| {
            let looks = &looks;
            let lookers: Vec<_> = (0..LOOKERS).map(|looker| scope.spawn(move || looks(looker))).collect();
            lookers.into_iter().filter_map(|looker| looker.join().expect("it looks")).collect::<Vec<_>>()
        });
        assert!(failures.is_empty(), "a cut lost something:\n{}", failures.join("\n"));
    }
}

/// Every place, so many times.
pub fn everywhere(events: &[(Place, Event)], times: usize) -> Vec<usize> {
    let places = (1..=events.len()).filter(|at| !is_listing(&events[at - 1].1));
    places.flat_map(|place| std::iter::repeat_n(place, times)).collect()
}

fn is_listing(event: &Event) -> bool {
    matches!(event, Event::HasDir(_) | Event::HasFile(..) | Event::HasData { .. })
}

/// Whether some cut loses something when syncs of such files are ignored. Only then does the test of the other syncs
/// mean something.
pub fn notices_without_syncs_of(what: &str, named: Named, watched: &Watched, seed: u64) -> bool {
    let events = trace::read(&watched.traces());
    let promises = Promises::read(&watched.promises());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut disk = Disk::without_syncs_of(named);
    places(&events, 150, &mut rng).into_iter().any(|event| {
        let possible = promises.at(disk.advance_to(event, &events));
        let looked = look(&disk, scratch().path(), rng.random(), &possible);
        if let Err(why) = &looked {
            println!("without syncs of {what}, behind event {event}: {why}");
        }
        looked.is_err()
    })
}

/// Chooses places: a quarter anywhere, a quarter next to changes of names, lengths or syncs, a quarter soon after a
/// start, and a quarter in checkpoints: while a snapshot is written, around its naming, and while the replaced files
/// are removed.
pub fn places(events: &[(Place, Event)], count: usize, rng: &mut StdRng) -> Vec<usize> {
    let starts: Vec<usize> =
        (0..events.len()).filter(|at| matches!(events[*at].1, Event::HasAll)).map(|at| at + 1).collect();
    let first = *starts.first().expect("a beginning");
    let is_usual = |event: &Event| {
        matches!(event, Event::Write { .. } | Event::HasData { .. } | Event::HasFile(..) | Event::Nothing)
    };
    let special = (first + 1..events.len()).filter(|at| !is_usual(&events[*at].1));
    let special = special.flat_map(|at| [at, at + 1]);
    let special: Vec<usize> = special.collect();
    let behind_starts: Vec<usize> =
        starts.iter().flat_map(|start| *start..(start + A_START).min(events.len() + 1)).collect();
    let in_checkpoints: Vec<usize> =
        Checkpoint::all_in(events).iter().flat_map(|checkpoint| checkpoint.places(rng)).collect();
    let mut places = Vec::new();
    for some in [&special, &behind_starts, &in_checkpoints] {
        places.extend(some.sample(rng, count / 4));
    }
    places.extend((places.len()..count).map(|_| rng.random_range(first..=events.len())));
    places.retain(|at| !is_listing(&events[*at - 1].1));
    places.sort_unstable();
    places
}

fn describe((_, event): &(Place, Event)) -> String {
    let mut text = format!("{event:?}");
    text.truncate(60);
    text
}

/// Cuts here and checks what the store finds.
fn look(disk: &Disk, place: &Path, seed: u64, possible: &Possible) -> Result<(), String> {
    disk.cut_into(place, &mut StdRng::seed_from_u64(seed));
    let data_dir = place.join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = open(&data_dir).map_err(|error| format!("the start is refused: {error}"))?;
    let found = runtime.block_on(contents(&store));
    release(store, &data_dir);
    possible.allows(&found?)
}

/// Returns when the store's threads have ended.
fn release(store: EmbeddedStore, data_dir: &Path) {
    drop(store);
    std::fs::File::open(data_dir).expect("the directory").lock().expect("a store that ended");
}

/// A checkpoint that replaced something.
#[derive(Debug)]
pub struct Checkpoint {
    /// The event that made its directory.
    begun: usize,
    /// The event that gave the snapshot its name.
    named: usize,
    /// The event that removed the last file that it replaces.
    last_gone: usize,
}

impl Checkpoint {
    pub fn all_in(events: &[(Place, Event)]) -> Vec<Self> {
        let (mut checkpoints, mut under_way) = (Vec::<Self>::new(), None);
        for (at, (_, event)) in events.iter().enumerate() {
            match event {
                Event::MakeDir(entry) if is_unnamed(&entry.name) => under_way = Some(at),
                Event::Rename { old, .. } if is_unnamed(old) => {
                    let begun = under_way.take().expect("its directory");
                    checkpoints.push(Self { begun, named: at, last_gone: 0 });
                }
                Event::Unlink { name, .. } if is_snapshot(name) || has_ending(name, "seg") => {
                    if let Some(last) = checkpoints.last_mut().filter(|_| under_way.is_none()) {
                        last.last_gone = at;
                    }
                }
                _ => {}
            }
        }
        checkpoints.retain(|checkpoint| checkpoint.last_gone > 0);
        checkpoints
    }

    /// Up to the event after the last removal; the syncs of the directories are between.
    fn has(&self, place: usize) -> bool {
        (self.begun + 1..=self.last_gone + 1).contains(&place)
    }

    /// Places while a snapshot is written, around its naming, and while the older one and the segments are removed.
    fn places(&self, rng: &mut StdRng) -> Vec<usize> {
        let written = (0..10).map(|_| rng.random_range(self.begun + 1..=self.named));
        written.chain(self.named..=self.last_gone + 1).collect()
    }

    /// Fails unless the trace has enough checkpoints, and enough places are in them.
    pub fn are_worth_cutting(all: &[Self], places: &[usize]) {
        let cuts = places.iter().filter(|place| all.iter().any(|one| one.has(**place))).count();
        assert!(all.len() >= 5, "few checkpoints: {all:?}");
        assert!(cuts >= places.len().min(200) / 6, "{cuts} of {} cuts are in checkpoints", places.len());
    }
}

fn is_snapshot(name: &str) -> bool {
    name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this is a snapshot without its final name.
fn is_unnamed(name: &str) -> bool {
    name.contains('-') && has_ending(name, "new")
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == ending)
}

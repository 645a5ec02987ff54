//! Power cuts at any place of an import: no server starts on an incomplete one.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::cuts::Cuts;
use super::disk::Disk;
use super::trace::{self, Event, Place, Watched};
use crate::support::prelude::*;

/// Enough for a second commit.
const NUMBERS: u64 = 15_000;

const IMPORT: [&str; 4] = ["import", "made-up.jsonl", "--key-file", "right.key"];
const EXPORT: [&str; 3] = ["export", "--out", "found.jsonl"];

/// The test repeats a refused import after one of this many cuts.
const SELDOM: usize = 8;

#[tokio::test]
async fn after_a_power_cut_an_import_is_complete_or_refused_as_interrupted() {
    let cuts = Cuts::from_environment(10);
    let world = World::new().await;
    let key =
        parsed(&export(&world.setup, "empty.jsonl").await[0])["key"].as_str().expect("a key").to_owned();
    let watched = Watched::new();
    let importing = watched.setup(Setup::new());
    let made_up = importing.home().join("made-up.jsonl");
    make_up_export(&made_up, NUMBERS, &key);
    std::fs::copy(world.setup.data_dir().join("server.key"), importing.home().join("right.key"))
        .expect("a key");

    // One import that is killed, and one over its remains.
    let killed = importing.launch_command(IMPORT);
    while !has_written(&importing.data_dir().join("journal/0000000001.seg")) {
        tokio::task::yield_now().await;
    }
    killed.killed().await;
    importing.command(IMPORT).await.exits(0);

    let events = trace::read(&watched.traces());
    let expected = Expected::of(&events);
    let mut rng = StdRng::seed_from_u64(cuts.seed);
    let mut disk = Disk::default();
    let (mut listing, mut found, mut looked) = (true, [0; 3], 0_usize);
    let step = (events.len() / cuts.count.max(1)).max(1);
    for (at, (place, event)) in events.iter().enumerate() {
        disk.happens(event);
        listing = match event {
            Event::HasAll => false,
            Event::HasDir { .. } => true,
            _ => listing,
        };
        // The steps that change the right outcome matter most.
        let last = at + 12 >= expected.named;
        if listing || !last && at.abs_diff(expected.marked) > 3 && !at.is_multiple_of(step) {
            continue;
        }
        for _ in 0..if last && cuts.count > 10 { 2 } else { 1 } {
            looked += 1;
            let again = Setup::new().env("ONCEWARD_KEY_FILE", "right.key");
            let seed = rng.random();
            disk.cut_into(again.home(), &mut StdRng::seed_from_u64(seed));
            let what = format!("behind event {at} of process {}, seed {seed}: {event:.60?}", place.process);
            let outcome = outcome(&again, &lines_of(&made_up), &what).await;
            assert!(expected.at(at).contains(&outcome), "{what}: {outcome:?}, not {:?}", expected.at(at));
            found[outcome as usize] += 1;
            if outcome == Outcome::Interrupted && looked.is_multiple_of(SELDOM) {
                again.command(IMPORT).await.exits(0);
                is_all_there(&again, &lines_of(&made_up), &what).await;
            }
        }
    }
    let [nothing, interrupted, complete] = found;
    println!(
        "{looked} cuts: {nothing} left nothing, {interrupted} an interrupted import, {complete} a complete one"
    );
    assert!(interrupted > 10 && complete > 0, "{found:?}");
}

/// What an import may leave after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A new directory can be made, because there was none.
    Nothing,
    /// The server refuses to start, and says why.
    Interrupted,
    /// The whole import.
    Complete,
}

/// The right outcome of a cut, by event.
struct Expected {
    /// After this event the directory surely says that it is being filled.
    marked: usize,
    /// From this event on it may say that it is complete.
    named: usize,
    /// After this event it surely does.
    ended: usize,
}

impl Expected {
    fn of(events: &[(Place, Event)]) -> Self {
        let named: Vec<usize> = (0..events.len())
            .filter(|at| matches!(&events[*at].1, Event::Rename { new, .. } if new == "FORMAT"))
            .collect();
        // One began, another began again, and completed.
        assert_eq!(named.len(), 3, "how often FORMAT got its name");
        let synced = |at: usize| {
            let end = events[at..].iter().position(|(_, event)| matches!(event, Event::SyncEnd { .. }));
            at + end.expect("a sync of the directory")
        };
        Self { marked: synced(named[0]), named: named[2], ended: synced(named[2]) }
    }

    fn at(&self, event: usize) -> &'static [Outcome] {
        match event {
            _ if event < self.marked => &[Outcome::Nothing, Outcome::Interrupted],
            _ if event < self.named => &[Outcome::Interrupted],
            _ if event < self.ended => &[Outcome::Interrupted, Outcome::Complete],
            _ => &[Outcome::Complete],
        }
    }
}

/// Whether the first commit of an import was written.
fn has_written(segment: &Path) -> bool {
    let mut header = [0; 32];
    File::open(segment).is_ok_and(|mut file| file.read_exact(&mut header).is_ok()) && header != [0; 32]
}

/// How the program handles what the cut left.
async fn outcome(setup: &Setup, whole: &[String], what: &str) -> Outcome {
    let outcome = if !setup.data_dir().join("FORMAT").exists() {
        Outcome::Nothing
    } else if setup.command(EXPORT).await.status.success() {
        is_all_there(setup, whole, what).await;
        Outcome::Complete
    } else {
        Outcome::Interrupted
    };
    let refused = match setup.try_start().await {
        Err(refused) => refused,
        Ok(server) => {
            assert_ne!(outcome, Outcome::Interrupted, "{what}: a start on what cannot be exported");
            server.killed().await;
            return outcome;
        }
    };
    assert_eq!(outcome, Outcome::Interrupted, "{what}: {}", refused.output);
    assert_eq!(refused.status.code(), Some(70), "{what}: {}", refused.output);
    refused.says(["an import into", "was interrupted"]);
    let checked = setup.command(["check-data", "--json", "--quiet"]).await.exits(65);
    assert_eq!(parsed(&checked.output)["verdict"], "fail", "{what}: {}", checked.output);
    outcome
}

async fn is_all_there(setup: &Setup, whole: &[String], what: &str) {
    setup.command(EXPORT).await.exits(0);
    let found = lines_of(&setup.home().join("found.jsonl"));
    assert!(records(&found) == records(whole), "{what}: {} of {} lines", found.len(), whole.len());
}

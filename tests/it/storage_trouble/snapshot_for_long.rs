//! The snapshot's files fail for so long that everything that can wait has waited: the journal goes on until it is
//! full, then writes are refused with the reason; and when the files work again nothing is missing, without a restart
//! and after one.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;

use super::driven::{Contents, Driven, Patience, contents_of};
use super::refusals::{locked_number, said, told, world_over_shim};
use super::shim::{Call, Shim, Trouble};
use crate::support::{Setup, until};

/// More than the layer of a round that is always taken in by the next.
const LARGE: usize = 50_000;

#[test]
fn while_the_snapshot_cannot_be_written_the_journal_goes_on_until_it_is_full_and_later_nothing_is_missing() {
    for (calls, error, once_more) in [
        (&Call::ALL_BUT_READS[..], Errno::IO, true),
        (&Call::CHANGES, Errno::NOSPC, false),
        (&[Call::Rename], Errno::IO, true),
        (&[Call::Sync], Errno::IO, false),
        (&[Call::Create, Call::Unlink], Errno::ROFS, true),
    ] {
        let mut store = Store::with_layers();
        store.shim.begin(&Trouble::of(calls, error).on("/snapshot"));
        let what = format!("{calls:?} {error:?}");
        let refused = store.put_until_refused(&what);
        assert!(refused.contains("snapshot rounds fail"), "{what}: {refused}");
        assert!(store.driven.said("health").contains("snapshot"), "{what}");
        store.shim.end();
        store.recovers(&what);
        if once_more {
            // What the first trouble left must not hinder the second.
            store.shim.begin(&Trouble::of(calls, error).on("/snapshot"));
            store.put_until_refused(&what);
            store.shim.end();
            store.recovers(&what);
        }
        store.holds(&what);
    }
}

#[test]
fn when_the_process_is_killed_while_the_snapshot_cannot_be_written_a_start_finds_everything() {
    for (calls, error) in [
        (&Call::ALL_BUT_READS[..], Errno::IO),
        (&Call::CHANGES, Errno::NOSPC),
        (&[Call::Rename], Errno::IO),
        (&[Call::Unlink], Errno::IO),
    ] {
        let mut store = Store::with_layers();
        store.shim.begin(&Trouble::of(calls, error).on("/snapshot"));
        let what = format!("{calls:?} {error:?}");
        if calls == [Call::Unlink] {
            store.put_while_failing(&what);
        } else {
            store.put_until_refused(&what);
        }
        store.holds(&what);
    }
}

/// What is there is not needed to write a layer: it is only not taken in.
#[test]
fn while_the_snapshot_cannot_be_read_rounds_go_on_without_taking_anything_in_and_later_nothing_is_missing() {
    let mut store = Store::with_layers();
    store.shim.begin(&Trouble::of(&[Call::Read], Errno::IO).on("/snapshot"));
    let mut most = 0;
    while most < 6 {
        store.put_while_failing("reads");
        most = most.max(layers_in(&store.directory));
    }
    // Until there are too many: then they have to be read.
    let refused = store.put_until_refused("reads");
    assert!(refused.contains("snapshot rounds fail"), "{refused}");
    let layers = layers_in(&store.directory);
    assert!((76..=86).contains(&layers), "{layers} layers");
    store.shim.end();
    store.recovers("reads");
    store.until("they are taken in", |store| layers_in(&store.directory) < 8);
    store.holds("reads");
}

/// The same over HTTP: whoever asks is served from the journal for as long as it has room, readiness says what is
/// wrong, and comes back by itself.
#[tokio::test]
async fn while_the_snapshot_of_a_server_cannot_be_written_clients_are_served_and_readiness_says_why() {
    let one = |calls: &'static [Call], error, says| async move {
        let (world, shim) = world_over_shim(Setup::new().config("log-level", "info")).await;
        let locked = locked_number(&world).await;
        shim.begin(&Trouble::of(calls, error).on("/snapshot"));
        let (began, mut all) = (Patience::begins(), Vec::new());
        loop {
            let mut one = told(&world).await;
            assert_eq!(one.guess(&world).await.status(), 401, "{calls:?}: the journal goes on");
            all.push(one);
            let readiness = world.get("/readyz").await;
            if readiness.status() == 503 {
                assert!(readiness.text().contains(says), "{calls:?}: {}", readiness.text());
                break;
            }
            assert!(began.lasts(), "{calls:?}: rounds never failed: {}", shim.first());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(world.get("/healthz").await.status(), 200);
        said(&world, "a snapshot round failed", "ERROR", 1);
        shim.end();
        until("readiness", || world.get("/readyz"), |answer| answer.status() == 200).await;
        let world = if error == Errno::IO {
            world.restart_after_kill().await
        } else {
            let (world, finished) = world.restart().await;
            assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
            world
        };
        for one in &all {
            one.still_holds(&world, false).await;
        }
        assert_eq!(world.send(&locked).await.status(), 403);
    };
    tokio::join!(
        one(&Call::ALL_BUT_READS, Errno::IO, "Input/output error"),
        one(&Call::CHANGES, Errno::NOSPC, "No space left on device"),
    );
}

/// A store whose disk fails, and what it said was durable.
struct Store {
    shim: Shim,
    driven: Driven,
    directory: std::path::PathBuf,
    durable: Contents,
    next: u64,
    began: Patience,
    _home: TempDir,
}

impl Store {
    /// With a large layer and what came after it.
    fn with_layers() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("data");
        let shim = Shim::over(&directory);
        let driven = Driven::open(&directory, Some(&shim)).expect("a store");
        let (durable, began) = (Contents::new(), Patience::begins());
        let mut store = Self { shim, driven, directory, durable, next: 0, began, _home: home };
        for _ in 0..8 {
            assert_eq!(store.put(LARGE), "durable");
        }
        store.until("a snapshot", |store| {
            assert_eq!(store.put(10), "durable");
            layers_in(&store.directory) >= 2 && store.waits_for_nothing()
        });
        store
    }

    /// Puts something new, and over something old.
    fn put(&mut self, bytes: usize) -> String {
        self.next += 1;
        let subject = if self.next.is_multiple_of(5) { self.next / 2 } else { self.next };
        let text = format!("{}-{}", self.next, "x".repeat(bytes));
        let answer = self.driven.said(&format!("put {subject} {text}"));
        if answer == "durable" {
            self.durable.insert(subject, text);
        }
        answer
    }

    fn put_until_refused(&mut self, what: &str) -> String {
        let mut durable = 0;
        loop {
            let answer = self.put(1000);
            if answer != "durable" {
                assert!(durable > 50, "{what}: {durable} batches are less than the segments take: {answer}");
                return answer;
            }
            durable += 1;
            assert!(self.began.lasts(), "{what}: {} never full", self.shim.first());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Until it has failed some more times.
    fn put_while_failing(&mut self, what: &str) {
        let before = self.shim.failed();
        while self.shim.failed() < before + 3 {
            let answer = self.put(100);
            assert_eq!(answer, "durable", "{what}");
            assert!(self.began.lasts(), "{what}: {}", self.shim.first());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        while !done(self) {
            assert!(self.began.lasts(), "{what}: never");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether there are no segments but the one that is written to, and what is laid out for later.
    fn waits_for_nothing(&self) -> bool {
        files_in(&self.directory.join("journal"), "seg") <= 3
    }

    fn recovers(&mut self, what: &str) {
        self.until(what, |store| store.driven.said("health") == "well");
        assert_eq!(self.put(10), "durable", "{what}");
        self.until(what, |store| store.waits_for_nothing());
    }

    /// After a kill: what is there is what was said, no more and no less, and again after an orderly end.
    fn holds(self, what: &str) {
        let Self { driven, shim, directory, durable, _home, .. } = self;
        drop(driven);
        shim.end();
        for start in 1..=2 {
            let found = contents_of(&directory).unwrap_or_else(|e| panic!("{what}: start {start}: {e}"));
            let same = |(subject, text)| found.get(subject) == Some(text);
            let wrong = durable.iter().filter(|one| !same(*one)).count();
            assert_eq!(wrong, 0, "{what}: start {start}: of {} records", durable.len());
        }
    }
}

fn layers_in(directory: &Path) -> usize {
    files_in(&directory.join("snapshot"), "layer")
}

fn files_in(directory: &Path, kind: &str) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == kind)).count()
}

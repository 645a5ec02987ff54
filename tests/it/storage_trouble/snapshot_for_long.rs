//! The snapshot's files fail until nothing more can wait: the journal continues until it is full, then the store
//! refuses writes with the reason. When the files work again nothing is missing, without a restart and after one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onceward::clock::SystemClock;
use onceward::store::{EmbeddedStore, OpenOptions, Store as _, Write, key_fingerprint_in};
use rustix::io::Errno;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::driven::{Contents, Driven, Patience, contents_of};
use super::refusals::{locked_number, said, told, world_over_shim};
use super::shim::{Call, Shim, Trouble};
use crate::support::{HeldRecords, Setup, V2, World, until};

/// Larger than a chunk of the snapshot, and than a segment.
const LARGE: usize = 50_000;

#[test]
fn the_journal_fills_while_no_snapshot_can_be_written_and_nothing_is_lost() {
    let troubles = [
        (&Call::ALL_BUT_READS[..], Errno::IO, true),
        // The store does not rely on a snapshot that it cannot read.
        (&[Call::Read], Errno::IO, false),
        (&Call::CHANGES, Errno::NOSPC, false),
        (&[Call::Rename], Errno::IO, false),
    ];
    // Each fills a journal. A start after a kill meets the third one in the test below.
    let count = if std::env::var_os("DISK_OPERATIONS").is_some() { troubles.len() } else { 2 };
    for (calls, error, once_more) in troubles.into_iter().take(count) {
        let mut store = Store::with_a_snapshot();
        store.shim.begin(&Trouble::of(calls, error).on("/snapshot"));
        let what = format!("{calls:?} {error:?}");
        let refused = store.put_until_refused(&what);
        assert!(refused.contains("no checkpoint has emptied it"), "{what}: {refused}");
        let health = store.driven.said("health");
        assert!(health.contains("no checkpoint has emptied it"), "{what}: {health}");
        store.shim.end();
        store.recovers(&what);
        if once_more {
            // The remains of the first trouble must not affect the second.
            store.shim.begin(&Trouble::of(calls, error).on("/snapshot"));
            store.put_until_refused(&what);
            store.shim.end();
            store.recovers(&what);
        }
        store.holds(&what);
    }
}

#[test]
fn a_start_after_a_kill_finds_everything_despite_an_unwritable_snapshot() {
    for (calls, error) in [(&Call::CHANGES[..], Errno::NOSPC), (&[Call::Unlink], Errno::IO)] {
        let mut store = Store::with_a_snapshot();
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

/// The same over HTTP: the journal serves clients, readiness names the reason, and the server recovers by itself. The
/// journal is so long that the server wants a checkpoint from its start on.
#[tokio::test]
async fn a_server_with_an_unwritable_snapshot_serves_clients_and_says_why() {
    let one = |calls: &'static [Call], error, says| async move {
        let setup = V2::account(Setup::new().config("log-level", "info"));
        let (world, shim) = world_over_shim(setup).await;
        make_a_long_record(&V2::of(&world)).await;
        let locked = locked_number(&world).await;
        world.server.kill();
        let World { setup, server, twilio, numbers } = world;
        server.ended().await;
        lengthen_journal(setup.data_dir()).await;
        // Checkpoints write there.
        shim.begin(&Trouble::of(calls, error).on(".new"));
        let world = World { server: setup.start().await, setup, twilio, numbers };
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
            assert!(began.lasts(), "{calls:?}: checkpoints never failed: {}", shim.first());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(world.get("/healthz").await.status(), 200);
        said(&world, "checkpoint failed", "ERROR", 1).await;
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

/// A webhook with an address of 2,000 characters.
async fn make_a_long_record(v2: &V2) {
    let service = v2.post("/Services", &[("FriendlyName", "Acme")]).await.json();
    let path = format!("/Services/{}/Webhooks", service["sid"].as_str().expect("a sid"));
    let url = format!("https://shop.example/{}", "x".repeat(1_979));
    let form = [("FriendlyName", "long"), ("EventTypes", "*"), ("WebhookUrl", url.as_str())];
    assert_eq!(v2.post(&path, &form).await.status(), 201);
}

/// Writes the longest record of this directory until the journal is as long as a checkpoint wants it. A start decodes
/// every record of the journal, therefore few long ones are faster than many short ones.
async fn lengthen_journal(directory: PathBuf) {
    let mut key = [0; 16];
    let hex = key_fingerprint_in(&directory).expect("a data directory");
    base16ct::lower::decode(hex, &mut key).expect("32 digits");
    let options = OpenOptions::new(&directory, key, Arc::new(SystemClock::start()));
    let enough = options.settings.checkpoint_bytes;
    let store = EmbeddedStore::open(&options).expect("a store");
    let held = HeldRecords::restored_from(&store).await.expect("its records");
    let longest = held.all().into_iter().max_by_key(|(_, record, _)| record.len());
    let (key, record, expires) = longest.expect("a record");
    let again = vec![Write { key, put: Some(record.clone()), expires }; 2000];
    let bytes = record.len() * again.len();
    for _ in 0..=enough / bytes as u64 {
        let (to, answer) = oneshot::channel();
        store.commit(again.clone(), Box::new(move |result| drop(to.send(result))));
        answer.await.expect("an answer").expect("written");
    }
}

/// A store whose disk fails, and the content that it called durable.
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
    /// Has records in a snapshot, and some in the journal.
    fn with_a_snapshot() -> Self {
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
            !store.directory.join("snapshot/0000000000").exists() && store.waits_for_nothing()
        });
        store
    }

    /// Adds a record, or replaces an old one.
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
            let answer = self.put(4000);
            if answer != "durable" {
                assert!(durable > 50, "{what}: {durable} batches are less than the segments take: {answer}");
                return answer;
            }
            durable += 1;
            assert!(self.began.lasts(), "{what}: {} never full", self.shim.first());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes until some more calls have failed.
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
            assert!(self.began.lasts(), "{what}: never, and health is {}", self.driven.said("health"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the only segments are the current one and those reserved for later.
    fn waits_for_nothing(&self) -> bool {
        files_in(&self.directory.join("journal"), "seg") <= 3
    }

    fn recovers(&mut self, what: &str) {
        self.until(what, |store| store.driven.said("health") == "well");
        assert_eq!(self.put(10), "durable", "{what}");
        self.until(what, |store| store.waits_for_nothing());
    }

    /// After a kill, and again after an orderly end: the store has exactly what it called durable.
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

fn files_in(directory: &Path, kind: &str) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == kind)).count()
}

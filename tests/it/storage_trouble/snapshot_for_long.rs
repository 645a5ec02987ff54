//! The snapshot's files fail until nothing more can wait: the journal continues until it is full, then the store
//! refuses writes with the reason. When the files work again nothing is missing, without a restart and after one.

use std::path::PathBuf;
use std::sync::Arc;

use onceward::clock::SystemClock;
use onceward::store::{EmbeddedStore, OpenOptions, Write, key_fingerprint_in};
use rustix::io::Errno;

use super::damage::{files_in, is_segment};
use super::driven::{Patience, StoreClient};
use super::killed;
use crate::belief::{Subject, locked_number};
use crate::support::prelude::*;

/// Larger than a chunk of the snapshot, and than a segment.
const LARGE: usize = 50_000;

#[test]
fn the_journal_fills_while_no_snapshot_can_be_written_and_nothing_is_lost() {
    let troubles = [
        (&Call::ALL_BUT_READS[..], Errno::IO, 2),
        // The store does not rely on a snapshot that it cannot read.
        (&[Call::Read], Errno::IO, 1),
        (&Call::CHANGES, Errno::NOSPC, 1),
        (&[Call::Rename], Errno::IO, 1),
    ];
    // Each fills a journal. A start after a kill meets the third one in the test below.
    let count = if std::env::var_os("DISK_OPERATIONS").is_some() { troubles.len() } else { 2 };
    for (calls, error, times) in troubles.into_iter().take(count) {
        let mut store = StoreClient::with_a_snapshot();
        let what = format!("{calls:?} {error:?}");
        // The remains of the first trouble must not affect the second.
        for _ in 0..times {
            store.shim.begin(&Trouble::of(calls, error).on("/snapshot"));
            let refused = store.put_until_refused(&what);
            let health = store.ask("health");
            for said in [refused, health] {
                assert!(said.contains("no checkpoint has emptied it"), "{what}: {said}");
            }
            store.recovers(&what);
            store.until(&what, |store| store.waits_for_nothing());
        }
        store.survives_a_kill_and_a_close(&what);
    }
}

#[test]
fn a_start_after_a_kill_finds_everything_despite_an_unwritable_snapshot() {
    let troubles =
        [(&Call::CHANGES[..], Errno::NOSPC, "/snapshot"), (&[Call::Unlink], Errno::IO, "/journal")];
    for (calls, error, part) in troubles {
        let mut store = StoreClient::with_a_snapshot();
        store.shim.begin(&Trouble::of(calls, error).on(part));
        let what = format!("{calls:?} {error:?}");
        if calls == [Call::Unlink] {
            store.until(&what, |store| {
                assert_eq!(store.put(100), "durable", "{what}");
                store.shim.failed() >= 3
            });
        } else {
            store.put_until_refused(&what);
        }
        store.survives_a_kill_and_a_close(&what);
    }
}

/// The same over HTTP: the journal serves clients, readiness names the reason, and the server recovers by itself. The
/// journal is so long that the server wants a checkpoint from its start on.
#[tokio::test]
async fn a_server_with_an_unwritable_snapshot_serves_clients_and_says_why() {
    let one = |calls: &'static [Call], error, says| async move {
        let setup = V2::account(Setup::new().config("log-level", "info"));
        let (world, shim) = World::over_shim(setup).await;
        make_a_long_record(&V2::of(&world)).await;
        let locked = locked_number(&world).await;
        let (setup, twilio, numbers) = killed(world).await;
        lengthen_journal(setup.data_dir()).await;
        // Checkpoints write there.
        shim.begin(&Trouble::of(calls, error).on(".new"));
        let world = World { server: setup.start().await, setup, doubles: twilio, numbers };
        let (began, mut all) = (Patience::begins(), Vec::new());
        loop {
            let mut one = Subject::with_code(&world).await;
            assert_eq!(
                one.submits_a_wrong_code(&world).await.status(),
                401,
                "{calls:?}: the journal goes on"
            );
            all.push(one);
            let readiness = world.server.readiness().await;
            if readiness.status() == 503 {
                assert!(readiness.text().contains(says), "{calls:?}: {}", readiness.text());
                break;
            }
            assert!(began.lasts(), "{calls:?}: checkpoints never failed: {}", shim.first());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(world.get("/healthz").await.status(), 200);
        world.server.logs_times(1, "ERROR", "checkpoint failed").await;
        shim.end();
        world.until_ready().await;
        let world = world.restart_by(error == Errno::IO).await;
        for one in all {
            one.still_holds(&world).await;
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
    let service = v2.service(&[]).await;
    v2.webhook(&service, "*", &format!("https://shop.example/{}", "x".repeat(1_979))).await;
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
        commit(&store, &held, again.clone()).await.expect("an answer").expect("written");
    }
}

impl StoreClient {
    /// Has records in a snapshot, and some in the journal.
    fn with_a_snapshot() -> Self {
        let mut store = Self::of_a_new_store();
        for _ in 0..8 {
            assert_eq!(store.put(LARGE), "durable");
        }
        store.until("a snapshot", |store| {
            assert_eq!(store.put(10), "durable");
            !store.directory.join("snapshot/0000000000").exists() && store.waits_for_nothing()
        });
        store
    }

    fn put(&mut self, bytes: usize) -> String {
        let next = self.writes + 1;
        self.write(if next.is_multiple_of(5) { next / 2 } else { next }, bytes)
    }

    fn put_until_refused(&mut self, what: &str) -> String {
        let (mut durable, mut answer) = (0, String::new());
        self.until(what, |store| {
            answer = store.put(4000);
            durable += u64::from(answer == "durable");
            answer != "durable"
        });
        assert!(durable > 50, "{what}: {durable} batches are less than the segments take: {answer}");
        answer
    }

    /// Whether the only segments are the current one and those reserved for later.
    fn waits_for_nothing(&self) -> bool {
        let files = files_in(&self.directory.join("journal"));
        files.iter().filter(|file| is_segment(file)).count() <= 3
    }

    /// After a kill, and again after an orderly end.
    fn survives_a_kill_and_a_close(&mut self, what: &str) {
        self.survives_a_kill(what);
        self.survives_a_kill(&format!("{what}: the second start"));
    }
}

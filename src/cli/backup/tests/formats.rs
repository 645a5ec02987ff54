//! A data directory and an export with every kind of record are opened, checked, exported and imported.
//! `tests/it/backup/frozen.rs` reads those that are kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use super::super::{CopiedRecord, check};
use super::states::of_every_kind;
use super::{AT, fill, key, read, write, written};
use crate::clock::{EngineClock, ManualClock};
use crate::config::Bounds;
use crate::engine::key_fingerprint;
use crate::node::kinds;
use crate::observe::metrics::Metrics;
use crate::shard::{ShardDeps, Shards};
use crate::store::{EmbeddedStore, FORMAT, LiveRecords, OpenOptions, Store, StoreError};

#[test]
fn the_package_reads_the_format_of_the_program() {
    let script = include_str!("../../../../dist/debian/preinst");
    assert!(script.contains(&format!("\nreads={FORMAT}\n")), "the preinst must read format {FORMAT}");
}

/// With `ONCEWARD_FORMATS_INTO`, which `scripts/formats` sets, it only writes the fixture there.
#[tokio::test]
async fn a_record_of_every_kind_is_opened_checked_exported_and_imported() {
    if let Some(into) = std::env::var_os("ONCEWARD_FORMATS_INTO") {
        return make(&Path::new(&into).join("records")).await;
    }
    let home = tempfile::tempdir().expect("a directory");
    make(home.path()).await;
    let (data, second) = (home.path().join("data"), home.path().join("second"));
    // The shards read everything, and write a snapshot of it.
    open_and_close(&data).await;
    let exported = read(&fs::read(home.path().join("export.jsonl")).expect("an export")).expect("whole");
    assert_eq!(checked(&data), exported);
    let found: BTreeSet<u8> = exported.iter().map(|entry| entry.key.kind).collect();
    assert_eq!(found, kinds().0.iter().map(|kind| kind.kind).collect());
    fill(&second, &exported).await;
    assert_eq!(checked(&second), exported);
}

/// Makes `data`, whose records are partly in the snapshot and partly in the journal, and `export.jsonl`.
async fn make(into: &Path) {
    let (all, data) = (of_every_kind().await, into.join("data"));
    fs::create_dir_all(into).expect("a directory");
    let (snapshot, journal) = all.split_at(all.len() / 2);
    fill(&data, snapshot).await;
    open_and_close(&data).await;
    let options = OpenOptions::new(&data, key_fingerprint(&key()), clock());
    let store = EmbeddedStore::open(&options).expect("a store");
    let (to, answer) = oneshot::channel();
    store.commit(journal.iter().map(write).collect(), Box::new(|result| drop(to.send(result))));
    answer.await.expect("an answer").expect("written");
    drop(store);
    // The threads of the store hold the lock until they end.
    fs::File::open(&data).expect("a directory").lock().expect("free");
    fs::write(data.join("server.key"), "07".repeat(32)).expect("a key");
    fs::write(into.join("export.jsonl"), written(&all)).expect("an export");
}

/// Starts the shards of a data directory, and stops them.
async fn open_and_close(data: &Path) {
    let options = OpenOptions::new(data, key_fingerprint(&key()), clock());
    let deps = ShardDeps {
        store: Box::new(EmbeddedStore::open(&options).expect("a store")),
        clock: clock(),
        bounds: Bounds::default(),
        metrics: Arc::new(Metrics::default()),
    };
    let shards = Shards::start(deps, 2, kinds(), StdRng::seed_from_u64(7)).await.expect("shards");
    shards.close().await.expect("closed");
}

/// The records of a data directory without damage, in the order of their keys.
fn checked(data: &Path) -> Vec<CopiedRecord> {
    let (_, records) = LiveRecords::read(data).expect("no damage").expect("a data directory");
    let mut all = Vec::new();
    let read = records.each::<StoreError>(AT, &mut |key, expires, record| {
        let entry = CopiedRecord { key, expires, record: Bytes::copy_from_slice(record) };
        check(&entry, &kinds()).expect("a record");
        all.push(entry);
        Ok(())
    });
    read.expect("every record");
    all.sort_by_key(|entry| entry.key);
    all
}

fn clock() -> EngineClock {
    EngineClock::over(Arc::new(ManualClock::starting_at(AT)))
}

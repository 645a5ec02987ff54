//! A data directory and an export with every kind of record are opened, checked, exported and imported.
//! `tests/it/backup/frozen.rs` reads those of older formats.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use super::super::*;
use super::states::of_every_kind;
use super::{AT, fill, key, read, write, written};
use crate::clock::{Clock, ManualClock};
use crate::config::Bounds;
use crate::engine::key_fingerprint;
use crate::node::kinds::{for_tools, shard_settings};
use crate::observe::metrics::Metrics;
use crate::shard::{ShardDeps, Shards};
use crate::store::{DataDirectory, EmbeddedStore, FORMAT, OpenOptions, Store, StoreError};

#[test]
fn the_format_counts_the_changes_of_every_kind() {
    let changes: u32 = for_tools().iter().map(|kind| u32::from(kind.version - 1)).sum();
    assert_eq!(
        FORMAT,
        1 + changes,
        "raise FORMAT, and the number in dist/debian/preinst, with each change of a record"
    );
    let script = include_str!("../../../../dist/debian/preinst");
    assert!(script.contains(&format!("\nreads={FORMAT}\n")), "the preinst must read format {FORMAT}");
}

#[tokio::test]
async fn a_record_of_every_kind_is_opened_checked_exported_and_imported() {
    let home = tempfile::tempdir().expect("a directory");
    make(home.path()).await;
    let data = home.path().join("data");
    let kinds: BTreeSet<u8> = for_tools().iter().map(|kind| kind.kind).collect();
    assert_eq!(checked(&data).into_keys().collect::<BTreeSet<_>>(), kinds);
    let (shards, store) = start(&data).await;
    let in_shards = records_of(&shards).await;
    stop(shards, store).await;

    // The export has the same records, and so has what is made of it.
    let imported = read(&fs::read(home.path().join("export.jsonl")).expect("an export")).expect("whole");
    assert_eq!(imported, in_shards);
    let second = home.path().join("second");
    fill(&second, &imported);
    assert_eq!(checked(&second), checked(&data));
}

/// `scripts/formats` names a directory, to keep what this version writes.
#[tokio::test]
async fn a_data_directory_and_an_export_with_every_kind_of_record_are_made() {
    let scratch = tempfile::tempdir().expect("a directory");
    let named = std::env::var_os("ONCEWARD_FORMATS_INTO").map(PathBuf::from);
    let into = named.unwrap_or_else(|| scratch.path().to_owned()).join("records");
    make(&into).await;
    read(&fs::read(into.join("export.jsonl")).expect("an export")).expect("whole");
}

/// Makes `data`, whose records are partly in the snapshot and partly in the journal, and `export.jsonl`.
async fn make(into: &Path) {
    let (all, data) = (of_every_kind().await, into.join("data"));
    fs::create_dir_all(into).expect("a directory");
    let (snapshot, journal) = all.split_at(all.len() / 2);
    fill(&data, snapshot);
    let (shards, store) = start(&data).await;
    stop(shards, store).await;
    let options = OpenOptions::new(&data, key_fingerprint(&key()), clock());
    let store = EmbeddedStore::open(&options).expect("a store");
    let (to, answer) = oneshot::channel();
    store.commit(journal.iter().map(write).collect(), Box::new(|result| drop(to.send(result))));
    answer.await.expect("an answer").expect("written");
    drop(store);
    // The threads of the store hold the lock until they end.
    fs::File::open(data.join("lock")).expect("a lock").lock().expect("free");
    fs::write(data.join("server.key"), "07".repeat(32)).expect("a key");
    fs::write(into.join("export.jsonl"), written(&all)).expect("an export");
}

async fn start(data: &Path) -> (Shards, Arc<dyn Store>) {
    let options = OpenOptions::new(data, key_fingerprint(&key()), clock());
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&options).expect("a store"));
    let deps = ShardDeps {
        store: Arc::clone(&store),
        clock: clock(),
        shards: 2,
        kinds: for_tools(),
        settings: shard_settings(&Bounds::default()),
        rng: StdRng::seed_from_u64(7),
        metrics: Arc::new(Metrics::default()),
    };
    (Shards::start(deps).await.expect("shards"), store)
}

async fn stop(shards: Shards, store: Arc<dyn Store>) {
    store.close().await.expect("closed");
    shards.stop();
}

/// What the shards hold, in the order of the keys.
async fn records_of(shards: &Shards) -> Vec<CopiedRecord> {
    let mut all = Vec::new();
    for shard in 0..shards.router().shards() {
        let held = shards.router().read_shard(shard, |tables, now| {
            (0..=u8::MAX)
                .flat_map(|kind| tables.page(kind, usize::MAX, usize::MAX, now).0)
                .collect::<Vec<_>>()
        });
        all.extend(held.await.expect("records"));
    }
    let entry = |(key, stored): (Key, crate::shard::Stored)| CopiedRecord {
        key,
        expires: stored.expires,
        record: stored.bytes,
    };
    let mut all: Vec<CopiedRecord> = all.into_iter().map(entry).collect();
    all.sort_by_key(|entry| entry.key);
    all
}

/// Checks a data directory, and returns the number of its records by kind.
fn checked(data: &Path) -> BTreeMap<u8, u64> {
    let directory = DataDirectory::open(data).expect("a data directory");
    let mut alive = BTreeMap::new();
    let read = directory.find(&mut Err).expect("no damage").each_copied::<StoreError>(&mut |_, entry| {
        check(&entry, &for_tools()).expect("a record");
        *alive.entry(entry.key.kind).or_default() += 1;
        Ok(())
    });
    read.expect("every record");
    alive
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::starting_at(AT))
}

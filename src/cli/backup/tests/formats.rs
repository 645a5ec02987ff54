//! A data directory and an export with every kind of record are opened, checked, exported and imported; and what a program
//! of the next format and this one do with each other's data. `tests/it/backup/frozen.rs` reads those of older formats.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::super::*;
use super::states::of_every_kind;
use super::{AT, fill, key};
use crate::clock::{Clock, ManualClock};
use crate::config::Bounds;
use crate::domain::Sid;
use crate::engine::{SlotHash, key_fingerprint};
use crate::node::kinds::{for_tools, shard_settings};
use crate::observe::metrics::Metrics;
use crate::registry::SafeNumber;
use crate::shard::{Durability, Id, OlderLayout, Refusal, ShardDeps, Shards, Subject};
use crate::store::{DataDirectory, EmbeddedStore, FORMAT, OpenOptions, Store, StoreError, Write};

/// A safe number as the next version of the program would keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NextSafeNumber {
    sid: Sid,
    number: PhoneNumber,
    created: Timestamp,
    note: Option<String>,
}

impl From<SafeNumber> for NextSafeNumber {
    fn from(SafeNumber { sid, number, created }: SafeNumber) -> Self {
        Self { sid, number, created, note: None }
    }
}

impl Record for NextSafeNumber {
    const KIND: u8 = SafeNumber::KIND;
    const PLURAL: &'static str = SafeNumber::PLURAL;
    const OLDER: &'static [OlderLayout<Self>] = &[OlderLayout::of::<SafeNumber>()];

    fn slot(&self, _: &Id, _: &SlotHash) -> u8 {
        0
    }

    fn expires(&self) -> Timestamp {
        Timestamp::MAX
    }
}

/// The kinds of the next version of the program.
fn next_kinds() -> Kinds {
    for_tools().without(SafeNumber::KIND).with::<NextSafeNumber>()
}

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
    let kinds: Vec<u8> = for_tools().iter().map(|kind| kind.kind).collect();
    assert_eq!(checked(&data, &for_tools()).keys().copied().collect::<Vec<_>>(), kinds_of(&kinds));
    let (shards, store) = start(&data, FORMAT, for_tools()).await;
    let in_shards = records_of(&shards).await;
    stop(shards, store).await;

    // The export has the same records, and so has what is made of it.
    let imported = imported(&fs::read(home.path().join("export.jsonl")).expect("an export"), &for_tools());
    assert_eq!(by_key(imported.clone()), by_key(in_shards));
    let second = home.path().join("second");
    fill(&second, &imported);
    assert_eq!(checked(&second, &for_tools()), checked(&data, &for_tools()));
}

#[tokio::test]
async fn the_next_version_of_the_program_reads_what_this_one_wrote() {
    let home = tempfile::tempdir().expect("a directory");
    make(home.path()).await;
    let data = home.path().join("data");
    assert_eq!(checked(&data, &next_kinds()), checked(&data, &for_tools()));
    let (shards, store) = start(&data, FORMAT + 1, next_kinds()).await;
    let entries = records_of(&shards).await;
    let entry = entries.iter().find(|entry| entry.key.kind == SafeNumber::KIND).expect("a safe number");
    assert_eq!(entry.record[0], 2, "it is written again in the layout of the next version");
    let safe = decode::<NextSafeNumber>(&entry.record).expect("a safe number");
    assert_eq!(safe.note, None);
    let noted = NextSafeNumber { note: Some("owl".to_owned()), ..safe };
    let (subject, change) = (Subject { slot: entry.key.slot, id: entry.key.id }, noted.clone());
    let decided = shards.router().decide(subject, move |view| {
        view.put(subject.id, Some(&change), Durability::Durable);
        Ok::<_, Refusal>(())
    });
    decided.await.expect("an answer").expect("decided");
    stop(shards, store).await;

    // It opens what both wrote, exports it, and imports the export of this version.
    let (shards, store) = start(&data, FORMAT + 1, next_kinds()).await;
    let entries = records_of(&shards).await;
    assert!(
        entries.iter().any(|entry| decode(&entry.record).is_ok_and(|safe: NextSafeNumber| safe == noted))
    );
    assert_eq!(imported(&exported(&entries, &next_kinds()), &next_kinds()), entries);
    let older = imported(&fs::read(home.path().join("export.jsonl")).expect("an export"), &next_kinds());
    assert_eq!(older.len(), entries.len());
    stop(shards, store).await;
}

#[tokio::test]
async fn this_version_refuses_what_the_next_one_wrote_and_changes_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    make(home.path()).await;
    let data = home.path().join("data");
    let (shards, store) = start(&data, FORMAT + 1, next_kinds()).await;
    let entries = records_of(&shards).await;
    stop(shards, store).await;
    let before = files(&data);
    let options = OpenOptions::new(&data, key_fingerprint(&key()), clock());
    let start = EmbeddedStore::open(&options).expect_err("refused");
    let check = DataDirectory::open(&data).expect_err("refused");
    for refused in [start, check] {
        assert!(matches!(refused, StoreError::FormatNewer { .. }), "{refused}");
        let needs = format!("install onceward {} or a later version", env!("CARGO_PKG_VERSION"));
        assert!(refused.to_string().contains(&needs), "{refused}");
    }
    assert_eq!(files(&data), before);

    let export = String::from_utf8(exported(&entries, &next_kinds())).expect("text");
    let says = "a record of numbers on the safe list has version 2, and this program reads versions up to 1";
    let refused = try_import(export.as_bytes(), &for_tools()).expect_err("refused").to_string();
    assert!(refused.contains(says), "{refused}");
    let newer = export.replacen(&format!("\"format\":{FORMAT}"), &format!("\"format\":{}", FORMAT + 1), 1);
    let refused = try_import(newer.as_bytes(), &for_tools()).expect_err("refused");
    assert!(matches!(refused, ImportError::NewerFormat { .. }), "{refused}");
}

/// `scripts/formats` names a directory, to keep what this version writes.
#[tokio::test]
async fn a_data_directory_and_an_export_with_every_kind_of_record_are_made() {
    let scratch = tempfile::tempdir().expect("a directory");
    let named = std::env::var_os("ONCEWARD_FORMATS_INTO").map(PathBuf::from);
    let into = named.unwrap_or_else(|| scratch.path().to_owned()).join("records");
    make(&into).await;
    let made = fs::read_to_string(into.join("export.jsonl")).expect("an export");
    try_import(made.as_bytes(), &for_tools()).expect("it can be imported");
}

/// Makes `data`, whose records are partly in the snapshot and partly in the journal, and `export.jsonl`.
async fn make(into: &Path) {
    let (all, data) = (of_every_kind().await, into.join("data"));
    fs::create_dir_all(into).expect("a directory");
    let (snapshot, journal) = all.split_at(all.len() / 2);
    fill(&data, snapshot);
    let (shards, store) = start(&data, FORMAT, for_tools()).await;
    stop(shards, store).await;
    let options = OpenOptions::new(&data, key_fingerprint(&key()), clock());
    let store = EmbeddedStore::open(&options).expect("a store");
    let write = |entry: &CopiedRecord| Write {
        key: entry.key,
        put: Some(entry.record.clone()),
        expires: entry.expires,
    };
    commit(&store, journal.iter().map(write).collect()).await;
    drop(store);
    // The threads of the store hold the lock until they end.
    fs::File::open(data.join("lock")).expect("a lock").lock().expect("free");
    fs::write(data.join("server.key"), "07".repeat(32)).expect("a key");
    fs::write(into.join("export.jsonl"), exported(&all, &for_tools())).expect("an export");
}

async fn commit(store: &dyn Store, writes: Vec<Write>) {
    let (to, answer) = oneshot::channel();
    store.commit(writes, Box::new(|result| drop(to.send(result))));
    answer.await.expect("an answer").expect("written");
}

/// Starts the shards of a program that writes this format and these kinds.
async fn start(data: &Path, format: u32, kinds: Kinds) -> (Shards, Arc<dyn Store>) {
    let mut options = OpenOptions::new(data, key_fingerprint(&key()), clock());
    options.settings.format = format;
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&options).expect("a store"));
    let deps = ShardDeps {
        store: Arc::clone(&store),
        clock: clock(),
        shards: 2,
        kinds,
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
            let kinds: Vec<u8> = tables.kinds().collect();
            kinds
                .into_iter()
                .flat_map(|kind| tables.page(kind, usize::MAX, usize::MAX, now).0)
                .collect::<Vec<_>>()
        });
        all.extend(held.await.expect("records"));
    }
    let entry = |(key, stored): (Key, crate::shard::Stored)| CopiedRecord {
        key,
        expires: stored.expires,
        record: stored.bytes(),
    };
    let mut all: Vec<CopiedRecord> = all.into_iter().map(entry).collect();
    all.sort_by_key(|entry| entry.key);
    all
}

/// Checks a data directory, and returns the number of its records by kind.
fn checked(data: &Path, kinds: &Kinds) -> BTreeMap<u8, u64> {
    let directory = DataDirectory::open(data).expect("a data directory");
    let mut alive = BTreeMap::new();
    let read = directory.find(&mut Err).expect("no damage").each_copied::<StoreError>(&mut |_, entry| {
        check(&entry, kinds).expect("a record");
        *alive.entry(entry.key.kind).or_default() += 1;
        Ok(())
    });
    read.expect("every record");
    alive
}

fn exported(entries: &[CopiedRecord], kinds: &Kinds) -> Vec<u8> {
    let header = Header::new(AT, base16ct::lower::encode_string(&key_fingerprint(&key())));
    let mut writer = Writer::begin(Vec::new(), &header).expect("written");
    for entry in entries {
        writer.write(entry, kinds).expect("written");
    }
    writer.finish().expect("written").0
}

fn imported(export: &[u8], kinds: &Kinds) -> Vec<CopiedRecord> {
    try_import(export, kinds).expect("an export")
}

fn try_import(export: &[u8], kinds: &Kinds) -> Result<Vec<CopiedRecord>, ImportError> {
    let (_, mut reader) = Reader::begin(export)?;
    let (mut entries, slots) = (Vec::new(), SlotHash::new(&key()));
    while let Some(entry) = reader.next_entry(kinds, &slots)? {
        entries.push(entry);
    }
    Ok(entries)
}

fn by_key(entries: Vec<CopiedRecord>) -> BTreeMap<Key, CopiedRecord> {
    entries.into_iter().map(|entry| (entry.key, entry)).collect()
}

fn kinds_of(kinds: &[u8]) -> Vec<u8> {
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable();
    kinds
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::starting_at(AT))
}

/// Every file below a directory with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).expect("a file"));
        }
    }
    found
}

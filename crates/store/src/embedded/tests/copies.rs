//! Copies of all records of a running server; reading and filling directories that no server uses.

use std::io::BufReader;

use super::*;
use crate::{CopyReader, DataDirectory, LiveRecords};

#[test]
fn a_copy_has_every_record_that_is_alive_once() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two")), (3, Some("three"))]).unwrap();
    assert_eq!(world.copied(), world.expected);
    world.checkpoint().unwrap();
    world.batch(&[(2, Some("two again")), (3, None), (4, Some("four"))]).unwrap();
    world.batch(&[(2, Some("two, a third time")), (5, Some("five"))]).unwrap();
    world.remove(5);
    assert_eq!(world.copied(), world.expected);
    world.clock.advance(LONG);
    assert_eq!(world.copied(), Contents::new());
}

#[test]
fn of_every_batch_a_copy_has_all_or_nothing() {
    let world = World::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                let text = format!("{turn}");
                let batch: Vec<_> = (0..20).map(|number| (number, Some(text.as_str()))).collect();
                // Before a late checkpoint ends, the journal can be full.
                let _ = world.submit(&batch).recv().unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let (mut last, mut turn) = (0, 0);
        // Until a batch went on beside a copy.
        while turn < 10 || last == 0 && turn < 10_000 {
            if turn == 5 {
                // A separate runtime: the world's is busy with the copies.
                let runtime = Builder::new_current_thread().build().unwrap();
                runtime.block_on(world.store().checkpoint()).unwrap();
            }
            turn += 1;
            let copied = world.copied();
            let Some(first) = copied.get(&0) else { continue };
            assert_eq!(copied.len(), 20);
            assert!(copied.values().all(|text| text == first), "{copied:?}");
            assert!(first.parse::<u64>().unwrap() >= last);
            last = first.parse().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(last > 0, "nothing went on beside the copies");
    });
}

#[test]
fn a_copy_that_was_canceled_is_none_and_the_store_goes_on() {
    let world = World::with_one_record();
    // No other handle on the progress is left.
    let copy = crate::copy(world.store(), world.home.path(), Arc::default());
    let error = world.runtime.block_on(copy).unwrap_err();
    assert!(error.to_string().contains("it was canceled"), "{error}");
    assert_eq!(world.copied(), world.expected);
}

#[test]
fn a_reader_without_a_server_reads_like_a_start_and_past_damage() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two"))]).unwrap();
    world.checkpoint().unwrap();
    world.batch(&[(2, None), (3, Some("three"))]).unwrap();
    world.put(4, "four");
    let crash = world.copy();
    let dir = crash.path();
    let before = snapshots(dir);
    let reader = DataDirectory::open(dir).unwrap();
    let refused = EmbeddedStore::open(&world.options(dir));
    assert!(matches!(refused, Err(StoreError::InUse { .. })), "{refused:?}");
    drop(reader);
    let find = || {
        let mut found = Vec::new();
        let note = &mut |error| {
            found.push(damage(Err::<(), _>(error)));
            Ok(())
        };
        let records = DataDirectory::open(dir).unwrap().find(note).unwrap();
        (records, found)
    };
    let (records, found) = find();
    assert_eq!(found, []);
    assert_eq!(
        (records.snapshot_records(), records.journal().records, records.journal().frames),
        (Some(2), 3, 2)
    );
    assert_eq!(read(records).unwrap(), world.expected);
    assert_eq!(snapshots(dir), before);
    // Damage in the first frame does not hide what follows it.
    let path = segments(dir)[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[super::super::frame::HEADER_BYTES + 40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (records, found) = find();
    assert_eq!((records.journal().frames, found.len()), (1, 1), "{found:?}");
    // The journal is read even without the snapshot.
    fs::remove_dir_all(dir.join("snapshot")).unwrap();
    let (records, found) = find();
    assert_eq!((records.snapshot_records(), found.len()), (None, 2), "{found:?}");
}

#[test]
fn an_import_that_was_interrupted_is_refused_and_can_begin_again() {
    let world = World::new();
    let dir = world.home.path().join("imported");
    let interrupted = world.import(&dir, &Contents::from([(1, "one".to_owned())])).unwrap();
    let copy = copy_of(&dir);
    let dir = copy.path();
    drop(interrupted);
    let refused = EmbeddedStore::open(&world.options(dir)).unwrap_err();
    assert!(matches!(refused, StoreError::ImportInterrupted { .. }), "{refused}");
    let two = Contents::from([(2, "two".to_owned())]);
    let import = world.import(dir, &two).unwrap();
    world.runtime.block_on(import.close()).unwrap();
    let refused = world.import(dir, &two).unwrap_err();
    assert!(matches!(refused, StoreError::NotEmpty { .. }), "{refused}");
    let store = EmbeddedStore::open(&world.options(dir)).unwrap();
    assert_eq!((store.newest_time(), world.contents_of(&store)), (START, two));
}

#[test]
fn an_import_longer_than_the_journal_may_be_delays_no_commit() {
    let world = World::with_sizes(64 * 1024, 64 * 1024);
    let dir = world.home.path().join("imported");
    let long = "long".repeat(20_000);
    let mut expected: Contents = (0..20).map(|number| (number, long.clone())).collect();
    let import = world.import(&dir, &expected).unwrap();
    world.runtime.block_on(import.close()).unwrap();
    let store = EmbeddedStore::open(&world.options(&dir)).unwrap();
    *world.owner.records.lock() = world.contents_of(&store);
    let owner = world.owner.clone();
    store.attach(vec![Box::new(move |to| owner.stream(to))]);
    commit(&store, vec![write(20, Some("one more"))]);
    expected.insert(20, "one more".to_owned());
    assert_eq!(world.contents_of(&store), expected);
}

fn read(records: LiveRecords) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    records.each_copied(&mut |_, entry| {
        contents.insert(number(entry.key), String::from_utf8(entry.record.to_vec()).unwrap());
        Ok::<_, StoreError>(())
    })?;
    Ok(contents)
}

impl World {
    fn copied(&self) -> Contents {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let progress = Arc::default();
        let copy = crate::copy(self.store(), self.home.path(), Arc::clone(&progress));
        let copied = runtime.block_on(copy).unwrap();
        let mut reader = CopyReader::new(BufReader::new(copied.file));
        let mut contents = Contents::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let text = String::from_utf8(entry.record.to_vec()).unwrap();
            assert_eq!(contents.insert(number(entry.key), text), None, "a record is there twice");
        }
        let counted = copied.counts.values().sum::<u64>();
        assert_eq!((counted, progress.load(Ordering::Relaxed)), (contents.len() as u64, counted));
        contents
    }
}

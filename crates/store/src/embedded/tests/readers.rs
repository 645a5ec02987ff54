//! Reading a data directory, also beside a running store; filling an empty one.

use super::*;

#[test]
fn a_reader_has_every_record_that_is_alive_once_and_leaves_nothing() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two")), (3, Some("three"))]).unwrap();
    assert_eq!(read(&world.dir()).unwrap().unwrap(), world.expected);
    world.checkpoint().unwrap();
    world.batch(&[(2, Some("two again")), (3, None), (4, Some("four"))]).unwrap();
    world.batch(&[(2, Some("two, a third time")), (5, Some("five"))]).unwrap();
    world.remove(5);
    let before = snapshots(&world.dir());
    assert_eq!(read(&world.dir()).unwrap().unwrap(), world.expected);
    assert_eq!(read(world.copy().path()).unwrap().unwrap(), world.expected, "after a crash");
    assert_eq!(snapshots(&world.dir()), before);
    world.clock.advance(LONG);
    world.put(6, "of a later time");
    assert_eq!(read(&world.dir()).unwrap().unwrap().len(), 0, "all have expired");
    assert_eq!(read(&world.home.path().join("none")), Ok(None));
}

#[test]
fn beside_a_running_store_a_reader_has_all_or_nothing_of_every_batch() {
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
        // Until a batch went on beside a reader.
        while turn < 10 || last == 0 && turn < 10_000 {
            if turn % 3 == 1 {
                world.checkpoint().unwrap();
            }
            turn += 1;
            let found = read(&world.dir()).unwrap().unwrap();
            let Some(first) = found.get(&0) else { continue };
            assert_eq!(found.len(), 20);
            assert!(found.values().all(|text| text == first), "{found:?}");
            assert!(first.parse::<u64>().unwrap() >= last);
            last = first.parse().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(last > 0, "nothing went on beside the readers");
    });
}

#[test]
fn checkpoints_take_nothing_away_from_a_reader() {
    let mut world = World::with_one_record();
    world.checkpoint().unwrap();
    world.put(2, "two");
    let (_, records) = LiveRecords::read(&world.dir()).unwrap().unwrap();
    for turn in 0..2 {
        world.put(3, &format!("later {turn}"));
        world.checkpoint().unwrap();
    }
    let earlier = Contents::from([(1, "one".to_owned()), (2, "two".to_owned())]);
    assert_eq!(contents_of(records).unwrap(), earlier);
    // What a killed reader has left goes with the next checkpoint.
    let left = world.dir().join("snapshot/9-9.copy");
    fs::create_dir_all(left.join("db")).unwrap();
    world.put(4, "four");
    world.checkpoint().unwrap();
    until(|| (!left.exists()).then_some(()));
    assert_eq!(snapshots(&world.dir()).len(), 1);
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
    *world.owner.records.lock() = world.restored(&store);
    let owner = world.owner.clone();
    store.attach(Box::new(move |to| owner.stream(to)));
    commit(&store, vec![write(20, Some("one more"))]);
    expected.insert(20, "one more".to_owned());
    assert_eq!(read(&dir).unwrap().unwrap(), expected);
}

/// What a reader finds; `None` where nothing was ever written.
fn read(dir: &Path) -> Result<Option<Contents>, StoreError> {
    let found = LiveRecords::read(dir)?;
    found.map(|(_, records)| contents_of(records)).transpose()
}

fn contents_of(records: LiveRecords) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    records.each(Timestamp::EPOCH, &mut |key, _, record| {
        let text = String::from_utf8(record.to_vec()).unwrap();
        assert_eq!(contents.insert(number(key), text), None, "a record was visited twice");
        Ok::<_, StoreError>(())
    })?;
    Ok(contents)
}

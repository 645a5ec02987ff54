//! Reading a data directory, also beside a running store; filling an empty one.

use super::*;

#[test]
fn a_reader_has_every_record_that_is_alive_once_and_leaves_nothing() {
    let mut world = World::new();
    assert!(matches!(LiveRecords::read(&world.home.path().join("none")), Ok(None)));
    world.batch(&[(1, Some("one")), (2, Some("two")), (3, Some("three"))]).unwrap();
    world.assert_as_expected();
    world.checkpoint().unwrap();
    world.batch(&[(2, Some("two again")), (3, None), (4, Some("four"))]).unwrap();
    world.batch(&[(2, Some("two, a third time")), (5, Some("five"))]).unwrap();
    world.remove(5);
    let before = snapshots(&world.dir());
    world.assert_as_expected();
    assert_eq!(snapshots(&world.dir()), before);
    // A record that has expired does not bring back an older one.
    let short = Write { expires: START.plus(Duration::from_secs(1)), ..write(1, Some("new")) };
    commit(world.store(), vec![short]);
    world.clock.advance(Duration::from_secs(2));
    world.expected.remove(&1);
    world.assert_as_expected();
    world.clock.advance(LONG);
    world.put(6, "of a later time");
    assert_eq!(read(&world.dir(), START).len(), 0, "all have expired");
}

#[test]
fn beside_a_running_store_a_reader_has_all_or_nothing_of_every_batch() {
    let world = World::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                let text = format!("{turn}");
                let batch: Vec<_> = (0..20).map(|number| (number, Some(&text))).collect();
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
            let found = read(&world.dir(), START);
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
    let earlier = world.expected.clone();
    for turn in 0..2 {
        world.put(3, &format!("later {turn}"));
        world.checkpoint().unwrap();
    }
    assert_eq!(contents_of(records, START), earlier);
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
    let mut world = World::with_sizes(64 * 1024, 64 * 1024);
    world.close().unwrap();
    world.options.dir = world.home.path().join("imported");
    let options = OpenOptions { importing: true, ..world.options.clone() };
    let import = EmbeddedStore::open(&options).unwrap();
    for number in 0..20 {
        let long = "long".repeat(20_000);
        commit(&import, vec![write(number, Some(&long))]);
        world.expected.insert(number, long);
    }
    world.runtime.block_on(import.close()).unwrap();
    world.open();
    world.put(20, "one more");
    world.assert_as_expected();
}

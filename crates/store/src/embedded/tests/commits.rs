//! The promises of a commit, and the end of a store.

use super::*;

#[test]
fn waiting_batches_share_the_next_sync_in_their_order() {
    let world = World::new();
    world.disk.hold(Some(Operation::Sync));
    let first = world.submit(&[(0, Some("text"))]);
    world.disk.wait_for(Operation::Sync, 1);
    let too_long = "x".repeat(crate::LONGEST_RECORD + 1);
    assert_unavailable(&world.submit(&[(51, Some("text")), (52, Some(&*too_long))]).recv().unwrap());
    let waiting: Vec<_> = (1..=50)
        .map(|number| number.to_string())
        .map(|text| world.submit(&[(0, Some(&text)), (text.parse().unwrap(), Some(&text))]))
        .collect();
    assert!(first.try_recv().is_err(), "it is answered before the sync");
    world.disk.hold(None);
    for answer in [first].into_iter().chain(waiting) {
        assert_eq!(answer.recv().unwrap(), Ok(()));
    }
    assert_eq!(world.disk.count(Operation::Sync), 2);
    // One for each of the two frames, and one of zeros after the first.
    assert_eq!(world.disk.count(Operation::Write), 3);
    let found = read(&world.dir(), START);
    assert_eq!((found.len(), &*found[&0]), (51, "50"));
}

#[test]
fn a_closed_store_refuses_writes_and_leaves_nothing_to_replay() {
    let mut world = World::new();
    world.batch(&[(1, Some("a")), (2, Some("b"))]).unwrap();
    world.runtime.block_on(async {
        let store = world.store();
        let (first, second) = tokio::join!(store.close(), store.close());
        assert_eq!((first, second, store.close().await), (Ok(()), Ok(()), Ok(())));
    });
    assert_eq!(world.batch(&[(3, Some("c"))]), Err(StoreError::Closed));
    // The store releases reserved space, and has no records to read.
    let journal = segments(&world.dir()).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert!(journal < 100, "{journal} bytes");
    // The directory is free as soon as it is closed.
    world.store = None;
    world.open();
    world.assert_as_expected();
}

#[test]
fn owners_may_commit_until_the_last_checkpoint_has_ended() {
    let mut world = World::with_one_record();
    world.owner.is_silent.store(true, Ordering::Relaxed);
    let store = world.store.take().unwrap();
    let both = async { tokio::join!(store.close(), world.owner.commits_lazily(&store, 2)) };
    assert_eq!(world.runtime.block_on(both).0, Ok(()));
    drop(store);
    world.expected.insert(2, "lazy".into());
    world.open();
    world.assert_as_expected();
}

#[test]
fn an_idle_store_notes_the_time() {
    let mut world = World::new();
    world.looks_every(Duration::from_millis(10));
    world.put(1, "one");
    let written = world.disk.count(Operation::Write);
    world.clock.advance(LONG);
    world.disk.wait_for(Operation::Write, written + 1);
    // Dropping the store waits for the frame.
    world.abandon();
    world.clock.set(START);
    world.open();
    assert_eq!(world.store().newest_time(), START.plus(LONG));
    // What had expired by then is not restored, although the clock is behind.
    assert_eq!(world.owner.records.lock().len(), 0);
}

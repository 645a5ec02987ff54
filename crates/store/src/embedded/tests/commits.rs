//! The promises of a commit, and the reads of an owner.

use super::*;

#[test]
fn waiting_batches_share_the_next_sync() {
    const WAITING: u64 = 50;
    let world = World::new();
    world.disk.hold_syncs();
    let first = world.submit(&[(0, Some("text"))]);
    world.disk.wait_for(Operation::Sync, 1);
    let waiting: Vec<_> = (1..=WAITING).map(|number| world.submit(&[(number, Some("text"))])).collect();
    assert!(first.try_recv().is_err(), "it is answered before the sync");
    world.disk.release_syncs();
    assert_eq!(first.recv().unwrap(), Ok(()));
    for answer in waiting {
        assert_eq!(answer.recv().unwrap(), Ok(()));
    }
    assert_eq!(world.disk.count(Operation::Sync), 2);
    // One for each of the two frames, and one of zeros after the first.
    assert_eq!(world.disk.count(Operation::Write), 3);
    assert_eq!(world.contents().len(), 51);
}

#[test]
fn a_batch_that_is_too_large_is_refused_and_the_others_keep_their_order() {
    let world = World::new();
    world.disk.hold_syncs();
    let too_long = "x".repeat(crate::LONGEST_RECORD + 1);
    let (to, answers) = mpsc::channel();
    for number in 0..10 {
        let (to, text) = (to.clone(), if number % 3 == 1 { &too_long } else { "text" });
        let done = move |result: Result<(), StoreError>| to.send((number, result.is_ok())).unwrap();
        world.store().commit(vec![write(number, Some(text))], Box::new(done));
    }
    world.disk.release_syncs();
    let mut order: Vec<_> = answers.iter().take(10).collect();
    order.sort_by_key(|(_, is_ok)| *is_ok);
    let refused = [1, 4, 7].map(|number| (number, false));
    let durable = [0, 2, 3, 5, 6, 8, 9].map(|number| (number, true));
    assert_eq!(order, [&refused[..], &durable].concat());
}

#[test]
fn an_expired_record_does_not_bring_back_an_older_one() {
    let world = World::with_one_record();
    world.checkpoint().unwrap();
    let short = Write { expires: START.plus(Duration::from_secs(1)), ..write(1, Some("new")) };
    commit(world.store(), vec![short]);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.contents(), Contents::new());
}

#[test]
fn a_closed_store_refuses_writes_and_leaves_nothing_to_replay() {
    let mut world = World::new();
    world.batch(&[(1, Some("a")), (2, Some("b"))]).unwrap();
    world.runtime.block_on(async {
        let store = world.store.as_ref().unwrap();
        let (first, second) = tokio::join!(store.close(), store.close());
        assert_eq!((first, second, store.close().await), (Ok(()), Ok(()), Ok(())));
    });
    assert_eq!(world.submit(&[(3, Some("c"))]).recv().unwrap(), Err(StoreError::Closed));
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
fn the_newest_time_is_also_in_the_snapshot() {
    let mut world = World::new();
    world.clock.advance(Duration::from_secs(100));
    world.put(1, "one");
    world.clock.set(START);
    world.close().unwrap();
    world.open();
    assert_eq!(world.store().newest_time(), START.plus(Duration::from_secs(100)));
}

#[test]
fn an_idle_store_notes_the_time() {
    let mut world = World::new();
    world.close().unwrap();
    let mut options = world.options(&world.dir());
    options.tick = Duration::from_millis(10);
    world.open_with(&options).unwrap();
    world.put(1, "one");
    let in_an_hour = Duration::from_secs(3600);
    let written = world.disk.count(Operation::Write);
    world.clock.advance(in_an_hour);
    world.disk.wait_for(Operation::Write, written + 1);
    // Dropping the store waits for the frame.
    world.abandon();
    world.clock.set(START);
    world.open();
    assert_eq!(world.store().newest_time(), START.plus(in_an_hour));
    // What had expired by then is not restored, although the clock is behind.
    assert_eq!(world.contents(), Contents::new());
}

//! What a commit promises, and what readers see.

use std::task::Poll;

use super::faulty::Operation;
use super::*;

#[test]
fn when_a_batch_is_acknowledged_it_survives_a_crash() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two")), (3, Some("three"))]).unwrap();
    world.batch(&[(2, Some("two again")), (3, None)]).unwrap();
    let copy = world.copy();
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    world.crash_and_open();
    world.assert_as_expected();
    world.put(4, "four");
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_batches_wait_for_a_sync_they_share_the_next_one() {
    const WAITING: u64 = 50;
    let world = World::new();
    world.disk.hold_syncs();
    let submit =
        |subject| world.store().submit(vec![write(subject, Revision::ABSENT, Some("text"))]).unwrap();
    let first = submit(0);
    world.disk.wait_for(Operation::Sync, 1);
    let waiting: Vec<_> = (1..=WAITING).map(submit).collect();
    world.disk.release_syncs();
    assert_eq!(first.blocking_recv().unwrap(), Ok(vec![Outcome::Applied(Revision(1))]));
    for answer in waiting {
        assert_eq!(answer.blocking_recv().unwrap(), Ok(vec![Outcome::Applied(Revision(2))]));
    }
    assert_eq!(world.disk.count(Operation::Sync), 2);
    // One for each of the two frames, and one of zeros behind the first.
    assert_eq!(world.disk.count(Operation::Write), 3);
    assert_eq!(world.contents().len(), 51);
}

#[test]
fn when_a_batch_waits_for_the_disk_nothing_is_answered_before_the_sync() {
    let world = World::new();
    world.disk.hold_syncs();
    let mut commit = world.store().cas(vec![write(1, Revision::ABSENT, Some("text"))], LONG);
    world.runtime.block_on(async {
        let first_poll = std::future::poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await;
        assert!(first_poll.is_pending());
        world.disk.wait_for(Operation::Sync, 1);
        let before_sync = std::future::poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await;
        assert!(before_sync.is_pending());
        world.disk.release_syncs();
        assert!(commit.await.is_ok());
    });
}

#[test]
fn when_a_key_is_written_its_revision_grows_and_lasts() {
    let mut world = World::new();
    world.put(1, "a");
    world.put(2, "b");
    let (first, second) = (world.revisions[&1], world.revisions[&2]);
    assert!(second > first);
    world.put(1, "c");
    assert!(world.revisions[&1] > second);
    let loaded =
        |world: &World| world.runtime.block_on(world.store().load(&[key(1), key(9), key(2)], LONG)).unwrap();
    let expected =
        vec![Some((world.revisions[&1], Bytes::from("c"))), None, Some((second, Bytes::from("b")))];
    assert_eq!(loaded(&world), expected);
    world.round().unwrap();
    assert_eq!(loaded(&world), expected, "from the snapshot");
    world.crash_and_open();
    assert_eq!(loaded(&world), expected, "after a restart");
    world.put(3, "later");
    assert!(world.revisions[&3] > world.revisions[&1]);
}

#[test]
fn when_the_journal_and_the_snapshot_differ_readers_see_the_journal() {
    let mut world = World::new();
    world.batch(&[(1, Some("old")), (2, Some("old")), (3, Some("old"))]).unwrap();
    world.round().unwrap();
    world.batch(&[(1, Some("new")), (2, None), (4, Some("new"))]).unwrap();
    world.assert_as_expected();
    let loaded = world.runtime.block_on(world.store().load(&[key(2), key(1)], LONG)).unwrap();
    assert_eq!(loaded, [None, Some((world.revisions[&1], Bytes::from("new")))]);
}

#[test]
fn when_a_round_is_running_readers_see_every_acknowledged_batch() {
    let mut world = World::new();
    world.batch(&[(1, Some("a")), (2, Some("b"))]).unwrap();
    let (reached, step) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    world.disk.on_step(move |_| {
        let _ = reached.send(());
        let _ = may_go_on.recv();
    });
    world.tell(Message::Tick(None));
    step.recv().unwrap();
    world.batch(&[(2, None), (3, Some("c"))]).unwrap();
    let loaded = world.runtime.block_on(world.store().load(&[key(2), key(3)], LONG));
    // The snapshot is busy only while a batch goes in, so reading does not wait for the round.
    assert_eq!(loaded.unwrap(), [None, Some((world.revisions[&3], Bytes::from("c")))]);
    world.assert_as_expected();
    drop(go_on);
    drop(step);
    world.disk.on_step(|_| {});
    world.round().unwrap();
    world.assert_as_expected();
}

#[test]
fn when_records_no_longer_matter_readers_do_not_see_them() {
    let mut world = World::new();
    world.batch(&[(1, Some("a")), (2, Some("b"))]).unwrap();
    world.round().unwrap();
    world.put(3, "c");
    world.clock.advance(LONG);
    assert_eq!(world.contents(), Contents::new());
    let loaded = world.runtime.block_on(world.store().load(&[key(1), key(3)], LONG)).unwrap();
    assert_eq!(loaded, [None, None]);
}

#[test]
fn when_a_caller_gives_up_the_answer_is_unknown_and_the_batch_may_be_applied() {
    let world = World::new();
    world.disk.hold_syncs();
    let writes = vec![write(1, Revision::ABSENT, Some("text"))];
    let given_up = world.runtime.block_on(world.store().cas(writes, Duration::ZERO));
    assert!(matches!(given_up, Err(StoreError::Unknown(_))), "{given_up:?}");
    world.disk.release_syncs();
}

#[test]
fn when_a_caller_that_gave_up_creates_the_key_again_its_removal_still_reaches_the_snapshot() {
    let mut world = World::new();
    world.disk.hold_syncs();
    let unanswered = world.store().submit(vec![write(1, Revision::ABSENT, Some("unheard"))]).unwrap();
    world.disk.wait_for(Operation::Sync, 1);
    drop(unanswered);
    world.disk.release_syncs();
    world.round().unwrap();
    // The caller believes that there is nothing, creates the record, and uses it up.
    world.put(1, "again");
    world.remove(1);
    world.round().unwrap();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_a_batch_is_empty_it_is_applied_without_the_disk() {
    let world = World::new();
    assert_eq!(world.runtime.block_on(world.store().cas(Vec::new(), LONG)), Ok(Vec::new()));
    assert_eq!(world.disk.count(Operation::Sync), 0);
}

#[test]
fn when_a_batch_is_larger_than_a_segment_it_is_kept() {
    let mut world = World::with_segments_of(4096);
    let long = "x".repeat(20_000);
    world.put(1, "before");
    world.put(2, &long);
    world.put(3, "after");
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_the_store_is_closed_writes_are_refused_and_the_next_start_has_nothing_to_replay() {
    let mut world = World::new();
    world.batch(&[(1, Some("a")), (2, Some("b"))]).unwrap();
    world.runtime.block_on(async {
        let store = world.store.as_ref().unwrap();
        let (first, second) = tokio::join!(store.close(), store.close());
        assert_eq!((first, second, store.close().await), (Ok(()), Ok(()), Ok(())));
        let refused = store.cas(vec![write(3, Revision::ABSENT, Some("c"))], LONG).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let unreadable = store.load(&[key(1)], LONG).await;
        assert!(matches!(unreadable, Err(StoreError::Unavailable(_))), "{unreadable:?}");
    });
    // What was reserved is given back, and there are no changes to read.
    let journal = segments(&world.dir()).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert!(journal < 100, "{journal} bytes");
    // The directory is free as soon as it is closed.
    world.open();
    world.assert_as_expected();
    assert_eq!(entries(&world), 2);
}

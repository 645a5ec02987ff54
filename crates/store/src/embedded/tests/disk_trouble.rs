//! Failing disks: the store acknowledges nothing false and loses nothing acknowledged, and when the disk works again so
//! does the store, without a restart.

use super::*;

#[test]
fn a_batch_refused_by_a_full_disk_never_returns_and_later_ones_succeed() {
    // The part of a frame that a full disk takes, or a sync that fails.
    for taken in [Some(0), Some(1), Some(40), Some(100), Some(10_000), None] {
        for first in [true, false] {
            let mut world = World::new();
            if !first {
                world.put(1, "before");
            }
            match taken {
                Some(bytes) => {
                    world.disk.script().written_before_failing = bytes;
                    world.disk.fail(Operation::Write, Errno::NOSPC);
                }
                None => world.disk.fail(Operation::Sync, Errno::NOSPC),
            }
            for _ in 0..3 {
                assert_unavailable(&world.batch(&[(1, Some("lost")), (2, Some("lost"))]));
                let trouble = world.store().health().unwrap_err();
                assert!(trouble.contains("No space left on device"), "{trouble}");
            }
            assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected);
            world.disk.heal();
            world.put(3, "after");
            assert_eq!(world.store().health(), Ok(()));
            world.assert_as_expected();
            world.crash_and_check();
        }
    }
}

#[test]
fn a_shard_is_restored_where_the_disk_takes_no_copy_of_the_snapshot() {
    let mut world = World::with_one_record();
    world.checkpoint().unwrap();
    world.put(2, "two");
    // Nothing can be written into it.
    world.store.as_mut().unwrap().files.snapshot = "/dev/full".into();
    world.assert_as_expected();
    let own = format!("onceward-{}-", std::process::id());
    let left = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with(&own)), "a copy was left");
}

#[test]
fn a_failed_write_that_cannot_be_truncated_answers_unknown() {
    let mut world = World::new();
    world.put(1, "before");
    world.disk.fail(Operation::Sync, Errno::IO);
    world.disk.fail(Operation::Cut, Errno::IO);
    let unknown = world.batch(&[(1, Some("perhaps")), (2, Some("perhaps"))]);
    assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{unknown:?}");
    // After a crash now the batch is there completely or not at all, and everything before it is there.
    let found = world.contents_after_crash(&world.copy()).unwrap();
    let perhaps = Contents::from([(1, "perhaps".to_owned()), (2, "perhaps".to_owned())]);
    assert!(found == world.expected || found == perhaps, "{found:?}");
    for _ in 0..3 {
        assert_unavailable(&world.batch(&[(3, Some("lost"))]));
        assert!(world.store().health().is_err());
    }
    world.disk.heal();
    world.put(4, "after");
    assert_eq!(world.store().health(), Ok(()));
    world.assert_as_expected();
    world.crash_and_check();
}

#[test]
fn a_full_disk_first_uses_the_reserved_segments() {
    let mut world = World::with_segments_of(4096);
    let text = "x".repeat(1000);
    world.disk.fail(Operation::Create, Errno::NOSPC);
    let taken = (0..100).take_while(|number| world.batch(&[(*number, Some(&text))]).is_ok()).count();
    assert!((4..=8).contains(&taken), "{taken} batches went into two segments");
    for _ in 0..3 {
        assert_unavailable(&world.batch(&[(500, Some(&text))]));
    }
    assert!(world.store().health().unwrap_err().contains("No space left on device"));
    assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected);
    world.disk.heal();
    world.checkpoint().unwrap();
    for number in 200..220 {
        world.put(number, &text);
    }
    assert_eq!(world.store().health(), Ok(()));
    world.crash_and_check();
}

#[test]
fn the_store_requests_no_failing_segment_in_a_loop_for_a_due_checkpoint() {
    let mut world = World::with_segments_of(4096);
    while segments(&world.dir()).len() < 2 {
        thread::yield_now();
    }
    world.disk.fail(Operation::Create, Errno::NOSPC);
    let text = "x".repeat(1000);
    (0..5).for_each(|number| world.put(number, &text));
    world.clock.advance(Duration::from_secs(21 * 60));
    let before = world.disk.count(Operation::Create);
    (10..30).for_each(|number| world.put(number, "x"));
    let tried = world.disk.count(Operation::Create) - before;
    assert!(tried <= 2, "{tried} attempts in 20 commits");
}

#[test]
fn what_a_checkpoint_could_not_remove_name_or_sync_goes_with_the_next_one() {
    for operation in [Operation::Remove, Operation::RemoveDir, Operation::SyncDir, Operation::Rename] {
        let mut world = World::with_one_record();
        world.disk.script().renamed_although_failing = true;
        world.disk.fail(operation, Errno::IO);
        assert!(world.checkpoint().is_err(), "{operation:?}");
        assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected);
        world.disk.heal();
        world.checkpoint().unwrap();
        assert_eq!((snapshots(&world.dir()).len(), segments(&world.dir()).len()), (1, 2), "{operation:?}");
        world.crash_and_check();
    }
}

#[test]
fn health_reports_a_disk_that_does_not_respond() {
    let world = World::new();
    world.disk.hold_syncs();
    let answer = world.submit(&[(1, Some("one"))]);
    world.disk.wait_for(Operation::Sync, 1);
    assert_eq!(world.store().health(), Ok(()));
    world.clock.advance(Duration::from_secs(6));
    let trouble = world.store().health().unwrap_err();
    assert!(trouble.contains("for 6 s"), "{trouble}");
    world.disk.release_syncs();
    assert!(answer.recv().unwrap().is_ok());
    assert_eq!(world.store().health(), Ok(()));
}

#[test]
fn health_recovers_with_the_disk_without_a_write() {
    let everything: [&[Operation]; 4] = [
        &[Operation::Write],
        &[Operation::Sync],
        &[Operation::Sync, Operation::Cut],
        &[Operation::Sync, Operation::Create],
    ];
    for operations in everything {
        let mut world = World::new();
        world.close().unwrap();
        let mut options = world.options(&world.dir());
        options.settings.retry_every = Duration::from_millis(5);
        world.open_with(&options).unwrap();
        world.put(1, "before");
        for operation in operations {
            world.disk.fail(*operation, Errno::IO);
        }
        for _ in 0..3 {
            assert!(world.batch(&[(1, Some("lost"))]).is_err());
        }
        assert!(world.store().health().is_err(), "{operations:?}");
        world.disk.heal();
        while world.store().health().is_err() {
            thread::yield_now();
        }
        world.put(2, "after");
        world.expected.insert(1, world.contents()[&1].clone());
        world.crash_and_check();
    }
}

#[test]
fn health_reports_a_dead_journal_thread() {
    let mut world = World::with_one_record();
    world.disk.on_operation(|operation, _| assert_ne!(operation, Operation::Sync, "panics on request"));
    let lost = world.batch(&[(2, Some("lost"))]);
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    wait_until_free(&world.dir());
    let trouble = world.store().health().unwrap_err();
    assert_eq!(trouble, "the store has failed: the journal thread has ended; restart the server");
    assert_eq!(world.runtime.block_on(world.store().failed()), "the journal thread has ended");
    assert_eq!(world.batch(&[(2, Some("lost"))]), Err(StoreError::Closed));
}

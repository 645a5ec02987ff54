//! Failing disks: the store acknowledges nothing false and loses nothing acknowledged. What the disk refused works again
//! when the disk does, without a restart; after an unknown outcome the store ends.

use super::*;

#[test]
fn a_batch_refused_by_a_full_disk_never_returns_and_later_ones_succeed() {
    // The part of a frame that a full disk takes.
    for taken in [0, 1, 40, 100, 10_000] {
        for first in [true, false] {
            let mut world = if first { World::new() } else { World::with_one_record() };
            world.disk.script().written_before_failing = taken;
            world.disk.fail(Operation::Write, Errno::NOSPC);
            for _ in 0..3 {
                assert_unavailable(&world.batch(&[(1, Some("lost")), (2, Some("lost"))]));
                let trouble = world.store().health().unwrap_err();
                assert!(trouble.contains("No space left on device"), "{trouble}");
            }
            world.assert_crash_safe("full");
            world.disk.heal();
            world.put(3, "after");
            assert_eq!(world.store().health(), Ok(()));
            world.assert_as_expected();
            world.crash_and_check();
        }
    }
}

#[test]
fn an_unknown_outcome_ends_the_store_and_a_start_finds_what_the_disk_has() {
    // A refused write can come back if its cut is not synced.
    let unsynced_cut = &[Operation::Write, Operation::Sync];
    for faults in [&[Operation::Sync][..], &[Operation::Write, Operation::Cut], unsynced_cut] {
        let mut world = World::with_one_record();
        world.disk.script().written_before_failing = 50;
        for operation in faults {
            world.disk.fail(*operation, Errno::IO);
        }
        let unknown = world.batch(&[(1, Some("perhaps")), (2, Some("perhaps"))]);
        assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{faults:?}: {unknown:?}");
        let reason = world.runtime.block_on(world.store().failed());
        assert!(reason.contains("0000000001.seg: Input/output error"), "{reason}");
        // The disk works again, which the store does not find out.
        world.disk.heal();
        for _ in 0..3 {
            assert_unavailable(&world.batch(&[(3, Some("lost"))]));
        }
        assert!(world.store().health().unwrap_err().contains(&reason) && !world.store().owns_records());
        let found = world.contents_after_crash(&copy_of(&world.dir())).unwrap();
        let perhaps = Contents::from([1, 2].map(|number| (number, "perhaps".to_owned())));
        assert!(found == world.expected || found == perhaps, "{faults:?}: {found:?}");
        world.expected = found;
        // The directory is free for another store of this process.
        assert_unavailable(&world.close());
        wait_until_free(&world.dir());
        world.open();
        world.put(4, "after");
        world.crash_and_check();
    }
}

#[test]
fn a_write_that_hangs_is_reported_and_then_has_an_unknown_outcome() {
    let mut world = World::new();
    world.looks_every(Duration::from_millis(50));
    world.put(1, "one");
    let before = world.disk.count(Operation::Sync);
    world.disk.hold(Some(Operation::Sync));
    let written = world.submit(&[(2, Some("two"))]);
    world.disk.wait_for(Operation::Sync, before + 1);
    let waiting = world.submit(&[(3, Some("three"))]);
    let trouble = until(|| world.store().health().err());
    assert!(trouble.starts_with("the disk has not finished a write for "), "{trouble}");
    let reason = world.runtime.block_on(world.store().failed());
    assert!(reason.contains(world.dir().to_str().unwrap()), "{reason}");
    assert_eq!(written.recv().unwrap(), Err(StoreError::Unknown(reason.clone())));
    assert_eq!(waiting.recv().unwrap(), Err(StoreError::Unavailable(reason.clone())));
    assert_unavailable(&world.batch(&[(4, Some("four"))]));
    // A host that stops it does not wait for the disk.
    assert_eq!(world.close(), Err(StoreError::Unavailable(reason)));
    world.disk.hold(None);
    wait_until_free(&world.dir());
    world.open();
    let found: Vec<u64> = read(&world.dir(), START).into_keys().collect();
    assert!([&[1, 2][..], &[1]].contains(&&found[..]), "{found:?}");
}

#[test]
fn a_batch_behind_a_segment_that_hangs_is_answered() {
    let mut world = World::new();
    world.looks_every(Duration::from_millis(100));
    let before = world.disk.count(Operation::Sync);
    world.disk.hold(Some(Operation::Sync));
    let first = world.submit(&[(1, Some("one"))]);
    world.disk.wait_for(Operation::Sync, before + 1);
    // The turn that takes the second begins a checkpoint, which cuts the first segment.
    world.clock.advance(Duration::from_secs(20 * 60));
    let second = world.submit(&[(2, Some("two"))]);
    world.disk.hold(Some(Operation::Cut));
    assert_eq!(first.recv().unwrap(), Ok(()));
    let answer = second.recv_timeout(HANGS_AFTER).expect("an answer");
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    world.disk.hold(None);
    assert_unavailable(&world.close());
    wait_until_free(&world.dir());
}

#[test]
fn a_full_disk_first_uses_the_reserved_segments() {
    let mut world = World::with_sizes(4096, 1024 * 1024);
    let text = "x".repeat(1000);
    world.disk.fail(Operation::Create, Errno::NOSPC);
    let taken = (0..100).take_while(|number| world.batch(&[(*number, Some(&text))]).is_ok()).count();
    assert!((4..=8).contains(&taken), "{taken} batches went into two segments");
    for _ in 0..3 {
        assert_unavailable(&world.batch(&[(500, Some(&text))]));
    }
    assert!(world.store().health().unwrap_err().contains("No space left on device"));
    world.assert_crash_safe("full");
    world.disk.heal();
    world.checkpoint().unwrap();
    for number in 200..220 {
        world.put(number, &text);
    }
    assert_eq!(world.store().health(), Ok(()));
    world.crash_and_check();
}

#[test]
fn health_reports_a_dead_journal_thread() {
    let mut world = World::with_one_record();
    world.disk.then(|operation, _| assert_ne!(operation, Operation::Sync, "panics on request"));
    let lost = world.batch(&[(2, Some("lost"))]);
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    wait_until_free(&world.dir());
    let trouble = world.store().health().unwrap_err();
    assert_eq!(trouble, "the store has failed, and only a restart helps: the journal thread has ended");
    assert_eq!(world.runtime.block_on(world.store().failed()), "the journal thread has ended");
    assert_eq!(world.batch(&[(2, Some("lost"))]), Err(StoreError::Closed));
}

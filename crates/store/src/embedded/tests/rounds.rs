//! Snapshot rounds: what they bring into the snapshot, and crashes between any two of their steps.

use std::sync::atomic::{AtomicU64, Ordering};

use super::faulty::Operation;
use super::*;
use crate::embedded::disk::Step;
use crate::embedded::writer::MAX_SEGMENTS;

#[test]
fn when_a_round_has_ended_the_snapshot_has_everything_and_the_journal_nothing() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two")), (3, Some("three"))]).unwrap();
    world.batch(&[(2, None), (3, Some("three again"))]).unwrap();
    world.round().unwrap();
    assert_eq!(entries(&world), 2);
    world.assert_as_expected();
    let first = segments(&world.dir())[0].clone();
    assert!(first.ends_with("0000000002.seg"), "{}", first.display());
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_the_process_dies_between_any_two_steps_of_a_round_nothing_is_missing() {
    let mut world = World::new();
    // Changes of all kinds to what the snapshot has already.
    let many: Vec<u64> = (0..700).collect();
    world.batch(&many.iter().map(|subject| (*subject, Some("first"))).collect::<Vec<_>>()).unwrap();
    world.round().unwrap();
    let changes: Vec<(u64, Option<&str>)> = (0..900)
        .map(|subject| (subject, if subject % 3 == 0 { None } else { Some("second") }))
        .filter(|(subject, _)| subject % 5 != 0)
        .collect();
    world.batch(&changes).unwrap();
    let copies = Arc::new(Mutex::new(Vec::new()));
    let (taken, dir) = (copies.clone(), world.dir());
    world.disk.on_step(move |step| taken.lock().unwrap().push((step, copy_of(&dir))));
    world.round().unwrap();
    world.disk.on_step(|_| {});

    let copies = std::mem::take(&mut *copies.lock().unwrap());
    let steps: Vec<Step> = copies.iter().map(|(step, _)| *step).collect();
    let all = [
        Step::Written,
        Step::WrittenAndSynced,
        Step::Named,
        Step::NamedAndSynced,
        Step::LayerRemoved,
        Step::SegmentRemoved,
        Step::Ended,
    ];
    assert_eq!(steps, all);
    for (step, copy) in &copies {
        assert_eq!(world.contents_after_crash(copy).unwrap(), world.expected, "after {step:?}");
    }
}

#[test]
fn when_the_process_dies_in_a_round_and_again_in_the_next_nothing_is_missing() {
    for victim in 0..8 {
        let mut world = World::new();
        for generation in 0..3 {
            let text = format!("generation {generation}");
            let changes: Vec<(u64, Option<&str>)> = (0..300)
                .map(|subject| (subject, ((subject + generation) % 4 != 0).then_some(text.as_str())))
                .collect();
            world.batch(&changes).unwrap();
            let (counter, dir) = (AtomicU64::new(0), world.dir());
            let copy = Arc::new(Mutex::new(None));
            let taken = copy.clone();
            world.disk.on_step(move |_| {
                if counter.fetch_add(1, Ordering::Relaxed) == victim {
                    *taken.lock().unwrap() = Some(copy_of(&dir));
                }
            });
            world.round().unwrap();
            world.disk.on_step(|_| {});
            let Some(crashed) = copy.lock().unwrap().take() else { continue };
            world.abandon();
            fs::remove_dir_all(world.dir()).unwrap();
            fs::rename(crashed.path().join("data"), world.dir()).unwrap();
            world.open();
            world.assert_as_expected();
        }
    }
}

#[test]
fn when_a_segment_that_the_snapshot_covers_is_left_over_the_start_removes_it() {
    let mut world = World::new();
    world.put(1, "one");
    let before = world.copy();
    world.put(1, "one again");
    world.round().unwrap();
    let copy = world.copy();
    let left = segments(&before.path().join("data"))[0].clone();
    let there = copy.path().join("data/journal").join(left.file_name().unwrap());
    fs::copy(&left, &there).unwrap();
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    assert!(!there.exists());
}

#[test]
fn when_a_record_comes_and_goes_between_two_rounds_the_snapshot_never_sees_it() {
    let mut world = World::new();
    world.put(1, "stays");
    world.put(2, "goes");
    world.put(2, "goes soon");
    world.remove(2);
    world.round().unwrap();
    for subject in 10..20 {
        world.put(subject, "comes");
        world.remove(subject);
    }
    world.round().unwrap();
    assert_eq!(entries(&world), 1);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_a_record_of_the_snapshot_is_removed_it_stays_removed() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two"))]).unwrap();
    world.round().unwrap();
    world.remove(1);
    world.put(1, "one, created again");
    world.remove(1);
    world.crash_and_open();
    world.assert_as_expected();
    world.round().unwrap();
    assert_eq!(entries(&world), 1);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_a_record_is_removed_while_the_round_that_brings_it_runs_it_stays_removed() {
    let mut world = World::new();
    world.put(1, "one");
    let (reached, step) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    world.disk.on_step(move |_| {
        let _ = reached.send(());
        let _ = may_go_on.recv();
    });
    world.tell(Message::Tick(None));
    step.recv().unwrap();
    world.remove(1);
    // Used up twice: the second time nothing but the running round knows of the first record.
    world.put(1, "one again");
    world.remove(1);
    drop(go_on);
    world.disk.on_step(|_| {});
    world.round().unwrap();
    world.round().unwrap();
    assert_eq!(entries(&world), 0);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_records_no_longer_matter_they_leave_the_snapshot() {
    let mut world = World::new();
    let subjects: Vec<u64> = (0..1000).collect();
    world.batch(&subjects.iter().map(|subject| (*subject, Some("short"))).collect::<Vec<_>>()).unwrap();
    world.round().unwrap();
    assert_eq!(entries(&world), 1000);
    world.clock.advance(LONG * 2);
    // Something must change for a round to happen. This one is dead on arrival.
    world.put(5000, "late");
    world.round().unwrap();
    assert_eq!(entries(&world), 0);
    world.expected.clear();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_a_round_is_asked_for_while_one_runs_its_end_is_that_of_the_next() {
    let mut world = World::new();
    world.put(1, "one");
    let (reached, step) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    world.disk.on_step(move |_| {
        let _ = reached.send(());
        let _ = may_go_on.recv();
    });
    world.tell(Message::Tick(None));
    step.recv().unwrap();
    world.put(2, "written while the round runs");
    let ask = || {
        let (reply, ended) = oneshot::channel();
        world.tell(Message::Tick(Some(reply)));
        ended
    };
    let both = [ask(), ask()];
    drop(go_on);
    for ended in both {
        assert_eq!(ended.blocking_recv().unwrap(), Ok(()));
    }
    assert_eq!(entries(&world), 2);
}

#[test]
fn when_nothing_has_changed_there_is_no_round() {
    let mut world = World::new();
    world.put(1, "one");
    world.round().unwrap();
    let state =
        |world: &World| (segments(&world.dir())[0].clone(), world.disk.count_snapshot(Operation::Create));
    let before = state(&world);
    for _ in 0..5 {
        world.round().unwrap();
    }
    assert_eq!(state(&world), before);
}

#[test]
fn when_segments_fill_up_rounds_begin_by_themselves_and_the_disk_stays_bounded() {
    const SEGMENT: u64 = 8192;
    let mut world = World::with_segments_of(SEGMENT);
    let text = "x".repeat(500);
    let mut largest = 0;
    for turn in 0..3000 {
        world.put(turn % 40, &text);
        largest = largest.max(size_of_directory(&world.dir().join("journal")));
    }
    world.round().unwrap();
    world.assert_as_expected();
    // The segments that may wait for a round, the one that is filled, and the reserved one.
    assert!(largest <= (MAX_SEGMENTS + 2) * SEGMENT, "the journal took {largest} bytes");
    assert!(segments(&world.dir()).len() <= 2);
}

#[test]
fn when_records_are_rewritten_in_many_rounds_the_snapshot_stays_bounded() {
    const RECORDS: u64 = 200;
    let mut world = World::with_segments_of(1024 * 1024);
    for turn in 0..40 {
        let text = format!("{turn:0500}");
        world.batch(&(0..RECORDS).map(|subject| (subject, Some(text.as_str()))).collect::<Vec<_>>()).unwrap();
        world.round().unwrap();
    }
    world.assert_as_expected();
    let (bytes, files) = size_and_files(&world.dir().join("snapshot"));
    // Four MiB were written for a tenth of a MiB of records.
    assert!(bytes <= 512 * 1024, "the snapshot takes {bytes} bytes");
    assert!(files <= 3, "the snapshot has {files} files");
}

#[test]
fn when_rounds_cannot_keep_up_batches_wait_and_none_is_lost() {
    const SEGMENT: u64 = 4096;
    const BATCHES: u64 = 100;
    let mut world = World::with_segments_of(SEGMENT);
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    world.disk.on_step(move |_| {
        let _ = may_go_on.recv();
    });
    // Three to a segment: far more than the segments that may wait can take.
    let text = "x".repeat(1000);
    let mut answers = Vec::new();
    for subject in 0..BATCHES {
        world.expected.insert(subject, text.clone());
        answers.push(world.store().submit(vec![write(subject, Revision::ABSENT, Some(&text))]).unwrap());
        // A question that is answered behind the batch: readers do not wait for the round.
        world.runtime.block_on(world.store().load(&[key(subject)], LONG)).unwrap();
    }
    let mut answered = 0;
    answers.retain_mut(|answer| {
        let Ok(outcome) = answer.try_recv() else { return true };
        assert!(outcome.is_ok());
        answered += 1;
        false
    });
    assert!(answered <= 3 * (MAX_SEGMENTS + 1), "{answered} batches were taken beyond the bound");
    assert!(segments(&world.dir()).len() as u64 <= MAX_SEGMENTS + 2);
    drop(go_on);
    for answer in answers {
        assert!(answer.blocking_recv().unwrap().is_ok());
    }
    world.assert_as_expected();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_starts_and_crashes_alternate_the_journal_stays_bounded() {
    let mut world = World::with_segments_of(4096);
    for turn in 0..20 {
        world.put(turn, "one more");
        world.crash_and_open();
        world.assert_as_expected();
        let count = segments(&world.dir()).len() as u64;
        assert!(count <= MAX_SEGMENTS, "{count} segments after {turn} crashes");
    }
}

fn size_of_directory(directory: &Path) -> u64 {
    size_and_files(directory).0
}

fn size_and_files(directory: &Path) -> (u64, u64) {
    fs::read_dir(directory).unwrap().fold((0, 0), |(bytes, files), entry| {
        let entry = entry.unwrap();
        let (more_bytes, more_files) = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_and_files(&entry.path()),
            Ok(metadata) => (metadata.len(), 1),
            // Removed meanwhile.
            Err(_) => (0, 0),
        };
        (bytes + more_bytes, files + more_files)
    })
}

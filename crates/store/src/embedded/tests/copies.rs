//! Copies of the whole store: one moment, whatever goes on meanwhile.

use std::io::BufReader;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::*;
use crate::embedded::disk::Step;
use crate::embedded::writer::MAX_SEGMENTS;
use crate::{Copied, CopyProgress, CopyReader};
use onceward_core::clock::Clock;

#[test]
fn a_copy_has_what_the_snapshot_has_and_what_was_written_since_in_order() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two")), (3, Some("three")), (9, Some("nine"))]).unwrap();
    world.round().unwrap();
    world.batch(&[(2, None), (3, Some("three again")), (5, Some("five")), (11, Some("eleven"))]).unwrap();
    assert_eq!(world.copied(), world.expected);
    // Nothing has changed since, so there is no round to do.
    assert_eq!(world.copied(), world.expected);
    world.crash_and_open();
    assert_eq!(world.copied(), world.expected);
    world.assert_as_expected();
    assert!(!world.dir().join("copy.tmp").exists());
}

#[test]
fn a_copy_of_an_empty_store_is_empty() {
    assert_eq!(World::new().copied(), Contents::new());
}

#[test]
fn what_no_longer_matters_is_in_no_copy() {
    let mut world = World::new();
    world.put(1, "short-lived");
    world.round().unwrap();
    world.put(2, "short-lived too");
    world.clock.advance(LONG * 1_000_000);
    assert_eq!(world.copied(), Contents::new());
}

#[test]
fn every_acknowledged_batch_is_in_a_copy_and_no_batch_is_half_in_it() {
    let world = World::with_segments_of(1024 * 1024);
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new([0_u64; 3]));
    std::thread::scope(|scope| {
        for writer in 0..3_usize {
            let (world, stop, acknowledged) = (&world, &stop, &acknowledged);
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().enable_time().build().unwrap();
                let mut expect = Revision::ABSENT;
                for generation in 1.. {
                    let text = generation.to_string();
                    // Far apart, so that a copy meets them at different times.
                    let keys = (0..40_u64).map(|part| part * 1000 + writer as u64);
                    let writes = keys.map(|key| write(key, expect, Some(&text))).collect();
                    let outcomes = runtime.block_on(world.store().cas(writes, LONG)).unwrap();
                    let Outcome::Applied(revision) = outcomes[0] else { panic!("a conflict") };
                    expect = revision;
                    acknowledged.lock().unwrap()[writer] = generation;
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for _ in 0..25 {
            let before = *acknowledged.lock().unwrap();
            let copied = world.copied();
            for (writer, told) in before.iter().enumerate() {
                let texts: Vec<Option<&String>> =
                    (0..40_u64).map(|part| copied.get(&(part * 1000 + writer as u64))).collect();
                assert!(texts.iter().all(|text| *text == texts[0]), "a batch is half in the copy: {texts:?}");
                let generation = texts[0].map_or(0, |text| text.parse().unwrap());
                assert!(generation >= *told, "{told} was acknowledged, not {generation}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let last = *acknowledged.lock().unwrap();
    assert!(last.iter().all(|generation| *generation > 1), "nothing went on beside the copies: {last:?}");
}

#[test]
fn a_copy_that_nobody_wants_any_more_is_stopped_and_the_store_goes_on() {
    let mut world = World::new();
    let many: Vec<(u64, Option<&str>)> = (0..1000).map(|subject| (subject, Some("text"))).collect();
    world.batch(&many).unwrap();
    let progress = Arc::new(CopyProgress::default());
    progress.cancel();
    let error = world.runtime.block_on(world.store().copy(progress)).unwrap_err();
    assert!(error.to_string().contains("the copy was stopped"), "{error}");
    world.round().unwrap();
    assert_eq!(world.copied(), world.expected);
}

#[test]
fn when_the_journal_fills_up_a_copy_gives_way_to_the_writes() {
    let mut world = World::with_segments_of(4096);
    let (to_go_on, go_on) = mpsc::channel::<()>();
    let go_on = Mutex::new(go_on);
    world.disk.on_step(move |step| {
        if step == Step::Copying {
            let _ = go_on.lock().unwrap().recv();
        }
    });
    world.put(1, "one");
    let (reply, copied) = oneshot::channel();
    let progress = Arc::new(CopyProgress::default());
    let watched = progress.clone();
    world.tell(Message::Copy(crate::embedded::copy::CopyRequest { progress, reply }));
    let text = "x".repeat(3000);
    let (store, runtime) = (world.store.take().unwrap(), &world.runtime);
    runtime.block_on(async {
        let writes = async {
            for subject in 2..3 * MAX_SEGMENTS {
                store.cas(vec![write(subject, Revision::ABSENT, Some(&text))], LONG).await.unwrap();
            }
        };
        let stopped = async {
            while !watched.is_cancelled() {
                tokio::task::yield_now().await;
            }
            drop(to_go_on);
        };
        tokio::time::timeout(HANGS_AFTER, async { tokio::join!(writes, stopped) }).await.expect("it hangs");
    });
    let error = runtime.block_on(copied).unwrap().unwrap_err();
    assert!(error.contains("the journal filled up"), "{error}");
    runtime.block_on(store.close()).unwrap();
}

#[test]
fn a_store_that_is_closed_is_not_copied() {
    let world = World::new();
    world.runtime.block_on(world.store().close()).unwrap();
    let copy = world.runtime.block_on(world.store().copy(Arc::default()));
    assert!(matches!(copy, Err(StoreError::Unavailable(_))), "{copy:?}");
}

impl World {
    fn copied(&self) -> Contents {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let Copied { file, counts, at } = runtime.block_on(self.store().copy(Arc::default())).unwrap();
        assert_eq!(at, self.clock.now());
        let mut reader = CopyReader::new(BufReader::new(file));
        let mut contents = Contents::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let text = String::from_utf8(entry.record.to_vec()).unwrap();
            contents.insert(entry.key.subject.0, text);
        }
        assert_eq!(counts.numbers, contents.len() as u64);
        contents
    }
}

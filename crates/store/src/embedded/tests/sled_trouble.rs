//! sled fails, hangs, panics and loses entries: the store seals no such attempt, the journal has everything, and the
//! next attempt uses new directories.

use std::sync::mpsc::Sender;

use super::*;

/// Until the snapshot is sealed.
const STEPS: [&str; 5] = ["Created", "Written", "Synced", "Copied", "Proved"];

impl World {
    /// Lets attempts hang at this step until the answer is dropped.
    fn hangs_at(&self, step: &'static str) -> Sender<()> {
        let (release, released) = mpsc::channel();
        self.disk.on_step(move |at| {
            if at == step {
                let _ = released.recv();
            }
        });
        release
    }

    /// Begins a checkpoint that hangs at this step, and writes something more.
    fn begin_checkpoint_up_to(&mut self, step: &str) {
        let ended =
            async { tokio::time::timeout(Duration::from_millis(50), self.store().checkpoint()).await };
        self.runtime.block_on(ended).unwrap_err();
        until(|| self.disk.take_events().iter().any(|event| event == step).then_some(()));
        self.put(2, "goes on");
    }
}

#[test]
fn a_failed_attempt_loses_nothing_and_stops_no_writes() {
    use Operation::{Create, Rename, SyncDir, SyncFile};
    type Fault = Box<dyn Fn(&FaultyDisk)>;
    let mut faults: Vec<(String, Fault)> = Vec::new();
    for operation in [Create, Rename, SyncDir, SyncFile] {
        let fault =
            move |disk: &FaultyDisk| disk.script().faults.push((operation, faulty::SNAPSHOT, Errno::IO));
        faults.push((format!("{operation:?}"), Box::new(fault)));
    }
    for (step, fault) in
        STEPS.into_iter().flat_map(|step| [(step, StepFault::Fail), (step, StepFault::Panic)])
    {
        let at_step = move |disk: &FaultyDisk| disk.fail_step(step, fault);
        faults.push((format!("{step} {fault:?}"), Box::new(at_step)));
    }
    for (what, fault) in faults {
        let mut world = World::new();
        let many: Vec<(u64, Option<&str>)> = (0..500).map(|number| (number, Some("text"))).collect();
        world.batch(&many).unwrap();
        for turn in 0..3 {
            assert_eq!(world.store().health(), Ok(()), "{what}");
            fault(&world.disk);
            assert!(world.checkpoint().is_err(), "{what}");
            assert_eq!(snapshots(&world.dir()), ["0000000000"], "{what}");
            world.put(turn, "goes on");
            world.remove(turn + 10);
            world.disk.heal();
            assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected, "{what}");
        }
        world.checkpoint().unwrap();
        assert_eq!((snapshots(&world.dir()).len(), segments(&world.dir()).len()), (1, 2), "{what}");
        world.crash_and_check();
    }
}

#[test]
fn a_failed_attempt_is_repeated_after_a_wait() {
    let mut world = World::with_one_record();
    world.disk.fail_step("Written", StepFault::Fail);
    assert!(world.checkpoint().is_err());
    world.disk.heal();
    for waits in [30, 60].map(Duration::from_secs) {
        let time = world.store().sizes().map(|sizes| sizes.snapshot_time);
        assert_eq!(time, Some(START), "repeated at once");
        world.clock.advance(waits);
        // When the second is durable, the store has looked at the time.
        world.put(2, "goes on");
        world.put(3, "goes on");
    }
    let snapshot = || world.store().sizes().map(|sizes| sizes.snapshot_time);
    until(|| snapshot().filter(|time| *time > START));
}

#[test]
fn an_attempt_that_hangs_fails_the_store_once_the_journal_is_full() {
    let mut world = World::with_sizes(4096, 16 * 1024);
    world.put(1, "one");
    let _hang = world.hangs_at("Written");
    world.begin_checkpoint_up_to("Written");
    world.clock.advance(Duration::from_secs(300));
    let text = "x".repeat(1000);
    let taken = (0..1000).take_while(|number| world.batch(&[(*number, Some(&text))]).is_ok()).count();
    assert!(taken > 40, "{taken} batches were taken");
    let reason = world.runtime.block_on(world.store().failed());
    assert!(reason.contains("the journal is full"), "{reason}");
    assert_unavailable(&world.batch(&[(3, Some("refused"))]));
    assert!(world.store().health().unwrap_err().contains(&reason));
    assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected);
}

#[test]
fn an_attempt_that_hangs_stops_no_close() {
    let mut world = World::with_one_record();
    let _hang = world.hangs_at("Written");
    world.begin_checkpoint_up_to("Written");
    world.clock.advance(Duration::from_secs(300));
    let error = world.close().unwrap_err().to_string();
    assert!(error.contains("the snapshot is not up to date (it hangs)"), "{error}");
    world.open();
    world.assert_as_expected();
}

#[test]
fn an_entry_that_sled_loses_is_missed() {
    let mut world = World::new();
    let many: Vec<(u64, Option<&str>)> = (0..500).map(|number| (number, Some("text"))).collect();
    world.batch(&many).unwrap();
    let new = world.dir().join("snapshot/0000000001-1.new/0");
    world.disk.on_step(move |step| {
        if step == "Written" {
            // sled may still let go of its lock.
            let mut attempts = std::iter::repeat_with(|| sled::open(&new)).take(10_000);
            let database = attempts.find_map(Result::ok).unwrap();
            database.remove([0; 8]).unwrap().unwrap();
            database.flush().unwrap();
        }
    });
    let error = world.checkpoint().unwrap_err().to_string();
    assert!(error.contains("sled lost records: chunk 0 is missing"), "{error}");
    assert_eq!(snapshots(&world.dir()), ["0000000000"]);
    world.disk.on_step(|_| {});
    world.checkpoint().unwrap();
    world.crash_and_check();
}

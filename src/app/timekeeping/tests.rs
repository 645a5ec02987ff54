//! What the keeper of time writes and says.

use std::fs;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::file::{ClockFile, Found};
use super::keeper::Marks;
use super::*;
use crate::clock::{BootId, Machine, ManualClock};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A machine whose wall clock somebody sets.
struct Set {
    wall: ManualClock,
    own: ManualClock,
}

impl Clock for Set {
    fn now(&self) -> Timestamp {
        self.own.now()
    }

    fn machine(&self) -> Option<Machine> {
        Some(Machine { boot: BootId::from_bytes([1; 16]), up: EVERY, wall: self.wall.now() })
    }
}

#[test]
fn a_mark_says_what_time_it_is_and_how_long_the_machine_is_up() {
    let (home, clock, mut marks) = world();
    marks.mark();
    clock.own.advance(HOUR);
    clock.wall.advance(HOUR);
    marks.mark();
    let boot = BootId::from_bytes([1; 16]).map(|boot| (boot, EVERY));
    assert_eq!(ClockFile::read(home.path()).1, Found::Mark(Mark { time: START.plus(HOUR), boot }));
}

#[test]
fn when_marks_fail_the_log_says_so_once_and_once_when_they_succeed_again() {
    let (home, _clock, mut marks) = world();
    let path = home.path().join("clock");
    let log = log_of(|| {
        for _ in 0..2 {
            // A directory in its place cannot be written to, not even by root.
            let _ = fs::remove_file(&path);
            fs::create_dir(&path).unwrap();
            (0..3).for_each(|_| marks.mark());
            fs::remove_dir(&path).unwrap();
            (0..3).for_each(|_| marks.mark());
        }
    });
    assert_eq!(log.matches("cannot be marked").count(), 2, "{log}");
    assert_eq!(log.matches("can be marked again").count(), 2, "{log}");
    assert_eq!(log.lines().count(), 4, "{log}");
}

#[test]
fn when_the_wall_clock_is_set_the_log_says_so_once_for_each_time() {
    let (_home, clock, mut marks) = world();
    let log = log_of(|| {
        clock.wall.advance(HOUR);
        (0..3).for_each(|_| marks.mark());
        clock.wall.set(START);
        (0..3).for_each(|_| marks.mark());
        clock.wall.set(Timestamp::EPOCH);
        (0..3).for_each(|_| marks.mark());
        // As NTP corrects.
        clock.wall.advance(Duration::from_secs(1));
        marks.mark();
    });
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines[0].contains("forwards") && lines[0].contains("seconds=3600"), "{log}");
    assert!(lines[1].contains("backwards") && lines[1].contains("seconds=3600"), "{log}");
    assert!(lines[2].contains("backwards"), "{log}");
}

#[test]
fn at_a_start_the_log_says_what_is_odd_about_the_clock_and_what_to_do() {
    let hours = |n: u32| HOUR * n;
    for (own, up, said) in [
        (START, EVERY, None),
        (START.plus(hours(1)), EVERY + hours(1), None),
        (START, EVERY + hours(1), Some("is behind")),
        (START.plus(hours(2)), EVERY + hours(1), Some("set forwards")),
        (START.plus(hours(25)), EVERY / 2, Some("away for long")),
    ] {
        let (home, _clock, mut marks) = world();
        marks.mark();
        let log = log_of(|| {
            let clock = EngineClock::over(Arc::new(Started { now: own, up }));
            let beginning = Beginning::of(home.path(), &clock);
            assert!(beginning.is_known);
            assert!(clock.now() >= START);
        });
        match said {
            None => assert_eq!(log, ""),
            Some(said) => assert!(log.contains(said) && log.contains("start again"), "{log}"),
        }
        assert_eq!(log.lines().count(), usize::from(said.is_some()), "{log}");
    }
}

struct Started {
    now: Timestamp,
    up: Duration,
}

impl Clock for Started {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn machine(&self) -> Option<Machine> {
        Some(Machine { boot: BootId::from_bytes([1; 16]), up: self.up, wall: self.now })
    }
}

fn world() -> (TempDir, Arc<Set>, Marks) {
    let home = TempDir::new().unwrap();
    let clock = Arc::new(Set { wall: ManualClock::starting_at(START), own: ManualClock::starting_at(START) });
    let (file, _) = ClockFile::read(home.path());
    let marks = Marks::new(file, Arc::clone(&clock) as Arc<dyn Clock>);
    (home, clock, marks)
}

/// The lines that this thread logs meanwhile.
fn log_of(action: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&log);
    let writer = move || Log(Arc::clone(&into));
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    tracing::subscriber::with_default(subscriber, action);
    let bytes = log.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

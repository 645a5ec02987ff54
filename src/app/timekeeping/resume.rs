//! Where time goes on at a start.

use std::time::Duration;

use super::file::Mark;
use crate::clock::{LATEST, Machine};
use crate::domain::Timestamp;

/// Clocks that differ by less than this are not spoken of: the mark is at most a minute old, and NTP
/// corrects by fractions of a second.
pub(super) const TOLERANCE: Duration = Duration::from_secs(90);

/// Longer than a server is usually away.
const LONG_AWAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is worth telling a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// The machine's clock is behind by so much.
    Behind(Duration),
    /// It was set forwards by so much, and we follow.
    SetForwards(Duration),
    /// By the machine's clock so much has passed; nobody can say whether it has.
    LongAway(Duration),
}

/// How far time has surely come, whatever a clock shows.
pub(super) fn surely_reached(mark: Mark, machine: Option<Machine>) -> Timestamp {
    mark.time.plus(passed(mark, machine).unwrap_or_default()).min(LATEST)
}

/// What has passed since the mark, if that is known.
fn passed(mark: Mark, machine: Option<Machine>) -> Option<Duration> {
    let (boot, up) = mark.boot?;
    let machine = machine.filter(|machine| machine.boot == Some(boot))?;
    // Less time than before since the same boot: the machine was set back as a whole.
    machine.up.checked_sub(up)
}

/// The time to go on from: that of the mark, plus what has surely passed since, but not less than the
/// clock shows, `now`.
pub(super) fn resume(mark: Mark, machine: Option<Machine>, now: Timestamp) -> (Timestamp, Option<Notice>) {
    let passed = passed(mark, machine);
    let reached = mark.time.plus(passed.unwrap_or_default());
    let (behind, ahead) = (reached.since(now), now.since(reached));
    let notice = if behind > TOLERANCE {
        Some(Notice::Behind(behind))
    } else if passed.is_some() && ahead > TOLERANCE {
        Some(Notice::SetForwards(ahead))
    } else if ahead > LONG_AWAY {
        Some(Notice::LongAway(ahead))
    } else {
        None
    };
    (reached.max(now), notice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::BootId;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn while_the_machine_stayed_up_the_downtime_counts_whatever_the_clock_was_set_to() {
        let machine = Some(machine(1, HOUR + 7 * MINUTE));
        for (wall, notice) in [
            (START.plus(7 * MINUTE), None),
            (START.plus(6 * MINUTE), None),
            (START.plus(MINUTE), Some(Notice::Behind(6 * MINUTE))),
            (Timestamp::EPOCH, Some(Notice::Behind(START.plus(7 * MINUTE).since(Timestamp::EPOCH)))),
        ] {
            assert_eq!(resume(mark(), machine, wall), (START.plus(7 * MINUTE), notice));
        }
    }

    #[test]
    fn when_the_clock_was_set_forwards_it_is_followed_and_said() {
        let wall = START.plus(7 * MINUTE + HOUR);
        let resumed = resume(mark(), Some(machine(1, HOUR + 7 * MINUTE)), wall);
        assert_eq!(resumed, (wall, Some(Notice::SetForwards(HOUR))));
    }

    #[test]
    fn after_a_boot_the_clock_is_believed_unless_it_is_behind() {
        for machine in [Some(machine(2, 9 * HOUR)), None] {
            let day = 24 * HOUR;
            assert_eq!(resume(mark(), machine, START.plus(day)), (START.plus(day), None));
            let late = START.plus(day + HOUR);
            assert_eq!(resume(mark(), machine, late), (late, Some(Notice::LongAway(day + HOUR))));
            let early = Timestamp::from_millis(5);
            assert_eq!(resume(mark(), machine, early), (START, Some(Notice::Behind(START.since(early)))));
        }
    }

    #[test]
    fn when_the_machine_was_set_back_as_a_whole_nothing_is_subtracted() {
        let resumed = resume(mark(), Some(machine(1, MINUTE)), START);
        assert_eq!(resumed, (START, None));
    }

    #[test]
    fn no_time_is_so_far_away_that_a_sum_does_not_fit() {
        let far = Mark { time: Timestamp::from_millis(u64::MAX), ..mark() };
        assert_eq!(resume(far, Some(machine(1, Duration::MAX)), START).0, Timestamp::from_millis(u64::MAX));
    }

    #[test]
    fn what_has_surely_passed_is_what_passed_in_the_same_boot() {
        assert_eq!(surely_reached(mark(), Some(machine(1, 2 * HOUR))), START.plus(HOUR));
        for machine in [Some(machine(1, MINUTE)), Some(machine(2, 2 * HOUR)), None] {
            assert_eq!(surely_reached(mark(), machine), START);
        }
        let far = Mark { time: LATEST, ..mark() };
        assert_eq!(surely_reached(far, Some(machine(1, Duration::MAX))), LATEST);
    }

    /// Written an hour after boot 1.
    fn mark() -> Mark {
        Mark { time: START, boot: Some((BootId::from_bytes([1; 16]).unwrap(), HOUR)) }
    }

    fn machine(boot: u8, up: Duration) -> Machine {
        Machine { boot: BootId::from_bytes([boot; 16]), up, wall: START }
    }
}

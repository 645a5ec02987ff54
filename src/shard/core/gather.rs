//! When the next batch is cut: at once, or after a moment for more commands to come.
//!
//! A commit costs about as much processor time as two requests, whatever it carries. Under load a shard that has been answered
//! therefore waits a moment before it cuts the next batch; what comes meanwhile goes with it. Whoever is alone waits for nobody.

use std::time::Duration;

/// For each command of the batch before.
const FOR_EACH: Duration = Duration::from_micros(10);

/// A shorter wait than this would not be worth a timer.
const SHORTEST: Duration = Duration::from_micros(40);

/// Longer ones make commits hardly any cheaper, and answers later.
const LONGEST: Duration = Duration::from_micros(400);

/// Whether a shard waits, and for how long it asks.
#[derive(Debug, Default)]
pub struct Gathering {
    /// Whether somebody is there who calls when the moment is over.
    allowed: bool,
    on: bool,
    asked: Option<Duration>,
}

impl Gathering {
    /// From now on it may wait.
    pub const fn allow(&mut self) {
        self.allowed = true;
    }

    /// A batch of so many commands was answered.
    pub fn after(&mut self, commands: usize) {
        let wait = wait_after(commands);
        if self.allowed && !wait.is_zero() {
            self.on = true;
            self.asked = Some(wait);
        }
    }

    /// Whether the next batch waits.
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// How long somebody is to wait before he says that it is over.
    pub const fn take(&mut self) -> Option<Duration> {
        self.asked.take()
    }

    /// The moment is over.
    pub const fn end(&mut self) {
        self.on = false;
    }
}

fn wait_after(commands: usize) -> Duration {
    let commands = u32::try_from(commands).unwrap_or(u32::MAX);
    let wait = FOR_EACH.saturating_mul(commands).min(LONGEST);
    if wait < SHORTEST { Duration::ZERO } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_alone_waits_for_nobody_and_a_crowd_for_a_moment() {
        assert_eq!(wait_after(0), Duration::ZERO);
        assert_eq!(wait_after(3), Duration::ZERO);
        assert_eq!(wait_after(4), Duration::from_micros(40));
        assert_eq!(wait_after(12), Duration::from_micros(120));
        assert_eq!(wait_after(usize::MAX), LONGEST);
    }

    #[test]
    fn without_somebody_who_calls_nothing_waits() {
        let mut gathering = Gathering::default();
        gathering.after(100);
        assert!(!gathering.is_on() && gathering.take().is_none());
    }
}

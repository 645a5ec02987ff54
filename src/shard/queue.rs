//! Commands that wait, and how many of each subject are under way.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use indexmap::IndexMap;

use super::command::{Command, Load, Subject};
use super::record::Hasher;

/// Commands that wait for a gateway's answer, by subject, in arrival order. The limit on commands in flight bounds
/// them.
#[derive(Default)]
pub struct Parking(IndexMap<Subject, VecDeque<Box<dyn Command>>, Hasher>);

impl Parking {
    /// Whether a command of this subject waits here.
    pub fn holds(&self, subject: &Subject) -> bool {
        self.0.contains_key(subject)
    }

    /// Appends a command to those of its subject.
    pub fn park(&mut self, command: Box<dyn Command>) {
        self.0.entry(command.subject()).or_default().push_back(command);
    }

    /// All commands of a subject.
    pub fn take(&mut self, subject: &Subject) -> VecDeque<Box<dyn Command>> {
        self.0.shift_remove(subject).unwrap_or_default()
    }

    /// The commands of every subject whose first one need not wait any more.
    pub fn take_ready(&mut self, mut must_wait: impl FnMut(&dyn Command) -> bool) -> Vec<Box<dyn Command>> {
        let ready = |_: &Subject, commands: &mut VecDeque<Box<dyn Command>>| {
            commands.front().is_none_or(|first| !must_wait(&**first))
        };
        self.0.extract_if(.., ready).flat_map(|(_, commands)| commands).collect()
    }
}

/// Commands about one subject that are not answered yet.
#[derive(Default, Clone, Copy)]
struct SubjectLoad {
    /// All of them, those at a gateway included.
    unanswered: usize,
    /// Commands that wait for a decision or a commit.
    queued: usize,
}

/// The number of commands in progress for each subject.
#[derive(Default)]
pub struct Loads(HashMap<Subject, SubjectLoad, Hasher>);

impl Loads {
    /// The number of commands that count against this command's limit. A send at a gateway does not count against
    /// checks: a hanging gateway blocks no check.
    pub fn of(&self, command: &dyn Command) -> usize {
        let counts = || self.0.get(&command.subject()).copied().unwrap_or_default();
        match command.load() {
            Load::Unbounded | Load::Settlement => 0,
            Load::UntilDecided => counts().queued,
            Load::UntilAnswered => counts().unanswered,
        }
    }

    /// Counts a command. Returns `true` if no other command of its subject waits.
    pub fn add(&mut self, command: &dyn Command) -> bool {
        let counts = self.0.entry(command.subject()).or_default();
        // A settlement is about a command that is counted already.
        if command.load() != Load::Settlement {
            counts.unanswered += 1;
        }
        counts.queued += 1;
        counts.queued == 1
    }

    /// A command of this subject went on to a gateway, or has its answer.
    pub fn unqueue(&mut self, subject: &Subject, answered: bool) {
        let Some(counts) = self.0.get_mut(subject) else { return };
        counts.queued = counts.queued.saturating_sub(1);
        if answered {
            counts.unanswered = counts.unanswered.saturating_sub(1);
        }
        if counts.queued == 0 && counts.unanswered == 0 {
            self.0.remove(subject);
        }
    }
}

/// Delays the next batch of a busy shard, so that it contains more commands. A commit costs about as much processor
/// time as two requests, independent of its size. A lone request is never delayed.
#[derive(Debug, Default)]
pub struct BatchDelay {
    /// Whether the owner of the shard calls [`super::core::Core::batch_delay_ended`] when the wait is over.
    enabled: bool,
    waiting: bool,
    pending_timer: Option<Duration>,
}

/// The wait for each command of the batch before.
const WAIT_PER_COMMAND: Duration = Duration::from_micros(10);
/// A shorter wait than this is not worth a timer.
const SHORTEST_WAIT: Duration = Duration::from_micros(40);
/// A longer wait makes commits hardly any cheaper.
const LONGEST_WAIT: Duration = Duration::from_micros(400);

impl BatchDelay {
    /// From now on batches may wait.
    pub const fn enable(&mut self) {
        self.enabled = true;
    }

    /// Sets the wait after a batch of `commands` commands.
    pub fn after(&mut self, commands: usize) {
        let commands = u32::try_from(commands).unwrap_or(u32::MAX);
        let wait = WAIT_PER_COMMAND.saturating_mul(commands).min(LONGEST_WAIT);
        if self.enabled && wait >= SHORTEST_WAIT {
            self.waiting = true;
            self.pending_timer = Some(wait);
        }
    }

    /// Whether the next batch waits.
    pub const fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Takes the wait that the actor has to observe, if one was set.
    pub const fn take(&mut self) -> Option<Duration> {
        self.pending_timer.take()
    }

    /// The wait is over.
    pub const fn end(&mut self) {
        self.waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_request_is_never_delayed_and_a_busy_shard_waits_a_moment() {
        let wait_after = |commands| {
            let mut delay = BatchDelay::default();
            delay.enable();
            delay.after(commands);
            delay.take()
        };
        assert_eq!(wait_after(0), None);
        assert_eq!(wait_after(3), None);
        assert_eq!(wait_after(4), Some(Duration::from_micros(40)));
        assert_eq!(wait_after(12), Some(Duration::from_micros(120)));
        assert_eq!(wait_after(usize::MAX), Some(LONGEST_WAIT));
    }

    #[test]
    fn without_a_timer_no_batch_waits() {
        let mut delay = BatchDelay::default();
        delay.after(100);
        assert!(!delay.is_waiting() && delay.take().is_none());
    }
}

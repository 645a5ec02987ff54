//! Commands that wait, and how many of each subject are under way.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use indexmap::IndexMap;

use super::command::{AnyCommand, Load, Subject};
use super::record::Hasher;

/// Commands that wait for a gateway's answer, by subject, in arrival order. The limit on commands in flight bounds
/// them.
#[derive(Default)]
pub struct Parking(IndexMap<Subject, VecDeque<Box<dyn AnyCommand>>, Hasher>);

impl Parking {
    /// Whether a command of this subject waits here.
    pub fn holds(&self, subject: &Subject) -> bool {
        self.0.contains_key(subject)
    }

    /// Appends a command to those of its subject.
    pub fn park(&mut self, command: Box<dyn AnyCommand>) {
        self.0.entry(command.subject()).or_default().push_back(command);
    }

    /// All commands of a subject.
    pub fn take(&mut self, subject: &Subject) -> VecDeque<Box<dyn AnyCommand>> {
        self.0.shift_remove(subject).unwrap_or_default()
    }

    /// The commands of every subject whose first one need not wait any more.
    pub fn take_ready(
        &mut self,
        mut must_wait: impl FnMut(&mut dyn AnyCommand) -> bool,
    ) -> Vec<Box<dyn AnyCommand>> {
        let ready = |_: &Subject, commands: &mut VecDeque<Box<dyn AnyCommand>>| {
            commands.front_mut().is_none_or(|first| !must_wait(&mut **first))
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
    pub fn of(&self, command: &dyn AnyCommand) -> usize {
        let counts = || self.0.get(&command.subject()).copied().unwrap_or_default();
        match command.load() {
            Load::Unbounded | Load::Settlement => 0,
            Load::UntilDecided => counts().queued,
            Load::UntilAnswered => counts().unanswered,
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a command. Returns `true` if no other command of its subject waits.
    pub fn add(&mut self, command: &dyn AnyCommand) -> bool {
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

/// Delays the next batch, so that it contains more commands. A commit costs about as much processor time as two requests,
/// independent of its size. A lone client is never delayed.
#[derive(Debug, Default)]
pub struct BatchDelay {
    /// Whether the owner of the shard calls [`super::core::Core::batch_delay_ended`] when the wait is over.
    enabled: bool,
    /// The commands that the next batch waits for.
    wanted: usize,
    pending_timer: Option<Duration>,
    /// The duration of the last commit.
    commit: Duration,
}

/// A batch of this many commands or more is followed by a wait for each of its commands, where commits are short.
const MANY_COMMANDS: usize = 9;
const WAIT_PER_COMMAND: Duration = Duration::from_micros(10);
/// After another batch, the clients that it answered and those that wait may come together. The shard waits for them for
/// as long as this many commits take.
const COMMITS_WAITED: u32 = 4;
/// Commits up to this time are short: a longer wait makes them hardly any cheaper. After a longer commit, as to a cluster's
/// etcd, the shard waits at most for as long as it took.
const SHORT_COMMIT: Duration = Duration::from_micros(400);
/// A disk that hangs for a while delays no later batch.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

impl BatchDelay {
    /// From now on batches may wait.
    pub const fn enable(&mut self) {
        self.enabled = true;
    }

    /// Notes how long the last commit took.
    pub const fn commit_took(&mut self, time: Duration) {
        self.commit = time;
    }

    /// Sets the wait after a batch of `answered` commands, while `waiting` others wait already.
    pub fn after(&mut self, answered: usize, waiting: usize) {
        let (wanted, wait) = if answered < MANY_COMMANDS || self.commit > SHORT_COMMIT {
            (answered + waiting, self.commit.saturating_mul(COMMITS_WAITED))
        } else {
            let commands = u32::try_from(answered).unwrap_or(u32::MAX);
            (usize::MAX, WAIT_PER_COMMAND.saturating_mul(commands))
        };
        if self.enabled && wanted > waiting.max(1) && !wait.is_zero() {
            self.wanted = wanted;
            self.pending_timer = Some(wait.min(self.commit.clamp(SHORT_COMMIT, LONGEST_WAIT)));
        }
    }

    /// Whether the next batch waits, with so many commands in it.
    pub const fn is_waiting(&self, commands: usize) -> bool {
        commands < self.wanted
    }

    /// Takes the wait that the actor has to observe, if one was set.
    pub const fn take(&mut self) -> Option<Duration> {
        self.pending_timer.take()
    }

    /// The wait is over.
    pub const fn end(&mut self) {
        self.wanted = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_client_is_never_delayed_and_a_busy_shard_waits_a_moment() {
        let wait_after_commit = |commit, answered, waiting| {
            let mut delay = BatchDelay::default();
            delay.enable();
            delay.commit_took(Duration::from_micros(commit));
            delay.after(answered, waiting);
            (delay.wanted, delay.take().map(|wait| wait.as_micros()))
        };
        let wait_after = |answered, waiting| wait_after_commit(80, answered, waiting);
        assert_eq!([wait_after(0, 0), wait_after(1, 0), wait_after(0, 5)], [(0, None); 3]);
        assert_eq!(wait_after(1, 1), (2, Some(320)));
        assert_eq!(wait_after(8, 2), (10, Some(320)));
        assert_eq!(wait_after(12, 9), (usize::MAX, Some(120)));
        assert_eq!(wait_after(usize::MAX, 0), (usize::MAX, Some(400)));
        assert_eq!(wait_after_commit(300, 3, 2), (5, Some(400)));
        assert_eq!(wait_after_commit(4_000, 1, 0), (0, None));
        assert_eq!(wait_after_commit(4_000, 20, 12), (32, Some(4_000)));
    }
}

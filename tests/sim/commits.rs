//! The progress of a commit, and everything that the store may do with it.

use onceward::store::StoreError;
use rand::RngExt;

use crate::disk::{Committed, Fault};
use crate::facts::{Checked, What};
use crate::setup::millis;
use crate::shard::{COMMIT_TIMEOUT, InFlight, Progress};
use crate::world::World;

impl World {
    pub fn commit_goes_on(&mut self) -> Checked {
        let shard = self.any_shard();
        let fault = self.some_fault();
        self.commit_of(shard, fault)
    }

    fn some_fault(&mut self) -> Option<Fault> {
        if !self.chance(self.setup.faults) {
            return None;
        }
        Some(match self.rng.random_range(0..5) {
            0 => Fault::Unavailable,
            1 => Fault::UnknownApplied,
            2 => Fault::UnknownNotApplied,
            _ => Fault::Hang,
        })
    }

    /// The fault of a commit that would meet `fault`: a process without its lease commits nothing.
    fn fenced(&mut self, fault: Option<Fault>) -> Option<Fault> {
        if !self.is_stale {
            return fault;
        }
        self.tally.count("a commit is without the lease");
        Some(Fault::Fenced)
    }

    /// Advances this shard's commit, which meets this fault.
    pub fn commit_of(&mut self, shard: usize, fault: Option<Fault>) -> Checked {
        let Some(mut commit) = self.shards[shard].commit.take() else {
            if self.shards[shard].has_decided() {
                self.tally.count("a batch waits for more commands");
                self.takes_commit(shard);
            }
            return Ok(());
        };
        match commit.progress {
            Progress::Before => {
                commit.progress = self.reaches_the_store(shard, &commit, fault);
                let stays = matches!(commit.progress, Progress::Hanging) || self.chance(30);
                self.shards[shard].commit = Some(commit);
                if stays { Ok(()) } else { self.commit_of(shard, None) }
            }
            Progress::Hanging if self.chance(40) && !self.setup.calm => {
                self.shards[shard].commit = Some(commit);
                // Sometimes for so long that the shard refuses commands.
                if self.chance(50) {
                    self.clock += millis(COMMIT_TIMEOUT);
                    self.happens("a commit takes too long");
                    return self.sweep(shard);
                }
                Ok(())
            }
            Progress::Hanging => {
                self.event();
                let fault = match self.rng.random_range(0..10) {
                    0..6 => None,
                    6..8 => Some(Fault::UnknownApplied),
                    _ => Some(Fault::UnknownNotApplied),
                };
                let end = if fault.is_none() { "applied" } else { "failed" };
                self.tally.count(format!("fault Hang, then {end}"));
                let fault = self.fenced(fault);
                let committed = self.stores(shard, &commit, fault).expect("an answer");
                self.says(&commit.numbers, || {
                    format!("[shard {shard}] its commit hangs no more (fault {fault:?})")
                });
                commit.progress = Progress::Unanswered(committed);
                self.shards[shard].commit = Some(commit);
                self.commit_of(shard, None)
            }
            Progress::Unanswered(committed) => {
                commit.progress = Progress::Before;
                self.hears_of_it(shard, &commit, &committed)
            }
        }
    }

    /// This shard's commit, if the store does not have it yet, is applied, and the shard does not know.
    pub fn commit_reaches_the_store(&mut self, shard: usize) {
        if let Some(mut commit) = self.shards[shard].commit.take() {
            if matches!(commit.progress, Progress::Before) {
                commit.progress = self.reaches_the_store(shard, &commit, None);
            }
            self.shards[shard].commit = Some(commit);
        }
    }

    fn reaches_the_store(&mut self, shard: usize, commit: &InFlight, fault: Option<Fault>) -> Progress {
        self.event();
        let fault = self.fenced(fault);
        match fault {
            None | Some(Fault::Hang) => {}
            Some(fault) => self.tally.count(format!("fault {fault:?}")),
        }
        let progress = self.stores(shard, commit, fault).map_or(Progress::Hanging, Progress::Unanswered);
        let words = match &progress {
            Progress::Unanswered(Ok(())) => "applied".to_owned(),
            Progress::Unanswered(Err(error)) => error.to_string(),
            Progress::Before | Progress::Hanging => "hangs".to_owned(),
        };
        self.says(&commit.numbers, || {
            format!("[shard {shard}] its commit reaches the store (fault {fault:?}): {words}")
        });
        progress
    }

    /// The store commits the batch, or has this fault. `None` if it hangs.
    fn stores(&mut self, shard: usize, commit: &InFlight, fault: Option<Fault>) -> Option<Committed> {
        if matches!(fault, None | Some(Fault::UnknownApplied)) {
            self.shards[shard].stored = commit.taken;
        }
        self.disk.commit(&commit.writes, fault)
    }

    fn hears_of_it(&mut self, shard: usize, commit: &InFlight, committed: &Committed) -> Checked {
        let applied = committed.is_ok();
        if applied {
            self.tally.count("a commit is applied");
            if commit.numbers.len() > 1 {
                self.tally.count("a commit is of several numbers");
            }
            for number in &commit.numbers {
                let found = self.on_disk(*number);
                self.notes_now(shard, *number, What::Stored(commit.taken, found));
            }
        }
        self.event();
        self.says(&commit.numbers, || format!("[shard {shard}] hears of its commit"));
        let now = self.shards[shard].tick(self.clock);
        self.shards[shard].core.committed(committed, now);
        self.notes_output(shard)?;
        self.takes_commit(shard);
        // A process that does not know what the disk has ends, and the next one finds it.
        match committed {
            Err(StoreError::Unknown(_)) => self.crashes(),
            _ => Ok(()),
        }
    }

    /// A shard dies with its commit, alone or with its process: decides how far the commit was and what happens to it.
    /// Only then may another restore the shard.
    pub fn commit_dies(&mut self, shard: usize) {
        let Some(commit) = self.shards[shard].commit.take() else {
            self.tally.count("crash without a commit");
            return;
        };
        self.event();
        let fault = match &commit.progress {
            Progress::Before | Progress::Hanging => self.chance(50).then_some(Fault::Unavailable),
            Progress::Unanswered(_) => {
                self.tally.count("crash after the commit, unanswered");
                return;
            }
        };
        let fault = self.fenced(fault);
        self.tally.count(match (&commit.progress, fault) {
            (Progress::Hanging, _) => "crash while the store hangs",
            (_, None) => "crash after the commit, unanswered",
            (_, Some(_)) => "crash before the commit",
        });
        self.says(&commit.numbers, || format!("[shard {shard}] dies in its commit: {fault:?}"));
        self.stores(shard, &commit, fault);
    }
}

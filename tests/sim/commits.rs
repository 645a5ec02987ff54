//! How a commit goes on, and everything that the store may do with it.

use onceward::engine::NumberState;
use onceward::numbers::record;
use onceward::store::{Fault, Outcome, StoreError, Write};
use rand::RngExt;

use crate::count::Memory;
use crate::disk::Committed;
use crate::facts::What;
use crate::node::{InFlight, Progress};
use crate::outcome::Heard;
use crate::setup::StoreKind;
use crate::world::World;

impl World {
    /// The commit of some node comes one step further.
    pub fn commit_goes_on(&mut self) -> Result<(), String> {
        let node = self.any_node();
        let fault = self.some_fault();
        self.commit_of(node, fault)
    }

    fn some_fault(&mut self) -> Option<Fault> {
        if !self.chance(self.setup.faults) {
            return None;
        }
        Some(match self.rng.random_range(0..6) {
            0 => Fault::Unavailable,
            1 => Fault::UnknownApplied,
            2 => Fault::UnknownNotApplied,
            3 => Fault::Torn(self.rng.random()),
            4 if self.setup.store == StoreKind::Comparing => Fault::Conflict,
            _ => Fault::Hang,
        })
    }

    /// The commit of this node comes one step further, and meets this fault.
    pub fn commit_of(&mut self, node: usize, fault: Option<Fault>) -> Result<(), String> {
        let Some(mut commit) = self.nodes[node].commit.take() else { return Ok(()) };
        match commit.progress {
            Progress::Before => {
                commit.progress = self.reaches_the_store(node, &commit.writes, fault);
                if matches!(commit.progress, Progress::Hanging(_)) || self.chance(30) {
                    self.nodes[node].commit = Some(commit);
                    return Ok(());
                }
                self.nodes[node].commit = Some(commit);
                self.commit_of(node, None)
            }
            Progress::Hanging(hanging) => {
                let effect = self.event();
                let committed = if self.chance(60) {
                    self.tally.count("fault Hang, then applied");
                    self.disk.releases(hanging)
                } else {
                    drop(hanging);
                    self.tally.count("fault Hang, then given up");
                    self.may_arrive_late(commit.writes.clone());
                    Err(StoreError::Unknown("no answer in time".to_owned()))
                };
                commit.progress = Progress::Unanswered(committed, effect);
                self.nodes[node].commit = Some(commit);
                self.commit_of(node, None)
            }
            Progress::Unanswered(committed, effect) => {
                commit.progress = Progress::Before;
                self.hears_of_it(node, commit, committed, effect)
            }
        }
    }

    fn reaches_the_store(&mut self, node: usize, writes: &[Write], fault: Option<Fault>) -> Progress {
        let effect = self.event();
        if let Some(fault) = fault {
            let name = format!("{fault:?}");
            let name = name.split('(').next().unwrap_or_default();
            if fault != Fault::Hang {
                self.tally.count(format!("fault {name}"));
            }
        }
        let progress = match self.disk.commit(writes.to_vec(), fault) {
            Ok(committed) => Progress::Unanswered(committed, effect),
            Err(hanging) => Progress::Hanging(hanging),
        };
        if fault == Some(Fault::UnknownNotApplied) {
            self.may_arrive_late(writes.to_vec());
        }
        let words = match &progress {
            Progress::Unanswered(Ok(outcomes), _) => outcomes.iter().map(word).collect::<Vec<_>>().join(", "),
            Progress::Unanswered(Err(error), _) => error.to_string(),
            _ => "hangs".to_owned(),
        };
        self.says(&[], || format!("[node {node}] its commit reaches the store (fault {fault:?}): {words}"));
        progress
    }

    /// A request to a store in a network may arrive after nobody waits for it any more. Where one node is alone, its
    /// process is the only writer, and what it holds in memory is never behind.
    pub fn may_arrive_late(&mut self, writes: Vec<Write>) {
        let may = self.setup.store == StoreKind::Comparing && !self.is_alone();
        if may && self.chance(50) {
            self.late.push(writes);
        }
    }

    pub fn late_write_arrives(&mut self) {
        let Some(writes) = self.late.pop() else { return };
        self.tally.count("a given up write arrives late");
        let Ok(Ok(outcomes)) = self.disk.commit(writes.clone(), None) else { return };
        self.event();
        self.says(&[], || {
            format!("a late write arrives: {:?}", outcomes.iter().map(word).collect::<Vec<_>>())
        });
        for (write, outcome) in writes.iter().zip(outcomes) {
            if let Outcome::Applied(_) = outcome {
                let memory = memory_of(&state_of(write));
                self.notes_now(0, self.number_of(write), What::Arrived(memory));
            }
        }
    }

    fn hears_of_it(
        &mut self,
        node: usize,
        commit: InFlight,
        committed: Committed,
        effect: u64,
    ) -> Result<(), String> {
        let InFlight { writes, numbers, taken_at, taken, .. } = commit;
        if let Ok(outcomes) = &committed {
            for ((write, number), outcome) in writes.iter().zip(&numbers).zip(outcomes) {
                match outcome {
                    Outcome::Applied(_) => {
                        self.nodes[node].wrote.insert(*number, state_of(write));
                    }
                    Outcome::Conflict(_) => {
                        self.tally.count("conflict");
                        self.nodes[node].wrote.remove(number);
                    }
                }
            }
            self.tally.count("commit applied");
            if writes.len() > 1 {
                self.tally.count("commit of several numbers");
            }
        }
        let applied = committed.is_ok();
        let heard = Heard { numbers, taken_at, taken, effect };
        // What a commit did of which nobody is told now comes before or after what somebody is told of.
        if applied {
            self.may_be_decided(node, &heard);
        }
        self.event();
        self.says(&[], || format!("[node {node}] hears of its commit"));
        let now = self.nodes[node].tick(self.clock);
        self.nodes[node].core.committed(committed, now);
        self.comes_out(node, Some(&heard))?;
        if applied {
            self.may_be_decided(node, &heard);
        }
        Ok(())
    }

    /// The commit of a node whose shard or process dies: where it is then, and what becomes of it.
    pub fn commit_dies(&mut self, node: usize) {
        let Some(commit) = self.nodes[node].commit.take() else {
            self.tally.count("crash without a commit");
            return;
        };
        let now = self.event();
        let effect = match &commit.progress {
            Progress::Before => {
                let fault = match self.rng.random_range(0..3) {
                    0 => None,
                    1 => Some(Fault::Torn(self.rng.random())),
                    _ => Some(Fault::Unavailable),
                };
                self.tally.count(match fault {
                    None => "crash after the commit, unanswered",
                    Some(Fault::Torn(_)) => "crash in the commit",
                    Some(_) => "crash before the commit",
                });
                let words = format!("[node {node}] dies in its commit: {fault:?}");
                self.says(&commit.numbers, || words);
                let _ = self.disk.commit(commit.writes.clone(), fault);
                if fault == Some(Fault::Unavailable) {
                    self.may_arrive_late(commit.writes.clone());
                }
                now
            }
            Progress::Hanging(_) => {
                self.tally.count("crash while the store hangs");
                self.may_arrive_late(commit.writes.clone());
                now
            }
            Progress::Unanswered(_, effect) => {
                self.tally.count("crash after the commit, unanswered");
                *effect
            }
        };
        self.doubts(node, &commit, effect);
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied(_) => "applied",
        Outcome::Conflict(_) => "conflict",
    }
}

fn state_of(write: &Write) -> NumberState {
    write.put.as_ref().map_or(NumberState::Fresh, |bytes| record::decode(bytes).expect("a record"))
}

/// A record in the contract's words.
fn memory_of(state: &NumberState) -> Memory {
    match state {
        NumberState::Fresh => Memory::Nothing,
        NumberState::Locked { until } => Memory::Locked { until: until.as_millis() },
        NumberState::Open { failures, keep_until, tally: _, verification } => Memory::Open {
            wrong: *failures,
            keep: keep_until.as_millis(),
            asking: verification.map_or(0, |v| v.checking_until.as_millis()),
        },
    }
}

//! The end of all faults: everything that waits must end, and the system must answer again.

use std::time::Duration;

use onceward::delivery::attempts::AttemptLog;
use onceward::engine::NumberState;
use onceward::shard::Record as _;
use onceward::verification::numbers::{CheckOutcome, SendOutcome};

use crate::facts::{Checked, Fact, Outcome, What};
use crate::setup::millis;
use crate::world::World;

/// Far more rounds than any command needs.
const ROUNDS: usize = 2_000;

impl World {
    pub fn ends(&mut self) -> Checked {
        self.event();
        self.says(&[], || "the trouble ends".to_owned());
        if self.former.is_some() {
            self.former_ends()?;
        }
        if self.is_stale {
            self.crashes()?;
        }
        self.comes_to_rest()?;
        if let Some((command, open)) = self.commands.first_key_value() {
            return Err(format!("command {command} is never answered: {:?}, {:?}", open.intent, open.stage));
        }
        if self.places.in_flight() != 0 {
            return Err("a command kept its place".to_owned());
        }
        for number in 0..self.setup.numbers.len() {
            self.works_again(number)?;
        }
        self.all_is_freed()
    }

    /// Ends everything in flight, including the waits for gateways that never answered.
    fn comes_to_rest(&mut self) -> Checked {
        for round in 0..ROUNDS {
            let idle = self.sends.is_empty()
                && self.checks.is_empty()
                && self.shards.iter().all(|shard| shard.commit.is_none());
            if idle && self.commands.is_empty() {
                return Ok(());
            }
            if idle {
                self.clock += millis(self.setup.check_budget);
                // A question may be open until a time before the clock was set back.
                if round == ROUNDS / 2 {
                    self.clock = self.clock.max(self.latest);
                }
            }
            for shard in self.current() {
                self.commits_all(shard)?;
                self.sweep(shard)?;
            }
            self.send_ends()?;
            self.gateway_says()?;
        }
        Ok(())
    }

    fn commits_all(&mut self, shard: usize) -> Checked {
        for _ in 0..ROUNDS {
            if self.shards[shard].commit.is_none() {
                return Ok(());
            }
            self.commit_of(shard, None)?;
        }
        Err("a shard commits for ever".to_owned())
    }

    /// After the longest memory of any record: a new code is sent and works.
    fn works_again(&mut self, number: usize) -> Checked {
        // A record may have a time from before the clock was set back.
        let longest = self.setup.policy(number).lockout_time() + self.setup.check_budget;
        self.clock = self.clock.max(self.latest) + 2 * millis(Duration::from_secs(600) + longest);
        self.setup.calm = true;
        for _ in 0..50 {
            let first = self.facts.len();
            self.sends(number)?;
            self.comes_to_rest()?;
            let sent = |answer: &Outcome| {
                matches!(answer, Outcome::Send(SendOutcome::Sent { postponed: false, .. }))
            };
            if !self.answered_since(first, sent) {
                continue;
            }
            let code = self.inbox.get(&number).and_then(|codes| codes.last()).cloned();
            self.checks(number, code)?;
            self.comes_to_rest()?;
            if self.answered_since(first, |answer| *answer == Outcome::Check(CheckOutcome::Approved)) {
                return Ok(());
            }
            return Err(format!("number {number} cannot be verified after the trouble"));
        }
        Err(format!("number {number} is sent nothing after the trouble"))
    }

    fn answered_since(&self, first: usize, is: impl Fn(&Outcome) -> bool) -> bool {
        let fits = |fact: &Fact| matches!(&fact.what, What::Answered(_, _, answer) if is(answer));
        self.facts[first..].iter().any(fits)
    }

    fn all_is_freed(&mut self) -> Checked {
        self.clock = self.clock.max(self.latest) + 1_000_000_000;
        for shard in 0..self.shards.len() {
            let tables = self.shards[shard].core.tables();
            for _ in 0..tables.len_of(NumberState::KIND) + tables.len_of(AttemptLog::KIND) {
                self.sweep(shard)?;
            }
            for (kind, what) in [(NumberState::KIND, "numbers"), (AttemptLog::KIND, "records of attempts")] {
                let left = self.shards[shard].core.tables().len_of(kind);
                if left > 0 {
                    return Err(format!("{left} {what} stay in the memory of shard {shard}"));
                }
            }
        }
        Ok(())
    }
}

//! Crashes, panics, the clock, the sweep, and the end of all faults: then everything that waits must end, and the system
//! must answer again.

use std::time::Duration;

use onceward::delivery::attempts::AttemptLog;
use onceward::domain::Timestamp;
use onceward::engine::NumberState;
use onceward::shard::{Record as _, RecordKey};
use onceward::verification::in_flight::Commands;
use onceward::verification::{CheckOutcome, Sent};
use rand::RngExt;

use crate::facts::{Checked, Fact, Outcome, Stage, What};
use crate::setup::millis;
use crate::shard::{PLACES, Shard};
use crate::world::World;

const SWEEP_STEP: usize = 4;

/// Far more rounds than any command needs.
const ROUNDS: usize = 2_000;

impl World {
    /// The process loses its lease in a cluster. From now on none of its commits is applied, also none that was on its
    /// way. It may consider its lease valid for some time, and answers what it had decided. Then it ends, and starts again.
    pub fn loses_its_lease(&mut self) {
        if self.is_stale {
            return;
        }
        // What reaches the store now is answered after the loss.
        for shard in 0..self.shards.len() {
            if self.chance(50) {
                self.commit_reaches_the_store(shard);
            }
        }
        self.happens("a lease is lost");
        self.is_stale = true;
        if self.chance(50) {
            self.knows_of_its_loss = true;
            self.shards.iter_mut().for_each(|shard| shard.core.set_owns_records(false));
        }
    }

    /// The process dies and starts again from the store.
    pub fn crashes(&mut self) -> Checked {
        self.says(&[], || "the process dies".to_owned());
        for shard in 0..self.shards.len() {
            self.commit_dies(shard);
        }
        self.sends.clear();
        self.checks.clear();
        self.places = Commands::new(PLACES, self.setup.commands_per_number);
        for shard in 0..self.shards.len() {
            self.restarts(shard)?;
        }
        (self.is_stale, self.knows_of_its_loss) = (false, false);
        if self.commands.is_empty() { Ok(()) } else { Err("a command outlived its process".to_owned()) }
    }

    /// A shard fails and starts again from the store. Its requests to gateways continue.
    pub fn panics(&mut self) -> Checked {
        if self.is_stale {
            // It can read nothing from the store.
            return Ok(());
        }
        let shard = self.any_shard();
        self.happens("a shard panics");
        self.commit_dies(shard);
        self.restarts(shard)
    }

    /// The core starts again from the durable records of its slots.
    fn restarts(&mut self, shard: usize) -> Checked {
        let slots = self.setup.slots_of(shard);
        let Shard { life, stored, .. } = self.shards[shard];
        let records = self.disk.load(&slots);
        self.shards[shard] = Shard { life: life + 1, ..Shard::new(&self.setup, records, &mut self.rng) };
        for number in 0..self.setup.numbers.len() {
            if slots.contains(&self.slot(number)) {
                let found = self.on_disk(number);
                let (call, at) = (self.event(), self.latest.max(self.clock));
                let (refuses, what) = (self.refuses(shard), What::Reloaded(stored, found));
                self.notes(Fact { call, number, shard, at, refuses, what });
            }
        }
        self.comes_out(shard)
    }

    pub fn clock_goes_on(&mut self) {
        let number = self.any_number();
        let policy = self.setup.policy(number);
        let (life, lockout) = (policy.code.life, policy.lockout_time());
        let (step, what) = match self.rng.random_range(0..20) {
            0..14 => (self.rng.random_range(0..4_000), "clock small step"),
            14..17 => (millis(life) + self.rng.random_range(0..2_000), "clock past expiry"),
            17..19 => (millis(lockout) + self.rng.random_range(0..2), "clock past lockout"),
            _ => (millis(self.setup.send_budget), "clock past a budget"),
        };
        self.clock += step;
        self.event();
        self.happens(what);
    }

    pub fn clock_goes_back(&mut self) {
        let step = [10, 5_000, 2_000_000][self.rng.random_range(0..3)];
        self.latest = self.latest.max(self.clock);
        self.clock -= step;
        self.event();
        self.happens("clock backwards");
    }

    pub fn sweeps(&mut self) -> Checked {
        let shard = self.any_shard();
        self.tally.count("a sweep");
        self.sweep(shard)
    }

    pub fn sweep(&mut self, shard: usize) -> Checked {
        let now = self.shards[shard].tick(self.clock);
        self.shards[shard].core.sweep(SWEEP_STEP, now);
        self.comes_out(shard)
    }

    pub fn ends(&mut self) -> Checked {
        self.event();
        self.says(&[], || "the trouble ends".to_owned());
        if self.is_stale {
            self.crashes()?;
        }
        self.comes_to_rest()?;
        if let Some((command, open)) = self.commands.first_key_value() {
            return Err(format!("command {command} is never answered: {:?}", open.asked));
        }
        if let Some((command, open)) = self.joined.first_key_value() {
            return Err(format!("command {command} is never answered as command {}", open.first));
        }
        if self.places.count() != 0 {
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
                && self.shards.iter().all(|shard| shard.commit.is_none() && !shard.has_decided());
            if idle && self.commands.is_empty() {
                return Ok(());
            }
            if idle {
                self.clock += millis(self.setup.send_budget);
                // A question may be open until a time before the clock was set back.
                if round == ROUNDS / 2 {
                    self.clock = self.clock.max(self.latest);
                }
            }
            for shard in 0..self.shards.len() {
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
            if self.shards[shard].commit.is_none() && !self.shards[shard].has_decided() {
                return Ok(());
            }
            self.commit_of(shard, None)?;
        }
        Err("a shard commits for ever".to_owned())
    }

    /// After the longest memory of any record: a new code is sent and works.
    fn works_again(&mut self, number: usize) -> Checked {
        // A record may have a time from before the clock was set back.
        let longest = self.setup.policy(number).lockout_time() + self.setup.send_budget;
        self.clock = self.clock.max(self.latest) + 2 * millis(Duration::from_secs(600) + longest);
        self.setup.calm = true;
        for _ in 0..50 {
            let first = self.facts.len();
            let message = self.some_message();
            self.sends(number, message)?;
            self.comes_to_rest()?;
            let sent =
                |answer: &Outcome| matches!(answer, Outcome::Send(Ok(Sent { is_postponed: false, .. })));
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
        let fits =
            |fact: &Fact| matches!(&fact.what, What::Command(_, Stage::Answered(answer)) if is(answer));
        self.facts[first..].iter().any(fits)
    }

    /// In the memory of a shard, ended ones too.
    fn records(&self, shard: usize, kind: u8) -> usize {
        let first = RecordKey { slot: 0, kind, id: [0; 12] };
        self.shards[shard].core.tables().page(first, usize::MAX, Timestamp::EPOCH).0.len()
    }

    fn all_is_freed(&mut self) -> Checked {
        self.clock = self.clock.max(self.latest) + 1_000_000_000;
        for shard in 0..self.shards.len() {
            for _ in 0..self.records(shard, NumberState::KIND) + self.records(shard, AttemptLog::KIND) {
                self.sweep(shard)?;
            }
            for (kind, what) in [(NumberState::KIND, "numbers"), (AttemptLog::KIND, "records of attempts")] {
                let left = self.records(shard, kind);
                if left > 0 {
                    return Err(format!("{left} {what} stay in the memory of shard {shard}"));
                }
            }
        }
        Ok(())
    }
}

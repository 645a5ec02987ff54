//! Crashes, panics, moving slots, the clock, and the sweep.

use onceward::domain::Timestamp;
use onceward::numbers::in_flight::CommandLimit;
use onceward::shard::Slots;
use rand::RngExt;

use crate::facts::What;
use crate::shard::{PLACES, Shard};
use crate::world::World;

/// Numbers in one step of a sweep.
const SWEEP_STEP: usize = 4;

impl World {
    /// The process loses its lease in a cluster. From now on none of its commits is applied, also none that was on its
    /// way. It answers what it had decided, and ends when it learns of the loss: another process starts from the store.
    pub fn loses_its_lease(&mut self) {
        self.says(&[], || "the process loses its lease".to_owned());
        self.tally.count("a lease is lost");
        self.is_stale = true;
        for shard in &mut self.shards {
            shard.core.set_owns_records(false);
        }
    }

    /// The process dies and starts again from the store.
    pub fn crashes(&mut self) -> Result<(), String> {
        self.says(&[], || "the process dies".to_owned());
        for shard in 0..self.shards.len() {
            self.commit_dies(shard);
        }
        self.sends.clear();
        self.checks.clear();
        self.places = CommandLimit::new(PLACES);
        for shard in 0..self.shards.len() {
            self.restarts(shard)?;
        }
        self.is_stale = false;
        while !self.unowned.is_empty() {
            self.slots_are_taken_over();
        }
        if self.commands.is_empty() { Ok(()) } else { Err("a command outlived its process".to_owned()) }
    }

    /// A shard fails and starts again from the store. Its requests to gateways continue.
    pub fn panics(&mut self) -> Result<(), String> {
        if self.is_stale {
            // It can read nothing from the store.
            return Ok(());
        }
        let shard = self.any_shard();
        self.says(&[], || format!("[shard {shard}] it panics"));
        self.tally.count("a shard panics");
        self.commit_dies(shard);
        self.restarts(shard)
    }

    /// The core starts again from the durable records of the slots that it still owns.
    fn restarts(&mut self, shard: usize) -> Result<(), String> {
        let Shard { owned, life, ref mut losing, .. } = self.shards[shard];
        self.unowned.append(losing);
        let records = self.disk.load(&owned);
        let next = Shard { life: life + 1, ..Shard::new(&self.setup, owned, records, &mut self.rng) };
        self.shards[shard] = next;
        self.were_restored(shard, &owned);
        self.comes_out(shard, None)
    }

    fn were_restored(&mut self, shard: usize, slots: &Slots) {
        for number in 0..self.setup.numbers.len() {
            if slots.contains(self.slot(number)) {
                self.notes_now(shard, number, What::Reloaded);
            }
        }
    }

    /// A shard begins to give up slots: that of one number, or all.
    pub fn slots_move(&mut self) -> Result<(), String> {
        let number = self.any_number();
        let Some(from) = self.owner(number) else { return Ok(()) };
        let slots =
            if self.chance(70) { [self.slot(number)].into_iter().collect() } else { self.shards[from].owned };
        let to = self.any_shard();
        self.tally.count("slots given up");
        self.says(&[], || {
            format!("[shard {from}] it is to give up slots, that of number {number} among them")
        });
        let shard = &mut self.shards[from];
        slots.iter().for_each(|slot| shard.owned.remove(slot));
        shard.losing.push((slots, to));
        shard.tick(self.clock);
        self.comes_out(from, None)
    }

    /// The step that a shard's actor takes after each input.
    pub fn gives_slots_up(&mut self, shard: usize) {
        let Shard { core, losing, seen, .. } = &mut self.shards[shard];
        let now = Timestamp::from_millis(*seen);
        let given_up: Vec<_> = losing.extract_if(.., |(slots, _)| core.give_up(*slots, now)).collect();
        if !given_up.is_empty() {
            self.unowned.extend(given_up);
            self.says(&[], || format!("[shard {shard}] it has given the slots up"));
        }
    }

    /// Slots without an owner get one, which reads their records from the store.
    pub fn slots_are_taken_over(&mut self) {
        if self.is_stale {
            return;
        }
        let Some((slots, to)) = self.unowned.pop() else { return };
        self.tally.count("slots taken over");
        self.says(&[], || format!("[shard {to}] it takes slots over"));
        let records = self.disk.load(&slots);
        let shard = &mut self.shards[to];
        shard.core.take_over(records);
        slots.iter().for_each(|slot| shard.owned.insert(slot));
        self.were_restored(to, &slots);
    }

    pub fn clock_goes_on(&mut self) {
        let number = self.any_number();
        let policy = self.setup.policy(number);
        let (life, lockout) = (policy.code.life, policy.lockout_time());
        let (step, what) = match self.rng.random_range(0..20) {
            0..14 => (self.rng.random_range(0..4_000), "clock small step"),
            14..17 => (crate::setup::millis(life) + self.rng.random_range(0..2_000), "clock past expiry"),
            17..19 => (crate::setup::millis(lockout) + self.rng.random_range(0..2), "clock past lockout"),
            _ => (crate::setup::millis(self.setup.check_budget), "clock past a budget"),
        };
        self.tally.count(what);
        self.clock += step;
        self.event();
        self.says(&[], || format!("{what}: {step} ms"));
    }

    pub fn clock_goes_back(&mut self) {
        let step = [10, 5_000, 2_000_000][self.rng.random_range(0..3)];
        self.tally.count("clock backwards");
        self.latest = self.latest.max(self.clock);
        self.clock -= step;
        self.event();
        self.says(&[], || format!("the clock is set back by {step} ms"));
    }

    pub fn sweeps(&mut self) -> Result<(), String> {
        let shard = self.any_shard();
        self.tally.count("sweep");
        self.sweep(shard)
    }

    pub fn sweep(&mut self, shard: usize) -> Result<(), String> {
        let now = self.shards[shard].tick(self.clock);
        // The sweep refuses its commands; the commit stays in flight until the store answers.
        let given_up = self.late_commit(shard);
        self.shards[shard].core.sweep(SWEEP_STEP, now);
        let first = self.facts.len();
        self.comes_out(shard, given_up.as_ref())?;
        if let Some(commit) = self.shards[shard].commit.as_mut().filter(|_| given_up.is_some()) {
            let refused = |fact: &usize| self.facts[*fact].in_commit;
            commit.refused.extend((first..self.facts.len()).filter(refused));
        }
        Ok(())
    }
}

//! Crashes, panics, the clock, and the sweep.

use rand::RngExt;

use crate::facts::What;
use crate::world::World;

/// Numbers that one step of a sweep looks at.
const SWEEP_STEP: usize = 4;

impl World {
    /// The process dies, and starts again from the store.
    pub fn crashes(&mut self, node: usize) -> Result<(), String> {
        self.says(&[], || format!("[node {node}] the process dies"));
        self.commit_dies(node);
        if self.is_alone() {
            self.disk.reopens();
        }
        self.sends.retain(|send| send.node != node);
        self.asks.retain(|ask| ask.node != node);
        self.restarts(node, true)?;
        let lost = self.commands.values().any(|open| open.node == node);
        if lost { Err("a command outlived its process".to_owned()) } else { Ok(()) }
    }

    /// The shard fails, and starts again from the store. What it asked of gateways goes on.
    pub fn panics(&mut self, node: usize) -> Result<(), String> {
        self.says(&[], || format!("[node {node}] the shard panics"));
        self.tally.count("a shard panics");
        self.commit_dies(node);
        self.restarts(node, false)
    }

    fn restarts(&mut self, node: usize, process: bool) -> Result<(), String> {
        let table = self.disk.load();
        self.nodes[node].restarts(&self.setup, table, &mut self.rng, process);
        for number in 0..self.setup.numbers.len() {
            self.notes_now(node, number, What::Reloaded);
        }
        self.comes_out(node, None)
    }

    pub fn clock_goes_on(&mut self) {
        let number = self.any_number();
        let policy = self.setup.policy(number);
        let (life, lockout) = (policy.code.life, policy.lockout);
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
        let node = self.any_node();
        self.tally.count("sweep");
        self.sweep(node)
    }

    pub fn sweep(&mut self, node: usize) -> Result<(), String> {
        let now = self.nodes[node].tick(self.clock);
        self.nodes[node].core.sweep(SWEEP_STEP, now);
        self.comes_out(node, None)
    }
}

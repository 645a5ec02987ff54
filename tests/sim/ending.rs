//! The trouble ends: everything that waits has to come to an end, and the system has to answer again.

use onceward::numbers::{CheckAnswer, SendAnswer};

use crate::facts::{Answer, What};
use crate::node::{PLACES, Progress};
use crate::setup::millis;
use crate::world::World;

/// Far more rounds than anything may take.
const ROUNDS: usize = 2_000;

impl World {
    pub fn ends(&mut self) -> Result<(), String> {
        self.event();
        self.says(&[], || "the trouble ends".to_owned());
        self.comes_to_rest()?;
        if let Some((command, open)) = self.commands.first_key_value() {
            return Err(format!("command {command} is never answered: {:?}, {:?}", open.wish, open.stage));
        }
        for node in &self.nodes {
            if node.places.available_permits() != PLACES {
                return Err("a command kept its place".to_owned());
            }
        }
        while !self.late.is_empty() {
            self.late_write_arrives();
        }
        for node in 0..self.nodes.len() {
            for number in 0..self.setup.numbers.len() {
                self.works_again(node, number)?;
            }
        }
        self.all_is_freed()
    }

    /// Everything in flight comes to its end, and the wait for gateways that never answered too.
    fn comes_to_rest(&mut self) -> Result<(), String> {
        for round in 0..ROUNDS {
            let idle = self.sends.is_empty()
                && self.asks.is_empty()
                && self.nodes.iter().all(|node| node.commit.is_none());
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
            for node in 0..self.nodes.len() {
                self.commits_all(node)?;
                self.sweep(node)?;
            }
            self.send_ends()?;
            self.gateway_says()?;
        }
        Ok(())
    }

    fn commits_all(&mut self, node: usize) -> Result<(), String> {
        for _ in 0..ROUNDS {
            if self.nodes[node].commit.is_none() {
                return Ok(());
            }
            self.commit_of(node, None)?;
        }
        let hanging = |commit: &crate::node::InFlight| matches!(commit.progress, Progress::Hanging(_));
        let hangs = self.nodes[node].commit.as_ref().is_some_and(hanging);
        Err(format!("a node commits for ever (hanging: {hangs})"))
    }

    /// After the longest time that anything may be remembered: a code is sent, and works.
    fn works_again(&mut self, node: usize, number: usize) -> Result<(), String> {
        // A record may be of a time before the clock was set back.
        let policy = self.setup.policy(number);
        let longest =
            std::time::Duration::from_secs(2 * 600) + 2 * policy.lockout + 2 * self.setup.check_budget;
        self.clock = self.clock.max(self.latest) + millis(longest);
        self.setup.calm = true;
        for _ in 0..50 {
            let first = self.facts.len();
            self.sends(node, number)?;
            self.comes_to_rest()?;
            let sent =
                |answer: &Answer| matches!(answer, Answer::Send(SendAnswer::Sent { postponed: false, .. }));
            if !self.told_since(first, sent) {
                continue;
            }
            let code = self.inbox.get(&number).and_then(|codes| codes.last()).cloned();
            self.checks(node, number, code)?;
            self.comes_to_rest()?;
            if self.told_since(first, |answer| *answer == Answer::Check(CheckAnswer::Approved)) {
                return Ok(());
            }
            return Err(format!("number {number} at node {node} cannot be verified after the trouble"));
        }
        Err(format!("number {number} at node {node} is sent nothing after the trouble"))
    }

    fn told_since(&self, first: usize, is: impl Fn(&Answer) -> bool) -> bool {
        self.facts[first..].iter().any(|fact| matches!(&fact.what, What::Told(_, _, answer) if is(answer)))
    }

    fn all_is_freed(&mut self) -> Result<(), String> {
        self.clock = self.clock.max(self.latest) + 1_000_000_000;
        for node in 0..self.nodes.len() {
            for _ in 0..self.setup.numbers.len() {
                self.sweep(node)?;
            }
            let left = self.nodes[node].core.numbers();
            if left > 0 {
                return Err(format!("{left} numbers stay in the memory of node {node}"));
            }
        }
        Ok(())
    }
}

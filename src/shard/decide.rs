//! From a command and a state to a decision: the engine's pure functions, and nothing else.

mod checks;
mod ends;
mod sends;

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::Policies;
use super::command::{Command, CommandKind, ResumeDecision};
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{NumberState, Rules, Salt};

pub use checks::track_key;

/// What decisions are made with, besides state and time.
pub struct Judge {
    /// The rules of every service.
    pub policies: Policies,
    /// What codes are derived with.
    pub key: ServerKey,
    /// Where salts come from.
    pub rng: StdRng,
    /// How long delivery may take for one send, from its decision on.
    pub send_budget: Duration,
    /// How long a gateway that holds a code may take for one check, from its decision to the decision
    /// about its answer.
    pub check_budget: Duration,
}

/// What came of deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is noted in the command, and this is the number's next state.
    Made(NumberState, Durability),
    /// Not made: a gateway is being asked about a code of this number.
    Busy,
}

/// Whether the new state has to be durable before the answer may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It has to be.
    Required,
    /// Losing it in a crash harms nobody: it is written along with the next change.
    Lazy,
}

impl Judge {
    /// Decides a command, and notes the decision in it.
    pub fn decide(&mut self, command: &mut Command, state: NumberState, now: Timestamp) -> Decision {
        let Command { key, kind, .. } = command;
        let rules = Rules {
            policy: self.policies.of(key.service),
            key: &self.key,
            send_budget: self.send_budget,
            check_budget: self.check_budget,
        };
        match kind {
            CommandKind::Send(send) => {
                let mut salt = [0; 16];
                self.rng.fill_bytes(&mut salt);
                sends::begin(send, *key, rules, state, Salt(salt), now)
            }
            CommandKind::Resume(resume) if !self.policies.serves(key.service) => {
                resume.decided = Some(ResumeDecision::NotUsable);
                Decision::Made(state, Durability::Lazy)
            }
            CommandKind::Resume(resume) => sends::resume(resume, &rules, state, now),
            CommandKind::Settle(settle) => sends::settle(settle, &rules, state, now),
            CommandKind::Check(check) => checks::check(check, *key, rules, state, now),
            CommandKind::SettleCheck(settle) => checks::settle(settle, key.service, &rules, state, now),
            CommandKind::End(ending) => ends::end(ending, key.service, &rules, state, now),
        }
    }
}

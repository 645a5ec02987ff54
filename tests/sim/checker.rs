//! Checks the facts of each number against the promises.

use std::collections::{BTreeMap, BTreeSet};

use onceward::verification::{CheckOutcome, Refusal, SendOutcome};

use crate::codes::{Codes, Maker};
use crate::count::{Memories, Memory, Rules};
use crate::facts::{Checked, CommandId, End, Fact, Intent, Outcome, Salted, Stage, What};
use crate::runs::Broken;

/// The rules are indexed by number.
pub fn check(facts: &[Fact], rules: &[Rules]) -> Result<(), Box<Broken>> {
    let mut by_number: BTreeMap<usize, Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        by_number.entry(fact.number).or_default().push(fact);
    }
    for (number, mut facts) in by_number {
        facts.sort_by_key(|fact| fact.call);
        let mut model = NumberModel::new(rules[number]);
        for together in facts.chunk_by(|a, b| a.call == b.call) {
            model.sees(together)?;
        }
    }
    Ok(())
}

/// One number's state, according to the facts until now.
#[derive(Default)]
pub struct NumberModel {
    pub rules: Rules,
    pub memories: Memories,
    pub codes: Codes,
    intents: BTreeMap<CommandId, Intent>,
    /// Sends whose clients wait for an answer.
    sending: BTreeMap<CommandId, Sending>,
    /// Sends that may have been decided between two facts, and their lives.
    pub between: Vec<([u64; 2], u64, CommandId)>,
    /// When checks were decided and counted whose answers say, now or after a further decision, that no gateway was
    /// asked in the end. Other answers may depend on these counts.
    pub withheld: Vec<[u64; 2]>,
    /// Checks that may have been decided and counted between two facts.
    undecided: Vec<([u64; 2], CommandId)>,
    /// Commands that a commit may hold.
    may_be_decided: BTreeSet<CommandId>,
    /// Questions to gateways, by their ends.
    questions: BTreeSet<u64>,
    /// Those that were asked before the code that must work was sent: the gateway's code may have been the right one.
    checks_before_send: BTreeSet<u64>,
}

struct Sending {
    since: u64,
    /// The codes for which clients meanwhile got the result of a send.
    results: Vec<Salted>,
}

impl NumberModel {
    fn new(rules: Rules) -> Self {
        Self { rules, memories: Memories::from([Memory::Nothing]), ..Self::default() }
    }

    fn sees(&mut self, together: &[&Fact]) -> Result<(), Box<Broken>> {
        let broken = |fact: &Fact, what| Box::new(Broken { fact: Some(fact.clone()), what });
        for fact in together {
            match &fact.what {
                What::Asked(command, intent) => drop(self.intents.insert(*command, intent.clone())),
                What::MayBeDecided(command) => drop(self.may_be_decided.insert(*command)),
                _ => {}
            }
        }
        let (handed_over, answered): (Vec<&Fact>, Vec<&Fact>) =
            together.iter().partition(|fact| fact.is_handed_over());
        let withheld = |fact: &&&Fact| match &fact.what {
            What::Answered(command, Stage::Direct, Outcome::Check(answer)) => {
                matches!(answer, CheckOutcome::Locked { .. } | CheckOutcome::GatewayFailed)
                    && matches!(self.intent(*command), Intent::Check { code: Some(_) })
            }
            _ => false,
        };
        let may_be_withheld = answered.iter().filter(|_| self.rules.held);
        self.withheld = may_be_withheld.filter(withheld).map(|fact| fact.at).collect();
        self.withheld.extend(self.answered_later(together));
        let after = self.after(&self.memories, together);
        if after.is_empty() {
            let what = format!("no memory fits: before it was one of {:?}", self.memories);
            return Err(broken(together[0], what));
        }
        self.memories = after;
        self.withheld_messages(&handed_over);
        if !answered.iter().all(|fact| matches!(fact.what, What::MayBeDecided(_))) {
            self.between.clear();
            self.undecided.clear();
        }
        // Two messages that leave together may carry one code: it is valid as long as the longer life says.
        let life = |fact: &&Fact| match &fact.what {
            What::Dispatched { salt, expires, .. } => Some((*salt, *expires)),
            _ => None,
        };
        let longest: Vec<_> = handed_over.iter().filter_map(life).collect();
        for (salt, _) in &longest {
            self.codes.leaves_too(salt);
        }
        // The result of a send counts for its code only if no newer code was decided before it.
        for fact in together {
            self.codes_after(fact, &longest).map_err(|what| broken(fact, what))?;
        }
        self.codes.withdraw();
        let told = answered.iter().any(|fact| match &fact.what {
            What::Answered(command, ..) => matches!(self.intent(*command), Intent::Send { .. }),
            _ => false,
        });
        if told && self.sending.is_empty() {
            if self.codes.required.is_none() {
                self.checks_before_send.clone_from(&self.questions);
            }
            self.codes.require_last();
        }
        // A lockout voids the code, even one that begins and ends while no client gets an answer.
        let may_lock = |memory: &Memory| match memory {
            Memory::Nothing => false,
            Memory::Open { wrong, .. } => *wrong >= self.rules.attempts,
            Memory::Locked { .. } => true,
        };
        if self.memories.iter().any(may_lock) {
            self.codes.may_be_locked();
        }
        Ok(())
    }

    /// A commit that took too long for its gateway requests may hold, in this order: a gateway's answer about one
    /// check, the count of the next check, and an answer to a third command that shows this count. The client of the
    /// next check gets its answer after a further decision. If a gateway is asked after all, and for checks that are
    /// answered here, their own facts show what was counted.
    fn answered_later(&self, together: &[&Fact]) -> Vec<[u64; 2]> {
        if together.iter().any(|fact| matches!(fact.what, What::Consulted { .. })) {
            return Vec::new();
        }
        let told = |check: CommandId| {
            together.iter().any(|fact| matches!(fact.what, What::Answered(command, ..) if command == check))
        };
        self.undecided.iter().filter(|(_, check)| !told(*check)).map(|(at, _)| *at).collect()
    }

    /// A message does not leave if another command of the same commit used or replaced its code. When that command was
    /// decided, the message could still be leaving.
    fn withheld_messages(&mut self, handed_over: &[&Fact]) {
        let left = |send: CommandId| {
            let of = |what: &What| matches!(what, What::Dispatched { command, .. } if *command == send);
            handed_over.iter().any(|fact| of(&fact.what))
        };
        if self.between.iter().any(|(_, _, send)| !left(*send)) {
            self.codes.any_may_leave();
        }
    }

    /// Whether a refused command may still be on the disk, now or later. A command that was in no commit was never
    /// decided.
    pub fn may_have_been_decided(&self, command: CommandId, fact: &Fact) -> bool {
        fact.in_commit || self.may_be_decided.contains(&command)
    }

    pub fn intent(&self, command: CommandId) -> &Intent {
        &self.intents[&command]
    }

    fn codes_after(&mut self, fact: &Fact, together: &[(Salted, u64)]) -> Checked {
        let latest = fact.at[0].max(fact.at[1]);
        self.codes.ended(latest);
        match &fact.what {
            What::Asked(command, Intent::Send { .. }) => {
                self.sending.insert(*command, Sending { since: latest, results: Vec::new() });
                self.codes.required = None;
            }
            What::MayBeDecided(command) => match *self.intent(*command) {
                Intent::Send { life } => {
                    self.between.push((fact.at, life, *command));
                    self.codes.may_last(latest + life);
                }
                Intent::Resume { salt } => {
                    self.codes.may_leave(&salt);
                    self.codes.may_be_prolonged(&salt, latest, &self.rules);
                }
                Intent::Check { code: Some(_) } if self.rules.held => {
                    self.undecided.push((fact.at, *command));
                }
                Intent::Check { .. } => {}
            },
            What::Asked(..) => {}
            What::Consulted { until } => {
                self.questions.insert(*until);
                self.codes.consulted()?;
            }
            What::Dispatched { command, salt, code, expires, .. } => {
                let longest = together.iter().filter(|(other, _)| other == salt).map(|(_, expires)| *expires);
                let longest = longest.max().unwrap_or(*expires);
                self.codes.dispatched(*salt, code, longest, fact.at[1])?;
                let life = match self.intent(*command) {
                    Intent::Send { life } => Some(*life),
                    Intent::Check { .. } | Intent::Resume { .. } => None,
                };
                let at = [fact.at[0].min(fact.at[1]), latest];
                self.codes.lasts(salt, *expires, life, at, &self.rules)?;
            }
            What::Reloaded { .. } => self.codes.reloaded(),
            What::Uncertain(command, stage) => self.in_doubt(*command, stage, fact.at),
            What::Usable { salt, said, planned } => {
                self.codes.said_usable(salt, *said, planned.then_some(&self.rules), latest)?;
            }
            What::Answered(command, stage, answer) => {
                let asked = self.sending.remove(command);
                // Nothing notes the withdrawal of a code that ended before its message could leave. If the clock is set
                // back before a start, the code returns, with a send that will never be settled.
                if let (Intent::Send { life }, Stage::Direct, Outcome::Send(SendOutcome::GatewayFailed)) =
                    (self.intent(*command), stage, answer)
                    && asked.as_ref().is_none_or(|asked| latest >= asked.since + life)
                {
                    self.codes.may_end(0);
                    // Results that arrived meanwhile may have arrived after its code was decided, for codes that it had
                    // replaced.
                    if let Some(asked) = &asked {
                        self.codes.may_have_missed(&asked.results);
                    }
                    // If two messages never leave, the second names the first as its predecessor: the code before both
                    // does not return.
                    if !self.sending.is_empty() {
                        self.codes.in_doubt();
                    }
                }
                self.answered(*command, stage, answer, fact)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, command: CommandId, stage: &Stage, answer: &Outcome, fact: &Fact) -> Checked {
        let at = fact.at;
        let (earliest, now) = (at[0].min(at[1]), at[0].max(at[1]));
        let code = match self.intent(command) {
            Intent::Check { code } => code.clone(),
            Intent::Send { .. } | Intent::Resume { .. } => None,
        };
        match (stage, answer) {
            (_, Outcome::Refused(Refusal::OutcomeUnknown) | Outcome::Dropped)
                if self.may_have_been_decided(command, fact) =>
            {
                self.in_doubt(command, stage, at);
            }
            (Stage::Direct, Outcome::Check(CheckOutcome::Approved)) => {
                self.codes.approved_ours(code.as_deref(), earliest)?;
            }
            (Stage::CheckReported { salt, .. }, Outcome::Check(CheckOutcome::Approved)) => {
                self.codes.approved_held(salt)?;
            }
            (_, Outcome::Check(CheckOutcome::Wrong { attempts_left, .. })) => {
                self.may_be_wrong(stage, code.as_deref(), now)?;
                // Like a number without requests: a clock that is set back does not make its codes valid again.
                if *attempts_left == self.rules.attempts {
                    self.codes.may_be_locked();
                }
            }
            (_, Outcome::Check(CheckOutcome::LockedNow { .. })) => {
                self.may_be_wrong(stage, code.as_deref(), now)?;
                self.codes.all_void("was locked");
            }
            // A lockout after a question without a settled answer may be missing on the disk: if the clock is set back
            // before a start, the question is open again.
            (_, Outcome::Check(CheckOutcome::Locked { .. }) | Outcome::Send(SendOutcome::Locked { .. })) => {
                let asked = |memory: &Memory| matches!(memory, Memory::Open { .. });
                if self.memories.iter().any(asked) {
                    self.codes.may_be_locked();
                } else {
                    self.codes.all_void("was locked");
                }
            }
            (Stage::Sent { salt, end }, Outcome::Followed) => self.codes.followed(salt, *end, maker(*end)),
            (Stage::Sent { salt, end }, Outcome::Send(_) | Outcome::Refused(Refusal::SendsOverloaded)) => {
                self.sending.values_mut().for_each(|sending| sending.results.push(*salt));
                self.codes.reported(salt, *end, now);
                if let Outcome::Send(SendOutcome::Sent { .. }) = answer {
                    self.codes.replaced_before(salt);
                    if let Some(by) = maker(*end) {
                        self.codes.reported_sent(salt, by, now);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn in_doubt(&mut self, command: CommandId, stage: &Stage, at: [u64; 2]) {
        let now = at[0].max(at[1]);
        self.codes.in_doubt();
        if let Intent::Resume { salt } = *self.intent(command) {
            self.codes.may_leave(&salt);
            self.codes.may_be_prolonged(&salt, now, &self.rules);
        }
        if let (Stage::Direct, Intent::Send { life }) = (stage, self.intent(command)) {
            self.codes.may_end(now + life);
        }
    }

    /// A code may be called wrong unless it must work.
    fn may_be_wrong(&self, stage: &Stage, code: Option<&str>, now: u64) -> Checked {
        let Some(required) = self.codes.required.as_ref().filter(|code| now < code.expires) else {
            return Ok(());
        };
        let is_earlier =
            matches!(stage, Stage::CheckReported { until, .. } if self.checks_before_send.contains(until));
        match &required.ours {
            Some(ours) if code == Some(ours) && !is_earlier => {
                Err("the right code, which was sent and can be used, is called wrong".to_owned())
            }
            None if code.is_some() && *stage == Stage::Direct => {
                Err("a code that a gateway holds was called wrong without asking it".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Who made the code of an accepted message.
const fn maker(end: End) -> Option<Maker> {
    match end {
        End::Ours => Some(Maker::Ours),
        End::Held => Some(Maker::Gateway),
        End::Postponed | End::Nothing | End::MaybeOurs | End::MaybeHeld => None,
    }
}

//! The memories of one number after each fact.

use onceward::engine::CheckResult;
use onceward::numbers::{CheckOutcome, Refusal, SendOutcome};

use crate::checker::NumberModel;
use crate::count::{self, Memories};
use crate::facts::{CommandId, End, Fact, Intent, Outcome, Stage, What};

/// The effect of a check that got 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The disk may or may not count it.
    EitherWay,
    /// Memory counts it.
    Counted,
    /// Memory may or may not count it either.
    Anew,
}

impl NumberModel {
    /// Applies these facts to the shard's own memory.
    pub fn lives_on(&mut self, together: &[&Fact]) -> Result<(), String> {
        let starts = together.iter().any(|fact| fact.what == What::Reloaded);
        if starts {
            self.lived = self.memories.clone();
            return Ok(());
        }
        // A check that an earlier commit may have counted, and whose gateway was not asked in time, counts once. A
        // right code among the facts resets the count, and so does a send that reached no person if nothing was
        // counted: that is unknown too.
        let anew = together.iter().any(|fact| match &fact.what {
            What::Answered(_, Stage::Sent { end: End::Nothing, .. }, _) => true,
            What::Answered(_, Stage::CheckReported { result, .. }, Outcome::Refused(_)) => {
                *result == CheckResult::Approved
            }
            What::Answered(command, Stage::Direct, Outcome::Refused(_)) => match self.intent(*command) {
                Intent::Check { code } => {
                    self.codes.is_of_this_number(code.as_deref()) || self.counted_before.contains(command)
                }
                Intent::Send { .. } | Intent::Resume { .. } => false,
            },
            _ => false,
        });
        let doubt = if anew { Doubt::Anew } else { Doubt::Counted };
        let after = self.after(&self.lived, together, doubt);
        if after.is_empty() {
            return Err(format!(
                "a guess that was answered 503 was free: before it was one of {:?}",
                self.lived
            ));
        }
        self.lived = after;
        Ok(())
    }

    /// The memories that fit these facts, in the order of their decisions.
    pub fn after(&self, from: &Memories, together: &[&Fact], doubt: Doubt) -> Memories {
        together.iter().fold(from.clone(), |mut before, fact| {
            if !fact.is_handed_over() {
                for (at, life, _) in &self.between {
                    before.extend(count::may_have_sent(&before, *at, &self.rules, *life));
                }
                for at in &self.withheld {
                    before.extend(count::may_be_counted(&before, *at, &self.rules));
                }
            }
            self.count_after(&before, fact, doubt)
        })
    }

    fn count_after(&self, from: &Memories, fact: &Fact, doubt: Doubt) -> Memories {
        let (rules, at) = (&self.rules, fact.at);
        let either = match &fact.what {
            What::Answered(..) | What::MayBeDecided(_) | What::Uncertain(..) => {
                count::or_what_it_is_now(from, at, rules)
            }
            _ => from.clone(),
        };
        let from = &either;
        match &fact.what {
            What::Asked(..) | What::Usable { .. } | What::Reloaded => from.clone(),
            What::MayBeDecided(command) => match self.intent(*command) {
                Intent::Send { life } => count::may_have_sent(from, at, rules, *life),
                Intent::Check { code: Some(_) } => count::may_be_counted(from, at, rules),
                Intent::Check { code: None } | Intent::Resume { .. } => from.clone(),
            },
            What::Dispatched { expires, planned, .. } => {
                count::dispatched(from, at, rules, *expires, *planned)
            }
            What::Consulted { until } => count::consulted(from, at, rules, *until),
            What::Uncertain(command, stage) => self.count_in_doubt(from, at, *command, stage),
            What::Answered(command, stage, answer) => match (stage, answer) {
                (Stage::Direct, Outcome::Check(answer)) => {
                    let fits = count::checked(from, at, rules, answer);
                    let nothing_written = match answer {
                        CheckOutcome::Wrong { attempts_left, live: false } => {
                            *attempts_left == rules.attempts
                        }
                        CheckOutcome::Locked { .. } => true,
                        _ => false,
                    };
                    if nothing_written { Self::unwritten(from, fits, doubt) } else { fits }
                }
                (Stage::Direct, Outcome::Send(SendOutcome::Locked { until })) => {
                    let fits = count::refused_locked(from, at, rules, *until);
                    Self::unwritten(from, fits, doubt)
                }
                // Withheld: its code became useless before its message could leave.
                (Stage::Direct, Outcome::Send(SendOutcome::GatewayFailed) | Outcome::Followed) => {
                    count::may_have_ended(from, End::Nothing)
                }
                (Stage::Direct, Outcome::Send(_)) => Memories::new(),
                (Stage::Sent { end, .. }, Outcome::Send(answer)) => {
                    let fits = count::send_answered(from, at, rules, *end, answer);
                    // Nothing is noted for a number without a memory.
                    let nothing_written = match answer {
                        SendOutcome::Sent { attempts_left, .. } if *attempts_left < rules.attempts => false,
                        SendOutcome::Sent { .. } | SendOutcome::GatewayFailed => {
                            !count::that_forgot(from, at, rules).is_empty()
                        }
                        SendOutcome::Locked { .. } => true,
                        SendOutcome::NumberRefused
                        | SendOutcome::Limited(_)
                        | SendOutcome::GuardRefused(_) => false,
                    };
                    if nothing_written { Self::unwritten(from, fits, doubt) } else { fits }
                }
                (Stage::Sent { end, .. }, Outcome::Followed)
                | (Stage::Sent { end, .. }, Outcome::Refused(Refusal::SendsOverloaded)) => {
                    count::may_have_ended(from, *end)
                }
                (Stage::CheckReported { until, result, .. }, Outcome::Check(answer)) => {
                    count::settled(from, at, rules, (*until, *result), answer)
                }
                (_, Outcome::Refused(Refusal::StoreUnavailable | Refusal::Stopping))
                    if self.may_have_been_decided(*command, fact) =>
                {
                    match (doubt, stage, self.intent(*command)) {
                        (Doubt::Counted, Stage::Direct, Intent::Check { .. }) => {
                            count::counted(from, at, rules)
                        }
                        _ => self.count_in_doubt(from, at, *command, stage),
                    }
                }
                _ => from.clone(),
            },
        }
    }

    /// After an answer for which nothing is written. State that the shard holds because a write failed may end before
    /// the state on the disk, which a start restores: the count is then higher than the client was told. The shard's
    /// memory is checked separately.
    fn unwritten(from: &Memories, fits: Memories, doubt: Doubt) -> Memories {
        if doubt == Doubt::EitherWay && !fits.is_empty() {
            from.union(&fits).copied().collect()
        } else {
            fits
        }
    }

    fn count_in_doubt(&self, from: &Memories, at: [u64; 2], command: CommandId, stage: &Stage) -> Memories {
        match stage {
            Stage::Direct => match self.intent(command) {
                // Its code may have become useless before its message could leave, and this may be noted too.
                Intent::Send { life } => {
                    let sent = count::may_have_sent(from, at, &self.rules, *life);
                    count::may_have_ended(&sent, End::Nothing)
                }
                Intent::Check { code } => {
                    let right = self.codes.is_of_this_number(code.as_deref());
                    count::may_have_checked(from, at, &self.rules, right)
                }
                Intent::Resume { .. } => count::may_have_ended(from, End::Nothing),
            },
            Stage::Sent { end, .. } => count::may_have_ended(from, *end),
            Stage::CheckReported { until, result, .. } => {
                count::may_have_settled(from, at, &self.rules, (*until, *result))
            }
        }
    }
}

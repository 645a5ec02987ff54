//! The memories of one number after each fact.

use onceward::engine::CheckResult;
use onceward::verification::numbers::{CheckOutcome, Refusal, SendOutcome};

use crate::checker::NumberModel;
use crate::count::{self, Decision, Memories};
use crate::facts::{Checked, CommandId, End, Fact, Intent, Outcome, Stage, What};

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
    pub fn lives_on(&mut self, together: &[&Fact]) -> Checked {
        let starts = together.iter().any(|fact| matches!(fact.what, What::Reloaded { .. }));
        if starts {
            self.lived = self.memories.clone();
            return Ok(());
        }
        // A check that an earlier commit may have counted, and whose gateway was not asked in time, counts once. A
        // right code among the facts resets the count, and so does a send that reached no person if nothing was
        // counted: that is unknown too.
        let anew = together.iter().any(|fact| match &fact.what {
            What::Answered(_, Stage::Sent { end: End::Nothing, .. }, _)
            | What::Uncertain(_, Stage::Sent { end: End::Nothing, .. }) => true,
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
                    let sent = self.decision(&before, *at).may_have_sent(*life);
                    before.extend(sent);
                }
                for at in &self.withheld {
                    let counted = self.decision(&before, *at).may_be_counted();
                    before.extend(counted);
                }
            }
            self.count_after(&before, fact, doubt)
        })
    }

    const fn decision<'a>(&'a self, from: &'a Memories, at: [u64; 2]) -> Decision<'a> {
        Decision { from, at, rules: &self.rules }
    }

    fn count_after(&self, from: &Memories, fact: &Fact, doubt: Doubt) -> Memories {
        let attempts = self.rules.attempts;
        let either = match &fact.what {
            What::Answered(..) | What::MayBeDecided(_) | What::Uncertain(..) => {
                self.decision(from, fact.at).or_what_it_is_now()
            }
            _ => from.clone(),
        };
        let decision = self.decision(&either, fact.at);
        match &fact.what {
            What::Asked(..) | What::Usable { .. } => either,
            What::Reloaded { latest } => self.decision(from, [*latest; 2]).or_what_it_is_now(),
            What::MayBeDecided(command) => match self.intent(*command) {
                // A commit that took longer than its code lives ends it, and it is decided again.
                Intent::Send { life } => count::may_have_ended(&decision.may_have_sent(*life), End::Nothing),
                Intent::Check { code: Some(_) } => decision.may_be_counted(),
                Intent::Check { code: None } => either,
                Intent::Resume { salt } => decision.may_have_resumed(&self.codes.last(salt)),
            },
            What::Dispatched { expires, planned, .. } => decision.dispatched(*expires, *planned),
            What::Consulted { until } => decision.consulted(*until),
            What::Uncertain(command, stage) => self.count_in_doubt(decision, *command, stage),
            What::Answered(command, stage, answer) => match (stage, answer) {
                (Stage::Direct, Outcome::Check(answer))
                    if matches!(self.intent(*command), Intent::Check { code: None }) =>
                {
                    Self::or_as_before(decision, decision.checked_nothing(answer), doubt)
                }
                (Stage::Direct, Outcome::Check(answer)) => {
                    let fits = decision.checked(answer);
                    let nothing_written = match answer {
                        CheckOutcome::Wrong { attempts_left, live } => !live && *attempts_left == attempts,
                        CheckOutcome::Locked { .. } => true,
                        CheckOutcome::Approved
                        | CheckOutcome::LockedNow { .. }
                        | CheckOutcome::NoChecksLeft { .. }
                        | CheckOutcome::NotFound
                        | CheckOutcome::GatewayFailed => false,
                    };
                    if nothing_written { Self::or_as_before(decision, fits, doubt) } else { fits }
                }
                (Stage::Direct, Outcome::Send(SendOutcome::Locked { until })) => {
                    Self::or_as_before(decision, decision.refused_locked(*until), doubt)
                }
                // Withheld: its code became useless before its message could leave.
                (Stage::Direct, Outcome::Send(SendOutcome::GatewayFailed)) => {
                    count::may_have_ended(&either, End::Nothing)
                }
                (Stage::Direct, Outcome::Followed) => self.count_in_doubt(decision, *command, stage),
                (Stage::Direct, Outcome::Send(_)) => Memories::new(),
                (Stage::Sent { end, .. }, Outcome::Send(answer)) => {
                    let fits = decision.send_answered(*end, answer);
                    // Nothing is noted for a number without a memory.
                    let nothing_written = match answer {
                        SendOutcome::Sent { attempts_left, .. } if *attempts_left < attempts => false,
                        SendOutcome::Sent { .. } | SendOutcome::GatewayFailed => decision.may_forget(),
                        SendOutcome::Locked { .. } => true,
                        SendOutcome::NumberRefused
                        | SendOutcome::Limited(_)
                        | SendOutcome::GuardRefused(_) => false,
                    };
                    if nothing_written { Self::or_as_before(decision, fits, doubt) } else { fits }
                }
                (Stage::Sent { end, .. }, Outcome::Followed | Outcome::Refused(Refusal::SendsOverloaded)) => {
                    count::may_have_ended(&either, *end)
                }
                (Stage::CheckReported { until, result, .. }, Outcome::Check(answer)) => {
                    decision.settled((*until, *result), answer)
                }
                (_, Outcome::Refused(Refusal::OutcomeUnknown))
                    if self.may_have_been_decided(*command, fact) =>
                {
                    match (doubt, stage, self.intent(*command)) {
                        (Doubt::Counted, Stage::Direct, Intent::Check { code: Some(_) }) => {
                            decision.counted()
                        }
                        _ => self.count_in_doubt(decision, *command, stage),
                    }
                }
                _ => either,
            },
        }
    }

    /// For an answer that may write nothing. State that the shard holds because a write failed may end before the state
    /// on the disk, which a start restores: the count is then higher than the client was told. The shard's memory is
    /// checked separately.
    fn or_as_before(decision: Decision<'_>, fits: Memories, doubt: Doubt) -> Memories {
        if doubt == Doubt::EitherWay && !fits.is_empty() {
            decision.from.union(&fits).copied().collect()
        } else {
            fits
        }
    }

    fn count_in_doubt(&self, decision: Decision<'_>, command: CommandId, stage: &Stage) -> Memories {
        match stage {
            Stage::Direct => match self.intent(command) {
                // Its code may have become useless before its message could leave, and this may be noted too.
                Intent::Send { life } => count::may_have_ended(&decision.may_have_sent(*life), End::Nothing),
                Intent::Check { code: None } => decision.from.clone(),
                Intent::Check { code } => {
                    decision.may_have_checked(self.codes.is_of_this_number(code.as_deref()))
                }
                Intent::Resume { salt } => {
                    let resumed = decision.may_have_resumed(&self.codes.last(salt));
                    count::may_have_ended(&resumed, End::Nothing)
                }
            },
            Stage::Sent { end, .. } => count::may_have_ended(decision.from, *end),
            Stage::CheckReported { until, result, .. } => decision.may_have_settled((*until, *result)),
        }
    }
}

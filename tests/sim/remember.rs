//! The memories of one number after each fact.

use onceward::verification::{Refusal, SendOutcome};

use crate::checker::NumberModel;
use crate::count::{self, Decision, Memories};
use crate::facts::{CommandId, End, Fact, Intent, Outcome, Stage, What};

impl NumberModel {
    /// The memories that fit these facts, in the order of their decisions.
    pub fn after(&self, from: &Memories, together: &[&Fact]) -> Memories {
        together.iter().fold(from.clone(), |mut before, fact| {
            if !fact.is_handed_over() {
                for (at, life, _) in &self.between {
                    // One whose commit took too long has ended again, before it is decided once more.
                    let sent = self.decision(&before, *at).may_have_sent(*life);
                    before.extend(count::may_have_ended(&sent, End::Nothing));
                }
                for at in &self.withheld {
                    let counted = self.decision(&before, *at).may_be_counted();
                    before.extend(counted);
                }
            }
            self.count_after(&before, fact)
        })
    }

    const fn decision<'a>(&'a self, from: &'a Memories, at: [u64; 2]) -> Decision<'a> {
        Decision { from, at, rules: &self.rules }
    }

    fn count_after(&self, from: &Memories, fact: &Fact) -> Memories {
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
                    decision.checked_nothing(answer)
                }
                (Stage::Direct, Outcome::Check(answer)) => decision.checked(answer),
                (Stage::Direct, Outcome::Send(SendOutcome::Locked { until })) => {
                    decision.refused_locked(*until)
                }
                // Withheld: its code became useless before its message could leave.
                (Stage::Direct, Outcome::Send(SendOutcome::GatewayFailed)) => {
                    count::may_have_ended(&either, End::Nothing)
                }
                (Stage::Direct, Outcome::Followed) => self.count_in_doubt(decision, *command, stage),
                (Stage::Direct, Outcome::Send(_)) => Memories::new(),
                (Stage::Sent { end, .. }, Outcome::Send(answer)) => decision.send_answered(*end, answer),
                (Stage::Sent { end, .. }, Outcome::Followed | Outcome::Refused(Refusal::SendsOverloaded)) => {
                    count::may_have_ended(&either, *end)
                }
                (Stage::CheckReported { until, result, .. }, Outcome::Check(answer)) => {
                    decision.settled((*until, *result), answer)
                }
                (_, Outcome::Refused(Refusal::OutcomeUnknown))
                    if self.may_have_been_decided(*command, fact) =>
                {
                    self.count_in_doubt(decision, *command, stage)
                }
                _ => either,
            },
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

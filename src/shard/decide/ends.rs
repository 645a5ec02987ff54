//! Decisions about ends that somebody else decided.

use super::{Decision, Durability, track_key};
use crate::delivery::tracker::VerifyStatus;
use crate::domain::{ServiceId, Timestamp};
use crate::engine::{self, EndOutcome, Ending, NumberState, Rules};
use crate::shard::command::{CheckNote, EndCommand};
use crate::shard::{Facts, Limit, Told};

pub fn end(
    command: &mut EndCommand,
    service: ServiceId,
    rules: &Rules<'_>,
    state: NumberState,
    now: Timestamp,
) -> Decision {
    let EndCommand { ending, named, .. } = *command;
    let (next, outcome) = engine::end(state, rules, ending, named, now);
    command.decided = Some(match outcome {
        EndOutcome::Busy { .. } => return Decision::Busy,
        EndOutcome::NotFound => (Told::limit(Limit::NotFound), None),
        EndOutcome::Ended(verification) => {
            let facts = verification.map(|v| Facts::of(&v, &rules.policy));
            let approved = verification.filter(|_| ending == Ending::Approved);
            let note = approved
                .map(|v| CheckNote { key: track_key(service, &v.salt), status: VerifyStatus::Success });
            (Told::from(()).about(facts), note)
        }
    });
    Decision::Made(next, Durability::Required)
}

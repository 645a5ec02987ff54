//! What an answer means by the description's rule, and else by HTTP's.

use serde_json::Value;

use super::success::{Outcome, SuccessRule};
use super::{NAME, URL_SETTING};
use crate::gateway::wire::{Answer, Meaning, OwnIds, by_status, words_for_status};
use crate::gateway::{Accepted, ErrorClass, GatewayError};

/// A message id, or why there is none.
///
/// What the operator has said about values of the answer comes first, whatever the status: many
/// providers put their errors into a 200, and some into a 500.
pub(super) fn judge(answer: &Answer, rule: &SuccessRule, own_ids: &OwnIds) -> Result<Accepted, GatewayError> {
    let status = answer.status.as_u16();
    let body = answer.body.as_deref();
    let json: Option<Value> = if rule.reads_json() { answer.json() } else { None };
    let outcome = rule.outcome(json.as_ref());
    let failed = |class: ErrorClass, words: &str| {
        let detail = format!("answered HTTP {status}: {words}");
        Err(Meaning::of_this_message(class).with_wait_of(answer).error(NAME, None, detail))
    };
    match outcome {
        Some(Outcome::BadNumber) => return failed(ErrorClass::BadNumber, "the number is not valid"),
        Some(Outcome::Retry) => return failed(ErrorClass::Retry { after: None }, "it cannot be sent now"),
        _ => {}
    }
    let said_well = matches!(outcome, None | Some(Outcome::Success));
    // A body that was not read whole counts as one only where nothing is looked for in it.
    if rule.takes_status(status) && said_well && rule.takes_text(body.unwrap_or_default()) {
        let message_id = rule.message_id(json.as_ref()).unwrap_or_else(|| own_ids.next());
        return Ok(Accepted { message_id });
    }
    if outcome == Some(Outcome::Failure) && answer.status.is_success() {
        return failed(ErrorClass::Refused, "the value at success.json is not one that means success");
    }
    let meaning = match by_status(answer) {
        // Nothing here tells a limit of the account from that of one number, which strangers reach.
        limited @ Meaning { class: ErrorClass::Retry { .. }, .. } => {
            Meaning { whole_gateway: false, ..limited }
        }
        other => other,
    };
    Err(meaning.error(NAME, None, words_for_status(answer, URL_SETTING)))
}

//! Calling the verifier: each outcome gets a log line with the request's id.

use tracing::{debug, info};

use crate::domain::PhoneNumber;
use crate::http::deps::{Deps, Verify};
use crate::http::problem::Problem;
use crate::numbers::{CheckAnswer, CheckRequest, Refusal, SendAnswer, SendRequest};

/// One request at an endpoint.
pub struct Call<'a, V> {
    /// What the endpoint may use.
    pub deps: &'a Deps<V>,
    /// Stands in the answer and in the log.
    pub request_id: &'a str,
}

impl<V: Verify> Call<'_, V> {
    /// Sends, and logs what became of it.
    pub async fn send(&self, request: SendRequest) -> Result<SendAnswer, Problem> {
        let number = request.number;
        let outcome = self.deps.verifier.send(request).await;
        log_send(self.request_id, number, &outcome);
        outcome.map_err(Problem::Refused)
    }

    /// Checks, and logs what became of it.
    pub async fn check(&self, request: CheckRequest) -> Result<CheckAnswer, Problem> {
        let number = request.number;
        let outcome = self.deps.verifier.check(request).await;
        log_check(self.request_id, number, &outcome);
        outcome.map_err(Problem::Refused)
    }
}

/// A failed send is at info level, so that the id that a user reports leads to the number, and
/// with it to the line about the provider. That one is written by a task that knows no request.
fn log_send(request_id: &str, number: PhoneNumber, outcome: &Result<SendAnswer, Refusal>) {
    match outcome {
        Ok(SendAnswer::Sent { postponed: true, .. }) => {
            debug!(request_id, %number, outcome = "postponed", "no gateway took the message yet; it is tried again");
        }
        Ok(SendAnswer::Sent { message_id, .. }) => {
            debug!(request_id, %number, outcome = "sent", message_id, "the provider accepted the message");
        }
        Ok(SendAnswer::Locked { .. }) => {
            debug!(request_id, %number, outcome = "locked", "the code was not sent");
        }
        Ok(SendAnswer::NumberRefused) => {
            info!(request_id, %number, outcome = "number-refused", "the code was not sent");
        }
        Ok(SendAnswer::GatewayFailed) => {
            info!(request_id, %number, outcome = "gateway-failed", "the code was not sent, as far as is known");
        }
        Err(refusal) => debug!(request_id, %number, outcome = %refusal, "the code was not sent"),
    }
}

/// A new lockout is at info level: many of them are what guessing looks like.
fn log_check(request_id: &str, number: PhoneNumber, outcome: &Result<CheckAnswer, Refusal>) {
    match outcome {
        Ok(CheckAnswer::Approved) => debug!(request_id, %number, outcome = "approved", "code checked"),
        Ok(CheckAnswer::Wrong { attempts_left, live }) => {
            debug!(request_id, %number, outcome = "wrong", attempts_left, live, "code checked");
        }
        Ok(CheckAnswer::LockedNow { live, .. }) => {
            info!(request_id, %number, outcome = "locked-now", live, "locked out after too many wrong codes");
        }
        Ok(CheckAnswer::Locked { .. }) => {
            debug!(request_id, %number, outcome = "locked", "code not looked at");
        }
        Ok(CheckAnswer::GatewayFailed) => {
            info!(request_id, %number, outcome = "gateway-failed", "the provider did not check the code");
        }
        Err(refusal) => debug!(request_id, %number, outcome = %refusal, "code not looked at"),
    }
}

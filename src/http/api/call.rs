//! Calling the verifier: each outcome gets a log line with the request's id.

use tracing::{debug, info};

use crate::domain::PhoneNumber;
use crate::http::deps::{Deps, Verify};
use crate::http::problem::Problem;
use crate::numbers::{CheckOutcome, CheckRequest, Refusal, Reply, SendOutcome, SendRequest};

/// One request at an endpoint.
pub struct Call<'a, V> {
    /// What the endpoint may use.
    pub deps: &'a Deps<V>,
    /// Stands in the answer and in the log.
    pub request_id: &'a str,
}

impl<V: Verify> Call<'_, V> {
    /// Sends, and logs the outcome.
    pub async fn send(&self, request: SendRequest) -> Result<Reply<SendOutcome>, Problem> {
        let number = request.number;
        let reply = self.deps.verifier.send(request).await;
        log_send(self.request_id, number, reply.as_ref().map(|reply| &reply.outcome));
        reply.map_err(Problem::Refused)
    }

    /// Checks, and logs the outcome.
    pub async fn check(&self, request: CheckRequest) -> Result<Reply<CheckOutcome>, Problem> {
        let number = request.number;
        let reply = self.deps.verifier.check(request).await;
        log_check(self.request_id, number, reply.as_ref().map(|reply| reply.outcome));
        reply.map_err(Problem::Refused)
    }
}

/// Logs a failed send at info level: the request id that a user reports leads to the number, and the number to the line
/// about the gateway, which is written by a task that knows no request.
fn log_send(request_id: &str, number: PhoneNumber, outcome: Result<&SendOutcome, &Refusal>) {
    match outcome {
        Ok(SendOutcome::Sent { postponed: true, .. }) => {
            debug!(request_id, %number, outcome = "postponed", "no gateway took the message yet; it is tried again");
        }
        Ok(SendOutcome::Sent { message_id, .. }) => {
            debug!(request_id, %number, outcome = "sent", message_id, "the provider accepted the message");
        }
        Ok(SendOutcome::Locked { .. }) => {
            debug!(request_id, %number, outcome = "locked", "the code was not sent");
        }
        Ok(SendOutcome::Limited(_)) => {
            debug!(request_id, %number, outcome = "limited", "the code was not sent");
        }
        Ok(SendOutcome::NumberRefused) => {
            info!(request_id, %number, outcome = "number-refused", "the code was not sent");
        }
        Ok(SendOutcome::GatewayFailed) => {
            info!(request_id, %number, outcome = "gateway-failed", "the code was not sent, as far as is known");
        }
        Err(refusal) => debug!(request_id, %number, outcome = %refusal, "the code was not sent"),
    }
}

/// Logs a new lockout at info level: many of them are a sign of guessing.
fn log_check(request_id: &str, number: PhoneNumber, outcome: Result<CheckOutcome, &Refusal>) {
    match outcome {
        Ok(CheckOutcome::Approved) => debug!(request_id, %number, outcome = "approved", "code checked"),
        Ok(CheckOutcome::Wrong { attempts_left, live }) => {
            debug!(request_id, %number, outcome = "wrong", attempts_left, live, "code checked");
        }
        Ok(CheckOutcome::LockedNow { live, .. }) => {
            info!(request_id, %number, outcome = "locked-now", live, "locked out after too many wrong codes");
        }
        Ok(CheckOutcome::Locked { .. }) => {
            debug!(request_id, %number, outcome = "locked", "code not looked at");
        }
        Ok(CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound) => {
            debug!(request_id, %number, outcome = "limited", "code not looked at");
        }
        Ok(CheckOutcome::GatewayFailed) => {
            info!(request_id, %number, outcome = "gateway-failed", "the provider did not check the code");
        }
        Err(refusal) => debug!(request_id, %number, outcome = %refusal, "code not looked at"),
    }
}

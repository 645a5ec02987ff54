//! Sends and checks by the compatible routes: those of the default service, whose webhooks are told as well.

use std::collections::BTreeMap;

use super::{Inner, Verifying};
use crate::domain::ServiceId;
use crate::shard::{CheckAnswer, CheckRequest, Facts, Refusal, SendAnswer, SendRequest, Told, known};
use crate::verify::Status;

impl Verifying {
    /// As [`Verifier::send`](crate::shard::Verifier::send).
    pub async fn send_compatibly(&self, request: SendRequest) -> Result<SendAnswer, Refusal> {
        let inner = &self.0;
        if !inner.tells_of_the_default_service() {
            return inner.verifier.send(request).await;
        }
        let (service, number) = (request.service, request.number);
        let told = inner.verifier.send_told(request).await;
        if let Ok(Told { answer: Ok(answer), facts: Some(facts), .. }) = &told {
            // A resend by these routes is a verification of its own.
            let facts = Facts { sends: 1, ..*facts };
            match answer {
                SendAnswer::Sent { .. } => inner.tell_of_send(service, number, &facts, &BTreeMap::new()),
                SendAnswer::NumberRefused | SendAnswer::GatewayFailed => {
                    inner.tell_of_failure(service, number, &facts, &BTreeMap::new());
                }
                SendAnswer::Locked { .. } => {}
            }
        }
        known(told)
    }

    /// As [`Verifier::check`](crate::shard::Verifier::check).
    pub async fn check_compatibly(&self, request: CheckRequest) -> Result<CheckAnswer, Refusal> {
        let inner = &self.0;
        if !inner.tells_of_the_default_service() {
            return inner.verifier.check(request).await;
        }
        let (service, number) = (request.service, request.number);
        let told = inner.verifier.check_told(request).await;
        if let Ok(Told { answer: Ok(answer), facts: Some(facts), .. }) = &told {
            let status = match answer {
                CheckAnswer::Approved => Status::Approved,
                CheckAnswer::LockedNow { .. } => Status::MaxAttemptsReached,
                CheckAnswer::Wrong { .. } | CheckAnswer::Locked { .. } | CheckAnswer::GatewayFailed => {
                    Status::Pending
                }
            };
            inner.tell_of_check(service, number, facts, status);
        }
        known(told)
    }
}

impl Inner {
    fn tells_of_the_default_service(&self) -> bool {
        self.registry.rules(ServiceId::DEFAULT).is_some_and(|service| !service.webhooks.is_empty())
    }
}

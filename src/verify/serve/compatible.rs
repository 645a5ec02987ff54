//! Sends and checks by the compatible routes: those of the default service, whose webhooks are told as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Inner, Verifying};
use crate::domain::{Code, ServiceId};
use crate::numbers::{
    BeginRequest, CheckAnswer, CheckRequest, Facts, NamedCheck, Refusal, SendAnswer, SendRequest, Told, known,
};
use crate::registry::Service;
use crate::verify::Status;

impl Verifying {
    /// As [`Verifier::send`](crate::numbers::Verifier::send).
    pub async fn send_compatibly(&self, request: SendRequest) -> Result<SendAnswer, Refusal> {
        let inner = &self.0;
        let Some(default) = inner.unusual_default_service() else {
            return inner.verifier.send(request).await;
        };
        if let Some(test) = inner.test(&default, request.number) {
            let options = Some(inner.options_of_test(&default, test));
            let send = SendRequest { options, ..request };
            let begin = BeginRequest { send, brought: Code::parse(&test.code), is_test: true };
            return known(inner.verifier.begin(begin).await).map(|answer| within(answer, &default));
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

    /// As [`Verifier::check`](crate::numbers::Verifier::check).
    pub async fn check_compatibly(&self, request: CheckRequest) -> Result<CheckAnswer, Refusal> {
        let inner = &self.0;
        let Some(default) = inner.unusual_default_service() else {
            return inner.verifier.check(request).await;
        };
        if inner.test(&default, request.number).is_some() {
            let check = NamedCheck { check: request, named: None, is_test: true };
            let attempts_left = default.rules.max_checks;
            return Ok(match inner.verifier.check_named(check).await?.answer {
                Ok(CheckAnswer::Approved) => CheckAnswer::Approved,
                // However often.
                Ok(answer) => CheckAnswer::Wrong {
                    attempts_left,
                    live: matches!(answer, CheckAnswer::Wrong { live: true, .. }),
                },
                Err(_) => CheckAnswer::Wrong { attempts_left, live: false },
            });
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
    /// The default service, if it has what the shards do not know of: webhooks or test numbers.
    fn unusual_default_service(&self) -> Option<Arc<Service>> {
        let service = self.registry.rules(ServiceId::DEFAULT)?;
        (!service.webhooks.is_empty() || !service.test_numbers.is_empty()).then_some(service)
    }
}

/// With as many attempts as the service gives, for a number that has no limit.
fn within(answer: SendAnswer, service: &Service) -> SendAnswer {
    match answer {
        SendAnswer::Sent { attempts_left: _, message_id, postponed } => {
            SendAnswer::Sent { attempts_left: service.rules.max_checks, message_id, postponed }
        }
        other @ (SendAnswer::Locked { .. } | SendAnswer::NumberRefused | SendAnswer::GatewayFailed) => other,
    }
}

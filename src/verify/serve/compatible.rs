//! Sends and checks of the default service, by the compatible routes and the library: its test numbers hold there too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Inner, Verifying};
use crate::domain::{Code, ServiceId};
use crate::numbers::{
    BeginRequest, CheckAnswer, CheckRequest, NamedCheck, Refusal, SendAnswer, SendRequest, known,
};
use crate::registry::Service;

impl Verifying {
    /// As [`Verifier::send`](crate::numbers::Verifier::send).
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn send_compatibly(&self, request: SendRequest) -> Result<SendAnswer, Refusal> {
        let inner = &self.0;
        let default = inner.default_with_test_numbers();
        let test = default.as_ref().and_then(|default| Some((default, inner.test(default, request.number)?)));
        let Some((default, test)) = test else { return inner.verifier.send(request).await };
        let options = Some(inner.options_of_test(default, test));
        let begin = BeginRequest {
            send: SendRequest { options, ..request },
            brought: Code::parse(&test.code),
            is_test: true,
            tags: BTreeMap::new(),
        };
        known(inner.verifier.begin(begin).await).map(|answer| within(answer, default))
    }

    /// As [`Verifier::check`](crate::numbers::Verifier::check).
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    pub async fn check_compatibly(&self, request: CheckRequest) -> Result<CheckAnswer, Refusal> {
        let inner = &self.0;
        let default = inner.default_with_test_numbers();
        let Some(default) = default.filter(|default| inner.test(default, request.number).is_some()) else {
            return inner.verifier.check(request).await;
        };
        let check = NamedCheck { check: request, named: None, is_test: true };
        let attempts_left = default.rules.max_checks;
        Ok(match inner.verifier.check_named(check).await?.answer {
            Ok(CheckAnswer::Approved) => CheckAnswer::Approved,
            // However often.
            Ok(answer) => CheckAnswer::Wrong {
                attempts_left,
                live: matches!(answer, CheckAnswer::Wrong { live: true, .. }),
            },
            Err(_) => CheckAnswer::Wrong { attempts_left, live: false },
        })
    }
}

impl Inner {
    /// The default service, if it has test numbers.
    fn default_with_test_numbers(&self) -> Option<Arc<Service>> {
        self.registry.rules(ServiceId::DEFAULT).filter(|service| !service.test_numbers.is_empty())
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

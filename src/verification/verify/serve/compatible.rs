//! Sends and checks of the default service, by the compatible routes and the library: its test numbers hold there too.

use std::sync::Arc;

use super::{Verifying, VerifyingInner};
use crate::domain::{Code, ServiceId};
use crate::registry::Service;
use crate::verification::numbers::{Check, CheckOutcome, Outgoing, Refusal, Reply, SendOutcome};

impl Verifying {
    /// As [`Verifier::send`](crate::verification::numbers::Verifier::send).
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the outcome is unknown.
    pub async fn send_for_default_service(
        &self,
        mut outgoing: Box<Outgoing>,
    ) -> Result<Reply<SendOutcome>, Refusal> {
        let inner = &self.0;
        outgoing.client = inner.with_safe_list(outgoing.key.number, outgoing.client);
        let default = inner.default_with_test_numbers();
        let test =
            default.as_ref().and_then(|default| Some((default, inner.test(default, outgoing.key.number)?)));
        if let Some((default, test)) = test {
            outgoing.options = Some(inner.options_of_test(default, test));
            outgoing.supplied_code = Code::parse(&test.code);
            (outgoing.has_limits, outgoing.key.is_test) = (true, true);
        }
        inner.verifier.send(outgoing).await
    }

    /// As [`Verifier::check`](crate::verification::numbers::Verifier::check).
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the outcome is unknown.
    pub async fn check_for_default_service(&self, mut check: Check) -> Result<Reply<CheckOutcome>, Refusal> {
        let inner = &self.0;
        let default = inner.default_with_test_numbers();
        if let Some(default) = default {
            check.key = inner.key(&default, check.key.number);
        }
        inner.verifier.check(check).await
    }
}

impl VerifyingInner {
    fn default_with_test_numbers(&self) -> Option<Arc<Service>> {
        self.registry.service_by_id(ServiceId::DEFAULT).filter(|service| !service.test_numbers.is_empty())
    }
}

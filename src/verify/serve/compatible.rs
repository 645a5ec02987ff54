//! Sends and checks of the default service, by the compatible routes and the library: its test numbers hold there too.

use std::sync::Arc;

use super::{Verifying, VerifyingInner};
use crate::domain::{Code, ServiceId};
use crate::numbers::{
    CheckOutcome, CheckRequest, NamedVerification, NumberKey, Refusal, Reply, SendOutcome, SendRequest,
};
use crate::registry::Service;

impl Verifying {
    /// As [`Verifier::send`](crate::numbers::Verifier::send).
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the outcome is unknown.
    pub async fn send_for_default_service(
        &self,
        request: SendRequest,
    ) -> Result<Reply<SendOutcome>, Refusal> {
        let inner = &self.0;
        let client = inner.with_safe_list(request.key.number, request.client);
        let request = SendRequest { client, ..request };
        let default = inner.default_with_test_numbers();
        let test =
            default.as_ref().and_then(|default| Some((default, inner.test(default, request.key.number)?)));
        let Some((default, test)) = test else { return inner.verifier.send(request).await };
        let options = Some(inner.options_of_test(default, test));
        let supplied_code = Code::parse(&test.code);
        let verification = Some(NamedVerification { supplied_code, ..NamedVerification::default() });
        let key = NumberKey { is_test: true, ..request.key };
        let request = SendRequest { key, options, verification, ..request };
        inner.verifier.send(request).await
    }

    /// As [`Verifier::check`](crate::numbers::Verifier::check).
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the outcome is unknown.
    pub async fn check_for_default_service(
        &self,
        request: CheckRequest,
    ) -> Result<Reply<CheckOutcome>, Refusal> {
        let inner = &self.0;
        let default = inner.default_with_test_numbers();
        let key = default.map_or(request.key, |default| inner.key(&default, request.key.number));
        inner.verifier.check(CheckRequest { key, ..request }).await
    }
}

impl VerifyingInner {
    fn default_with_test_numbers(&self) -> Option<Arc<Service>> {
        self.registry.service_by_id(ServiceId::DEFAULT).filter(|service| !service.test_numbers.is_empty())
    }
}

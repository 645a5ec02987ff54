//! What an operator may have done to numbers.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::domain::{PhoneNumber, ServiceId};
use crate::registry::Registry;

/// Who can do it.
pub trait Operator: Send + Sync + 'static {
    /// Ends a number's lockout and clears what was counted of it, durably.
    ///
    /// # Errors
    /// In words for a person.
    fn unlock(&self, service: ServiceId, number: PhoneNumber) -> BoxFuture<'_, Result<(), String>>;
}

/// Which number is to be unlocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlockRequest {
    /// In E.164 form.
    pub number: String,
    /// In which service: its id (`VA`), its name, or `default`.
    pub service: String,
}

impl UnlockRequest {
    /// Has it done.
    pub(super) async fn carry_out(
        &self,
        registry: &Registry,
        operator: Option<&dyn Operator>,
    ) -> Result<(), String> {
        let operator = operator.ok_or("this server cannot do that")?;
        let number = PhoneNumber::parse(&self.number, None).map_err(|error| error.to_string())?;
        let service = registry.find_service(&self.service).map_err(|error| error.to_string())?;
        operator.unlock(service.id, number).await
    }
}

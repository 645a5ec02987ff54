//! The webhooks of each service.

use std::sync::Arc;

use crate::domain::{ServiceId, Sid};
use crate::registry::{Registry, Service, WebhookFields, WebhookStatus};
use crate::store::BoxFuture;

/// Looks up the webhooks of services. Called in every decision and before every attempt, so it must answer from memory.
pub trait Subscribers: Send + Sync + 'static {
    /// The account (`AC`).
    fn account(&self) -> Sid;

    /// A service with its enabled and disabled webhooks; `None` if the service was removed.
    fn service(&self, service: ServiceId) -> Option<Arc<Service>>;

    /// Disables a webhook that has answered 410 Gone. Returns whether it succeeded.
    fn gone(&self, service: ServiceId, webhook: Sid) -> BoxFuture<'_, bool> {
        let _ = (service, webhook);
        Box::pin(async { false })
    }
}

impl Subscribers for Registry {
    fn account(&self) -> Sid {
        self.account_sid()
    }

    fn service(&self, service: ServiceId) -> Option<Arc<Service>> {
        self.rules(service)
    }

    fn gone(&self, service: ServiceId, webhook: Sid) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let Some(service) = self.rules(service) else { return false };
            let fields = WebhookFields { status: Some(WebhookStatus::Disabled), ..WebhookFields::default() };
            self.update_webhook(service.sid, webhook, fields).await.is_ok()
        })
    }
}

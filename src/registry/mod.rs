//! Services and what belongs to them: rules, limits, webhooks, keys.
//!
//! What is made over the API or named in the configuration is kept in the store, one JSON record for each service and
//! for each credential, and read whole at the start: there are thousands of them, not millions. Readers share a
//! snapshot that never changes; whoever changes something writes it durably first, one after the other.

mod authenticate;
mod configured;
mod credential;
mod error;
mod events;
mod fields;
mod keys;
mod messaging;
mod open;
mod rate_limits;
mod record;
mod root;
mod safe_list;
mod service;
mod services;
mod sids;
mod snapshot;
mod template;
mod test_numbers;
#[cfg(test)]
pub(crate) mod tests;
mod webhooks;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Semaphore, watch};

use crate::clock::Clock;
use crate::domain::{GatewayName, ServiceId, Sid};
use crate::store::Store;
use safe_list::SafeList;
use snapshot::{Credentials, Services};
use writer::Writer;

pub use crate::config::services::{DefaultService, RegistrySettings};
pub use authenticate::{Caller, Unauthenticated};
pub use credential::{ApiKey, NewApiKey, NewRoot, Scope, Scopes};
pub use error::{OpenError, RegistryError};
pub use events::EventType;
pub use fields::ServiceFields;
pub use keys::{KEYS_PER_SERVICE, KeyWish};
pub use open::RegistryParts;
pub use rate_limits::BucketFields;
pub use safe_list::SafeNumber;
pub use service::{
    Bucket, LockoutRule, MessagingConfiguration, Origin, RateLimit, Resend, Rules, Service, TestNumber,
    Webhook, WebhookStatus,
};
pub use sids::{gateway_sid, template_sid};
pub use template::{Template, TextError, TextWish, Translation};
pub use test_numbers::NewTestNumber;
pub use webhooks::WebhookFields;

/// The services that this installation has, and who may use them. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    commit_timeout: Duration,
    services: ArcSwap<Services>,
    credentials: ArcSwap<Credentials>,
    safe_list: SafeList,
    templates: template::Shelf,
    /// Gateways that are configured, with the ids that messaging configurations name them by.
    gateways: Vec<(Sid, GatewayName)>,
    exposure: Exposure,
    /// Grows with each change of a service.
    generation: watch::Sender<u64>,
    writer: Arc<Mutex<Writer>>,
    /// Changes that wait for their turn.
    waiting: Arc<Semaphore>,
}

/// Who can reach the server.
#[derive(Debug, Clone, Copy)]
struct Exposure {
    loopback: bool,
    allows_strangers: bool,
}

impl Registry {
    /// The service with this id, as it is now; `None` when it was removed or is not in the configuration any more. Waits for
    /// nobody.
    pub fn rules(&self, id: ServiceId) -> Option<Arc<Service>> {
        self.0.services.load().by_id(id)
    }

    /// The service with this sid.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn service(&self, sid: &Sid) -> Result<Arc<Service>, RegistryError> {
        self.0.services.load().by_sid(sid).ok_or_else(|| error::not_found(sid))
    }

    /// A service by what a person calls it: its sid, `default`, its name in config.json, or what its messages call it, if only
    /// one has that name.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Invalid`] when several have the name.
    pub fn find_service(&self, text: &str) -> Result<Arc<Service>, RegistryError> {
        self.0.services.load().find(text)
    }

    /// The service behind the compatible routes.
    pub fn default_service(&self) -> Arc<Service> {
        self.0.services.load().default_service()
    }

    /// Services, the newest first: leaves out `skip`, and then has at most `limit`.
    pub fn services(&self, skip: usize, limit: usize) -> Vec<Arc<Service>> {
        self.0.services.load().newest_first().skip(skip).take(limit).collect()
    }

    /// How many services there are.
    pub fn count(&self) -> usize {
        self.0.services.load().len()
    }

    /// A number that grows with each change of any service, for whoever keeps something that was made of them.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Whether the compatible routes (`/api/*`, `/send-code`, `/verify-code`) ask for the account's credentials or a key that
    /// may verify in the default service: where strangers reach the server and nobody has allowed them, and where somebody
    /// has made a key for just that.
    pub fn compatible_routes_need_key(&self) -> bool {
        let Exposure { loopback, allows_strangers } = self.0.exposure;
        !allows_strangers && (!loopback || self.0.credentials.load().has_key_of_the_default_service())
    }

    /// How many keys are neither revoked nor for a service that is gone.
    pub fn live_keys(&self) -> usize {
        let services = self.0.services.load();
        self.0.credentials.load().live(&services).count()
    }
}

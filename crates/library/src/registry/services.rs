//! Services are made, changed and removed, over the API and by the configuration.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Registry;
use super::audit::Draft;
use super::handle::{Item, RegistryError, Result, check_room};
use super::keys::Credential;
use crate::config::services::{ConfiguredService, ServiceSettings, TestNumber};
use crate::domain::{Region, ServiceId, Sid, SidKind, Timestamp, record_id, record_id_parts};
use crate::engine::{LAST_SERVICE, SlotHash};
use crate::registry::audit::Action;
use crate::shard::{Id, Record, RecordKey, Transaction};

impl Registry {
    /// The ids of services of config.json, in the place of their names there.
    pub fn ids_of_configured<T>(&self, mut by_name: HashMap<String, T>) -> HashMap<ServiceId, T> {
        let services = self.services(0, usize::MAX);
        let known = services.iter().filter_map(|service| match &service.origin {
            Origin::Config(name) => Some((service.id, by_name.remove(name)?)),
            Origin::Api | Origin::Default => None,
        });
        known.collect()
    }

    /// Makes a service with these members of its settings, by their keys in config.json, and the default of every other.
    pub async fn create_service(&self, given: Map<String, Value>) -> Result<Arc<Service>> {
        let this = self.clone();
        self.decide(move |draft| {
            if !given.contains_key("friendly-name") {
                return Err(RegistryError::invalid("friendly_name")("is missing".to_owned()));
            }
            let settings = this.changed(&ServiceSettings::default(), given)?;
            check_room(present(draft.view).count(), Item::Service)?;
            let id = next_id(draft.view).ok_or_else(|| RegistryError::too_many(Item::Service))?;
            let sid = draft.sid(SidKind::Service);
            let service = blank(id, sid, Origin::Api, settings, draft.now);
            draft.put(service_id(id), &ServiceRecord::Present(Box::new(service.clone())));
            draft.record(Action::ServiceCreated, Some(sid), String::new(), String::new());
            Ok(Arc::new(service))
        })
        .await
    }

    /// Changes these members of the settings of a service that was made over the API.
    pub async fn update_service(&self, sid: Sid, given: Map<String, Value>) -> Result<Arc<Service>> {
        let this = self.clone();
        let changed = self.change(sid, move |service, _| {
            is_changeable(service)?;
            service.settings = this.changed(&service.settings, given)?;
            Ok(())
        });
        changed.await?;
        self.service(&sid)
    }

    fn changed(&self, settings: &ServiceSettings, given: Map<String, Value>) -> Result<ServiceSettings> {
        let settings = settings.with(given)?;
        let wrong = settings.validate(self.templates()).into_iter().next();
        wrong.map_or(Ok(settings), |error| Err(error.into()))
    }

    /// Removes a service that was made over the API, with everything that belongs to it. Keys for it alone are worth nothing
    /// from then on.
    pub async fn delete_service(&self, sid: Sid) -> Result<()> {
        let id = service_id(self.service(&sid)?.id);
        self.decide(move |draft| {
            is_changeable(&*draft.service(id)?)?;
            draft.put(id, &ServiceRecord::Removed);
            draft.record(Action::ServiceDeleted, Some(sid), String::new(), String::new());
            Ok(())
        })
        .await
    }
}

fn present(view: &Transaction<'_>) -> impl Iterator<Item = Service> {
    view.iter::<ServiceRecord>().filter_map(|(_, record)| match record {
        ServiceRecord::Present(service) => Some(*service),
        ServiceRecord::Removed => None,
    })
}

/// An id that was never given; `None` when there is none left.
fn next_id(view: &Transaction<'_>) -> Option<ServiceId> {
    let given = |(key, _): (RecordKey, ServiceRecord)| record_id_parts(key.id).0.get();
    let next = view.iter().map(given).max().map_or(1, |last| last + 1);
    (next <= LAST_SERVICE).then(|| ServiceId::new(next))
}

pub(super) fn is_changeable(service: &Service) -> Result<()> {
    let why = match &service.origin {
        Origin::Api => return Ok(()),
        Origin::Default => {
            "this is the service of the older routes; its rules are the top-level keys of config.json, such as \
             otp-length, and are changed there"
                .to_owned()
        }
        Origin::Config(name) => {
            format!("this service is \"services.{name}\" of config.json, and is changed there")
        }
    };
    Err(RegistryError::ReadOnly(why))
}

/// Brings the default service and those of config.json up to the configuration. A service that config.json does not have any
/// more keeps its record.
pub(super) fn sync_with_configuration(
    draft: &mut Draft<'_, '_>,
    configured: &[ConfiguredService],
    default: &ServiceSettings,
) -> Result<()> {
    let now = draft.now;
    let service = match draft.service(service_id(ServiceId::DEFAULT)) {
        Ok(service) => *service,
        Err(_) => Service { sid: draft.sid(SidKind::Service), ..unnamed_default(default, now) },
    };
    put(draft, Service { settings: default.clone(), ..service.clone() }, &service);
    let present: Vec<Service> = present(draft.view).collect();
    for configured in configured {
        let origin = Origin::Config(configured.name.clone());
        let service = if let Some(service) = present.iter().find(|service| service.origin == origin) {
            service.clone()
        } else {
            let id = next_id(draft.view).ok_or_else(|| RegistryError::too_many(Item::Service))?;
            blank(id, draft.sid(SidKind::Service), origin, configured.settings.clone(), now)
        };
        // Resources that were created over the API (limits, gateways, webhooks, test numbers) stay.
        put(draft, Service { settings: configured.settings.clone(), ..service.clone() }, &service);
    }
    Ok(())
}

fn put(draft: &mut Draft<'_, '_>, mut service: Service, before: &Service) {
    if service != *before {
        service.updated = draft.now;
    }
    draft.put(service_id(service.id), &ServiceRecord::Present(Box::new(service)));
}

// A service: stored, shown and decided by in this form; and the kinds of record of the registry, all of them in slot
// 0.

/// A namespace with its own rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The namespace of its numbers' records. Never reused.
    pub id: ServiceId,
    /// `VA`.
    pub sid: Sid,
    pub origin: Origin,
    pub settings: ServiceSettings,
    pub rate_limits: Vec<RateLimit>,
    pub messaging: Vec<MessagingConfiguration>,
    pub webhooks: Vec<Webhook>,
    pub test_numbers: Vec<TestNumber>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl Service {
    /// The name for people: its friendly name, behind `default` for that service.
    pub fn title(&self) -> String {
        let (name, default) = (&self.settings.friendly_name, ServiceId::DEFAULT_NAME);
        if self.origin == Origin::Default && name != default {
            return format!("{default} ({name})");
        }
        name.clone()
    }

    /// The key in logs and metrics: `default`, the name in config.json, or the sid. It never changes, and commands
    /// accept it.
    pub fn name(&self) -> String {
        match &self.origin {
            Origin::Default => ServiceId::DEFAULT_NAME.to_owned(),
            Origin::Config(name) => name.clone(),
            Origin::Api => self.sid.to_string(),
        }
    }

    pub fn rate_limit(&self, sid: &Sid) -> Result<&RateLimit> {
        found(self.rate_limits.iter(), Item::RateLimit, |limit| limit.sid == *sid)
    }

    pub(super) fn rate_limit_mut(&mut self, sid: &Sid) -> Result<&mut RateLimit> {
        found(self.rate_limits.iter_mut(), Item::RateLimit, |limit| limit.sid == *sid)
    }

    pub fn messaging(&self, country: Region) -> Result<&MessagingConfiguration> {
        found(self.messaging.iter(), Item::MessagingConfiguration, |kept| kept.country == country)
    }

    pub fn webhook(&self, sid: &Sid) -> Result<&Webhook> {
        found(self.webhooks.iter(), Item::Webhook, |webhook| webhook.sid == *sid)
    }
}

/// A service that nothing belongs to.
pub(crate) fn blank(
    id: ServiceId,
    sid: Sid,
    origin: Origin,
    settings: ServiceSettings,
    now: Timestamp,
) -> Service {
    Service {
        id,
        sid,
        origin,
        settings,
        rate_limits: Vec::new(),
        messaging: Vec::new(),
        webhooks: Vec::new(),
        test_numbers: Vec::new(),
        created: now,
        updated: now,
    }
}

/// Stands for the default service until the store has been read.
pub(super) fn unnamed_default(settings: &ServiceSettings, now: Timestamp) -> Service {
    let sid = Sid::new(SidKind::Service, [0; 16]);
    blank(ServiceId::DEFAULT, sid, Origin::Default, settings.clone(), now)
}

/// The one of a service's belongings that is meant.
pub(super) fn found<T>(
    mut kept: impl Iterator<Item = T>,
    item: Item,
    is_it: impl FnMut(&T) -> bool,
) -> Result<T> {
    kept.find(is_it).ok_or(RegistryError::NotFound(item))
}

/// The creator of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The service of the compatible routes: the top-level settings are its rules.
    Default,
    /// `services` of config.json, under this name. Changed there, and not over the API.
    Config(String),
    /// A client, over the API.
    Api,
}

/// A named limit: a request passes a value for it, and each of its buckets counts that value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    pub sid: Sid,
    pub unique_name: String,
    pub description: Option<String>,
    /// The largest number, and its window.
    pub buckets: Vec<Bucket>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A limit of `max` requests with one value in `interval` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    pub sid: Sid,
    pub max: u32,
    pub interval: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl RateLimit {
    pub fn bucket(&self, sid: &Sid) -> Result<&Bucket> {
        found(self.buckets.iter(), Item::Bucket, |bucket| bucket.sid == *sid)
    }
}

/// The gateway for a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagingConfiguration {
    pub country: Region,
    /// `MG`: names a gateway, see `gateway_sid`.
    pub messaging_service: Sid,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub sid: Sid,
    pub friendly_name: String,
    /// Names of events, or `*` for all.
    pub event_types: Vec<String>,
    /// Where they go: http or https.
    pub url: String,
    pub status: WebhookStatus,
    /// The key of the signatures (Standard Webhooks): 24 to 64 random bytes.
    pub secret: Vec<u8>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.sid)
    }
}

crate::named! {
    /// Whether a webhook receives events.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum WebhookStatus {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

/// The slot of every record of the registry.
pub const SLOT: u8 = 0;

/// The record of a service. A removed service leaves its id, which is never reused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServiceRecord {
    Present(Box<Service>),
    Removed,
}

pub fn service_id(service: ServiceId) -> Id {
    record_id(service, 0)
}

/// The id of a credential's record, by its number. The account's is 0.
pub fn credential_id(number: u64) -> Id {
    record_id(ServiceId::DEFAULT, number)
}

/// A record in slot 0 without an end.
impl Record for ServiceRecord {
    const KIND: u8 = 3;
    const PLURAL: &'static str = "services";
    /// 100 belongings of each sort; a webhook has an address of 2,048 characters.
    const LONGEST: usize = 512 * 1024;

    fn slot(_: &Id, _: &SlotHash) -> u8 {
        SLOT
    }

    fn expires(&self) -> Timestamp {
        Timestamp::MAX
    }
}

impl Record for Credential {
    const KIND: u8 = 4;
    const PLURAL: &'static str = "credentials";

    fn slot(_: &Id, _: &SlotHash) -> u8 {
        SLOT
    }

    fn expires(&self) -> Timestamp {
        Timestamp::MAX
    }
}

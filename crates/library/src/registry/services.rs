//! Services are made, changed and removed, over the API and by the configuration.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::command::Draft;
use super::error::{Result, check_room};
use super::service::{ServiceRecord, blank, service_id, unnamed_default};
use super::{Item, OpenError, Origin, Registry, RegistryError, Service, ServiceSettings, Template};
use crate::config::services::{ConfiguredService, SettingError, TestNumber};
use crate::domain::{ServiceId, Sid, SidKind, Timestamp, record_id_parts};
use crate::engine::LAST_SERVICE;
use crate::registry::audit::Action;
use crate::shard::{RecordKey, Transaction};

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
                return Err(RegistryError::missing("friendly_name"));
            }
            let settings = this.changed(&ServiceSettings::default(), given, &[])?;
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
            service.settings = this.changed(&service.settings, given, &service.test_numbers)?;
            Ok(())
        });
        changed.await?;
        self.service(&sid)
    }

    fn changed(
        &self,
        settings: &ServiceSettings,
        given: Map<String, Value>,
        test_numbers: &[TestNumber],
    ) -> Result<ServiceSettings> {
        // Stored settings stay, even if the configuration has changed since.
        let is_new: Vec<String> = given.keys().cloned().collect();
        let settings = settings.with(given)?;
        let templates: Vec<&Template> = self.templates().iter().map(|template| &**template).collect();
        let wrong = settings.validate(&templates, test_numbers).into_iter();
        let is_about = |error: &SettingError, key: &str| {
            key == error.key
                || (error.key == "lockout" && matches!(key, "max-checks" | "code-length" | "custom-code"))
        };
        let wrong = wrong.into_iter().find(|error| is_new.iter().any(|key| is_about(error, key)));
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

fn is_changeable(service: &Service) -> Result<()> {
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

/// Refuses a test number that would last too long.
pub fn check_test_numbers(service: &ConfiguredService, now: Timestamp) -> Result<(), OpenError> {
    if service.test_numbers.iter().any(|number| number.lasts_too_long(now)) {
        let what = "has a test number that expires more than a year from now; choose an earlier day";
        return Err(problem(service, what));
    }
    Ok(())
}

/// The services of config.json, without test numbers that have expired.
pub(super) fn checked_services(
    mut services: Vec<ConfiguredService>,
    now: Timestamp,
) -> Result<Vec<ConfiguredService>, OpenError> {
    for service in &mut services {
        check_test_numbers(service, now)?;
        let given = service.test_numbers.len();
        service.test_numbers.retain(|number| number.expires > now);
        let expired = given - service.test_numbers.len();
        if expired > 0 {
            let service = &service.name;
            tracing::warn!(service, expired, "test numbers expired; they are ordinary numbers again");
        }
    }
    Ok(services)
}

/// Brings the default service and those of config.json up to the configuration. A service that config.json does not have any
/// more keeps its record.
pub(super) fn sync_with_configuration(
    draft: &mut Draft<'_, '_>,
    configured: &[ConfiguredService],
    default: &ServiceSettings,
) -> Result<(), OpenError> {
    let now = draft.now;
    let service = match draft.service(service_id(ServiceId::DEFAULT)) {
        Ok(service) => *service,
        Err(_) => Service { sid: draft.sid(SidKind::Service), ..unnamed_default(default, now) },
    };
    let mut test_numbers = service.test_numbers.iter().filter(|number| now < number.expires);
    if let Err(why) = test_numbers.try_for_each(|number| default.check_test_code(number)) {
        return Err(OpenError::Settings {
            subject: "otp-lock-timeout".to_owned(),
            problem: format!("{why}. A test number that was added over the API has such a code"),
            origin: "config.json or the default".to_owned(),
        });
    }
    put(draft, Service { settings: default.clone(), ..service.clone() }, &service);
    let present: Vec<Service> = present(draft.view).collect();
    for configured in configured {
        let origin = Origin::Config(configured.name.clone());
        let service = if let Some(service) = present.iter().find(|service| service.origin == origin) {
            service.clone()
        } else {
            let id = next_id(draft.view)
                .ok_or_else(|| problem(configured, "has no id: all have been given away"))?;
            blank(id, draft.sid(SidKind::Service), origin, configured.settings.clone(), now)
        };
        // Resources that were created over the API (limits, gateways, webhooks) stay.
        let (settings, test_numbers) = (configured.settings.clone(), configured.test_numbers.clone());
        put(draft, Service { settings, test_numbers, ..service.clone() }, &service);
    }
    Ok(())
}

fn put(draft: &mut Draft<'_, '_>, mut service: Service, before: &Service) {
    if service != *before {
        service.updated = draft.now;
    }
    draft.put(service_id(service.id), &ServiceRecord::Present(Box::new(service)));
}

fn problem(service: &ConfiguredService, problem: &str) -> OpenError {
    OpenError::Settings {
        subject: format!("services.{}", service.name),
        problem: problem.to_owned(),
        origin: service.origin.clone(),
    }
}

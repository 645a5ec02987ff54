//! Services that the configuration describes: the default one, and those of `services`.

use super::command::NewIds;
use super::record::{ServiceRecord, service_id};
use super::services::{blank, next_id, present};
use super::{OpenError, Origin, Service, ServiceSettings};
use crate::config::services::ConfiguredService;
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::shard::{Durability, Transaction};

/// The services of config.json, without test numbers that have expired.
pub(super) fn checked(
    services: &[ConfiguredService],
    now: Timestamp,
) -> Result<Vec<ConfiguredService>, OpenError> {
    let mut services = services.to_vec();
    for service in &mut services {
        if service.test_numbers.iter().any(|number| number.lasts_too_long(now)) {
            let what = "has a test number that expires more than a year from now; choose an earlier day";
            return Err(problem(service, what));
        }
        let given = service.test_numbers.len();
        service.test_numbers.retain(|number| number.expires > now);
        let expired = given - service.test_numbers.len();
        if expired > 0 {
            let service = &service.name;
            tracing::warn!(service, expired, "test numbers expired: they are ordinary numbers again");
        }
    }
    Ok(services)
}

/// Stands for the default service until the store has been read.
pub(super) fn unnamed_default(settings: &ServiceSettings, now: Timestamp) -> Service {
    let sid = Sid::new(SidKind::Service, [0; 16]);
    blank(ServiceId::DEFAULT, sid, Origin::Default, settings.clone(), now)
}

/// Brings the default service and those of config.json up to the configuration. A service that config.json does not have any
/// more keeps its record.
pub(super) fn sync_with_configuration(
    view: &mut Transaction<'_>,
    configured: &[ConfiguredService],
    default: &ServiceSettings,
    now: Timestamp,
) -> Result<(), OpenError> {
    let found = view.get(service_id(ServiceId::DEFAULT));
    let service = if let Some(ServiceRecord::Present(service)) = found {
        *service
    } else {
        let sid = NewIds { now, rng: view.rng() }.sid(SidKind::Service);
        Service { sid, ..unnamed_default(default, now) }
    };
    put(view, Service { settings: default.clone(), ..service.clone() }, &service, now);
    let present: Vec<Service> = present(view).collect();
    for configured in configured {
        let origin = Origin::Config(configured.name.clone());
        let service = if let Some(service) = present.iter().find(|service| service.origin == origin) {
            service.clone()
        } else {
            let id =
                next_id(view).ok_or_else(|| problem(configured, "has no id: all have been given away"))?;
            let sid = NewIds { now, rng: view.rng() }.sid(SidKind::Service);
            blank(id, sid, origin, configured.settings.clone(), now)
        };
        // What was made over the API (limits, gateways, webhooks) stays.
        let (settings, test_numbers) = (configured.settings.clone(), configured.test_numbers.clone());
        put(view, Service { settings, test_numbers, ..service.clone() }, &service, now);
    }
    Ok(())
}

fn put(view: &mut Transaction<'_>, mut service: Service, before: &Service, now: Timestamp) {
    if service != *before {
        service.updated = now;
    }
    let id = service_id(service.id);
    view.put(id, Some(&ServiceRecord::Present(Box::new(service))), Durability::Durable);
}

fn problem(service: &ConfiguredService, problem: &str) -> OpenError {
    OpenError::Settings {
        subject: format!("services.{}", service.name),
        problem: problem.to_owned(),
        origin: service.origin.clone(),
    }
}

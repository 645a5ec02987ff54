//! Services that the configuration describes: the default one, and those of `services`.

use super::command::NewIds;
use super::record::{ServiceRecord, service_id};
use super::services::{blank, next_id, present};
use super::{DefaultService, LockoutRule, OpenError, Origin, Resend, Rules, Service, template_sid};
use crate::config::services::ServiceSettings;
use crate::config::services::rules::TEST_NUMBER_LONGEST;
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::shard::{Durability, Transaction};

/// The services of config.json, without test numbers that have expired.
pub(super) fn checked(
    settings: &[ServiceSettings],
    now: Timestamp,
) -> Result<Vec<ServiceSettings>, OpenError> {
    let mut settings = settings.to_vec();
    for service in &mut settings {
        if service.test_numbers.iter().any(|number| number.expires > now.plus(TEST_NUMBER_LONGEST)) {
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
    Ok(settings)
}

/// Stands for the default service until the store has been read.
pub(super) fn unnamed_default(default: &DefaultService, now: Timestamp) -> Service {
    let sid = Sid::new(SidKind::Service, [0; 16]);
    blank(ServiceId::DEFAULT, sid, Origin::Default, rules_of_default(default), now)
}

/// Brings the default service and those of config.json up to the configuration. A service that config.json does not have any
/// more keeps its record.
pub(super) fn sync_with_configuration(
    view: &mut Transaction<'_>,
    settings: &[ServiceSettings],
    default: &DefaultService,
    now: Timestamp,
) -> Result<(), OpenError> {
    let found = view.get(service_id(ServiceId::DEFAULT));
    let service = if let Some(ServiceRecord::Present(service)) = found {
        *service
    } else {
        let sid = NewIds { now, rng: view.rng() }.sid(SidKind::Service);
        Service { sid, ..unnamed_default(default, now) }
    };
    put(view, service, now, |service| {
        service.rules = rules_of_default(default);
        service.friendly_name.clone_from(&default.friendly_name);
    });
    let present: Vec<Service> = present(view).collect();
    for settings in settings {
        let origin = Origin::Config(settings.name.clone());
        let service = if let Some(service) = present.iter().find(|service| service.origin == origin) {
            service.clone()
        } else {
            let id = next_id(view).ok_or_else(|| problem(settings, "has no id: all have been given away"))?;
            let sid = NewIds { now, rng: view.rng() }.sid(SidKind::Service);
            blank(id, sid, origin, rules_of(settings), now)
        };
        put(view, service, now, |service| describe(service, settings));
    }
    Ok(())
}

fn put(
    view: &mut Transaction<'_>,
    mut service: Service,
    now: Timestamp,
    describe: impl FnOnce(&mut Service),
) {
    let before = service.clone();
    describe(&mut service);
    if service != before {
        service.updated = now;
    }
    let id = service_id(service.id);
    view.put(id, Some(&ServiceRecord::Present(Box::new(service))), Durability::Durable);
}

fn rules_of_default(default: &DefaultService) -> Rules {
    Rules {
        code_length: default.policy.code.length,
        code_life: default.policy.code.life,
        max_checks: default.policy.max_attempts,
        max_sends: default.policy.sends.max,
        lockout: LockoutRule::Fixed(default.policy.lockout),
        resend: if default.policy.sends.keeps_code { Resend::Keep } else { Resend::New },
        cooling_down: default.policy.sends.cools_down,
    }
}

fn rules_of(settings: &ServiceSettings) -> Rules {
    Rules {
        code_length: settings.code_length,
        code_life: settings.code_life,
        max_checks: settings.max_checks,
        max_sends: Some(settings.max_sends),
        lockout: settings.lockout.map_or(LockoutRule::Growing, LockoutRule::Fixed),
        resend: if settings.resend_new { Resend::New } else { Resend::Keep },
        cooling_down: settings.cooling_down,
    }
}

/// Everything that was made over the API (limits, gateways, webhooks) stays.
fn describe(service: &mut Service, settings: &ServiceSettings) {
    service.rules = rules_of(settings);
    service.friendly_name.clone_from(&settings.friendly_name);
    service.custom_code_enabled = settings.custom_code;
    service.do_not_share_warning_enabled = settings.do_not_share_warning;
    service.default_template = settings.default_template.as_deref().map(template_sid);
    service.locale = settings.locale;
    service.workflow.clone_from(&settings.workflow);
    service.test_numbers.clone_from(&settings.test_numbers);
}

fn problem(settings: &ServiceSettings, problem: &str) -> OpenError {
    OpenError::Settings {
        subject: format!("services.{}", settings.name),
        problem: problem.to_owned(),
        origin: settings.origin.clone(),
    }
}

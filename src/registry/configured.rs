//! Services that the configuration describes: the default one, and those of `services`.

use std::collections::BTreeMap;

use super::services::{LAST_ID, MOST, blank};
use super::snapshot::Services;
use super::template_sid;
use super::writer::Writer;
use super::{DefaultService, LockoutRule, OpenError, Origin, Resend, Rules, Service, TestNumber};
use crate::config::services::ServiceSettings;
use crate::config::services::rules::TEST_NUMBER_LONGEST;
use crate::domain::{ServiceId, SidKind, Timestamp};

/// The services that are served, and those of them whose records have to be written. A service that config.json does not have
/// any more keeps its record, and is not served.
pub(super) fn bring_up(
    mut kept: BTreeMap<ServiceId, Service>,
    settings: &[ServiceSettings],
    default: &DefaultService,
    writer: &mut Writer,
    now: Timestamp,
) -> Result<(Services, Vec<Service>), OpenError> {
    let mut changed = Vec::new();
    let rules = rules_of_default(default);
    let found = kept.remove(&ServiceId::DEFAULT);
    let is_new = found.is_none();
    let mut service = found.unwrap_or_else(|| {
        blank(ServiceId::DEFAULT, writer.sid(SidKind::Service), Origin::Default, rules.clone(), now)
    });
    let before = service.clone();
    service.rules = rules;
    service.friendly_name.clone_from(&default.friendly_name);
    note_change(&mut service, &before, is_new, now, &mut changed);
    let mut served = Services::new(service);

    let (configured, others): (Vec<Service>, Vec<Service>) =
        kept.into_values().partition(|service| matches!(service.origin, Origin::Config(_)));
    for settings in settings {
        let origin = Origin::Config(settings.name.clone());
        let found = configured.iter().find(|service| service.origin == origin).cloned();
        let is_new = found.is_none();
        let mut service = if let Some(service) = found {
            service
        } else {
            let id = writer.next_service;
            if id > LAST_ID {
                return Err(problem(settings, "has no id: all have been given away"));
            }
            writer.next_service += 1;
            blank(ServiceId::new(id), writer.sid(SidKind::Service), origin, rules_of(settings), now)
        };
        let before = service.clone();
        describe(&mut service, settings, now)?;
        note_change(&mut service, &before, is_new, now, &mut changed);
        served.put(std::sync::Arc::new(service));
    }
    for service in others {
        served.put(std::sync::Arc::new(service));
    }
    if served.len() > MOST {
        tracing::warn!(services = served.len(), most = MOST, "there are more services than can be made");
    }
    Ok((served, changed))
}

fn note_change(
    service: &mut Service,
    before: &Service,
    is_new: bool,
    now: Timestamp,
    changed: &mut Vec<Service>,
) {
    if is_new || service != before {
        service.updated = now;
        changed.push(service.clone());
    }
}

fn rules_of_default(default: &DefaultService) -> Rules {
    Rules {
        code_length: default.code_length,
        code_life: default.code_life,
        max_checks: default.max_checks,
        max_sends: None,
        lockout: LockoutRule::Fixed(default.lockout),
        resend: Resend::New,
        cooling_down: false,
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

/// What config.json says of it. What was made over the API (limits, gateways, webhooks) stays.
fn describe(service: &mut Service, settings: &ServiceSettings, now: Timestamp) -> Result<(), OpenError> {
    service.rules = rules_of(settings);
    service.friendly_name.clone_from(&settings.friendly_name);
    service.custom_code_enabled = settings.custom_code;
    service.do_not_share_warning_enabled = settings.do_not_share_warning;
    service.default_template = settings.default_template.as_deref().map(template_sid);
    service.locale = settings.locale;
    service.workflow.clone_from(&settings.workflow);
    service.test_numbers.clear();
    for number in &settings.test_numbers {
        if number.expires > now.plus(TEST_NUMBER_LONGEST) {
            return Err(problem(
                settings,
                "has a test number that expires more than a year from now; choose an earlier day",
            ));
        }
        if number.expires <= now {
            tracing::warn!(
                service = settings.name,
                "a test number has expired, and is an ordinary number again"
            );
            continue;
        }
        let (pattern, code) = (number.pattern.clone(), number.code.clone());
        service.test_numbers.push(TestNumber { pattern, code, expires: number.expires });
    }
    Ok(())
}

fn problem(settings: &ServiceSettings, problem: &str) -> OpenError {
    OpenError::Settings {
        subject: format!("services.{}", settings.name),
        problem: problem.to_owned(),
        origin: settings.origin.clone(),
    }
}

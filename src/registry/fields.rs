//! The fields of a service in a request, and their validation.

use std::time::Duration;

use super::template::TemplateCatalog;
use super::{LockoutRule, RegistryError, Resend, Rules, Service};
use crate::config::services::rules;
use crate::domain::{Locale, Sid};
use crate::engine::{Policy, SendOptions, SendRules};

/// The name of an alternative voice, in characters.
const TTS_NAME_LONGEST: usize = 64;

/// Values to set; `None` leaves a value as it is, or as it is by default. `Some(None)` removes an optional value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceFields {
    /// The name in messages: 1 to 30 characters, with at most 4 digits.
    pub friendly_name: Option<String>,
    /// Digits of a code: 4 to 10.
    pub code_length: Option<u64>,
    /// See [`Service::custom_code_enabled`].
    pub custom_code_enabled: Option<bool>,
    /// See [`Service::do_not_share_warning_enabled`].
    pub do_not_share_warning_enabled: Option<bool>,
    /// See [`Service::skip_sms_to_landlines`].
    pub skip_sms_to_landlines: Option<bool>,
    /// See [`Service::lookup_enabled`].
    pub lookup_enabled: Option<bool>,
    /// See [`Service::dtmf_input_required`].
    pub dtmf_input_required: Option<bool>,
    /// See [`Service::tts_name`].
    pub tts_name: Option<Option<String>>,
    /// See [`Service::psd2_enabled`].
    pub psd2_enabled: Option<bool>,
    /// See [`Service::verify_event_subscription_enabled`].
    pub verify_event_subscription_enabled: Option<bool>,
    /// `HJ`.
    pub default_template: Option<Option<Sid>>,
    /// How long a code can be used: 30 s to 1 h.
    pub code_life: Option<Duration>,
    /// Wrong codes: 1 to 100.
    pub max_checks: Option<u64>,
    /// Messages of one verification: 1 to 20.
    pub max_sends: Option<u64>,
    /// The consequence of too many wrong codes.
    pub lockout: Option<LockoutRule>,
    /// The code of a further send.
    pub resend: Option<Resend>,
    /// A further send has to wait.
    pub cooling_down: Option<bool>,
    /// The language where nothing else leads to one.
    pub locale: Option<Option<Locale>>,
    /// Channels one after another, spelled as the setting `workflow`.
    pub workflow: Option<Option<String>>,
}

/// The rules of a service for which none are given.
pub(super) const DEFAULT_RULES: Rules = Rules {
    code_length: SendOptions::DEFAULT.length,
    code_life: SendOptions::DEFAULT.life,
    max_checks: Policy::DEFAULT_MAX_ATTEMPTS,
    max_sends: Some(SendRules::DEFAULT_MAX),
    lockout: LockoutRule::Growing,
    resend: Resend::Keep,
    cooling_down: false,
};

impl ServiceFields {
    /// Sets them. After an error some may be set: it is for a copy.
    pub(super) fn apply(
        self,
        service: &mut Service,
        templates: &TemplateCatalog,
    ) -> Result<(), RegistryError> {
        let invalid = RegistryError::invalid;
        if let Some(name) = self.friendly_name {
            service.friendly_name = rules::friendly_name(&name).map_err(invalid("friendly_name"))?;
        }
        if let Some(digits) = self.code_length {
            service.rules.code_length = rules::code_length(digits).map_err(invalid("code_length"))?;
        }
        if let Some(life) = self.code_life {
            service.rules.code_life = rules::code_life(life).map_err(invalid("code_life"))?;
        }
        if let Some(checks) = self.max_checks {
            service.rules.max_checks = rules::max_checks(checks).map_err(invalid("max_checks"))?;
        }
        if let Some(sends) = self.max_sends {
            service.rules.max_sends = Some(rules::max_sends(sends).map_err(invalid("max_sends"))?);
        }
        if let Some(lockout) = self.lockout {
            if let LockoutRule::Fixed(span) = lockout {
                rules::lockout(span).map_err(invalid("lockout"))?;
            }
            service.rules.lockout = lockout;
        }
        if let Some(name) = self.tts_name {
            let name = name.map(|name| rules::name(&name, TTS_NAME_LONGEST)).transpose();
            service.tts_name = name.map_err(invalid("tts_name"))?;
        }
        if let Some(template) = self.default_template {
            if let Some(sid) = template {
                templates.get(&sid).ok_or_else(|| RegistryError::Invalid {
                    field: "default_template_sid",
                    why: format!("must be a template of this installation, and {sid} is none"),
                })?;
            }
            service.default_template = template;
        }
        if let Some(workflow) = self.workflow {
            let workflow = workflow.map(|steps| rules::workflow(&steps)).transpose();
            service.workflow = workflow.map_err(invalid("workflow"))?;
        }
        set(&mut service.rules.resend, self.resend);
        set(&mut service.rules.cooling_down, self.cooling_down);
        set(&mut service.locale, self.locale);
        set(&mut service.custom_code_enabled, self.custom_code_enabled);
        set(&mut service.do_not_share_warning_enabled, self.do_not_share_warning_enabled);
        set(&mut service.skip_sms_to_landlines, self.skip_sms_to_landlines);
        set(&mut service.lookup_enabled, self.lookup_enabled);
        set(&mut service.dtmf_input_required, self.dtmf_input_required);
        set(&mut service.psd2_enabled, self.psd2_enabled);
        set(&mut service.verify_event_subscription_enabled, self.verify_event_subscription_enabled);
        Ok(())
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

//! `/v2/Services`.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;

use super::context::{Failure, RequestContext};
use super::error::Error;
use super::page::Page;
use super::params::{
    Count, Fields, Id, Line, Name, Param, Parameters as _, Removable, TemplateSid, Workflow, parameters,
};
use super::view::ServiceView;
use crate::domain::Locale;
use crate::http::answer::Answer;
use crate::registry::{LockoutRule, Resend, Service, ServiceFields};

parameters! {
    /// What a service is like. The last eight are not Twilio's.
    pub struct Rules {
        /// What its messages call it, with at most 4 digits.
        "FriendlyName" = "Owl Bank" => friendly_name: Option<Name>,
        /// Digits of a code.
        "CodeLength" = "6" => code_length: Option<Count<4, 10>>,
        /// Kept and shown.
        "LookupEnabled" = "false" => lookup_enabled: Option<bool>,
        /// Refuses text messages to numbers known to be landlines.
        "SkipSmsToLandlines" = "true" => skip_sms_to_landlines: Option<bool>,
        /// Kept and shown.
        "DtmfInputRequired" = "true" => dtmf_input_required: Option<bool>,
        /// Kept and shown. Empty takes it away.
        "TtsName" = "Owl Bank" => tts_name: Option<Removable<Line<64>>>,
        /// Kept and shown.
        "Psd2Enabled" = "false" => psd2_enabled: Option<bool>,
        /// Text messages warn that the code is not to be shared.
        "DoNotShareWarningEnabled" = "true" => do_not_share_warning_enabled: Option<bool>,
        /// Requests may bring their own codes.
        "CustomCodeEnabled" = "false" => custom_code_enabled: Option<bool>,
        /// The text where a request names none. Empty takes it away.
        "DefaultTemplateSid" = "HJ0123456789abcdef0123456789abcdef" => default_template: Option<Removable<TemplateSid>>,
        /// Kept and shown.
        "VerifyEventSubscriptionEnabled" = "false" => verify_event_subscription_enabled: Option<bool>,
        /// Not Twilio's: seconds that a code can be used.
        "CodeLife" = "600" => code_life: Option<Count<30, 3_600>>,
        /// Not Twilio's: wrong codes of a verification.
        "MaxChecks" = "5" => max_checks: Option<Count<1, 100>>,
        /// Not Twilio's: messages of a verification.
        "MaxSends" = "5" => max_sends: Option<Count<1, 20>>,
        /// Not Twilio's: growing, or for how many seconds too many wrong codes lock a number.
        "Lockout" = "growing" => lockout: Option<LockoutRule>,
        /// Not Twilio's: whether a further send keeps the code.
        "Resend" = "keep" => resend: Option<Resend>,
        /// Not Twilio's: whether a further send has to wait for 30, 60, 120, then 300 s.
        "CoolingDown" = "false" => cooling_down: Option<bool>,
        /// Not Twilio's: the language where nothing else leads to one.
        "Locale" = "de" => locale: Option<Removable<Locale>>,
        /// Not Twilio's: channels one after another, as the setting workflow.
        "Workflow" = "sms" => workflow: Option<Removable<Workflow>>,
    } not_served [
        "Push.IncludeDate",
        "Push.ApnCredentialSid",
        "Push.FcmCredentialSid",
        "Totp.Issuer",
        "Totp.TimeStep",
        "Totp.CodeLength",
        "Totp.Skew",
        "Whatsapp.MsgServiceSid",
        "Whatsapp.From",
        "Passkeys.RelyingParty.Id",
        "Passkeys.RelyingParty.Name",
        "Passkeys.RelyingParty.Origins",
        "Passkeys.AuthenticatorAttachment",
        "Passkeys.DiscoverableCredentials",
        "Passkeys.UserVerification",
    ]
}

/// The parameters of a new service.
pub fn describe_new() -> Vec<Param> {
    let mut params = Rules::describe();
    params[0] =
        Param::of::<Name>("FriendlyName", "What its messages call it, with at most 4 digits.", "Owl Bank");
    params
}

/// The parameters of a change.
pub fn describe_change() -> Vec<Param> {
    Rules::describe()
}

/// `GET /v2/Services`: the newest first; for a key of one service, that one.
pub fn list(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let page = Page::read(&request.fields)?;
    let registry = &request.v2.registry;
    let frame = request.frame();
    let view = |service: &Arc<Service>| ServiceView::new(&frame, service);
    let listed = if let Some(own) = request.own_service() {
        page.of(registry.service_by_id(own).iter(), view)
    } else {
        let services = registry.services(page.skip(), page.limit() + 1);
        let shown = services.iter().take(page.limit()).map(view).collect();
        (page, shown, services.len() > page.limit())
    };
    Ok(request.listed("services", listed, &[]))
}

/// `POST /v2/Services`.
pub async fn create(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let wanted = read(&request.fields)?;
    if wanted.friendly_name.is_none() {
        return Err(Error::missing("FriendlyName").into());
    }
    let made = request.v2.registry.create_service(wanted).await?;
    Ok(Answer::json(StatusCode::CREATED, &ServiceView::new(&request.frame(), &made)))
}

/// `GET /v2/Services/{Sid}`.
pub fn fetch(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    Ok(Answer::json(StatusCode::OK, &ServiceView::new(&request.frame(), &*request.service()?)))
}

/// `POST /v2/Services/{Sid}`.
pub async fn update(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let changed = request.v2.registry.update_service(service.sid, read(&request.fields)?).await?;
    Ok(Answer::json(StatusCode::OK, &ServiceView::new(&request.frame(), &changed)))
}

/// `DELETE /v2/Services/{Sid}`.
pub async fn delete(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    request.v2.registry.delete_service(service.sid).await?;
    Ok(Answer::empty())
}

fn read(fields: &Fields) -> Result<ServiceFields, Error> {
    let rules = Rules::read(fields)?;
    Ok(ServiceFields {
        friendly_name: rules.friendly_name.map(|Name(name)| name),
        code_length: rules.code_length.map(|Count(digits)| digits),
        custom_code_enabled: rules.custom_code_enabled,
        do_not_share_warning_enabled: rules.do_not_share_warning_enabled,
        skip_sms_to_landlines: rules.skip_sms_to_landlines,
        lookup_enabled: rules.lookup_enabled,
        dtmf_input_required: rules.dtmf_input_required,
        tts_name: rules.tts_name.map(|Removable(name)| name.map(|Line(name)| name)),
        psd2_enabled: rules.psd2_enabled,
        verify_event_subscription_enabled: rules.verify_event_subscription_enabled,
        default_template: rules.default_template.map(|Removable(template)| template.map(|Id(sid)| sid)),
        code_life: rules.code_life.map(|Count(seconds)| Duration::from_secs(seconds)),
        max_checks: rules.max_checks.map(|Count(checks)| checks),
        max_sends: rules.max_sends.map(|Count(sends)| sends),
        lockout: rules.lockout,
        resend: rules.resend,
        cooling_down: rules.cooling_down,
        locale: rules.locale.map(|Removable(locale)| locale),
        workflow: rules.workflow.map(|Removable(steps)| steps.map(|Workflow(steps)| steps)),
    })
}

//! `/v2/Services`.

use std::time::Duration;

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use super::view::ServiceView;
use crate::domain::{Locale, Sid, SidKind};
use crate::http::answer::Answer;
use crate::registry::{LockoutRule, Resend, ServiceFields};

/// What Twilio reads here and this server does not.
const NOT_SERVED: [&str; 15] = [
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
];

/// `GET /v2/Services`: the newest first; for a key of one service, that one.
pub fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let page = Page::read(&ask.query)?;
    let registry = &ask.v2.registry;
    let (services, has_more) = if let Some(own) = ask.own_service() {
        page.cut(registry.service_by_id(own).into_iter().collect())
    } else {
        let mut services = registry.services(page.skip(), page.limit() + 1);
        let has_more = services.len() > page.limit();
        services.truncate(page.limit());
        (services, has_more)
    };
    let frame = ask.frame();
    let views = services.iter().map(|service| ServiceView::new(&frame, service)).collect();
    let url = frame.url("/Services");
    Ok(Answer::json(StatusCode::OK, &page.listed("services", views, has_more, &url, (&ask.query, &[]))))
}

/// `POST /v2/Services`.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let wanted = read(fields)?;
    value::required("FriendlyName", wanted.friendly_name.as_ref())?;
    let made = ask.v2.registry.create_service(wanted).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::CREATED, &ServiceView::new(&ask.frame(), &made)))
}

/// `GET /v2/Services/{Sid}`.
pub fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    Ok(Answer::json(StatusCode::OK, &ServiceView::new(&ask.frame(), &*ask.service()?)))
}

/// `POST /v2/Services/{Sid}`.
pub async fn update(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?;
    let changed = ask.v2.registry.update_service(service.sid, read(fields)?).await;
    let changed = changed.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &ServiceView::new(&ask.frame(), &changed)))
}

/// `DELETE /v2/Services/{Sid}`.
pub async fn delete(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    ask.v2.registry.delete_service(service.sid).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::empty())
}

/// Twilio's parameters, and behind them ours, for rules that Twilio does not let its customers choose.
fn read(fields: &Fields) -> Result<ServiceFields, Error> {
    value::none_of(fields, &NOT_SERVED)?;
    let boolean = |name| value::boolean(fields, name);
    let whole = |name| value::count(fields, name);
    Ok(ServiceFields {
        friendly_name: fields.text("FriendlyName")?,
        code_length: whole("CodeLength")?,
        custom_code_enabled: boolean("CustomCodeEnabled")?,
        do_not_share_warning_enabled: boolean("DoNotShareWarningEnabled")?,
        skip_sms_to_landlines: boolean("SkipSmsToLandlines")?,
        lookup_enabled: boolean("LookupEnabled")?,
        dtmf_input_required: boolean("DtmfInputRequired")?,
        tts_name: removable(fields, "TtsName", "a text", |text| Some(text.to_owned()))?,
        psd2_enabled: boolean("Psd2Enabled")?,
        verify_event_subscription_enabled: boolean("VerifyEventSubscriptionEnabled")?,
        default_template: removable(fields, "DefaultTemplateSid", "HJ and 32 hexadecimal digits", |text| {
            Sid::parse(SidKind::Template, text)
        })?,
        code_life: whole("CodeLife")?.map(Duration::from_secs),
        max_checks: whole("MaxChecks")?,
        max_sends: whole("MaxSends")?,
        lockout: value::read(fields, "Lockout", "growing, or seconds", lockout)?,
        resend: value::word(fields, "Resend", &[("keep", Resend::Keep), ("new", Resend::New)])?,
        cooling_down: boolean("CoolingDown")?,
        locale: removable(fields, "Locale", "a language tag such as de or pt-BR", Locale::parse)?,
        workflow: removable(fields, "Workflow", "a text", |text| Some(text.to_owned()))?,
    })
}

fn lockout(text: &str) -> Option<LockoutRule> {
    if text == "growing" {
        return Some(LockoutRule::Growing);
    }
    let seconds: u32 = text.parse().ok()?;
    Some(LockoutRule::Fixed(Duration::from_secs(seconds.into())))
}

/// A value that an empty text takes away.
#[expect(
    clippy::option_option,
    reason = "not given, taken away, and given are three things, as in ServiceFields"
)]
fn removable<T>(
    fields: &Fields,
    name: &'static str,
    must_be: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Option<T>>, Error> {
    match fields.text_or_empty(name)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(Some(None)),
        Some(text) => match parse(&text) {
            Some(value) => Ok(Some(Some(value))),
            None => Err(Error::parameter(name, format!("it must be {must_be}"))),
        },
    }
}

//! A service, with everything that belongs to it.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::belongings::{MessagingRecord, RateLimitRecord, TestNumberRecord, WebhookRecord};
use super::{moment, open, seal, sid};
use crate::domain::{CodeLength, Locale, ServiceId, Sid, SidKind};
use crate::registry::{LockoutRule, Origin, Resend, Rules, Service};

/// The record of a service. What a removed one leaves has its id and nothing else: neither is ever given again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceRecord {
    sid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contents: Option<Contents>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own in Twilio's API")]
struct Contents {
    origin: OriginRecord,
    created: u64,
    updated: u64,
    friendly_name: String,
    code_length: u8,
    code_life_ms: u64,
    max_checks: u8,
    max_sends: Option<u8>,
    lockout: LockoutRecord,
    resend: ResendRecord,
    cooling_down: bool,
    custom_code_enabled: bool,
    do_not_share_warning_enabled: bool,
    skip_sms_to_landlines: bool,
    lookup_enabled: bool,
    dtmf_input_required: bool,
    tts_name: Option<String>,
    psd2_enabled: bool,
    verify_event_subscription_enabled: bool,
    default_template: Option<String>,
    locale: Option<String>,
    workflow: Option<String>,
    #[serde(default)]
    rate_limits: Vec<RateLimitRecord>,
    #[serde(default)]
    messaging: Vec<MessagingRecord>,
    #[serde(default)]
    webhooks: Vec<WebhookRecord>,
    #[serde(default)]
    test_numbers: Vec<TestNumberRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OriginRecord {
    Default,
    Config(String),
    Api,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LockoutRecord {
    Growing,
    FixedMs(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResendRecord {
    Keep,
    New,
}

/// What was found under a service's key.
pub(in crate::registry) enum StoredService {
    /// A service.
    Kept(Box<Service>),
    /// There was one.
    Removed,
}

/// The record of a service.
pub(in crate::registry) fn write(service: &Service) -> Result<Bytes, String> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let contents = Contents {
        origin: match &service.origin {
            Origin::Default => OriginRecord::Default,
            Origin::Config(name) => OriginRecord::Config(name.clone()),
            Origin::Api => OriginRecord::Api,
        },
        created: service.created.as_millis(),
        updated: service.updated.as_millis(),
        friendly_name: service.friendly_name.clone(),
        code_length: service.rules.code_length.get(),
        code_life_ms: millis(service.rules.code_life),
        max_checks: service.rules.max_checks,
        max_sends: service.rules.max_sends,
        lockout: match service.rules.lockout {
            LockoutRule::Growing => LockoutRecord::Growing,
            LockoutRule::Fixed(span) => LockoutRecord::FixedMs(millis(span)),
        },
        resend: match service.rules.resend {
            Resend::Keep => ResendRecord::Keep,
            Resend::New => ResendRecord::New,
        },
        cooling_down: service.rules.cooling_down,
        custom_code_enabled: service.custom_code_enabled,
        do_not_share_warning_enabled: service.do_not_share_warning_enabled,
        skip_sms_to_landlines: service.skip_sms_to_landlines,
        lookup_enabled: service.lookup_enabled,
        dtmf_input_required: service.dtmf_input_required,
        tts_name: service.tts_name.clone(),
        psd2_enabled: service.psd2_enabled,
        verify_event_subscription_enabled: service.verify_event_subscription_enabled,
        default_template: service.default_template.map(|sid| sid.to_string()),
        locale: service.locale.map(|locale| locale.to_string()),
        workflow: service.workflow.clone(),
        rate_limits: service.rate_limits.iter().map(RateLimitRecord::of).collect(),
        messaging: service.messaging.iter().map(MessagingRecord::of).collect(),
        webhooks: service.webhooks.iter().map(WebhookRecord::of).collect(),
        test_numbers: service.test_numbers.iter().map(TestNumberRecord::of).collect(),
    };
    seal(&ServiceRecord { sid: service.sid.to_string(), contents: Some(contents) })
}

/// What a removed service leaves.
pub(in crate::registry) fn removed(sid: &Sid) -> Result<Bytes, String> {
    seal(&ServiceRecord { sid: sid.to_string(), contents: None })
}

/// Reads what is kept under the key of `id`.
pub(in crate::registry) fn read(id: ServiceId, sealed: &[u8]) -> Result<StoredService, String> {
    let record: ServiceRecord = open(sealed)?;
    let sid_of = |text: &str| sid(SidKind::Service, text);
    let Some(c) = record.contents else { return sid_of(&record.sid).map(|_| StoredService::Removed) };
    let locale = |tag: String| Locale::parse(&tag).ok_or_else(|| format!("{tag:?} is no language"));
    Ok(StoredService::Kept(Box::new(Service {
        id,
        sid: sid_of(&record.sid)?,
        origin: match c.origin {
            OriginRecord::Default => Origin::Default,
            OriginRecord::Config(name) => Origin::Config(name),
            OriginRecord::Api => Origin::Api,
        },
        friendly_name: c.friendly_name,
        rules: Rules {
            code_length: CodeLength::new(c.code_length).ok_or("no code has so many digits")?,
            code_life: Duration::from_millis(c.code_life_ms),
            max_checks: c.max_checks,
            max_sends: c.max_sends,
            lockout: match c.lockout {
                LockoutRecord::Growing => LockoutRule::Growing,
                LockoutRecord::FixedMs(millis) => LockoutRule::Fixed(Duration::from_millis(millis)),
            },
            resend: match c.resend {
                ResendRecord::Keep => Resend::Keep,
                ResendRecord::New => Resend::New,
            },
            cooling_down: c.cooling_down,
        },
        custom_code_enabled: c.custom_code_enabled,
        do_not_share_warning_enabled: c.do_not_share_warning_enabled,
        skip_sms_to_landlines: c.skip_sms_to_landlines,
        lookup_enabled: c.lookup_enabled,
        dtmf_input_required: c.dtmf_input_required,
        tts_name: c.tts_name,
        psd2_enabled: c.psd2_enabled,
        verify_event_subscription_enabled: c.verify_event_subscription_enabled,
        default_template: c.default_template.map(|text| sid(SidKind::Template, &text)).transpose()?,
        locale: c.locale.map(locale).transpose()?,
        workflow: c.workflow,
        rate_limits: c.rate_limits.into_iter().map(RateLimitRecord::read).collect::<Result<_, _>>()?,
        messaging: c.messaging.into_iter().map(MessagingRecord::read).collect::<Result<_, _>>()?,
        webhooks: c.webhooks.into_iter().map(WebhookRecord::read).collect::<Result<_, _>>()?,
        test_numbers: c.test_numbers.into_iter().map(TestNumberRecord::read).collect(),
        created: moment(c.created),
        updated: moment(c.updated),
    })))
}

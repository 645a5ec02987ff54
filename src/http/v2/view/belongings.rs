//! What belongs to a service or to the account: limits, gateways of countries, webhooks, templates, numbers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::Frame;
use crate::domain::{Channel, DateTime, PhoneNumber, Sid};
use crate::http::v2::params::{
    AccountSid, BucketSid, Id, MessagingServiceSid, RateLimitSid, SafeNumberSid, ServiceSid, TemplateSid,
    WebhookSid,
};
use crate::registry::{
    Bucket, MessagingConfiguration, RateLimit, Template, TestNumber, Webhook, WebhookStatus,
};

/// A named limit: requests pass values for it, and its buckets count them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RateLimit)]
pub struct RateLimitView<'a> {
    sid: RateLimitSid,
    service_sid: ServiceSid,
    account_sid: AccountSid,
    /// What requests call it.
    unique_name: &'a str,
    /// What people call it.
    #[schema(required)]
    description: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    #[schema(format = "uri")]
    url: String,
    /// Where its buckets are.
    links: RateLimitLinks,
}

#[derive(Debug, Serialize, ToSchema)]
struct RateLimitLinks {
    #[schema(format = "uri")]
    buckets: String,
}

impl<'a> RateLimitView<'a> {
    pub fn new(frame: &Frame<'_>, service: Sid, limit: &'a RateLimit) -> Self {
        let url = frame.url(&format!("/Services/{service}/RateLimits/{}", limit.sid));
        Self {
            sid: Id(limit.sid),
            service_sid: Id(service),
            account_sid: Id(frame.account),
            unique_name: &limit.unique_name,
            description: limit.description.as_deref(),
            date_created: limit.created.into(),
            date_updated: limit.updated.into(),
            links: RateLimitLinks { buckets: format!("{url}/Buckets") },
            url,
        }
    }
}

/// So many requests with one value in so many seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bucket)]
pub struct BucketView {
    sid: BucketSid,
    rate_limit_sid: RateLimitSid,
    service_sid: ServiceSid,
    account_sid: AccountSid,
    /// Requests.
    #[schema(minimum = 1)]
    max: u32,
    /// Seconds.
    #[schema(minimum = 1)]
    interval: u32,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    #[schema(format = "uri")]
    url: String,
}

impl BucketView {
    pub fn new(frame: &Frame<'_>, service: Sid, limit: Sid, bucket: &Bucket) -> Self {
        let Bucket { sid, max, interval, created, updated } = *bucket;
        Self {
            sid: Id(sid),
            rate_limit_sid: Id(limit),
            service_sid: Id(service),
            account_sid: Id(frame.account),
            max,
            interval,
            date_created: created.into(),
            date_updated: updated.into(),
            url: frame.url(&format!("/Services/{service}/RateLimits/{limit}/Buckets/{sid}")),
        }
    }
}

/// Which gateway sends to a country.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessagingConfiguration)]
pub struct MessagingConfigurationView<'a> {
    account_sid: AccountSid,
    service_sid: ServiceSid,
    /// Two letters of ISO 3166-1.
    country: &'a str,
    messaging_service_sid: MessagingServiceSid,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    #[schema(format = "uri")]
    url: String,
}

impl<'a> MessagingConfigurationView<'a> {
    pub fn new(frame: &Frame<'_>, service: Sid, configuration: &'a MessagingConfiguration) -> Self {
        let MessagingConfiguration { ref country, messaging_service, created, updated } = *configuration;
        Self {
            account_sid: Id(frame.account),
            service_sid: Id(service),
            country,
            messaging_service_sid: Id(messaging_service),
            date_created: created.into(),
            date_updated: updated.into(),
            url: frame.url(&format!("/Services/{service}/MessagingConfigurations/{country}")),
        }
    }
}

/// Who is told of events. Has no `Debug`: it may contain a secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView<'a> {
    sid: WebhookSid,
    service_sid: ServiceSid,
    account_sid: AccountSid,
    /// What people call it.
    friendly_name: &'a str,
    /// Which events it is told: names, or `*` for all.
    event_types: &'a [String],
    /// Whether it is told events at all.
    #[schema(pattern = "^(enabled|disabled)$")]
    status: &'static str,
    /// The form of the events.
    #[schema(pattern = "^v2$")]
    version: &'static str,
    /// Where they go.
    webhook_url: &'a str,
    /// How they go there.
    #[schema(pattern = "^POST$")]
    webhook_method: &'static str,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    #[schema(format = "uri")]
    url: String,
    /// What events are signed with (Standard Webhooks). Only in the answer to its creation: keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
    secret: Option<String>,
}

impl<'a> WebhookView<'a> {
    /// A webhook of the service `VA`, without its secret.
    pub fn new(frame: &Frame<'_>, service: Sid, webhook: &'a Webhook) -> Self {
        let sid = webhook.sid;
        Self {
            sid: Id(sid),
            service_sid: Id(service),
            account_sid: Id(frame.account),
            friendly_name: &webhook.friendly_name,
            event_types: &webhook.event_types,
            status: match webhook.status {
                WebhookStatus::Enabled => "enabled",
                WebhookStatus::Disabled => "disabled",
            },
            version: "v2",
            webhook_url: &webhook.url,
            webhook_method: "POST",
            date_created: webhook.created.into(),
            date_updated: webhook.updated.into(),
            url: frame.url(&format!("/Services/{service}/Webhooks/{sid}")),
            secret: None,
        }
    }

    /// With the secret, for the answer to its creation.
    pub fn with_secret(frame: &Frame<'_>, service: Sid, webhook: &'a Webhook) -> Self {
        let secret = Some(format!("whsec_{}", STANDARD.encode(&webhook.secret)));
        Self { secret, ..Self::new(frame, service, webhook) }
    }
}

/// Texts of messages, in several languages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub struct TemplateView<'a> {
    sid: TemplateSid,
    account_sid: AccountSid,
    /// Its name.
    friendly_name: &'a str,
    /// Where it is used. Calls are `voice` here, as Twilio spells it.
    channels: Vec<&'static str>,
    /// Its texts by language.
    translations: BTreeMap<String, TranslationView<'a>>,
}

impl<'a> TemplateView<'a> {
    pub fn new(frame: &Frame<'_>, template: &'a Template) -> Self {
        let channels = template.channels.iter().map(|channel| match channel {
            Channel::Call => "voice",
            Channel::Sms | Channel::WhatsApp => channel.as_str(),
        });
        let date = DateTime::from(template.created);
        let translations = template.translations.iter().map(|translation| {
            let locale = translation.locale.to_string();
            let view = TranslationView {
                is_default_translation: Some(translation.locale) == template.default_locale(),
                status: "approved",
                locale: locale.clone(),
                text: &translation.text,
                date_updated: date,
                date_created: date,
            };
            (locale, view)
        });
        Self {
            sid: Id(template.sid),
            account_sid: Id(frame.account),
            friendly_name: &template.friendly_name,
            channels: channels.collect(),
            translations: translations.collect(),
        }
    }
}

/// A text in one language.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Translation)]
struct TranslationView<'a> {
    /// Whether it is used where no other language fits.
    is_default_translation: bool,
    /// Always `approved`.
    status: &'static str,
    /// The language.
    locale: String,
    /// The text, with its places in braces.
    text: &'a str,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
}

/// A number on the safe list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SafeListNumber)]
pub struct SafeNumberView {
    sid: SafeNumberSid,
    /// The number, in E.164 form.
    phone_number: String,
    #[schema(format = "uri")]
    url: String,
}

impl SafeNumberView {
    pub fn new(frame: &Frame<'_>, sid: Sid, number: PhoneNumber) -> Self {
        let phone_number = number.e164();
        let url = frame.url(&format!("/SafeList/Numbers/{phone_number}"));
        Self { sid: Id(sid), phone_number, url }
    }
}

/// Numbers that are never sent anything, with a known code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TestNumber)]
pub struct TestNumberView<'a> {
    service_sid: ServiceSid,
    account_sid: AccountSid,
    /// In E.164 form; `x` stands for any digit.
    pattern: &'a str,
    /// The code that verifies them.
    code: &'a str,
    /// From when on they are ordinary numbers again.
    #[schema(value_type = String, format = DateTime)]
    date_expires: DateTime,
    /// Their address.
    #[schema(format = "uri")]
    url: String,
}

impl<'a> TestNumberView<'a> {
    pub fn new(frame: &Frame<'_>, service: Sid, number: &'a TestNumber) -> Self {
        let url = frame.url(&format!("/Services/{service}/TestNumbers/{}", number.pattern));
        Self {
            service_sid: Id(service),
            account_sid: Id(frame.account),
            pattern: &number.pattern,
            code: &number.code,
            date_expires: number.expires.into(),
            url,
        }
    }
}

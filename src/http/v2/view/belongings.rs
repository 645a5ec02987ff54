//! What belongs to a service or to the account: limits, gateways of countries, webhooks, templates, numbers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::Frame;
use crate::domain::{Channel, PhoneNumber, Sid};
use crate::http::v2::date;
use crate::registry::{
    Bucket, MessagingConfiguration, RateLimit, Template, TestNumber, Webhook, WebhookStatus,
};

/// A named limit: requests pass values for it, and its buckets count them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RateLimit)]
pub struct RateLimitView {
    /// Its id.
    #[schema(pattern = "^RK[0-9a-f]{32}$")]
    sid: String,
    /// The service it belongs to.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// What requests call it.
    unique_name: String,
    /// What people call it.
    #[schema(required)]
    description: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    date_created: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    date_updated: String,
    /// Its address.
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

impl RateLimitView {
    /// A rate limit of the service `VA`.
    pub fn new(frame: &Frame<'_>, service: Sid, limit: &RateLimit) -> Self {
        let url = frame.url(&format!("/Services/{service}/RateLimits/{}", limit.sid));
        Self {
            sid: limit.sid.to_string(),
            service_sid: service.to_string(),
            account_sid: frame.account.to_string(),
            unique_name: limit.unique_name.clone(),
            description: limit.description.clone(),
            date_created: date::written(limit.created),
            date_updated: date::written(limit.updated),
            links: RateLimitLinks { buckets: format!("{url}/Buckets") },
            url,
        }
    }
}

/// So many requests with one value in so many seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bucket)]
pub struct BucketView {
    /// Its id.
    #[schema(pattern = "^BL[0-9a-f]{32}$")]
    sid: String,
    /// The rate limit it belongs to.
    #[schema(pattern = "^RK[0-9a-f]{32}$")]
    rate_limit_sid: String,
    /// The service.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// Requests.
    #[schema(minimum = 1)]
    max: u32,
    /// Seconds.
    #[schema(minimum = 1)]
    interval: u32,
    /// When it was made.
    #[schema(format = DateTime)]
    date_created: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    date_updated: String,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
}

impl BucketView {
    /// A bucket of the rate limit `RK` of the service `VA`.
    pub fn new(frame: &Frame<'_>, service: Sid, limit: Sid, bucket: &Bucket) -> Self {
        let Bucket { sid, max, interval, created, updated } = *bucket;
        Self {
            sid: sid.to_string(),
            rate_limit_sid: limit.to_string(),
            service_sid: service.to_string(),
            account_sid: frame.account.to_string(),
            max,
            interval,
            date_created: date::written(created),
            date_updated: date::written(updated),
            url: frame.url(&format!("/Services/{service}/RateLimits/{limit}/Buckets/{sid}")),
        }
    }
}

/// Which gateway sends to a country.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessagingConfiguration)]
pub struct MessagingConfigurationView {
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// The service it belongs to.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// Two letters of ISO 3166-1.
    country: String,
    /// The gateway.
    #[schema(pattern = "^MG[0-9a-f]{32}$")]
    messaging_service_sid: String,
    /// When it was made.
    #[schema(format = DateTime)]
    date_created: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    date_updated: String,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
}

impl MessagingConfigurationView {
    /// A messaging configuration of the service `VA`.
    pub fn new(frame: &Frame<'_>, service: Sid, configuration: &MessagingConfiguration) -> Self {
        let MessagingConfiguration { country, messaging_service, created, updated } = configuration;
        Self {
            account_sid: frame.account.to_string(),
            service_sid: service.to_string(),
            country: country.clone(),
            messaging_service_sid: messaging_service.to_string(),
            date_created: date::written(*created),
            date_updated: date::written(*updated),
            url: frame.url(&format!("/Services/{service}/MessagingConfigurations/{country}")),
        }
    }
}

/// Who is told of events. Has no `Debug`: it may contain a secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    /// Its id.
    #[schema(pattern = "^YW[0-9a-f]{32}$")]
    sid: String,
    /// The service it belongs to.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// What people call it.
    friendly_name: String,
    /// Which events it is told: names, or `*` for all.
    event_types: Vec<String>,
    /// Whether it is told events at all.
    status: WebhookStatusName,
    /// The form of the events.
    version: WebhookVersion,
    /// Where they go.
    webhook_url: String,
    /// How they go there.
    webhook_method: WebhookMethod,
    /// When it was made.
    #[schema(format = DateTime)]
    date_created: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    date_updated: String,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
    /// What events are signed with (Standard Webhooks). Only in the answer to its creation: keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
    secret: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WebhookStatus)]
enum WebhookStatusName {
    Enabled,
    Disabled,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WebhookVersion {
    V2,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum WebhookMethod {
    Post,
}

impl WebhookView {
    /// A webhook of the service `VA`, without its secret.
    pub fn new(frame: &Frame<'_>, service: Sid, webhook: &Webhook) -> Self {
        let sid = webhook.sid;
        Self {
            sid: sid.to_string(),
            service_sid: service.to_string(),
            account_sid: frame.account.to_string(),
            friendly_name: webhook.friendly_name.clone(),
            event_types: webhook.event_types.clone(),
            status: match webhook.status {
                WebhookStatus::Enabled => WebhookStatusName::Enabled,
                WebhookStatus::Disabled => WebhookStatusName::Disabled,
            },
            version: WebhookVersion::V2,
            webhook_url: webhook.url.clone(),
            webhook_method: WebhookMethod::Post,
            date_created: date::written(webhook.created),
            date_updated: date::written(webhook.updated),
            url: frame.url(&format!("/Services/{service}/Webhooks/{sid}")),
            secret: None,
        }
    }

    /// With the secret, for the answer to its creation.
    pub fn with_secret(frame: &Frame<'_>, service: Sid, webhook: &Webhook) -> Self {
        let secret = Some(format!("whsec_{}", STANDARD.encode(&webhook.secret)));
        Self { secret, ..Self::new(frame, service, webhook) }
    }
}

/// Texts of messages, in several languages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub struct TemplateView {
    /// Its id.
    #[schema(pattern = "^HJ[0-9a-f]{32}$")]
    sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// Its name.
    friendly_name: String,
    /// Where it is used. Calls are `voice` here, as Twilio spells it.
    channels: Vec<String>,
    /// Its texts by language.
    translations: BTreeMap<String, TranslationView>,
}

impl TemplateView {
    /// A template.
    pub fn new(frame: &Frame<'_>, template: &Template) -> Self {
        let channels = template.channels.iter().map(|channel| match channel {
            Channel::Call => "voice",
            Channel::Sms | Channel::WhatsApp => channel.as_str(),
        });
        let date = date::written(template.created);
        let translations = template.translations.iter().map(|translation| {
            let locale = translation.locale.to_string();
            let view = TranslationView {
                is_default_translation: translation.locale == template.default_locale,
                status: "approved",
                locale: locale.clone(),
                text: translation.text.clone(),
                date_updated: date.clone(),
                date_created: date.clone(),
            };
            (locale, view)
        });
        Self {
            sid: template.sid.to_string(),
            account_sid: frame.account.to_string(),
            friendly_name: template.friendly_name.clone(),
            channels: channels.map(str::to_owned).collect(),
            translations: translations.collect(),
        }
    }
}

/// A text in one language.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Translation)]
struct TranslationView {
    /// Whether it is used where no other language fits.
    is_default_translation: bool,
    /// Always `approved`.
    status: &'static str,
    /// The language.
    locale: String,
    /// The text, with its places in braces.
    text: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    date_updated: String,
    /// When it was made.
    #[schema(format = DateTime)]
    date_created: String,
}

/// A number on the safe list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SafeListNumber)]
pub struct SafeNumberView {
    /// Its id.
    #[schema(pattern = "^GN[0-9a-f]{32}$")]
    sid: String,
    /// The number, in E.164 form.
    phone_number: String,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
}

impl SafeNumberView {
    /// A number on the safe list.
    pub fn new(frame: &Frame<'_>, sid: Sid, number: PhoneNumber) -> Self {
        let phone_number = number.e164();
        let url = frame.url(&format!("/SafeList/Numbers/{phone_number}"));
        Self { sid: sid.to_string(), phone_number, url }
    }
}

/// Numbers that are never sent anything, with a known code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TestNumber)]
pub struct TestNumberView {
    /// The service.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// In E.164 form; `x` stands for any digit.
    pattern: String,
    /// The code that verifies them.
    code: String,
    /// From when on they are ordinary numbers again.
    #[schema(format = DateTime)]
    date_expires: String,
    /// Their address.
    #[schema(format = "uri")]
    url: String,
}

impl TestNumberView {
    /// One entry of a service.
    pub fn new(frame: &Frame<'_>, service: Sid, number: &TestNumber) -> Self {
        let url = frame.url(&format!("/Services/{service}/TestNumbers/{}", number.pattern));
        Self {
            service_sid: service.to_string(),
            account_sid: frame.account.to_string(),
            pattern: number.pattern.clone(),
            code: number.code.clone(),
            date_expires: date::written(number.expires),
            url,
        }
    }
}

//! What belongs to a service, and is kept in its record.

use serde::{Deserialize, Serialize};

use super::{bytes_of, hex, moment, sid};
use crate::domain::SidKind;
use crate::registry::{Bucket, MessagingConfiguration, RateLimit, TestNumber, Webhook, WebhookStatus};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitRecord {
    sid: String,
    unique_name: String,
    description: Option<String>,
    buckets: Vec<BucketRecord>,
    created: u64,
    updated: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketRecord {
    sid: String,
    max: u32,
    interval: u32,
    created: u64,
    updated: u64,
}

impl RateLimitRecord {
    pub(super) fn of(limit: &RateLimit) -> Self {
        let bucket = |bucket: &Bucket| BucketRecord {
            sid: bucket.sid.to_string(),
            max: bucket.max,
            interval: bucket.interval,
            created: bucket.created.as_millis(),
            updated: bucket.updated.as_millis(),
        };
        Self {
            sid: limit.sid.to_string(),
            unique_name: limit.unique_name.clone(),
            description: limit.description.clone(),
            buckets: limit.buckets.iter().map(bucket).collect(),
            created: limit.created.as_millis(),
            updated: limit.updated.as_millis(),
        }
    }

    pub(super) fn read(self) -> Result<RateLimit, String> {
        let bucket = |bucket: BucketRecord| {
            Ok::<_, String>(Bucket {
                sid: sid(SidKind::Bucket, &bucket.sid)?,
                max: bucket.max,
                interval: bucket.interval,
                created: moment(bucket.created),
                updated: moment(bucket.updated),
            })
        };
        Ok(RateLimit {
            sid: sid(SidKind::RateLimit, &self.sid)?,
            unique_name: self.unique_name,
            description: self.description,
            buckets: self.buckets.into_iter().map(bucket).collect::<Result<_, _>>()?,
            created: moment(self.created),
            updated: moment(self.updated),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagingRecord {
    country: String,
    messaging_service: String,
    created: u64,
    updated: u64,
}

impl MessagingRecord {
    pub(super) fn of(configuration: &MessagingConfiguration) -> Self {
        Self {
            country: configuration.country.clone(),
            messaging_service: configuration.messaging_service.to_string(),
            created: configuration.created.as_millis(),
            updated: configuration.updated.as_millis(),
        }
    }

    pub(super) fn read(self) -> Result<MessagingConfiguration, String> {
        Ok(MessagingConfiguration {
            country: self.country,
            messaging_service: sid(SidKind::MessagingService, &self.messaging_service)?,
            created: moment(self.created),
            updated: moment(self.updated),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookRecord {
    sid: String,
    friendly_name: String,
    event_types: Vec<String>,
    url: String,
    enabled: bool,
    secret: String,
    created: u64,
    updated: u64,
}

impl WebhookRecord {
    pub(super) fn of(webhook: &Webhook) -> Self {
        Self {
            sid: webhook.sid.to_string(),
            friendly_name: webhook.friendly_name.clone(),
            event_types: webhook.event_types.clone(),
            url: webhook.url.clone(),
            enabled: webhook.status == WebhookStatus::Enabled,
            secret: hex(&webhook.secret),
            created: webhook.created.as_millis(),
            updated: webhook.updated.as_millis(),
        }
    }

    pub(super) fn read(self) -> Result<Webhook, String> {
        Ok(Webhook {
            sid: sid(SidKind::Webhook, &self.sid)?,
            friendly_name: self.friendly_name,
            event_types: self.event_types,
            url: self.url,
            status: if self.enabled { WebhookStatus::Enabled } else { WebhookStatus::Disabled },
            secret: bytes_of(&self.secret)?,
            created: moment(self.created),
            updated: moment(self.updated),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestNumberRecord {
    pattern: String,
    code: String,
    expires: u64,
}

impl TestNumberRecord {
    pub(super) fn of(number: &TestNumber) -> Self {
        Self {
            pattern: number.pattern.clone(),
            code: number.code.clone(),
            expires: number.expires.as_millis(),
        }
    }

    pub(super) fn read(self) -> TestNumber {
        TestNumber { pattern: self.pattern, code: self.code, expires: moment(self.expires) }
    }
}

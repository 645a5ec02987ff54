//! Rate limits, messaging configurations (the gateway for a country) and test numbers of a service.

use std::collections::BTreeSet;

use super::error::{Result, check_room};
use super::service::{found, remove};
use super::{
    Bucket, Item, MessagingConfiguration, Origin, RateLimit, Registry, RegistryError, Service, TestNumber,
};
use crate::config::note;
use crate::domain::{GatewayName, Region, Sid, SidKind, Timestamp};

/// Limits of a service.
const LIMITS_MOST: usize = 25;

const BUCKETS_MOST: usize = 10;

const UNIQUE_NAME_LONGEST: usize = 64;

const DESCRIPTION_LONGEST: usize = 512;

impl Registry {
    pub async fn create_rate_limit(
        &self,
        service: Sid,
        unique_name: String,
        description: Option<String>,
    ) -> Result<RateLimit> {
        self.change(service, move |service, draft| {
            let unique_name =
                self::unique_name(unique_name).map_err(RegistryError::invalid("unique_name"))?;
            let description = self::description(description)?;
            if service.rate_limits.iter().any(|limit| limit.unique_name == unique_name) {
                return Err(RegistryError::Exists(Item::RateLimit));
            }
            check_room(service.rate_limits.len(), LIMITS_MOST, Item::RateLimit)?;
            let now = draft.now;
            let sid = draft.sid(SidKind::RateLimit);
            let limit =
                RateLimit { sid, unique_name, description, buckets: Vec::new(), created: now, updated: now };
            service.rate_limits.push(limit.clone());
            Ok(limit)
        })
        .await
    }

    pub async fn update_rate_limit(
        &self,
        service: Sid,
        limit: Sid,
        description: Option<String>,
    ) -> Result<RateLimit> {
        self.change(service, move |service, draft| {
            let limit = service.rate_limit_mut(&limit)?;
            let description = self::description(description)?;
            if limit.description != description {
                (limit.description, limit.updated) = (description, draft.now);
            }
            Ok(limit.clone())
        })
        .await
    }

    /// Removes a limit with its buckets.
    pub async fn delete_rate_limit(&self, service: Sid, limit: Sid) -> Result<()> {
        self.change(service, move |service, _| {
            remove(&mut service.rate_limits, Item::RateLimit, |kept| kept.sid == limit)
        })
        .await
    }

    /// Makes a bucket of `max` requests in `interval` seconds.
    pub async fn create_bucket(&self, service: Sid, limit: Sid, max: u32, interval: u32) -> Result<Bucket> {
        self.change(service, move |service, draft| {
            let now = draft.now;
            let limit = service.rate_limit_mut(&limit)?;
            has_no_bucket_of(limit, interval)?;
            check_room(limit.buckets.len(), BUCKETS_MOST, Item::Bucket)?;
            let sid = draft.sid(SidKind::Bucket);
            let bucket = Bucket { sid, max, interval, created: now, updated: now };
            limit.buckets.push(bucket);
            limit.updated = now;
            Ok(bucket)
        })
        .await
    }

    /// Changes a bucket. What was counted stays counted.
    pub async fn update_bucket(
        &self,
        service: Sid,
        limit: Sid,
        bucket: Sid,
        max: Option<u32>,
        interval: Option<u32>,
    ) -> Result<Bucket> {
        self.change(service, move |service, draft| {
            let limit = service.rate_limit_mut(&limit)?;
            let before = *limit.bucket(&bucket)?;
            let (max, interval) = (max.unwrap_or(before.max), interval.unwrap_or(before.interval));
            if interval != before.interval {
                has_no_bucket_of(limit, interval)?;
            }
            let bucket = found(limit.buckets.iter_mut(), Item::Bucket, |kept| kept.sid == bucket)?;
            if (max, interval) != (before.max, before.interval) {
                *bucket = Bucket { max, interval, updated: draft.now, ..before };
            }
            Ok(*bucket)
        })
        .await
    }

    pub async fn delete_bucket(&self, service: Sid, limit: Sid, bucket: Sid) -> Result<()> {
        self.change(service, move |service, draft| {
            let limit = service.rate_limit_mut(&limit)?;
            limit.updated = draft.now;
            remove(&mut limit.buckets, Item::Bucket, |kept| kept.sid == bucket)
        })
        .await
    }
}

/// A name that can stand in a path, as Twilio's.
fn unique_name(text: String) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=UNIQUE_NAME_LONGEST).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text)
    } else {
        Err(format!("must have 1 to {UNIQUE_NAME_LONGEST} letters, digits, `-`, `_` or `.`"))
    }
}

/// Refuses a second bucket of one interval, which would have no effect or replace the first.
fn has_no_bucket_of(limit: &RateLimit, interval: u32) -> Result<()> {
    let exists = limit.buckets.iter().any(|bucket| bucket.interval == interval);
    if exists { Err(RegistryError::Exists(Item::Bucket)) } else { Ok(()) }
}

fn description(text: Option<String>) -> Result<Option<String>> {
    let text = text.filter(|text| !text.trim().is_empty());
    let read = text.map(|text| note(&text, DESCRIPTION_LONGEST)).transpose();
    read.map_err(RegistryError::invalid("description"))
}

/// The id of a gateway where Twilio's API has a messaging service.
pub fn gateway_sid(gateway: GatewayName) -> Sid {
    Sid::of_name(SidKind::MessagingService, "gateway", gateway.as_str())
}

impl Registry {
    /// Has a gateway send to a country.
    pub async fn create_messaging(
        &self,
        service: Sid,
        country: String,
        messaging_service: Sid,
    ) -> Result<MessagingConfiguration> {
        let this = self.clone();
        self.change(service, move |service, draft| {
            let why = || "must be a country's two letters of ISO 3166-1, such as DE".to_owned();
            let country = country_of(&country).ok_or_else(why).map_err(RegistryError::invalid("country"))?;
            this.is_known(&messaging_service)?;
            if service.messaging.iter().any(|kept| kept.country == country) {
                return Err(RegistryError::Exists(Item::MessagingConfiguration));
            }
            let now = draft.now;
            let made = MessagingConfiguration { country, messaging_service, created: now, updated: now };
            service.messaging.push(made.clone());
            Ok(made)
        })
        .await
    }

    /// Has another gateway send to a country.
    pub async fn update_messaging(
        &self,
        service: Sid,
        country: String,
        messaging_service: Sid,
    ) -> Result<MessagingConfiguration> {
        let this = self.clone();
        self.change(service, move |service, draft| {
            let mut kept = service.messaging.iter_mut();
            let kept = found(&mut kept, Item::MessagingConfiguration, |kept| kept.is_for(&country))?;
            this.is_known(&messaging_service)?;
            if kept.messaging_service != messaging_service {
                (kept.messaging_service, kept.updated) = (messaging_service, draft.now);
            }
            Ok(kept.clone())
        })
        .await
    }

    /// Lets the server's own routing decide again.
    pub async fn delete_messaging(&self, service: Sid, country: String) -> Result<()> {
        self.change(service, move |service, _| {
            remove(&mut service.messaging, Item::MessagingConfiguration, |kept| kept.is_for(&country))
        })
        .await
    }

    /// The gateway that a service has for a country; `None` where the server's own routing decides, also when the gateway is
    /// not configured any more.
    pub fn gateway_for(&self, service: &Service, country: Region) -> Option<GatewayName> {
        let kept = service.messaging(&country.to_string()).ok()?;
        self.gateway_of(&kept.messaging_service)
    }

    /// The configured gateway that an id names.
    pub fn gateway_of(&self, messaging_service: &Sid) -> Option<GatewayName> {
        self.inner.gateways.iter().find(|(sid, _)| sid == messaging_service).map(|(_, name)| *name)
    }

    /// The gateways in the messaging configurations of all services.
    pub fn named_gateways(&self) -> BTreeSet<GatewayName> {
        let snapshot = self.snapshot();
        let kept = snapshot.by_id.values().flat_map(|service| &service.messaging);
        kept.filter_map(|kept| self.gateway_of(&kept.messaging_service)).collect()
    }

    fn is_known(&self, messaging_service: &Sid) -> Result<()> {
        if self.gateway_of(messaging_service).is_some() {
            return Ok(());
        }
        let known: Vec<String> =
            self.inner.gateways.iter().map(|(sid, name)| format!("{sid} ({name})")).collect();
        let why = format!("must be the id of a gateway that is configured: {}", known.join(", "));
        Err(RegistryError::invalid("messaging_service_sid")(why))
    }
}

/// A country's letters, in capitals. Networks of no country have digits.
fn country_of(text: &str) -> Option<String> {
    let country = Region::parse(text.trim())?.to_string();
    country.bytes().all(|b| b.is_ascii_uppercase()).then_some(country)
}

impl Registry {
    /// Adds a test number to a service; one with the same pattern is replaced.
    pub async fn put_test_number(&self, service: Sid, number: TestNumber) -> Result<TestNumber> {
        let now = self.inner.shards.clock().now();
        self.change(service, move |service, _| {
            has_own_test_numbers(service)?;
            let number = check_test_number(number, now)?;
            service.settings.check_test_code(&number).map_err(RegistryError::invalid("code"))?;
            service.test_numbers.retain(|kept| kept.pattern != number.pattern);
            check_room(service.test_numbers.len(), TestNumber::MOST, Item::TestNumber)?;
            service.test_numbers.push(number.clone());
            Ok(number)
        })
        .await
    }

    /// Makes a test number an ordinary one again.
    pub async fn delete_test_number(&self, service: Sid, pattern: String) -> Result<()> {
        self.change(service, move |service, _| {
            has_own_test_numbers(service)?;
            let is_it = |kept: &TestNumber| kept.pattern.eq_ignore_ascii_case(pattern.trim());
            remove(&mut service.test_numbers, Item::TestNumber, is_it)
        })
        .await
    }
}

fn check_test_number(number: TestNumber, now: Timestamp) -> Result<TestNumber> {
    let number = number.checked().map_err(|(field, why)| RegistryError::invalid(field)(why))?;
    if number.expires <= now || number.lasts_too_long(now) {
        let why = "must be in the future, and at most a year ahead".to_owned();
        return Err(RegistryError::invalid("expires")(why));
    }
    Ok(number)
}

fn has_own_test_numbers(service: &Service) -> Result<()> {
    match &service.origin {
        Origin::Config(name) => Err(RegistryError::ReadOnly(format!(
            "the test numbers of this service are \"services.{name}.test-numbers\" of config.json, and are changed there"
        ))),
        Origin::Api | Origin::Default => Ok(()),
    }
}

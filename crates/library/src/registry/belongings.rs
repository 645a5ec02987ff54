//! What belongs to a service: rate limits, messaging configurations (the gateway for a country) and test numbers.

use std::collections::BTreeSet;

use super::handle::{Result, check_room};
use super::services::found;
use super::{Bucket, Item, MessagingConfiguration, RateLimit, Registry, RegistryError, Service, TestNumber};
use crate::domain::{GatewayName, Region, Sid, SidKind};

const UNIQUE_NAME_LONGEST: usize = 64;

/// Adds one, unless there is the same already, or there are too many.
pub(super) fn add<T>(kept: &mut Vec<T>, item: Item, new: T, is_same: impl Fn(&T) -> bool) -> Result<()> {
    if kept.iter().any(is_same) {
        return Err(RegistryError::Exists(item));
    }
    check_room(kept.len(), item)?;
    kept.push(new);
    Ok(())
}

pub(super) fn remove<T>(kept: &mut Vec<T>, item: Item, is_it: impl Fn(&T) -> bool) -> Result<()> {
    let at = kept.iter().position(is_it).ok_or(RegistryError::NotFound(item))?;
    kept.remove(at);
    Ok(())
}

impl Registry {
    pub async fn create_rate_limit(
        &self,
        service: Sid,
        unique_name: String,
        description: Option<String>,
    ) -> Result<RateLimit> {
        let unique_name = self::unique_name(unique_name)?;
        self.change(service, move |service, draft| {
            let (sid, created, buckets) = (draft.sid(SidKind::RateLimit), draft.now, Vec::new());
            let new = RateLimit { sid, unique_name, description, buckets, created, updated: created };
            let is_same = |kept: &RateLimit| kept.unique_name == new.unique_name;
            add(&mut service.rate_limits, Item::RateLimit, new.clone(), is_same)?;
            Ok(new)
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
            (limit.description, limit.updated) = (description, draft.now);
            Ok(limit.clone())
        })
        .await
    }

    /// Removes a limit with its buckets.
    pub async fn delete_rate_limit(&self, service: Sid, limit: Sid) -> Result<()> {
        let is_it = move |kept: &RateLimit| kept.sid == limit;
        self.change(service, move |of, _| remove(&mut of.rate_limits, Item::RateLimit, is_it)).await
    }

    /// Makes a bucket of `max` requests in `interval` seconds. A second one of an interval would have no effect, or replace
    /// the first.
    pub async fn create_bucket(&self, service: Sid, limit: Sid, max: u32, interval: u32) -> Result<Bucket> {
        self.change(service, move |service, draft| {
            let (sid, created) = (draft.sid(SidKind::Bucket), draft.now);
            let new = Bucket { sid, max, interval, created, updated: created };
            let limit = service.rate_limit_mut(&limit)?;
            limit.updated = created;
            add(&mut limit.buckets, Item::Bucket, new, |kept| kept.interval == interval)?;
            Ok(new)
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
            let buckets = &mut service.rate_limit_mut(&limit)?.buckets;
            let is_taken = buckets.iter().any(|kept| kept.sid != bucket && Some(kept.interval) == interval);
            let kept = found(buckets.iter_mut(), Item::Bucket, |kept| kept.sid == bucket)?;
            if is_taken {
                return Err(RegistryError::Exists(Item::Bucket));
            }
            (kept.max, kept.interval) = (max.unwrap_or(kept.max), interval.unwrap_or(kept.interval));
            kept.updated = draft.now;
            Ok(*kept)
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
fn unique_name(text: String) -> Result<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=UNIQUE_NAME_LONGEST).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text);
    }
    let why = format!("must have 1 to {UNIQUE_NAME_LONGEST} letters, digits, `-`, `_` or `.`");
    Err(RegistryError::invalid("unique_name")(why))
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
        country: Region,
        messaging_service: Sid,
    ) -> Result<MessagingConfiguration> {
        self.check_gateway(&messaging_service)?;
        self.change(service, move |service, draft| {
            let (created, updated) = (draft.now, draft.now);
            let new = MessagingConfiguration { country, messaging_service, created, updated };
            let is_same = |kept: &MessagingConfiguration| kept.country == new.country;
            add(&mut service.messaging, Item::MessagingConfiguration, new.clone(), is_same)?;
            Ok(new)
        })
        .await
    }

    /// Has another gateway send to a country.
    pub async fn update_messaging(
        &self,
        service: Sid,
        country: Region,
        messaging_service: Sid,
    ) -> Result<MessagingConfiguration> {
        self.service(&service)?.messaging(country)?;
        self.check_gateway(&messaging_service)?;
        self.change(service, move |service, draft| {
            let item = Item::MessagingConfiguration;
            let kept = found(service.messaging.iter_mut(), item, |kept| kept.country == country)?;
            (kept.messaging_service, kept.updated) = (messaging_service, draft.now);
            Ok(kept.clone())
        })
        .await
    }

    /// Lets the server's own routing decide again.
    pub async fn delete_messaging(&self, service: Sid, country: Region) -> Result<()> {
        let is_it = move |kept: &MessagingConfiguration| kept.country == country;
        self.change(service, move |of, _| remove(&mut of.messaging, Item::MessagingConfiguration, is_it))
            .await
    }

    /// The gateway that a service has for a country; `None` where the server's own routing decides, also when the gateway is
    /// not configured any more.
    pub fn gateway_for(&self, service: &Service, country: Region) -> Option<GatewayName> {
        let kept = service.messaging(country).ok()?;
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

    fn check_gateway(&self, messaging_service: &Sid) -> Result<()> {
        if self.gateway_of(messaging_service).is_some() {
            return Ok(());
        }
        let known = self.inner.gateways.iter().map(|(sid, name)| format!("{sid} ({name})"));
        let known = known.collect::<Vec<_>>().join(", ");
        let why = format!("must be the id of a gateway that is configured: {known}");
        Err(RegistryError::invalid("messaging_service_sid")(why))
    }

    /// Adds a test number to a service; one with the same pattern is replaced.
    pub async fn put_test_number(&self, service: Sid, number: TestNumber) -> Result<TestNumber> {
        let now = self.inner.shards.clock().now();
        self.change(service, move |service, _| {
            let number = number.checked().map_err(|(field, why)| RegistryError::invalid(field)(why))?;
            if number.expires <= now || number.lasts_too_long(now) {
                let why = "must be in the future, and at most a year ahead".to_owned();
                return Err(RegistryError::invalid("expires")(why));
            }
            service.test_numbers.retain(|kept| kept.pattern != number.pattern);
            add(&mut service.test_numbers, Item::TestNumber, number.clone(), |_| false)?;
            Ok(number)
        })
        .await
    }

    /// Makes a test number an ordinary one again.
    pub async fn delete_test_number(&self, service: Sid, pattern: String) -> Result<()> {
        self.change(service, move |service, _| {
            let is_it = |kept: &TestNumber| kept.pattern.eq_ignore_ascii_case(pattern.trim());
            remove(&mut service.test_numbers, Item::TestNumber, is_it)
        })
        .await
    }
}

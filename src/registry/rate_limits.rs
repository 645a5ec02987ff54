//! Named limits of a service, and their buckets.

use super::error::not_found;
use super::{Bucket, RateLimit, Registry, RegistryError, Service};
use crate::config::services::rules;
use crate::domain::{Sid, SidKind};

/// Limits of a service: each costs a commit for every request that names it.
const LIMITS_MOST: usize = 25;

/// Buckets of a limit.
const BUCKETS_MOST: usize = 10;

/// A limit's name for requests, in characters.
const UNIQUE_NAME_LONGEST: usize = 64;

/// A limit's description, in characters.
const DESCRIPTION_LONGEST: usize = 512;

/// Requests of a bucket.
const MAX_MOST: u64 = 1_000_000;

/// Seconds of a bucket: a week.
const INTERVAL_MOST: u64 = 604_800;

/// The fields of a bucket in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BucketFields {
    /// Requests: 1 to 1,000,000.
    pub max: Option<u64>,
    /// Seconds: 1 to 604,800.
    pub interval: Option<u64>,
}

impl Registry {
    /// Makes a limit without buckets.
    pub async fn create_rate_limit(
        &self,
        service: Sid,
        unique_name: String,
        description: Option<String>,
    ) -> Result<RateLimit, RegistryError> {
        self.change(service, move |service, ids| {
            let unique_name = rules::name(&unique_name, UNIQUE_NAME_LONGEST)
                .map_err(RegistryError::invalid("unique_name"))?;
            let description = self::description(description)?;
            if service.rate_limits.iter().any(|limit| limit.unique_name == unique_name) {
                return Err(RegistryError::Exists { what: "rate limit", field: "unique_name" });
            }
            if service.rate_limits.len() >= LIMITS_MOST {
                return Err(RegistryError::TooMany {
                    what: "rate limits of this service",
                    limit: LIMITS_MOST,
                });
            }
            let now = ids.now;
            let sid = ids.sid(SidKind::RateLimit);
            let limit =
                RateLimit { sid, unique_name, description, buckets: Vec::new(), created: now, updated: now };
            service.rate_limits.push(limit.clone());
            Ok(limit)
        })
        .await
    }

    /// Sets the description of a limit; `None` removes it.
    pub async fn update_rate_limit(
        &self,
        service: Sid,
        limit: Sid,
        description: Option<String>,
    ) -> Result<RateLimit, RegistryError> {
        self.change(service, move |service, ids| {
            let limit = limit_of(service, &limit)?;
            let description = self::description(description)?;
            if limit.description != description {
                limit.description = description;
                limit.updated = ids.now;
            }
            Ok(limit.clone())
        })
        .await
    }

    /// Removes a limit with its buckets.
    pub async fn delete_rate_limit(&self, service: Sid, limit: Sid) -> Result<(), RegistryError> {
        self.change(service, move |service, _| {
            limit_of(service, &limit)?;
            service.rate_limits.retain(|kept| kept.sid != limit);
            Ok(())
        })
        .await
    }

    /// Makes a bucket; both fields must be there.
    pub async fn create_bucket(
        &self,
        service: Sid,
        limit: Sid,
        fields: BucketFields,
    ) -> Result<Bucket, RegistryError> {
        self.change(service, move |service, ids| {
            let now = ids.now;
            let limit = limit_of(service, &limit)?;
            let mut bucket =
                Bucket { sid: ids.sid(SidKind::Bucket), max: 0, interval: 0, created: now, updated: now };
            fields.apply(&mut bucket)?;
            for (value, field) in [(bucket.max, "max"), (bucket.interval, "interval")] {
                if value == 0 {
                    return Err(RegistryError::Invalid { field, why: "must be given".to_owned() });
                }
            }
            if limit.buckets.len() >= BUCKETS_MOST {
                return Err(RegistryError::TooMany {
                    what: "buckets of this rate limit",
                    limit: BUCKETS_MOST,
                });
            }
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
        fields: BucketFields,
    ) -> Result<Bucket, RegistryError> {
        self.change(service, move |service, ids| {
            let kept = bucket_of(limit_of(service, &limit)?, &bucket)?;
            let before = *kept;
            fields.apply(kept)?;
            if *kept != before {
                kept.updated = ids.now;
            }
            Ok(*kept)
        })
        .await
    }

    /// Removes a bucket.
    pub async fn delete_bucket(&self, service: Sid, limit: Sid, bucket: Sid) -> Result<(), RegistryError> {
        self.change(service, move |service, ids| {
            let now = ids.now;
            let limit = limit_of(service, &limit)?;
            bucket_of(limit, &bucket)?;
            limit.buckets.retain(|kept| kept.sid != bucket);
            limit.updated = now;
            Ok(())
        })
        .await
    }
}

impl BucketFields {
    fn apply(self, bucket: &mut Bucket) -> Result<(), RegistryError> {
        if let Some(max) = self.max {
            bucket.max = within(max, MAX_MOST, "max")?;
        }
        if let Some(interval) = self.interval {
            bucket.interval = within(interval, INTERVAL_MOST, "interval")?;
        }
        Ok(())
    }
}

fn within(value: u64, most: u64, field: &'static str) -> Result<u32, RegistryError> {
    let fits = u32::try_from(value).ok().filter(|_| (1..=most).contains(&value));
    fits.ok_or_else(|| RegistryError::Invalid {
        field,
        why: format!("must be a whole number from 1 to {most}"),
    })
}

fn description(text: Option<String>) -> Result<Option<String>, RegistryError> {
    let text = text.filter(|text| !text.trim().is_empty());
    let read = text.map(|text| rules::note(&text, DESCRIPTION_LONGEST)).transpose();
    read.map_err(RegistryError::invalid("description"))
}

fn limit_of<'a>(service: &'a mut Service, sid: &Sid) -> Result<&'a mut RateLimit, RegistryError> {
    service.rate_limits.iter_mut().find(|limit| limit.sid == *sid).ok_or_else(|| not_found(sid))
}

fn bucket_of<'a>(limit: &'a mut RateLimit, sid: &Sid) -> Result<&'a mut Bucket, RegistryError> {
    limit.buckets.iter_mut().find(|bucket| bucket.sid == *sid).ok_or_else(|| not_found(sid))
}

impl Service {
    /// One of its limits.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn rate_limit(&self, sid: &Sid) -> Result<&RateLimit, RegistryError> {
        self.rate_limits.iter().find(|limit| limit.sid == *sid).ok_or_else(|| not_found(sid))
    }
}

impl RateLimit {
    /// One of its buckets.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn bucket(&self, sid: &Sid) -> Result<&Bucket, RegistryError> {
        self.buckets.iter().find(|bucket| bucket.sid == *sid).ok_or_else(|| not_found(sid))
    }
}

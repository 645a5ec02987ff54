//! Requests about the audit log and about the erasure of a number, and their answers.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::keys::service_of;
use super::wire::{at_least_one, parse_time};
use crate::audit::{Actor, AuditEntry, AuditQuery, Author};
use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp};
use crate::registry::{Registry, RegistryError};
use crate::verify::{Erasure, Verifying};

/// Answered with one [`AuditLine`] for each entry, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields)]
pub struct AuditRequest {
    /// Only changes of this service: its id (VA...), its name in config.json, its friendly name, or "default". A deleted
    /// one has only its id.
    #[arg(long, value_name = "NAME|VA..")]
    pub service: Option<String>,

    /// Only changes since this time: a while ago ("2h", "7d"), a day (2027-01-31, UTC), or a moment (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,

    /// At most this many changes.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub limit: usize,
}

impl AuditRequest {
    /// `find` finds the service of a name.
    pub fn query(&self, find: impl FnOnce(&str) -> Result<Sid, String>) -> Result<AuditQuery, String> {
        let find =
            |text: &str| Sid::parse(SidKind::Service, text).map_or_else(|| find(text), Ok::<_, String>);
        let service = self.service.as_deref().map(find).transpose()?;
        let since = self.since.unwrap_or(Timestamp::EPOCH);
        Ok(AuditQuery { service, since, until: None, skip: 0, limit: self.limit })
    }

    pub(super) async fn carry_out(&self, registry: &Registry) -> Result<Vec<AuditLine>, String> {
        let find = |name: &str| registry.find_service(name).map(|service| service.sid);
        let query = self.query(find)?;
        let (entries, _) = registry.audit().entries(&query).await.map_err(|refusal| refusal.to_string())?;
        Ok(entries.iter().map(AuditLine::from).collect())
    }
}

/// One entry of the audit log. The fields are those of `GET /v2/Audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// RFC 3339, UTC.
    pub time: String,
    pub action: String,
    pub actor: String,
    pub actor_sid: Option<String>,
    pub actor_name: Option<String>,
    pub actor_uid: Option<u32>,
    pub service_sid: Option<String>,
    pub resource_sid: Option<String>,
    pub number: Option<String>,
    pub request_id: Option<String>,
}

impl From<&AuditEntry> for AuditLine {
    fn from(AuditEntry { at, actor, request_id, change, .. }: &AuditEntry) -> Self {
        Self {
            time: at.rfc3339_millis().to_string(),
            action: change.action.as_str().to_owned(),
            actor: actor.kind().to_owned(),
            actor_sid: actor.key().map(|sid| sid.to_string()),
            actor_name: actor.name().map(str::to_owned),
            actor_uid: match actor {
                Actor::User { uid, .. } => Some(*uid),
                Actor::Account | Actor::Key { .. } | Actor::Session { .. } => None,
            },
            service_sid: change.service.map(|sid| sid.to_string()),
            resource_sid: change.resource.map(|sid| sid.to_string()),
            number: change.number.clone(),
            request_id: request_id.clone(),
        }
    }
}

/// Answered with one [`ErasedLine`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields)]
pub struct EraseRequest {
    /// The number, such as +14155552671.
    pub number: String,

    /// Only in this service: its id (VA...), its name in config.json, its friendly name, or "default". Without it, in all
    /// services, and on the safe list.
    #[arg(long, value_name = "NAME|VA..")]
    pub service: Option<String>,
}

/// What is left of an erased number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedLine {
    pub number: String,
    /// Something of the number was known, and is erased.
    pub erased: bool,
    /// The services that had records of it.
    pub services: usize,
    /// The latest end of a lockout, which stays until then.
    pub locked_until: Option<Timestamp>,
}

impl EraseRequest {
    pub(super) async fn carry_out(
        self,
        registry: &Registry,
        verifying: &Verifying,
        by: Author,
    ) -> Result<ErasedLine, String> {
        let number = PhoneNumber::parse(&self.number, None).map_err(|error| error.to_string())?;
        let erased = match service_of(registry, self.service)? {
            Some(only) => verifying
                .erase(only, number, by)
                .await
                .map_err(Into::into)
                .map(|only| (usize::from(only.has_erased), only)),
            None => verifying.erase_everywhere(number, by).await,
        };
        let (services, Erasure { has_erased: erased, locked_until }) =
            erased.map_err(|error: RegistryError| error.to_string())?;
        Ok(ErasedLine { number: number.e164(), erased, services, locked_until })
    }
}

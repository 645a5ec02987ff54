//! Decision records: what the guard refused or would have refused, and by which figures.
//!
//! A record counts the sends of an hour that broke one rule with one effect under one key. A flood of sends to one prefix
//! is one record an hour. [`Decisions`] collects them in memory and adds them to the records lazily.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Dimension, Effect, Figures, Finding, Key, Rule};
use crate::domain::{PhoneNumber, ServiceId, Timestamp};
use crate::engine::SlotHash;
use crate::shard::{
    Durability, Id, LogRange, LogRecord, Record, RecordLog, Refusal, Router, Shards, Subject,
};

const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Records of all services. Beyond it the oldest are removed.
const MOST: usize = 20_000;

/// Keys of a service whose sends are counted apart in an hour, for each rule. The others are counted together.
const MOST_KEYS: usize = 32;

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DecisionName {
    /// The service of the sends.
    pub service: ServiceId,
    /// What the rule looks at. A key without a service is that of all services.
    pub key: Key,
    pub rule: Rule,
    pub effect: Effect,
    /// Hours since the epoch.
    pub hour: u32,
}

/// The sends of an hour that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardDecision {
    pub name: DecisionName,
    pub sends: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Those of the last send; `None` for lists and types.
    pub figures: Option<Figures>,
    /// When the next message passes, as of the last send.
    pub until: Option<Timestamp>,
}

impl GuardDecision {
    fn add(&mut self, later: &Self) {
        self.sends += later.sends;
        (self.last, self.figures, self.until) = (later.last, later.figures, later.until);
    }
}

impl Record for GuardDecision {
    const KIND: u8 = 12;
    const PLURAL: &'static str = "guard decisions";

    fn expires(&self) -> Timestamp {
        self.last.plus(KEPT_FOR)
    }
}

impl LogRecord for GuardDecision {
    type Owner = ServiceId;

    fn at(&self) -> Timestamp {
        self.last
    }

    fn owner(&self, _: &Id) -> ServiceId {
        self.name.service
    }
}

/// The decisions that a list is about.
#[derive(Debug, Clone, Default)]
pub struct DecisionQuery {
    /// Only about sends of this service.
    pub service: Option<ServiceId>,
    /// Only with one of these keys; empty for all.
    pub keys: Vec<Dimension>,
    /// Only those whose last send was at this moment or after it.
    pub since: Timestamp,
    /// Only those whose last send was before this moment.
    pub until: Option<Timestamp>,
    pub skip: usize,
    pub limit: usize,
}

/// The decisions of all shards, and those on their way to them.
pub struct Decisions {
    log: RecordLog<GuardDecision>,
    router: Arc<Router>,
    slots: SlotHash,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    decisions: HashMap<DecisionName, GuardDecision>,
    /// Of this hour, at most [`MOST_KEYS`] of a service and rule.
    hour: u32,
    noted: HashMap<(ServiceId, Rule), HashSet<Key>>,
}

impl Decisions {
    pub fn follow(shards: &Shards, slots: SlotHash) -> Self {
        let log = RecordLog::follow(shards, MOST);
        Self { log, router: Arc::clone(shards.router()), slots, waiting: Mutex::default() }
    }

    /// Returns whether an allowance lacks messages for the first time in the hour. A flood that meets one rule in a service
    /// hides nothing of another one.
    pub fn note(&self, service: ServiceId, finding: &Finding, now: Timestamp) -> bool {
        let Finding { rule, key, effect, figures, until, .. } = *finding;
        let hour = u32::try_from(now.as_millis() / 3_600_000).unwrap_or(u32::MAX);
        let mut name = DecisionName { service, key, rule, effect, hour };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.hour != hour {
            waiting.hour = hour;
            waiting.noted.clear();
        }
        let noted = waiting.noted.entry((service, rule)).or_default();
        let is_new = noted.len() < MOST_KEYS && noted.insert(key);
        if !is_new && !noted.contains(&key) {
            name.key.dimension = Dimension::Total;
        }
        let new = GuardDecision { name, sends: 1, first: now, last: now, figures, until };
        waiting.decisions.entry(name).and_modify(|known| known.add(&new)).or_insert(new);
        is_new && figures.is_some()
    }

    /// Adds what waits to the records. A shard that does not run loses its part.
    pub async fn flush(&self) {
        let waiting =
            std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner).decisions);
        let added = waiting.into_values().map(|new| {
            let subject = Subject::of_name(&new.name, &self.slots);
            self.router.decide::<(), Refusal>(subject, move |view| {
                let decision = match view.get::<GuardDecision>(subject.id) {
                    Some(mut known) => {
                        known.add(&new);
                        known
                    }
                    None => new,
                };
                view.put(subject.id, Some(&decision), Durability::Lazy);
                Ok(())
            })
        });
        for added in added.collect::<Vec<_>>() {
            let _ = added.await;
        }
    }

    /// The decisions that fit, those with the newest send first, and whether more follow.
    pub async fn list(&self, query: &DecisionQuery) -> Result<(Vec<GuardDecision>, bool), Refusal> {
        self.flush().await;
        let DecisionQuery { since, until, skip, limit, .. } = *query;
        let fits = |GuardDecision { name, .. }: &GuardDecision| {
            query.service.is_none_or(|service| name.service == service)
                && (query.keys.is_empty() || query.keys.contains(&name.key.dimension))
        };
        let (found, is_more) = self.log.list(LogRange { since, until, fits, skip, limit }).await?;
        Ok((found.into_iter().map(|(_, decision)| decision).collect(), is_more))
    }

    /// Removes the decisions of a service whose key is this number. Returns whether there were any.
    pub async fn erase(&self, service: ServiceId, number: PhoneNumber) -> Result<bool, Refusal> {
        self.flush().await;
        let fits = |GuardDecision { name, .. }: &GuardDecision| {
            name.service == service && name.key.dimension == Dimension::Number(number)
        };
        let range = LogRange { since: Timestamp::EPOCH, until: None, fits, skip: 0, limit: MOST };
        let found = self.log.list(range).await?.0;
        for (_, decision) in &found {
            let subject = Subject::of_name(&decision.name, &self.slots);
            let removed = self.router.decide(subject, move |view| {
                view.put::<GuardDecision>(subject.id, None, Durability::Durable);
                Ok::<_, Refusal>(())
            });
            removed.await.unwrap_or(Err(Refusal::Stopping))?;
        }
        Ok(!found.is_empty())
    }
}

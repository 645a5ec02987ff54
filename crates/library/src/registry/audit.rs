//! The audit log: who changed which service, key or number, and when.
//!
//! An entry is a record of its own kind, written in the commit of the change that it names. Only changes by a person or by
//! a credential are entries: what the server does by itself, and what a program that embeds the library asks, are not.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Result;
use super::services::{SLOT, ServiceRecord, service_id};
use super::{Bucket, Item, RateLimit, Registry, RegistryError, Service};
use crate::domain::{ServiceId, Sid, SidKind, Timestamp, record_id};
use crate::shard::{Id, LogRange, LogRecord, Places, Record, Refusal, Subject, Transaction};

/// The most entries by keys or about verifications, and the most of all others. Of more, the oldest are removed.
pub const MOST: usize = 100_000;

/// Who acts, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// `account`: a client with its credentials. `key`: a client with an API key. `user`: a user of the server's machine, with
    /// the command line. `session`: a person at the dashboard, signed in with a key or with the account's credentials.
    pub kind: String,
    /// Of the key or the user.
    pub id: Option<String>,
    /// Of the key; `account` for a person who signed in with the account's credentials.
    pub name: Option<String>,
}

impl Actor {
    pub fn new(kind: &str, id: Option<String>, name: Option<String>) -> Self {
        Self { kind: kind.to_owned(), id, name }
    }

    pub fn user(uid: u32) -> Self {
        Self::new("user", Some(uid.to_string()), None)
    }

    /// The key with which it acts.
    pub fn key(&self) -> Option<Sid> {
        Sid::parse(SidKind::ApiKey, self.id.as_deref()?)
    }

    /// Whether this is its kind, its id or its name.
    pub fn is(&self, text: &str) -> bool {
        [Some(&self.kind), self.id.as_ref(), self.name.as_ref()].into_iter().flatten().any(|own| own == text)
    }
}

impl std::fmt::Display for Actor {
    /// The kind, the id and the name, as far as there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        self.id.as_ref().map_or(Ok(()), |id| write!(f, " {id}"))?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// Who acts, and by which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub actor: Actor,
    /// The request's id in the log and in the answer.
    pub request_id: Option<String>,
    /// When the log forgets what the author does.
    pub keep_until: Timestamp,
}

crate::named! {
    /// What was done.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum Action {
        ServiceCreated = "service.created",
        /// Its settings, or something that belongs to it and has no action of its own.
        ServiceChanged = "service.changed",
        ServiceDeleted = "service.deleted",
        KeyCreated = "key.created",
        KeyRevoked = "key.revoked",
        AccountTokenReplaced = "account_token.replaced",
        WebhookCreated = "webhook.created",
        WebhookChanged = "webhook.changed",
        WebhookDeleted = "webhook.deleted",
        SafeNumberAdded = "safe_number.added",
        SafeNumberRemoved = "safe_number.removed",
        /// A lockout ended, counts cleared, the code voided.
        NumberUnlocked = "number.unlocked",
        NumberErased = "number.erased",
        VerificationCanceled = "verification.canceled",
        VerificationApproved = "verification.approved",
        GuardAllowed = "guard.entry_allowed",
        GuardBlocked = "guard.entry_blocked",
        GuardEntryRemoved = "guard.entry_removed",
        GuardKnownOnly = "guard.known_only",
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub keep_until: Timestamp,
    pub actor: Actor,
    pub request_id: Option<String>,
    pub action: Action,
    /// The service that it belongs to; `None` for what belongs to all.
    pub service: Option<Sid>,
    /// The id of the key or webhook; the number, masked; or the prefix, country or address of a manual entry of the guard.
    pub subject: String,
    /// What each changed value was and is: `code-length: 6 → 8`.
    pub changes: String,
}

/// Written in the decision of its change: a commit that the store refuses undoes both.
impl Record for AuditEntry {
    const KIND: u8 = 10;
    const PLURAL: &'static str = "audit entries";
    const LONGEST: usize = 128 * 1024;
    const ID_ENDS_WITH_SLOT: bool = true;

    fn expires(&self) -> Timestamp {
        self.keep_until
    }
}

impl AuditEntry {
    /// What an author does, for the decision that does it.
    pub fn new(by: Author, action: Action, service: Option<Sid>, subject: String) -> Self {
        let Author { actor, request_id, keep_until } = by;
        let (at, changes) = (Timestamp::EPOCH, String::new());
        Self { at, keep_until, actor, request_id, action, service, subject, changes }
    }

    /// The key or webhook that it is about.
    pub fn resource(&self) -> Option<Sid> {
        SidKind::ALL.into_iter().find_map(|kind| Sid::parse(kind, &self.subject))
    }

    /// Writes it. It becomes durable together with the other changes of the decision.
    pub fn record(&self, view: &mut Transaction<'_>) {
        let id = record_id(ServiceId::DEFAULT, view.rng().next_u64() << 8 | u64::from(view.slot()));
        let entry = Self { at: view.now(), ..self.clone() };
        view.put(id, Some(&entry));
    }
}

/// A changed value: its name, what it was and what it is.
pub fn changed(name: &str, was: &str, is: &str) -> String {
    let [was, is] = [was, is].map(|text| if text.is_empty() { "none" } else { text });
    format!("{name}: {was} → {is}")
}

impl LogRecord for AuditEntry {
    fn places(&self) -> Places {
        // What keys and programs do all day pushes out nothing of the account and of people.
        let is_of_program =
            matches!(self.action, Action::VerificationCanceled | Action::VerificationApproved);
        let is_needed = self.actor.key().is_none() && !is_of_program;
        let needed_until = if is_needed { Timestamp::MAX } else { Timestamp::EPOCH };
        Places { at: self.at, needed_until, ..Places::default() }
    }
}

// Changes of the registry, decided on slot 0.

/// Characters of a changed value that the audit log keeps.
const LONGEST_VALUE: usize = 80;

/// A change that is being decided: the records, and the time, ids and secrets of new ones.
pub(super) struct Draft<'a, 'b> {
    pub(super) view: &'a mut Transaction<'b>,
    pub(super) now: Timestamp,
    pub(super) author: Option<Author>,
    /// What the audit log says of a change of a service: what was done, and to which of its belongings.
    pub(super) audited: (Action, String),
}

impl Draft<'_, '_> {
    /// A new id. 128 random bits are never drawn twice.
    pub(super) fn sid(&mut self, kind: SidKind) -> Sid {
        Sid::new(kind, self.bytes())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.view.rng().fill_bytes(&mut bytes);
        bytes
    }

    pub(super) fn put<R: Record>(&mut self, id: Id, record: &R) {
        self.view.put(id, Some(record));
    }

    pub(super) fn service(&mut self, id: Id) -> Result<Box<Service>> {
        match self.view.get(id) {
            Some(ServiceRecord::Present(service)) => Ok(service),
            _ => Err(RegistryError::NotFound(Item::Service)),
        }
    }

    /// Writes an entry of the audit log about the change, if it has an author.
    pub(super) fn record(&mut self, action: Action, service: Option<Sid>, subject: String, changes: String) {
        if let Some(author) = self.author.clone() {
            AuditEntry { changes, ..AuditEntry::new(author, action, service, subject) }.record(self.view);
        }
    }
}

/// The settings of a service and of the webhook with this id, as the audit log shows them.
fn values(service: &Service, webhook: &str) -> BTreeMap<String, String> {
    let settings = serde_json::to_value(&service.settings).unwrap_or_default();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let settings = settings.as_object().into_iter().flatten();
    let mut values: BTreeMap<_, _> = settings.map(|(key, value)| (key.clone(), text(value))).collect();
    let bucket = |Bucket { max, interval, .. }: &Bucket| format!("{max} in {interval} s");
    let limit = |RateLimit { unique_name, buckets, .. }: &RateLimit| {
        format!("{unique_name} {}", buckets.iter().map(bucket).collect::<Vec<_>>().join(", "))
    };
    let mut also = |name: &str, value: String| drop(values.insert(name.to_owned(), value));
    also("rate limits", service.rate_limits.iter().map(limit).collect::<Vec<_>>().join("; "));
    also("test numbers", service.test_numbers.len().to_string());
    also("messaging services", service.messaging.len().to_string());
    if let Some(webhook) = service.webhooks.iter().find(|of| of.sid.to_string() == webhook) {
        also("name", webhook.friendly_name.clone());
        also("events", webhook.event_types.join(" "));
        also("url", webhook.url.clone());
        also("status", webhook.status.to_string());
    }
    values
}

/// What differs, with the beginning of what it was and is.
fn changes(before: &Service, after: &Service, webhook: &str) -> String {
    let (before, after) = (values(before, webhook), values(after, webhook));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| {
        let [was, is] = [&before, &after].map(|values| values.get(name).map_or("", String::as_str));
        let short = |text: &str| text.chars().take(LONGEST_VALUE).collect::<String>();
        (was != is).then(|| changed(name, &short(was), &short(is)))
    };
    names.into_iter().filter_map(change).collect::<Vec<_>>().join("; ")
}

impl Registry {
    /// The entries about changes, the newest first.
    ///
    /// # Errors
    /// As [`Shards::read`](crate::shard::Shards::read).
    pub async fn audit(
        &self,
        range: LogRange<impl Fn(&AuditEntry) -> bool>,
    ) -> Result<Vec<AuditEntry>, Refusal> {
        let entry = |key, entry: AuditEntry| vec![(entry.at, key, entry)];
        self.inner.shards.list(None, range, Duration::ZERO, entry).await
    }

    /// Decides a change in slot 0, also if the caller does not wait. The answer comes when it is durable. After an error
    /// nothing has changed.
    pub(super) fn decide<T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Draft<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> {
        let (now, author) = (self.wall(), self.author.clone());
        let audited = (Action::ServiceChanged, String::new());
        let decide = move |view: &mut Transaction<'_>| decide(&mut Draft { view, now, author, audited });
        let decided = self.inner.shards.decide(Subject { slot: SLOT, id: [0; 12] }, decide);
        async { decided.await.unwrap_or_else(|_| Err(Refusal::OutcomeUnknown.into())) }
    }

    /// Changes a service and what belongs to it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        sid: Sid,
        decide: impl FnOnce(&mut Service, &mut Draft<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let id = service_id(self.service(&sid)?.id);
        self.decide(move |draft| {
            let before = draft.service(id)?;
            let mut service = before.clone();
            let answer = decide(&mut service, draft)?;
            if service != before {
                service.updated = draft.now;
                draft.put(id, &ServiceRecord::Present(service.clone()));
                let (action, subject) = draft.audited.clone();
                let changes = changes(&before, &service, &subject);
                draft.record(action, Some(sid), subject, changes);
            }
            Ok(answer)
        })
        .await
    }

    /// The wall clock, which dates everything that is displayed. The time of signatures.
    pub fn wall(&self) -> Timestamp {
        self.inner.shards.clock().wall()
    }
}

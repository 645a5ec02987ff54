//! The audit log: who changed which service, key or number, and when.
//!
//! An entry is a record of its own kind, written in the commit of the change that it names. Only changes by a person or by
//! a credential are entries: what the server does by itself, and what a program that embeds the library asks, are not.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::domain::{PhoneNumber, ServiceId, Sid, Timestamp, record_id};
use crate::engine::SlotHash;
use crate::shard::{Durability, Id, LogRecord, Record, RecordLog, Transaction};

/// Entries of one installation. Beyond it the oldest are removed.
pub const MOST: usize = 100_000;

/// Characters of a changed value that are kept.
const LONGEST_VALUE: usize = 80;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A client with the account's credentials.
    Account,
    /// A client with this API key.
    Key { sid: Sid, name: Option<String> },
    /// A user of the server's machine, with the command line.
    User { uid: u32, name: Option<String> },
    /// A person at the dashboard, signed in with this API key, or with the account's credentials if it is `None`.
    Session { key: Option<Sid>, name: Option<String> },
}

/// Who acts, and by which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub actor: Actor,
    /// The request's id in the log and in the answer.
    pub request_id: Option<String>,
    /// How long the log keeps what the author does.
    pub keep_for: Duration,
}

crate::named! {
    /// What was done.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
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

/// One change, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub action: Action,
    /// The service that it belongs to; `None` for what belongs to all.
    pub service: Option<Sid>,
    /// The key or webhook.
    pub resource: Option<Sid>,
    /// The number, masked; or the prefix, country or address of a manual entry of the guard.
    pub number: Option<String>,
    /// The values that are others now.
    pub values: Vec<ChangedValue>,
}

/// A value that was changed: its key, and the beginning of what it was and is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedValue {
    pub key: String,
    pub before: String,
    pub after: String,
}

impl ChangedValue {
    /// The values of one change and of a later one.
    fn joined(mut earlier: Vec<Self>, mut later: Vec<Self>) -> Vec<Self> {
        for value in &mut later {
            if let Some(at) = earlier.iter().position(|before| before.key == value.key) {
                value.before = earlier.remove(at).before;
            }
        }
        earlier.append(&mut later);
        earlier
    }

    /// What differs between the members of two objects.
    pub fn between(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Self> {
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.chars().take(LONGEST_VALUE).collect(),
            other => other.to_string().chars().take(LONGEST_VALUE).collect(),
        };
        let of = |members: &Map<String, Value>, key: &str| members.get(key).map(text).unwrap_or_default();
        let differs = |(key, value): &(&String, &Value)| before.get(*key) != Some(*value);
        let changed = after.iter().filter(differs);
        let value = |(key, _): (&String, &Value)| {
            let (before, after) = (of(before, key), of(after, key));
            Self { key: key.clone(), before, after }
        };
        changed.map(value).collect()
    }
}

impl std::fmt::Display for ChangedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        write!(f, "{}: {} → {}", self.key, shown(&self.before), shown(&self.after))
    }
}

impl Change {
    pub const fn of(action: Action) -> Self {
        Self { action, service: None, resource: None, number: None, values: Vec::new() }
    }

    /// Whether it is the same but for the values.
    fn is_like(&self, other: &Self) -> bool {
        let of = |change: &Self| (change.action, change.service, change.resource);
        of(self) == of(other) && self.number == other.number
    }

    #[must_use]
    pub fn in_service(self, service: Option<Sid>) -> Self {
        Self { service, ..self }
    }

    #[must_use]
    pub fn to(self, resource: Sid) -> Self {
        Self { resource: Some(resource), ..self }
    }

    #[must_use]
    pub fn about(self, number: PhoneNumber) -> Self {
        Self { number: Some(number.to_string()), ..self }
    }
}

/// A change and its author, for the decision that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    pub author: Author,
    pub change: Change,
}

/// One entry of the log. Equal changes by one author within an hour are one entry, so that a program that repeats a change
/// does not push out what others did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The last time.
    pub at: Timestamp,
    pub first: Timestamp,
    pub times: u32,
    pub keep_until: Timestamp,
    pub actor: Actor,
    /// The request of the last time.
    pub request_id: Option<String>,
    pub change: Change,
}

/// After a failed commit the entry stays by default: the change may have been made.
impl Record for AuditEntry {
    const KIND: u8 = 10;
    const PLURAL: &'static str = "audit entries";

    fn slot(&self, id: &Id, _: &SlotHash) -> u8 {
        let [.., slot] = *id;
        slot
    }

    fn expires(&self) -> Timestamp {
        self.keep_until
    }
}

impl Author {
    /// A change of a number in a service, by this author.
    pub fn audited(self, action: Action, service: Sid, number: PhoneNumber) -> Audited {
        Audited { author: self, change: Change::of(action).in_service(Some(service)).about(number) }
    }

    /// Writes an entry, which becomes durable together with the other changes of the decision.
    pub fn record(&self, change: Change, view: &mut Transaction<'_>) {
        let at = view.now();
        let Self { actor, request_id, keep_for } = self.clone();
        // By these bytes the log knows the entries of one service from those of others, should it have too many.
        let service = change.service.as_ref().and_then(|sid| sid.bytes().first_chunk());
        let service = service.map_or(ServiceId::DEFAULT, |bytes| ServiceId::new(u32::from_be_bytes(*bytes)));
        let slot = u64::from(view.slot());
        let id_of = |number: u64| record_id(service, number << 8 | slot);
        let (values, bare) = (change.values, Change { values: Vec::new(), ..change });
        let is_of_number = matches!(
            bare.action,
            Action::NumberUnlocked
                | Action::NumberErased
                | Action::VerificationCanceled
                | Action::VerificationApproved
        );
        let (hour, own) = (at.as_millis() / 3_600_000, digest((&actor, &bare)));
        let places = digest((hour, &actor, &bare.service)) / PLACES * PLACES;
        let place = |probe: u64| {
            let of_many = places + own.wrapping_add(probe) % PLACES;
            id_of(if is_of_number { digest((hour, own, probe)) } else { of_many })
        };
        let mut found = (0..PROBES).map(|probe| (place(probe), view.get::<AuditEntry>(place(probe))));
        let (id, earlier) = found
            .find(|(_, earlier)| {
                earlier.as_ref().is_none_or(|it| it.actor == actor && it.change.is_like(&bare))
            })
            .unwrap_or_else(|| (place(0), view.get(place(0))));
        let (first, times) = earlier.as_ref().map_or((at, 1), |it| (it.first, it.times.saturating_add(1)));
        let change = match earlier {
            None => Change { values, ..bare },
            Some(it) if it.change.is_like(&bare) => {
                Change { values: ChangedValue::joined(it.change.values, values), ..bare }
            }
            Some(_) => Change { resource: None, number: None, ..bare },
        };
        let keep_until = at.plus(keep_for);
        let entry = AuditEntry { at, first, times, keep_until, actor, request_id, change };
        view.put(id, Some(&entry), Durability::Durable);
    }
}

/// Entries of one author in one service and hour, but for those about numbers. Further changes share entries that name
/// no resource: a program that creates and deletes all day would push out what others did.
const PLACES: u64 = 256;
/// Places that are tried for an entry.
const PROBES: u64 = 16;

fn digest(of: impl std::fmt::Debug) -> u64 {
    Sha256::digest(format!("{of:?}")).first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl std::fmt::Display for Actor {
    /// The kind, the id and the name, as far as there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())?;
        self.id().map_or(Ok(()), |id| write!(f, " {id}"))?;
        self.name().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

impl Actor {
    /// The user with this id, with the name that the file of local users has for it.
    pub fn user(uid: u32) -> Self {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name_of = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        };
        Self::User { uid, name: users.lines().find_map(name_of) }
    }

    /// The kind of actor in answers.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Key { .. } => "key",
            Self::User { .. } => "user",
            Self::Session { .. } => "session",
        }
    }

    /// Whether this is its kind, its id or its name.
    fn is(&self, text: &str) -> bool {
        self.kind() == text || self.name() == Some(text) || self.id().as_deref() == Some(text)
    }

    fn id(&self) -> Option<String> {
        match self {
            Self::User { uid, .. } => Some(uid.to_string()),
            actor => actor.key().map(|sid| sid.to_string()),
        }
    }

    pub const fn key(&self) -> Option<Sid> {
        match self {
            Self::Key { sid, .. } => Some(*sid),
            Self::Session { key, .. } => *key,
            Self::Account | Self::User { .. } => None,
        }
    }

    /// The name of the key or of the user; `account` for a person who signed in with the account's credentials.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Account => None,
            Self::Session { key: None, .. } => Some("account"),
            Self::Key { name, .. } | Self::User { name, .. } | Self::Session { name, .. } => name.as_deref(),
        }
    }
}

/// The entries that a list is about.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only those of this service.
    pub service: Option<Sid>,
    /// Only those with this action.
    pub action: Option<Action>,
    /// Only those by this kind of actor, or by this id or name.
    pub actor: Option<String>,
    /// Only those by or about what has this id.
    pub of: Option<String>,
}

impl AuditFilter {
    pub fn fits(&self, entry: &AuditEntry) -> bool {
        self.service.is_none_or(|service| entry.change.service == Some(service))
            && self.action.is_none_or(|action| entry.change.action == action)
            && self.actor.as_ref().is_none_or(|actor| entry.actor.is(actor))
            && self.of.as_ref().is_none_or(|of| {
                entry.actor.is(of) || entry.change.resource.is_some_and(|sid| sid.to_string() == *of)
            })
    }
}

/// The entries of all shards.
pub type AuditLog = RecordLog<AuditEntry>;

impl LogRecord for AuditEntry {
    fn at(&self) -> Timestamp {
        self.at
    }
}

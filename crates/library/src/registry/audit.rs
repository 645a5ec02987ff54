//! The audit log: who changed which service, key or number, and when.
//!
//! An entry is a record of its own kind, written in the commit of the change that it names. Only changes by a person or by
//! a credential are entries: what the server does by itself, and what a program that embeds the library asks, are not.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use serde::{Deserialize, Serialize};

use crate::domain::{ServiceId, Sid, SidKind, Timestamp, record_id};
use crate::engine::SlotHash;
use crate::shard::{Id, LogRecord, Places, Record, RecordLog, Transaction, name_digest};

/// Entries of one installation. Beyond it the oldest are removed.
pub const MOST: usize = 100_000;

/// Entries of one author in one service and hour, but for those about numbers. Further changes share the last one, which
/// says little: a program that creates and deletes all day would push out what others did.
const PLACES: u64 = 256;

/// Who acts, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// `account`: a client with its credentials. `key`: a client with an API key. `user`: a user of the server's machine, with
    /// the command line. `session`: a person at the dashboard, signed in with a key or with the account's credentials.
    pub kind: String,
    /// Of the key or the user.
    pub id: Option<String>,
    /// Of the key or the user; `account` for a person who signed in with the account's credentials.
    pub name: Option<String>,
}

impl Actor {
    pub fn new(kind: &str, id: Option<String>, name: Option<String>) -> Self {
        Self { kind: kind.to_owned(), id, name }
    }

    /// The user with this id, with the name that the file of local users has for it.
    pub fn user(uid: u32) -> Self {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name_of = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        };
        Self::new("user", Some(uid.to_string()), users.lines().find_map(name_of))
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

/// One entry of the log. Equal changes by one author within an hour are one entry.
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

    fn slot(&self, id: &Id, _: &SlotHash) -> u8 {
        let [.., slot] = *id;
        slot
    }

    fn expires(&self) -> Timestamp {
        self.keep_until
    }
}

impl AuditEntry {
    /// What an author does, for the decision that does it.
    pub fn new(by: Author, action: Action, service: Option<Sid>, subject: String) -> Self {
        let Author { actor, request_id, keep_until } = by;
        let (at, changes) = (Timestamp::EPOCH, String::new());
        Self { at, first: at, times: 0, keep_until, actor, request_id, action, service, subject, changes }
    }

    /// The key or webhook that it is about.
    pub fn resource(&self) -> Option<Sid> {
        SidKind::ALL.into_iter().find_map(|kind| Sid::parse(kind, &self.subject))
    }

    /// Writes it. It becomes durable together with the other changes of the decision.
    pub fn record(&self, view: &mut Transaction<'_>) {
        let at = view.now();
        // By these bytes the log knows the entries of one service from those of others, should it have too many.
        let service = self.service.as_ref().and_then(|sid| sid.bytes().first_chunk());
        let service = service.map_or(ServiceId::DEFAULT, |bytes| ServiceId::new(u32::from_be_bytes(*bytes)));
        let is_of_number = matches!(
            self.action,
            Action::NumberUnlocked
                | Action::NumberErased
                | Action::VerificationCanceled
                | Action::VerificationApproved
        );
        let number = is_of_number.then_some((self.action, &self.subject));
        let places = name_digest(&(at.as_millis() / 3_600_000, &self.actor, self.service, number));
        let slot = u64::from(view.slot());
        let id_of = |place| record_id(service, places.wrapping_add(place) << 8 | slot);
        let fits =
            |place: &u64| view.get::<Self>(id_of(*place)).is_none_or(|known| known.what() == self.what());
        let own = (0..PLACES).find(fits);
        let id = id_of(own.unwrap_or(PLACES - 1));
        let known = view.get::<Self>(id);
        let (first, times) = known.map_or((at, 1), |known| (known.first, known.times.saturating_add(1)));
        let mut entry = Self { at, first, times, ..self.clone() };
        if own.is_none() {
            (entry.subject, entry.changes) = (String::new(), String::new());
        }
        view.put(id, Some(&entry));
    }

    fn what(&self) -> (&Actor, Action, Option<Sid>, &str, &str) {
        (&self.actor, self.action, self.service, &self.subject, &self.changes)
    }
}

/// A changed value: its name, what it was and what it is.
pub fn changed(name: &str, was: &str, is: &str) -> String {
    let [was, is] = [was, is].map(|text| if text.is_empty() { "none" } else { text });
    format!("{name}: {was} → {is}")
}

/// The entries of all shards.
pub type AuditLog = RecordLog<AuditEntry>;

impl LogRecord for AuditEntry {
    fn places(&self) -> Places {
        Places { at: self.at, ..Places::default() }
    }
}

//! The pumping guard of the server: asks the decisions of `onceward_core::guard` about every send of a real number, and
//! stores their records.
//!
//! The state is in memory, behind one lock. Every ten seconds its changes are written to records of the shards, lazily: a
//! crash loses the last ten seconds of counts. Manual entries are durable before they are answered.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

pub mod operator;
mod record;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::watch;

use crate::audit::{Action, Author, Change};
use crate::clock::Clock;
use crate::domain::{Channel, PhoneNumber, ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::SlotHash;
use crate::log_limit::OncePerSecond;
use crate::metrics::{FactConsumer, Metrics, SendEnd, SendFacts, VerificationFacts, VerificationStep};
use crate::shard::{Durability, Record as _, Refusal, Router, Shards, decode};

pub use self::record::GuardRecord;
use onceward_core::guard::{Bounds, Guard, GuardRow, Signals, Verdict};
pub use onceward_core::guard::{
    ClientNet, Dimension, Effect, Entry, EntryAction, Figures, Finding, GuardRules, Key, Mode, Rule,
    TooManyEntries, replay, scenario,
};

/// Interval between writes of the changes.
const INTERVAL: Duration = Duration::from_secs(10);

/// Records that are taken under one lock: some 100 us.
const AT_ONCE: usize = 32;

/// Records per page. Reading one blocks a shard for some 50 us.
const PAGE: usize = 64;

/// What a request says to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientSignals {
    /// The address of the person's device; `None` if it is not known.
    pub address: Option<IpAddr>,
    /// The request asks for no check, or the number is on the safe list.
    pub is_trusted: bool,
}

/// A send that the guard decides about.
#[derive(Debug, Clone, Copy)]
pub struct GuardedSend {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub channel: Channel,
    pub client: ClientSignals,
    /// The life of its code.
    pub life: Duration,
}

/// Why the guard refuses a send, as far as the caller may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardRefusal {
    /// By a rule, or by an entry of the operator.
    Blocked,
    /// The service does not send to the country.
    Country,
    /// A landline takes no text message.
    Landline,
    BudgetSpent {
        until: Timestamp,
    },
}

/// Why a manual entry was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error(transparent)]
    TooMany(#[from] TooManyEntries),
    /// After `StoreUnavailable` or `Stopping` the entry may be stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The rules of every service.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// Those of services that have none of their own.
    pub default: GuardRules,
    pub services: HashMap<ServiceId, GuardRules>,
}

impl RuleSet {
    fn of(&self, service: ServiceId) -> &GuardRules {
        self.services.get(&service).unwrap_or(&self.default)
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct PumpingGuard {
    inner: Arc<Inner>,
    /// Ends the task that writes the records, together with the last handle.
    _alive: Arc<watch::Sender<()>>,
}

struct Inner {
    guard: Mutex<Guard>,
    rules: ArcSwap<RuleSet>,
    router: Arc<Router>,
    clock: Arc<dyn Clock>,
    slots: SlotHash,
    metrics: Arc<Metrics>,
    refusals: OncePerSecond,
    /// Held while records are written, which keeps their order.
    writing: tokio::sync::Mutex<()>,
}

impl PumpingGuard {
    /// Reads the records, and writes changes from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] if a shard failed meanwhile.
    pub async fn start(shards: &Shards, server_key: &ServerKey) -> Result<Self, Refusal> {
        let inner = Arc::new(Inner {
            guard: Mutex::new(Guard::new(Bounds::default(), seed(server_key))),
            rules: ArcSwap::default(),
            router: Arc::clone(shards.router()),
            clock: Arc::clone(shards.clock()),
            slots: SlotHash::new(server_key),
            metrics: Arc::clone(shards.metrics()),
            refusals: OncePerSecond::default(),
            writing: tokio::sync::Mutex::default(),
        });
        inner.restore().await?;
        shards.metrics().pass_on_to(Arc::new(Facts(Arc::downgrade(&inner))));
        let (alive, ended) = watch::channel(());
        tokio::spawn(run(Arc::downgrade(&inner), ended));
        Ok(Self { inner, _alive: Arc::new(alive) })
    }

    pub fn set_rules(&self, rules: RuleSet) {
        self.inner.rules.store(Arc::new(rules));
    }

    /// Decides about a send, and counts it if it may pass.
    ///
    /// # Errors
    /// [`GuardRefusal`].
    pub fn assess(&self, send: &GuardedSend, request_id: Option<&str>) -> Result<(), GuardRefusal> {
        let GuardedSend { service, number, channel, client, life } = *send;
        let (country, number_type) = number.region_and_type();
        let address = client.address.map(ClientNet::from);
        let is_trusted = client.is_trusted;
        let signals = Signals { service, number, country, number_type, channel, address, is_trusted };
        let rules = self.inner.rules.load();
        let now = self.inner.clock.now();
        let assessment = self.inner.guard().assess(&signals, rules.of(service), now.plus(life), now);
        for finding in &assessment.findings {
            self.inner.note(finding, number, request_id);
        }
        match assessment.verdict {
            Verdict::Allow => Ok(()),
            Verdict::Refuse(Rule::CountryList) => Err(GuardRefusal::Country),
            Verdict::Refuse(Rule::Landline) => Err(GuardRefusal::Landline),
            Verdict::Refuse(
                Rule::Entry | Rule::NumberType | Rule::Number | Rule::Prefix | Rule::Country | Rule::Address,
            ) => Err(GuardRefusal::Blocked),
        }
    }

    /// The rules of a service.
    pub fn rules_of(&self, service: ServiceId) -> GuardRules {
        self.inner.rules.load().of(service).clone()
    }

    /// A send that was counted led to no message.
    pub fn withdraw(&self, service: ServiceId, number: PhoneNumber) {
        self.inner.guard().withdraw(service, number, self.inner.clock.now());
    }

    /// Adds or replaces a manual entry, durably. One that ends now is removed. `sid` is that of the key's service.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn set_entry(
        &self,
        key: Key,
        entry: Entry,
        sid: Option<Sid>,
        by: Author,
    ) -> Result<(), EntryError> {
        self.inner.guard().set_entry(key, entry, self.inner.clock.now())?;
        let action = match entry.action {
            _ if entry.until <= self.inner.clock.now() => Action::GuardEntryRemoved,
            EntryAction::Allow => Action::GuardAllowed,
            EntryAction::Block => Action::GuardBlocked,
        };
        let change = Change::of(action).in_service(sid);
        let change = Change { number: Some(Named(key.dimension).to_string()), ..change };
        self.inner.write(Durability::Durable, Some((by, change))).await?;
        Ok(())
    }

    /// The manual entry of a key.
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        self.inner.guard().entry(key, self.inner.clock.now())
    }

    /// The end of the block of a key, and the figures that began it.
    pub fn block(&self, key: &Key) -> Option<(Timestamp, Figures)> {
        self.inner.guard().block(key, self.inner.clock.now())
    }

    /// The figures of a key and their limits, per hour and day, by the rules of its service.
    pub fn figures(&self, key: Key) -> Vec<Figures> {
        let rules = self.inner.rules.load();
        let of_key = key.service.map_or(&rules.default, |service| rules.of(service));
        self.inner.guard().figures(key, of_key, self.inner.clock.now())
    }

    /// Forgets a number of a service.
    ///
    /// # Errors
    /// [`Refusal`]. After an error a record may be left.
    pub async fn erase(&self, service: ServiceId, number: PhoneNumber) -> Result<(), Refusal> {
        self.inner.guard().forget(service, number, self.inner.clock.now());
        self.inner.write(Durability::Durable, None).await
    }

    /// Hands all changes to the shards. Those that a shard refuses are lost.
    pub async fn flush(&self) {
        // A refusal is logged by the shard.
        let _ = self.inner.write(Durability::Lazy, None).await;
    }
}

/// The hashes of the guard's tables depend on the server key.
fn seed(server_key: &ServerKey) -> u64 {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mac = Hmac::<Sha256>::new_from_slice(server_key.expose()).expect("a key of any length");
    let block: [u8; 32] = mac.chain_update(b"onceward/guard/1").finalize().into_bytes().into();
    block.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

async fn run(inner: Weak<Inner>, mut alive: watch::Receiver<()>) {
    loop {
        tokio::select! {
            _ = alive.changed() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        let _ = inner.write(Durability::Lazy, None).await;
    }
}

impl Inner {
    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn restore(&self) -> Result<(), Refusal> {
        let mut rows: Vec<GuardRow> = Vec::new();
        for shard in 0..self.router.shards() {
            let mut end = usize::MAX;
            while end > 0 {
                let _turn = self.router.page_turn().await;
                let read =
                    move |tables: &crate::shard::Tables, now| tables.page(GuardRecord::KIND, end, PAGE, now);
                let page;
                (page, end) = self.router.read_shard(shard, read).await?;
                let decoded = page.into_iter().filter_map(|(_, stored)| decode(&stored.bytes).ok());
                rows.extend(decoded.map(|GuardRecord(row)| row));
            }
        }
        // Most counters then come to the page that they were in.
        rows.sort_by_key(GuardRow::name);
        let now = self.clock.now();
        let mut guard = self.guard();
        rows.into_iter().for_each(|row| guard.restore(row, now));
        Ok(())
    }

    /// Writes the changes. `audited` goes with the first of them.
    async fn write(
        &self,
        durability: Durability,
        mut audited: Option<(Author, Change)>,
    ) -> Result<(), Refusal> {
        let _writing = self.writing.lock().await;
        let mut result = Ok(());
        loop {
            let rows = self.guard().take_changed(AT_ONCE);
            if rows.is_empty() {
                return result;
            }
            let written = rows.into_iter().map(|row| {
                let (name, audited) = (row.name(), audited.take());
                let subject = record::subject(&name, &self.slots);
                self.router.decide::<(), Refusal>(subject, move |view| {
                    let record = Some(GuardRecord(row)).filter(|record| view.now() < record.expires());
                    view.put(subject.id, record.as_ref(), durability);
                    if let Some((author, change)) = audited {
                        author.record(change, view);
                    }
                    Ok(())
                })
            });
            for answer in written.collect::<Vec<_>>() {
                result = result.and(answer.await.unwrap_or(Err(Refusal::Stopping)));
            }
        }
    }

    /// Counts and logs a finding.
    fn note(&self, finding: &Finding, number: PhoneNumber, request_id: Option<&str>) {
        let (rule, effect) = (rule_name(finding.rule), effect_name(finding.effect));
        self.metrics.guard_finding(rule, effect);
        let service = finding.key.service.map(|service| service.get());
        let key = Named(finding.key.dimension);
        let figures = finding.figures.map(|Figures { tally, pending, limit, .. }| {
            (tally.sends, tally.verified, tally.unverified, pending, limit)
        });
        let (sends, verified, unverified, pending, limit) = figures.unwrap_or_default();
        if finding.begins_block {
            let until = finding.until.map(|until| until.rfc3339_seconds().to_string());
            tracing::warn!(
                rule, %key, service, until, sends, verified, unverified, pending, limit, "block begun by guard"
            );
        }
        if finding.effect == Effect::Refused {
            let request_id = request_id.map(str::to_owned);
            self.refusals.note(move |count| {
                tracing::info!(
                    request_id, %number, rule, effect, %key, service, sends, verified, unverified, pending, limit,
                    count, "send refused by guard"
                );
            });
        }
    }
}

/// Takes over the ends of sends and verifications.
struct Facts(Weak<Inner>);

impl FactConsumer for Facts {
    fn verification(&self, facts: &VerificationFacts) {
        let Some(inner) = self.0.upgrade().filter(|_| !facts.recipient.is_test) else { return };
        if facts.step == VerificationStep::Approved {
            inner.guard().verified(facts.recipient.service, facts.recipient.number, inner.clock.now());
        }
    }

    fn send(&self, facts: &SendFacts) {
        let Some(inner) = self.0.upgrade().filter(|_| !facts.recipient.is_test && !facts.follows) else {
            return;
        };
        match facts.outcome {
            // The message was sent, may have been, or will be.
            SendEnd::Accepted | SendEnd::Unknown | SendEnd::Postponed | SendEnd::Test => {}
            SendEnd::NumberRefused
            | SendEnd::Failed
            | SendEnd::Obsolete
            | SendEnd::Overloaded
            | SendEnd::Locked
            | SendEnd::Limited => {
                inner.guard().withdraw(facts.recipient.service, facts.recipient.number, inner.clock.now());
            }
        }
    }
}

/// A number (masked), prefix, country or address for messages.
#[derive(Debug, Clone, Copy)]
pub struct Named(pub Dimension);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Dimension::Total => f.write_str("all"),
            Dimension::Country(Some(country)) => write!(f, "{country}"),
            Dimension::Country(None) => f.write_str("no country"),
            Dimension::Prefix(digits) => write!(f, "+{digits}****"),
            Dimension::Address(net) => write!(f, "{net}"),
            Dimension::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The name of a rule in metrics, answers and the log.
pub const fn rule_name(rule: Rule) -> &'static str {
    match rule {
        Rule::Entry => "entry",
        Rule::CountryList => "country_list",
        Rule::NumberType => "number_type",
        Rule::Landline => "landline",
        Rule::Number => "number",
        Rule::Prefix => "prefix",
        Rule::Country => "country",
        Rule::Address => "address",
    }
}

/// The name of an effect in metrics, answers and the log.
pub const fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Refused => "refused",
        Effect::Recorded => "recorded",
        Effect::Learning => "learning",
        Effect::VerifiedNumber => "verified_number",
    }
}

//! The pumping guard of the server: asks the decisions of `onceward_core::guard` about every send of a real number, and
//! stores their records.
//!
//! The state is in memory, behind one lock. Every ten seconds its changes are written to records of the shards, lazily: a
//! crash loses the last ten seconds of counts. Manual entries are durable before they are answered.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod budgets;
mod decisions;
pub mod operator;
mod record;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::{broadcast, watch};

use crate::audit::{Action, Author, Change};
use crate::clock::Clock;
use crate::config::{GuardSettings, Prices};
use crate::domain::{Channel, NumberType, PhoneNumber, ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::SlotHash;
use crate::log_limit::OncePerSecond;
use crate::metrics::{
    FactConsumer, FailedAttemptFacts, Metrics, SendEnd, SendFacts, VerificationFacts, VerificationStep,
};
use crate::shard::{Durability, Record as _, RecordKey, Refusal, Router, Shards, Tables, decode};

pub use self::budgets::{BudgetRecord, BudgetUsage, Charge};
use self::budgets::{Budgets, NotCharged};
use self::decisions::Decisions;
pub use self::decisions::{DecisionName, DecisionQuery, GuardDecision};
pub use self::record::GuardRecord;
use onceward_core::guard::{Bounds, Guard, GuardRow, Signals, Verdict};
pub use onceward_core::guard::{
    ClientNet, Dimension, Effect, Entry, EntryAction, Figures, Finding, GuardRules, Key, Mode, Rule,
    TooManyEntries, replay, scenario,
};

/// Interval between writes of the changes.
const INTERVAL: Duration = Duration::from_secs(10);

/// Messages an hour of a new data directory with a real gateway, until the operator sets a budget.
const FIRST_BUDGET: u64 = 500;

/// Notices that a receiver may leave unread.
const NOTICES: usize = 256;

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
    /// The service has text messages to landlines refused, whatever the rule says.
    pub refuses_landlines: bool,
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

/// The dependencies of [`PumpingGuard`].
pub struct GuardDeps<'a> {
    pub shards: &'a Shards,
    pub server_key: &'a ServerKey,
    /// Rules and budgets of the server.
    pub settings: GuardSettings,
    /// What services change of them.
    pub services: HashMap<ServiceId, GuardSettings>,
    /// `None` for the built-in ones.
    pub prices: Option<Prices>,
    /// Whether messages cost money.
    pub pays: bool,
    /// Kinds of record that a data directory has once messages were sent.
    pub traffic: &'a [u8],
}

impl<'a> GuardDeps<'a> {
    /// The default rules, without budgets.
    pub fn new(shards: &'a Shards, server_key: &'a ServerKey) -> Self {
        let (settings, services) = (GuardSettings::default(), HashMap::new());
        Self { shards, server_key, settings, services, prices: None, pays: false, traffic: &[] }
    }
}

/// A block that began, or a budget that is spent, and the message that led to it.
#[derive(Debug, Clone, Copy)]
pub struct GuardNotice {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub channel: Channel,
    pub finding: Finding,
    /// The key of the budget in the settings, and its limit.
    pub budget: Option<(&'static str, u64)>,
}

/// Why a message was not charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeError {
    Spent {
        until: Timestamp,
    },
    /// The store did not take the record of the budget.
    Unavailable,
}

/// The rules of every service.
struct RuleSet {
    /// Those of services that have none of their own.
    default: GuardRules,
    services: HashMap<ServiceId, GuardRules>,
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
    rules: RuleSet,
    budgets: Budgets,
    router: Arc<Router>,
    clock: Arc<dyn Clock>,
    slots: SlotHash,
    metrics: Arc<Metrics>,
    decisions: Decisions,
    notices: broadcast::Sender<GuardNotice>,
    refusals: OncePerSecond,
    /// Held while records are written, which keeps their order.
    writing: tokio::sync::Mutex<()>,
}

impl PumpingGuard {
    /// Reads the records, and writes changes from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] if a shard failed meanwhile.
    pub async fn start(deps: GuardDeps<'_>) -> Result<Self, Refusal> {
        let GuardDeps { shards, server_key, mut settings, services, prices, pays, traffic } = deps;
        let (router, clock) = (Arc::clone(shards.router()), Arc::clone(shards.clock()));
        let default = settings.rules(&GuardRules::default());
        let own = services.iter().map(|(service, own)| (*service, own.rules(&default)));
        let rules = RuleSet { services: own.collect(), default: default.clone() };
        let slots = SlotHash::new(server_key);
        if mark_new(&router, &slots, traffic).await? {
            if pays && !settings.has_budget() {
                settings.messages_per_hour = Some(FIRST_BUDGET);
                tracing::info!(
                    messages_per_hour = FIRST_BUDGET,
                    "default budget of a new data directory; set messages-per-hour of the key guard to your own"
                );
            }
        } else if pays && !settings.has_budget() {
            tracing::warn!("no budget of messages; set messages-per-hour of the key guard");
        }
        let scopes =
            services.into_iter().map(|(service, own)| (Some(service), own)).chain([(None, settings)]);
        let budgets = Budgets::new(Arc::clone(&router), Arc::clone(&clock), slots.clone(), prices, scopes);
        let inner = Arc::new(Inner {
            guard: Mutex::new(Guard::new(Bounds::default(), seed(server_key))),
            rules,
            budgets,
            router,
            clock,
            slots,
            metrics: Arc::clone(shards.metrics()),
            decisions: Decisions::follow(shards, SlotHash::new(server_key)),
            notices: broadcast::Sender::new(NOTICES),
            refusals: OncePerSecond::default(),
            writing: tokio::sync::Mutex::default(),
        });
        shards.metrics().create_guard_refusals_at_zero(&RULES.map(rule_name), effect_name(Effect::Refused));
        inner.restore().await?;
        shards.metrics().pass_on_to(Arc::new(Facts(Arc::downgrade(&inner))));
        let (alive, ended) = watch::channel(());
        tokio::spawn(run(Arc::downgrade(&inner), ended));
        Ok(Self { inner, _alive: Arc::new(alive) })
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
        let now = self.inner.clock.now();
        if let Some(spent) = self.inner.budgets.spent(service)
            && let ChargeError::Spent { until } =
                self.inner.not_charged(service, number, channel, spent, request_id)
        {
            return Err(GuardRefusal::BudgetSpent { until });
        }
        if client.refuses_landlines && channel == Channel::Sms && number_type == NumberType::Landline {
            return Err(GuardRefusal::Landline);
        }
        let rules = self.inner.rules.of(service);
        let assessment = self.inner.guard().assess(&signals, rules, now.plus(life), now);
        for finding in &assessment.findings {
            self.inner.note(service, finding, now);
            self.inner.log(finding, number, request_id);
            if finding.begins_block {
                let (finding, budget) = (*finding, None);
                let _ = self.inner.notices.send(GuardNotice { service, number, channel, finding, budget });
            }
        }
        match assessment.verdict {
            Verdict::Allow => Ok(()),
            Verdict::Refuse(Rule::CountryList) => Err(GuardRefusal::Country),
            Verdict::Refuse(Rule::Landline) => Err(GuardRefusal::Landline),
            Verdict::Refuse(
                Rule::Entry
                | Rule::NumberType
                | Rule::Number
                | Rule::Prefix
                | Rule::Country
                | Rule::Address
                | Rule::Budget,
            ) => Err(GuardRefusal::Blocked),
        }
    }

    /// Charges one message to the budgets, durably, before a gateway may get it. A free one costs no money.
    ///
    /// # Errors
    /// [`ChargeError`].
    pub async fn charge(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
        is_free: bool,
        request_id: Option<&str>,
    ) -> Result<Charge, ChargeError> {
        let charged = self.inner.budgets.charge(service, number, channel, is_free).await;
        charged.map_err(|error| self.inner.not_charged(service, number, channel, error, request_id))
    }

    /// The slots of numbers.
    pub fn slots(&self) -> &SlotHash {
        &self.inner.slots
    }

    /// Blocks and spent budgets from now on.
    pub fn notices(&self) -> broadcast::Receiver<GuardNotice> {
        self.inner.notices.subscribe()
    }

    /// The rules of a service.
    pub fn rules_of(&self, service: ServiceId) -> &GuardRules {
        self.inner.rules.of(service)
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
        let rules = &self.inner.rules;
        let of_key = key.service.map_or(&rules.default, |service| rules.of(service));
        self.inner.guard().figures(key, of_key, self.inner.clock.now())
    }

    /// What the guard refused, or would have refused: the newest first, and whether more follow.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn decisions(&self, query: &DecisionQuery) -> Result<(Vec<GuardDecision>, bool), Refusal> {
        self.inner.decisions.list(query).await
    }

    /// Every budget with a limit.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn budgets(&self) -> Result<Vec<BudgetUsage>, Refusal> {
        self.inner.budgets.usage().await
    }

    /// Forgets a number of a service: its counter, its manual entry and the decisions about it; of the installation, its manual
    /// entry.
    ///
    /// # Errors
    /// [`Refusal`]. After an error a record may be left.
    pub async fn erase(&self, service: Option<ServiceId>, number: PhoneNumber) -> Result<(), Refusal> {
        self.inner.guard().forget(service, number, self.inner.clock.now());
        self.inner.write(Durability::Durable, None).await?;
        match service {
            Some(service) => self.inner.decisions.erase(service, number).await,
            None => Ok(()),
        }
    }

    /// Hands all changes to the shards. Those that a shard refuses are lost.
    pub async fn flush(&self) {
        self.inner.flush().await;
    }
}

/// Returns `true` for a data directory that had a guard before its first message, and marks it.
async fn mark_new(router: &Router, slots: &SlotHash, traffic: &[u8]) -> Result<bool, Refusal> {
    let mark = record::subject(&"new", slots);
    let key = RecordKey { slot: mark.slot, kind: BudgetRecord::KIND, id: mark.id };
    if router.get::<BudgetRecord>(key).await?.is_some() {
        return Ok(true);
    }
    for shard in 0..router.shards() {
        let kinds = traffic.to_vec();
        let has_traffic = move |tables: &Tables, _| kinds.iter().any(|kind| tables.len_of(*kind) > 0);
        if router.read_shard(shard, has_traffic).await? {
            return Ok(false);
        }
    }
    let marked = router.decide(mark, move |view| {
        view.put(mark.id, Some(&BudgetRecord::New), Durability::Durable);
        Ok::<_, Refusal>(true)
    });
    marked.await.unwrap_or(Err(Refusal::Stopping))
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
        inner.flush().await;
    }
}

impl Inner {
    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn flush(&self) {
        self.decisions.flush().await;
        // The shard logs why it refuses.
        let _ = self.write(Durability::Lazy, None).await;
    }

    async fn restore(&self) -> Result<(), Refusal> {
        let mut rows: Vec<GuardRow> = Vec::new();
        for shard in 0..self.router.shards() {
            let mut end = usize::MAX;
            while end > 0 {
                let _turn = self.router.page_turn().await;
                let read = move |tables: &Tables, now| tables.page(GuardRecord::KIND, end, PAGE, now);
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
        for row in rows {
            guard.restore(row, now);
        }
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

    /// Counts and logs that a budget has nothing left.
    fn not_charged(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
        error: NotCharged,
        request_id: Option<&str>,
    ) -> ChargeError {
        let NotCharged::Spent { service: scope, until, is_new } = error else {
            return ChargeError::Unavailable;
        };
        let finding = Finding {
            rule: Rule::Budget,
            key: Key::new(scope, Dimension::Total),
            effect: Effect::Refused,
            figures: None,
            until: Some(until),
            begins_block: false,
        };
        if let Some((budget, limit)) = is_new {
            let scope = scope.map(ServiceId::get);
            tracing::warn!(budget, limit, service = scope, until = %until.rfc3339_seconds(), "budget spent");
            let budget = Some((budget, limit));
            let _ = self.notices.send(GuardNotice { service, number, channel, finding, budget });
        }
        self.note(service, &finding, self.clock.now());
        self.log(&finding, number, request_id);
        ChargeError::Spent { until }
    }

    fn note(&self, service: ServiceId, finding: &Finding, now: Timestamp) {
        self.metrics.guard_finding(rule_name(finding.rule), effect_name(finding.effect));
        self.decisions.note(service, finding, now);
    }

    fn log(&self, finding: &Finding, number: PhoneNumber, request_id: Option<&str>) {
        let (rule, effect) = (rule_name(finding.rule), effect_name(finding.effect));
        let service = finding.key.service.map(ServiceId::get);
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

pub const fn scope_name(service: Option<ServiceId>) -> &'static str {
    if service.is_some() { "service" } else { "installation" }
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

    fn failed_attempt(&self, _: &FailedAttemptFacts) {}

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

const RULES: [Rule; 9] = [
    Rule::Entry,
    Rule::CountryList,
    Rule::NumberType,
    Rule::Landline,
    Rule::Number,
    Rule::Prefix,
    Rule::Country,
    Rule::Address,
    Rule::Budget,
];

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
        Rule::Budget => "budget",
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

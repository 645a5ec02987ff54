//! The pumping guard of the server: asks the decisions of `onceward_core::guard` about every send of a real number, and
//! stores their records.
//!
//! The state is in memory, behind one lock. Every second its changes are written to records of the shards. What a message
//! took is also in the commit of its own decision, with which its verification gives it back, and a start after a crash
//! takes it again if the records lack it. Manual entries are durable before they are answered.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

pub mod operator;
mod refused;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot::Receiver;

use crate::clock::Clock;
use crate::config::{GuardSettings, Pricing};
use crate::domain::{
    Channel, NumberKey, NumberType, PhoneNumber, Region, ServerKey, ServiceId, Sid, Timestamp,
};
use crate::engine::{SlotHash, hash_seed};
use crate::limits::budgets::{Budgets, SpentBudget};
use crate::limits::counts::{Charge, CountId, Counts, Full};
use crate::limits::keys::{Digester, MOST_RECORDS};
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::{BudgetView, Fact, Metrics, TableReading};
use crate::registry::Registry;
use crate::registry::audit::AuditEntry;
use crate::shard::{
    Capacity, LimitedTable, Record, RecordKey, Refusal, Router, Shards, Subject, Transaction, Usage,
};

use self::refused::Refused;
pub use self::refused::{Refusals, RefusedNumber};
pub use onceward_core::guard::{
    ClientNet, Dimension, Entry, EntryAction, Exemption, Figures, Finding, GuardRow, GuardRules, Key, Mode,
    Refused as GuardRefusal, Rule, Signals, Ticket, TooManyEntries, VerifiedChange, VerifiedNumber,
};
use onceward_core::guard::{Guard, MOST_BUCKETS, Scope};

/// Interval between writes of the changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Rows that are looked at in each interval, to free those that say nothing.
const LOOKS: usize = 256;

/// Records that are taken under one lock: some 100 us.
const AT_ONCE: usize = 512;

/// Counts that are taken under one lock: some 300 us.
const COUNTS_AT_ONCE: usize = 4_096;

/// Records per page of the start. Reading one blocks a shard for some 50 us.
const PAGE: usize = 64;

/// Rows that were dropped are logged once in this time.
const DROPS_LOGGED: Duration = Duration::from_secs(3_600);

/// A row of the guard: a bucket, a manual entry, or a count of a budget or a rate limit.
impl Record for GuardRow {
    const KIND: u8 = 11;
    const PLURAL: &'static str = "guard records";

    fn expires(&self) -> Timestamp {
        Self::expires(self)
    }
}

/// A number that was verified in the last 30 days. Its id is that of the number.
impl Record for VerifiedNumber {
    const KIND: u8 = 15;
    const PLURAL: &'static str = "verified numbers";

    fn expires(&self) -> Timestamp {
        Self::expires(*self)
    }
}

/// What a decision about a number says to the guard.
#[derive(Debug, Clone, PartialEq)]
pub enum GuardNews {
    /// The number was verified, and this is what the messages of the verification took.
    Verified(VerifiedChange, Vec<Ticket>),
    /// A message that the guard let pass was certainly not sent: it gets back what it took.
    NotSent(Ticket),
    /// A message was refused.
    Refused(Channel, GuardRefusal),
}

/// What a request says to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientSignals {
    /// The network of the person's device; `None` if it is not known.
    pub network: Option<ClientNet>,
    pub exemption: Exemption,
    /// The service has text messages to landlines refused, whatever the rule says.
    pub refuses_landlines: bool,
    /// [`Signals::is_carried`].
    pub is_carried: bool,
}

/// Why a manual entry was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error(transparent)]
    TooMany(#[from] TooManyEntries),
    /// The setting `numbers` permits none such.
    #[error("no numbering plan has this number; for a prefix, write '{}****'", .0.e164())]
    InNoPlan(PhoneNumber),
    #[error("known-only is for the subject all, and all for nothing else")]
    OnlyAll,
    #[error("this number is on the safe list already")]
    IsSafe,
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What the operator configured.
#[derive(Default)]
pub struct GuardConfig {
    /// Rules and budgets of the server.
    pub settings: GuardSettings,
    /// What services change of them.
    pub services: HashMap<ServiceId, GuardSettings>,
    pub pricing: Pricing,
    /// Whether no message costs money, because the simulator is the only gateway: then there are no buckets.
    pub is_free: bool,
    pub on_alert: Option<AlertConsumer>,
}

/// An empty bucket or a spent budget. Events of webhooks contain it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardAbout {
    /// The rule, or the key of the budget.
    pub rule: String,
    /// `service` or `all_services`.
    pub scope: String,
    /// The number (masked), prefix, country or network, or `countries without users`. `None` for a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub until: Timestamp,
    /// Messages, or millionths of the currency.
    pub limit: u64,
    /// Numbers that the subject usually verifies in a day. `None` for a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual: Option<u32>,
}

/// A message that is to be sent.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub channel: Channel,
    pub request_id: Option<&'a str>,
}

/// Called for each empty bucket, once an hour, and for each spent budget, with the message that led to it.
pub type AlertConsumer = Box<dyn Fn(Message<'_>, GuardAbout) + Send + Sync>;

/// A cheap handle.
#[derive(Clone)]
pub struct PumpingGuard {
    inner: Arc<Inner>,
}

struct Inner {
    guard: Mutex<Guard>,
    /// [`GuardConfig::is_free`].
    is_free: bool,
    /// The limit on verified numbers: beyond it a number counts as no user.
    verified: Arc<Capacity>,
    /// Locked after `guard`, if both are.
    counts: Mutex<Counts>,
    /// Names counts of rate limits.
    digester: Digester,
    /// That of `counts`.
    capacity: Arc<Capacity>,
    default_rules: GuardRules,
    /// Rules of services with their own.
    rules: HashMap<ServiceId, GuardRules>,
    budgets: Budgets,
    /// Names the services in lists.
    registry: Registry,
    router: Arc<Router>,
    clock: Arc<dyn Clock>,
    slots: SlotHash,
    /// Makes ids of safe numbers.
    seed: u64,
    metrics: Arc<Metrics>,
    refused: Mutex<Refused>,
    /// When it began to count refusals.
    began: Timestamp,
    on_alert: Option<AlertConsumer>,
    /// One log limiter per rule.
    refusals: [OncePerSecond; Rule::ALL.len()],
    /// Held while records are written, which keeps their order. Whether [`GuardRow::Written`] may lack what was written.
    writing: Arc<tokio::sync::Mutex<bool>>,
}

impl PumpingGuard {
    /// Reads the records, and writes changes from now on. Remembers so many verified numbers. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] if a shard failed meanwhile, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn start(
        shards: &Shards,
        server_key: &ServerKey,
        verified: usize,
        registry: Registry,
        GuardConfig { settings, services, pricing, is_free, on_alert }: GuardConfig,
    ) -> Result<Self, Refusal> {
        let (router, clock) = (Arc::clone(shards.router()), Arc::clone(shards.clock()));
        let began = clock.now();
        let (metrics, slots) = (Arc::clone(shards.metrics()), SlotHash::new(server_key));
        let rules_of = |own: &GuardSettings, base: &GuardRules| {
            let rules = own.rules(base);
            // The simulator's messages cost no money.
            let (mode, max_price) = if is_free { (Mode::Off, None) } else { (rules.mode, rules.max_price) };
            GuardRules { mode, max_price, ..rules }
        };
        let default_rules = rules_of(&settings, &GuardRules::default());
        let rules = services.iter().map(|(service, own)| (*service, rules_of(own, &default_rules))).collect();
        let seed = hash_seed(server_key);
        let mut guard = Guard::new(MOST_BUCKETS, seed);
        let limits =
            services.into_iter().map(|(service, own)| (Some(service), own)).chain([(None, settings)]);
        let names = metrics.service_names();
        let budgets = Budgets::new(pricing, names.clone(), limits);
        let table = LimitedTable::VerifiedNumbers;
        let verified = Capacity::following::<VerifiedNumber>(shards, table, verified);
        let capacity = Capacity::new(LimitedTable::Counters, MOST_RECORDS, names);
        let mut counts = Counts::new(Arc::clone(&capacity));
        let restore = |_, row| match row {
            GuardRow::Count(id, count) => counts.restore(id, count),
            row => guard.restore(&row),
        };
        router.for_each(PAGE, restore).await?;
        let inner = Arc::new(Inner {
            guard: Mutex::new(guard),
            is_free,
            verified,
            counts: Mutex::new(counts),
            digester: Digester::new(server_key),
            capacity,
            default_rules,
            rules,
            budgets,
            registry,
            router,
            clock,
            slots,
            seed,
            metrics: Arc::clone(&metrics),
            refused: Mutex::default(),
            began,
            on_alert,
            refusals: Default::default(),
            writing: Arc::default(),
        });
        let rules = Rule::ALL.into_iter().filter(|rule| *rule <= Rule::Budget).map(Rule::as_str);
        metrics.create_guard_refusals_at_zero(rules, REFUSED);
        tokio::spawn(run(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// The moment from which on messages may not be in the records that a start has read.
    pub fn unwritten_since(&self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.inner.guard.lock().unwritten_since()) * 1_000)
    }

    /// Before the first send: takes again what a message took, if the records may not contain it.
    pub fn take_again(&self, service: ServiceId, number: PhoneNumber, ticket: &Ticket) {
        let mut guard = self.inner.guard.lock();
        guard.take_again(self.inner.scope(service), number, ticket);
        self.inner.counts.lock().again(&ticket.counted, ticket.second, guard.unwritten_since());
    }

    /// The name of the count of a value by a bucket of a rate limit.
    pub fn count_of(&self, service: ServiceId, limit: &Sid, bucket: &Sid, value: &str) -> CountId {
        self.inner.digester.count(service, limit, bucket, value)
    }

    /// The limit on counts.
    pub fn capacity(&self) -> &Capacity {
        &self.inner.capacity
    }

    /// Makes sure that there is room for the counts of these charges.
    ///
    /// # Errors
    /// [`Refusal::TableFull`] if the service has used up its share.
    pub fn make_room(&self, service: ServiceId, charges: &[Charge]) -> Result<(), Refusal> {
        let has_room = self.inner.counts.lock().have_room(charges, self.inner.clock.now());
        if has_room { Ok(()) } else { Err(self.inner.capacity.full(service)) }
    }

    /// Whether the parts of a message matter.
    pub fn counts_parts(&self, service: ServiceId) -> bool {
        self.inner.budgets.hold(Some(service)) || self.inner.rules(service).max_price.is_some()
    }

    /// Whether no rule, budget or manual entry can refuse or count a message of the service. Then a send need not pay for a
    /// decision.
    pub fn is_off(&self, service: ServiceId) -> bool {
        let inner = &self.inner;
        inner.rules(service).are_off()
            && !inner.budgets.hold(Some(service))
            && inner.guard.lock().entries.is_empty()
    }

    /// Whether a budget limits the messages of the service, or of all, or messages cost nothing.
    pub fn has_budget(&self, service: Option<ServiceId>) -> bool {
        self.inner.is_free || self.inner.budgets.hold(service)
    }

    /// What the rules read of a message, with the country of its number. The type is looked up only if it matters: that
    /// costs some microseconds.
    pub fn signals(
        &self,
        client: ClientSignals,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
    ) -> Signals {
        let ClientSignals { network, exemption, refuses_landlines, is_carried } = client;
        let reads_types = refuses_landlines || self.inner.rules(service).reads_types();
        let number_type = if reads_types { number.number_type() } else { NumberType::Other };
        Signals {
            service,
            number,
            country: number.region(),
            number_type,
            channel,
            client: network,
            exemption,
            is_carried,
            price: None,
        }
    }

    /// Returns `true` if the rule for landlines refuses the message, which may then be a call.
    pub fn refuses_landline(&self, signals: &Signals) -> bool {
        let Signals { service, number, country, number_type, channel, exemption, .. } = *signals;
        let mut broken = self.inner.rules(service).fixed(country, number_type, channel, None);
        exemption != Exemption::AllowancesAndTypes
            && broken.any(|broken| broken == (Rule::Landline, Mode::Block))
            && !self.is_safe(number)
    }

    /// Whether the lists of countries permit messages of the service to this country.
    pub fn permits(&self, service: ServiceId, country: Region) -> bool {
        self.inner.rules(service).permits(Some(country))
    }

    /// Decides about a send of so many parts. If it may pass, takes one of its buckets and charges it to its budgets and to
    /// these rate limits. The ticket says what.
    pub fn assess(
        &self,
        signals: &Signals,
        parts: u32,
        limits: &[Charge],
        is_known: bool,
        request_id: Option<&str>,
    ) -> Result<Ticket, GuardRefusal> {
        let Signals { service, number, channel, country, .. } = *signals;
        let (inner, scope) = (&self.inner, self.inner.scope(service));
        let message = Message { service, number, channel, request_id };
        let price =
            inner.budgets.price(country, channel).map(|price| price.saturating_mul(parts.max(1).into()));
        let charges = inner.budgets.charges(service, country, channel, parts);
        let (mut guard, mut counts) = (inner.guard.lock(), inner.counts.lock());
        let by_limits = counts.fit(limits, scope.now);
        let by_limits = by_limits
            .map_err(|Full { until, .. }| GuardRefusal { rule: Rule::RateLimit, until: Some(until) })?;
        let by_budgets = match counts.fit(&charges, scope.now) {
            Ok(counted) => counted,
            Err(full) => {
                drop((guard, counts));
                return Err(inner.spent_budget(message, full));
            }
        };
        let assessment = guard.assess(&Signals { price, ..*signals }, scope, is_known);
        let ticket = assessment.verdict.map(|()| {
            let (at, counted) = (guard.second(scope.now), [by_limits, by_budgets].concat());
            counts.take(&counted);
            inner.budgets.warn_if_nearly_spent(service, &counted, &mut counts, scope.now);
            assessment.ticket.counting(at, counted)
        });
        drop((guard, counts));
        for finding in &assessment.findings {
            inner.count(message, finding, None);
        }
        ticket
    }

    /// Counts a refused message, and notes why the number got none.
    pub fn refused(&self, key: NumberKey, channel: Channel, GuardRefusal { rule, until }: GuardRefusal) {
        let NumberKey { service, number, is_test, .. } = key;
        self.inner.metrics.count(&Fact::Refused(key, channel, rule));
        if !is_test {
            let (messages, last) = (1, self.inner.clock.now());
            self.inner.refused.lock().add(service, number, Refusals { rule, messages, last, until });
        }
    }

    /// Decides about a further message of a verification.
    pub fn assess_step(
        &self,
        signals: &Signals,
        parts: u32,
        is_known: bool,
        request_id: Option<&str>,
    ) -> Result<Ticket, GuardRefusal> {
        let (key, channel) = (NumberKey::new(signals.service, signals.number), signals.channel);
        // A text message to a landline is no message that a person misses: the next step may be a call.
        self.assess(signals, parts, &[], is_known, request_id).inspect_err(|refusal| {
            if refusal.rule != Rule::Landline {
                self.refused(key, channel, *refusal);
            }
        })
    }

    /// Learns what became of a message that it let pass.
    pub fn learn(&self, key: NumberKey, news: GuardNews) {
        let (guard, scope) = (&self.inner.guard, self.inner.scope(key.service));
        match news {
            GuardNews::NotSent(ticket) => {
                guard.lock().give_back(scope, key.number, &ticket);
                self.inner.counts.lock().give_back(&ticket.counted);
            }
            GuardNews::Refused(channel, refusal) => self.refused(key, channel, refusal),
            GuardNews::Verified(change, tickets) => {
                guard.lock().verified(scope, key.number, &tickets, change);
            }
        }
    }

    /// Records in a decision that a number was verified, unless it is a test number. Returns what the guard learns once the
    /// decision is made. `tickets` are those of the messages of its verification.
    pub fn record_verified(
        &self,
        key: NumberKey,
        tickets: Vec<Ticket>,
        view: &mut Transaction<'_>,
    ) -> Option<GuardNews> {
        let NumberKey { service, is_test: false, .. } = key else { return None };
        let before = view.get::<VerifiedNumber>(key.id());
        let has_room = before.is_some() || self.inner.verified.has_room(service);
        let after = has_room.then(|| VerifiedNumber::after(before, view.now()));
        view.put(key.id(), after.as_ref());
        Some(GuardNews::Verified(VerifiedChange { before, after }, tickets))
    }

    /// Charges a message to the budgets, as far as it costs more than its tickets say.
    pub fn charge(
        &self,
        message: Message<'_>,
        parts: u32,
        before: &[Ticket],
    ) -> Result<Option<Ticket>, GuardRefusal> {
        let (Message { service, number, channel, .. }, inner) = (message, &self.inner);
        let (country, now) = (number.region(), inner.clock.now());
        let refused = |refusal| {
            self.refused(NumberKey::new(service, number), channel, refusal);
            refusal
        };
        if let Some(most) = inner.rules(service).max_price.filter(|_| parts > 1) {
            let price = inner.budgets.price(country, channel);
            if price.is_none_or(|price| price.saturating_mul(parts.into()) > most) {
                return Err(refused(GuardRefusal { rule: Rule::Price, until: None }));
            }
        }
        let mut charges = inner.budgets.charges(service, country, channel, parts);
        for charge in &mut charges {
            let counted = before.iter().flat_map(|ticket| &ticket.counted);
            let counted = counted.filter(|of| of.id == charge.id && now < of.ends);
            charge.amount = charge.amount.saturating_sub(counted.map(|counted| counted.amount).sum());
        }
        charges.retain(|charge| charge.amount > 0);
        if charges.is_empty() {
            return Ok(None);
        }
        let (mut guard, mut counts) = (inner.guard.lock(), inner.counts.lock());
        let fitting = counts.fit(&charges, now);
        if let Ok(counted) = &fitting {
            counts.take(counted);
            inner.budgets.warn_if_nearly_spent(service, counted, &mut counts, now);
        }
        let at = guard.second(now);
        drop((guard, counts));
        let counted = fitting.map_err(|full| refused(inner.spent_budget(message, full)))?;
        Ok(Some(Ticket::default().counting(at, counted)))
    }

    /// Ends the refusals of one number, and forgets its count. Returns whether there was something to end.
    pub fn unlock(&self, service: ServiceId, number: PhoneNumber) -> bool {
        self.inner.guard.lock().unlock(service, number)
    }

    /// Whether [`unlock`](Self::unlock) has something to end.
    pub fn can_unlock(&self, service: ServiceId, number: PhoneNumber) -> bool {
        self.inner.guard.lock().counts(service, number)
    }

    /// Whether a number was verified in the last 30 days.
    ///
    /// # Errors
    /// [`Refusal`], while the store does not confirm it.
    pub async fn is_known(&self, service: ServiceId, number: PhoneNumber) -> Result<bool, Refusal> {
        let known: Option<VerifiedNumber> = self.inner.router.get(self.verified_key(service, number)).await?;
        Ok(known.is_some())
    }

    /// The key of the record of a verified number.
    pub fn verified_key(&self, service: ServiceId, number: PhoneNumber) -> RecordKey {
        let Subject { slot, id } = self.inner.verified_subject(service, number);
        RecordKey { slot, kind: VerifiedNumber::KIND, id }
    }

    /// Whether [`erase`](Self::erase) has something to forget in this service, beside that the number was verified.
    pub fn knows(&self, service: ServiceId, number: PhoneNumber) -> bool {
        let inner = &self.inner;
        inner.guard.lock().knows(service, number, inner.clock.now())
            || inner.refused.lock().of(service, number).is_some()
    }

    /// Forgets a number of a service: its messages, its verification, its manual entry and its refusals; of all services, its
    /// manual entry. Returns whether the guard knew it.
    ///
    /// # Errors
    /// [`Refusal`]. After an error a record may be left.
    pub async fn erase(&self, service: Option<ServiceId>, number: PhoneNumber) -> Result<bool, Refusal> {
        let (inner, key) = (&self.inner, Key::new(service, Dimension::Number(number)));
        let mut is_known = inner.guard.lock().entries.get(&key, inner.clock.now()).is_some();
        if is_known {
            let _writing = inner.writing.lock().await;
            inner.store_entry(key, None, None).await?;
        }
        let Some(service) = service else { return Ok(is_known) };
        is_known |= inner.guard.lock().unlock(service, number) | inner.refused.lock().forget(service, number);
        inner.write().await?;
        let subject = inner.verified_subject(service, number);
        // Behind a verification that the shard has not decided yet.
        let removed = inner.router.decide(subject, move |view| {
            let is_verified = view.get::<VerifiedNumber>(subject.id).is_some();
            view.put::<VerifiedNumber>(subject.id, None);
            Ok::<_, Refusal>(is_verified)
        });
        Ok(answer(removed).await? || is_known)
    }

    /// Writes all changes, at the end.
    pub async fn flush(&self) {
        // The shard logs why it refuses.
        let _ = self.inner.write().await;
    }

    /// The state for metrics: the tables, the rows that were dropped, and the budgets.
    pub fn reading(&self) -> (Vec<TableReading>, u64, Vec<BudgetView>) {
        let Inner { verified, budgets, .. } = &*self.inner;
        let Usage { held, limit } = verified.usage();
        let guard = self.inner.guard.lock();
        let (buckets, dropped) = (guard.rows.held(), guard.rows.dropped);
        drop(guard);
        let tables = [("guard allowances", buckets, MOST_BUCKETS), (verified.table().as_str(), held, limit)];
        let tables = tables.map(|(name, held, limit)| TableReading { name, held, limit });
        (tables.into(), dropped, budgets.list(None, &self.inner.counts.lock(), self.inner.clock.now()))
    }
}

/// A row to be stored, with the name of its bucket; `None` for a count.
type Changed = (Subject, Option<(ServiceId, Dimension)>, Option<GuardRow>);

/// Writes the changes until the last handle is gone.
async fn run(inner: Weak<Inner>) {
    let (mut logged, mut next_log) = (0, Timestamp::EPOCH);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        let _ = inner.write().await;
        let now = inner.clock.now();
        inner.counts.lock().sweep(LOOKS, now);
        let mut guard = inner.guard.lock();
        guard.rows.sweep(LOOKS, now);
        let dropped = guard.rows.dropped;
        drop(guard);
        if dropped > logged && now >= next_log {
            tracing::warn!(
                dropped = dropped - logged,
                limit = MOST_BUCKETS,
                "guard table full, allowances dropped"
            );
            (logged, next_log) = (dropped, now.plus(DROPS_LOGGED));
        }
    }
}

impl Inner {
    fn rules(&self, service: ServiceId) -> &GuardRules {
        self.rules.get(&service).unwrap_or(&self.default_rules)
    }

    fn scope(&self, service: ServiceId) -> Scope<'_> {
        Scope { service, rules: self.rules(service), now: self.clock.now() }
    }

    fn verified_subject(&self, service: ServiceId, number: PhoneNumber) -> Subject {
        Subject::of(service, number.as_u64(), &self.slots)
    }

    /// Writes the changed rows, and then up to which message they are. A crash in between takes messages from allowances
    /// twice, and any crash those that arrived while more than `AT_ONCE` were written; each count says itself up to when it
    /// is. After a refusal, what was not written waits for the next time.
    async fn write(&self) -> Result<(), Refusal> {
        let mut is_behind = self.writing.lock().await;
        let (mut changed, mut counts, written) = {
            let (mut guard, mut counts) = (self.guard.lock(), self.counts.lock());
            let changed = guard.rows.take_changed(AT_ONCE);
            if changed.is_empty() && !counts.has_changed() && !*is_behind {
                return Ok(());
            }
            let written = guard.close_second();
            (changed, counts.take_changed(written, COUNTS_AT_ONCE), written)
        };
        *is_behind = true;
        loop {
            // While many messages are sent, there may always be further changes.
            let is_rest = changed.len() < AT_ONCE && counts.len() < COUNTS_AT_ONCE;
            // By slot: a decision is about one.
            let mut slots = BTreeMap::<u8, Vec<_>>::new();
            for (id, count) in counts {
                let (slot, row) = (self.slots.of(id), count.map(|count| GuardRow::Count(id, count)));
                slots.entry(slot).or_default().push((Subject { slot, id }, None, row));
            }
            for (name, bucket) in changed {
                let subject = Subject::of_name(&(Key::new(Some(name.0), name.1), false), &self.slots);
                let row = bucket.map(|bucket| GuardRow::Bucket(name.0, name.1, bucket));
                slots.entry(subject.slot).or_default().push((subject, Some(name), row));
            }
            for written in join_all(slots.into_values().map(|rows| self.write_rows(rows))).await {
                written?;
            }
            if is_rest {
                break;
            }
            let mut guard = self.guard.lock();
            changed = guard.rows.take_changed(AT_ONCE);
            let mut of_counts = self.counts.lock();
            // What these contain is of earlier seconds than the next message, if the clock allows it.
            let is_changed = of_counts.has_changed();
            let second = if is_changed { guard.close_second_by(self.clock.now()) } else { written };
            counts = of_counts.take_changed(second, COUNTS_AT_ONCE);
        }
        let subject = Subject::of_name(&"guard rows", &self.slots);
        self.put(subject, Some(GuardRow::Written(written)), None).await?;
        *is_behind = false;
        Ok(())
    }

    /// Writes rows of one slot, which are changed again after a refusal.
    async fn write_rows(&self, rows: Vec<Changed>) -> Result<(), Refusal> {
        let (subject, names): (_, Vec<_>) =
            (rows[0].0, rows.iter().map(|(of, name, _)| (of.id, *name)).collect());
        let written = self.router.decide(subject, move |view| {
            for (Subject { id, .. }, _, row) in &rows {
                view.put(*id, row.as_ref());
            }
            Ok(())
        });
        answer(written).await.inspect_err(|_| {
            let (mut guard, mut counts) = (self.guard.lock(), self.counts.lock());
            for (id, name) in names {
                name.map_or_else(|| counts.mark_changed(id), |name| guard.rows.mark_changed(name));
            }
        })
    }

    /// Writes a manual entry, or removes its record, with a line of the audit log; then it holds.
    async fn store_entry(
        &self,
        key: Key,
        entry: Option<Entry>,
        audited: Option<AuditEntry>,
    ) -> Result<(), Refusal> {
        let subject = Subject::of_name(&(key, true), &self.slots);
        let row = entry.map(|entry| GuardRow::Entry(key, entry));
        self.put(subject, row, audited).await?;
        self.guard.lock().set_entry(key, entry);
        Ok(())
    }

    async fn put(
        &self,
        subject: Subject,
        row: Option<GuardRow>,
        audited: Option<AuditEntry>,
    ) -> Result<(), Refusal> {
        let written = self.router.decide(subject, move |view| {
            view.put(subject.id, row.as_ref());
            if let Some(entry) = &audited {
                entry.record(view);
            }
            Ok(())
        });
        answer(written).await
    }

    /// Reports that a budget has too little left for a message.
    fn spent_budget(&self, message: Message<'_>, full: Full) -> GuardRefusal {
        let (rule, is_refused, until) = (Rule::Budget, true, Some(full.until));
        // Not in the condition: the counts would be locked until the end of the block.
        let spent = self.budgets.spent(message.service, full.id, &mut self.counts.lock(), self.clock.now());
        if let Some(SpentBudget { service, newly_spent }) = spent {
            let key = Key::new(service, Dimension::Total);
            self.count(message, &Finding { rule, key, is_refused, figures: None, until }, newly_spent);
        }
        GuardRefusal { rule, until }
    }

    /// Counts and logs a broken rule. `newly_spent` is the key of a budget and its limit.
    fn count(&self, message: Message<'_>, finding: &Finding, newly_spent: Option<(&'static str, u64)>) {
        let Message { service, number, request_id, .. } = message;
        let Finding { key: Key { service: scope, dimension: subject }, figures, until, .. } = *finding;
        let (rule, effect) = (finding.rule.as_str(), effect(finding.is_refused));
        self.metrics.guard_finding(rule, effect);
        let is_first = self.refused.lock().count(service, finding, self.clock.now()) && figures.is_some();
        let names = self.metrics.service_names();
        let name = names.of(service);
        let (level, most) = (figures.map(|figures| figures.level), figures.map(|figures| figures.most));
        let usual = figures.map(|figures| figures.usual);
        let shown = until.map(|until| until.rfc3339_seconds().to_string());
        if let Some((budget, limit)) = newly_spent {
            let service = scope.and_then(|scope| names.of(scope));
            let limit = self.budgets.shown(budget, limit);
            tracing::warn!(budget, limit, service, until = shown, "budget spent");
        }
        if is_first {
            tracing::warn!(
                rule, effect, %subject, service = name, until = shown, level, most, usual, "guard allowance empty"
            );
        }
        if !finding.is_refused {
            return;
        }
        if (is_first || newly_spent.is_some())
            && let Some(alert) = &self.on_alert
        {
            let about = GuardAbout {
                rule: newly_spent.map_or(rule, |(budget, _)| budget).to_owned(),
                scope: if scope.is_some() { "service" } else { "all_services" }.to_owned(),
                subject: newly_spent.is_none().then(|| subject.to_string()),
                until: until.unwrap_or(Timestamp::EPOCH),
                limit: newly_spent.map_or(most.unwrap_or(0).into(), |(_, limit)| limit),
                usual,
            };
            alert(message, about);
        }
        let request_id = request_id.map(str::to_owned);
        self.refusals[finding.rule as usize].note(move |count| {
            // A line that covers several numbers names none.
            if count > 1 {
                return tracing::info!(rule, count, "send refused by guard");
            }
            tracing::info!(
                request_id, %number, rule, %subject, service = name, until = shown, level, most, usual, count,
                "send refused by guard"
            );
        });
    }
}

/// The answer of a shard, which may have failed.
async fn answer<T>(decided: Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
    decided.await.unwrap_or(Err(Refusal::OutcomeUnknown))
}

const REFUSED: &str = "refused";

/// What follows from a broken rule, as metrics and lists name it.
const fn effect(is_refused: bool) -> &'static str {
    if is_refused { REFUSED } else { "recorded" }
}

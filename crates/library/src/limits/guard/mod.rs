//! The pumping guard of the server: asks the decisions of `onceward_core::guard` about every send of a real number, and
//! stores their records.
//!
//! The state is in memory. Every second its changes are written to records of the shards. What a message
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

use crate::config::{GuardSettings, Pricing};
use crate::domain::{Channel, NumberKey, NumberType, PhoneNumber, Region, ServerKey, ServiceId, Timestamp};
use crate::engine::hash_seed;
use crate::limits::budgets::Budgets;
use crate::limits::keys::{Digester, MOST_RECORDS};
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::{BudgetView, Fact, TableReading};
use crate::registry::Registry;
use crate::registry::audit::AuditEntry;
use crate::shard::{Capacity, LimitedTable, Record, RecordKey, Refusal, Shards, Subject, Transaction};

pub use self::refused::RefusedNumber;
use self::refused::RefusedNumbers;
pub use onceward_core::guard::{
    Charge, ClientNet, Dimension, Entry, EntryAction, Finding, GuardRow, GuardRules, Key, Mode,
    Refused as GuardRefusal, Rule, Signals, Ticket, Verified, VerifiedNumber,
};
use onceward_core::guard::{Guard, MOST_BUCKETS, Row, Scope};

/// Interval between writes of the changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Buckets and windows that are looked at in each interval, to free those that say nothing, or this part of all.
const LOOKS: usize = 256;
const SWEPT: usize = 64;

/// Rows that are taken under one lock: some 200 us.
const AT_ONCE: usize = 2_048;

/// A row of the guard: a bucket, a manual entry, or what was charged to a budget or a rate limit.
impl Record for GuardRow {
    const KIND: u8 = 11;
    const PLURAL: &'static str = "guard records";

    fn expires(&self) -> Timestamp {
        match self {
            Self::Row(_, row) => row.ends,
            Self::Entry(_, entry) => entry.until,
            Self::Written(..) => Timestamp::MAX,
        }
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
    Verified(Verified, Vec<Ticket>),
    /// A message that the guard let pass was certainly not sent: it gets back what it took.
    NotSent(Ticket),
    /// A message was refused.
    Refused(Channel, GuardRefusal, Option<ClientNet>),
}

/// What a request says to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientSignals {
    /// The network of the person's device; `None` if it is not known.
    pub network: Option<ClientNet>,
    /// [`Signals::is_exempt`].
    pub is_exempt: bool,
}

/// Why a manual entry was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("there are too many manual entries of the guard; remove some")]
    TooMany,
    #[error("{0}")]
    OfNone(String),
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
}

/// A message that is to be sent.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub channel: Channel,
    pub request_id: Option<&'a str>,
}

pub type PumpingGuard = Arc<ServerGuard>;

/// The guard of all services.
pub struct ServerGuard {
    guard: Mutex<Guard>,
    refused: Mutex<RefusedNumbers>,
    /// The limit on verified numbers: beyond it a number counts as no user.
    verified: Capacity,
    /// Names values of rate limits.
    pub digester: Digester,
    /// The limit on windows.
    pub capacity: Capacity,
    default_rules: GuardRules,
    /// Rules of services with their own.
    rules: HashMap<ServiceId, GuardRules>,
    budgets: Budgets,
    /// Names the services in lists.
    registry: Registry,
    shards: Shards,
    /// Makes ids of safe numbers.
    seed: u64,
    /// One log limiter for each rule: a spent budget is seen beside a flood.
    findings: [OncePerSecond; Rule::ALL.len()],
    /// Held while records are written, which keeps their order. The writes of the last [`GuardRow::Written`].
    writing: tokio::sync::Mutex<u64>,
}

impl ServerGuard {
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
        GuardConfig { settings, services, pricing, is_free }: GuardConfig,
    ) -> Result<PumpingGuard, Refusal> {
        let metrics = shards.metrics();
        let rules_of = |own: &GuardSettings, base: &GuardRules| {
            let rules = own.rules(base);
            // The simulator's messages cost no money.
            let (mode, max_price) = if is_free { (Mode::Off, None) } else { (rules.mode, rules.max_price) };
            GuardRules { mode, max_price, ..rules }
        };
        let default_rules = rules_of(&settings, &GuardRules::default());
        let rules = services.iter().map(|(service, own)| (*service, rules_of(own, &default_rules))).collect();
        let limits =
            services.into_iter().map(|(service, own)| (Some(service), own)).chain([(None, settings)]);
        let (seed, names) = (hash_seed(server_key), metrics.service_names());
        let capacity = Capacity::new(LimitedTable::Counters, MOST_RECORDS);
        // Before the rows are read: behind them every shard has counted its numbers.
        let verified = Capacity::following::<VerifiedNumber>(shards, LimitedTable::VerifiedNumbers, verified);
        let held = capacity.clone();
        let counted = move |service, is_added| held.count(service, is_added);
        let mut guard = Guard::new(MOST_BUCKETS, seed, Arc::new(counted));
        shards.for_each(|_, row| guard.restore(&row)).await?;
        let mut refused = RefusedNumbers::default();
        shards.for_each(|_, number| refused.restore(number)).await?;
        let writing = tokio::sync::Mutex::new(guard.written.1);
        let rule_names = Rule::ALL.into_iter().filter(|rule| *rule <= Rule::Budget).map(Rule::as_str);
        metrics.create_guard_refusals_at_zero(&rule_names.collect::<Vec<_>>(), REFUSED);
        let guard = Arc::new(Self {
            guard: Mutex::new(guard),
            refused: Mutex::new(refused),
            verified,
            digester: Digester::new(server_key),
            capacity,
            default_rules,
            rules,
            budgets: Budgets::new(pricing, names.clone(), limits),
            registry,
            shards: shards.clone(),
            seed,
            findings: Default::default(),
            writing,
        });
        tokio::spawn(run(Arc::downgrade(&guard)));
        Ok(guard)
    }

    /// The moment from which on messages may not be in the records that a start has read.
    pub fn unwritten_since(&self) -> Timestamp {
        self.guard.lock().written.0
    }

    /// Before the first send: takes again what a message took, if the records may not contain it.
    pub fn take_again(&self, service: ServiceId, number: PhoneNumber, ticket: &Ticket) {
        self.guard.lock().take(self.scope(service), number, ticket);
    }

    /// Whether there is room for the windows of these rate limits.
    ///
    /// # Errors
    /// [`Refusal::TableFull`] if the service has used up its share.
    pub fn has_room(&self, service: ServiceId, charges: &[Charge]) -> Result<(), Refusal> {
        let rows = &self.guard.lock().rows;
        let are_known = charges.iter().all(|charge| rows.get(&charge.key).is_some());
        if are_known { Ok(()) } else { self.capacity.check_room(service) }
    }

    /// Whether the parts of a message matter.
    pub fn counts_parts(&self, service: ServiceId) -> bool {
        self.budgets.hold(Some(service)) || self.rules(service).max_price.is_some()
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
        let ClientSignals { network, is_exempt } = client;
        let number_type =
            if self.rules(service).reads_types() { number.number_type() } else { NumberType::Other };
        let (country, client, price) = (number.region(), network, None);
        Signals { service, number, country, number_type, channel, client, is_exempt, price }
    }

    /// Returns `true` if the rule for landlines refuses the message, which may then be a call.
    pub fn refuses_landline(&self, signals: &Signals) -> bool {
        let Signals { service, number, country, number_type, channel, .. } = *signals;
        let mut broken = self.rules(service).fixed(country, number_type, channel, None);
        broken.any(|broken| broken == (Rule::Landline, Mode::Block)) && !self.is_safe(number)
    }

    /// Whether the lists of countries permit messages of the service to this country.
    pub fn permits(&self, service: ServiceId, country: Region) -> bool {
        self.rules(service).permits(Some(country))
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
        let scope = self.scope(service);
        let signals = Signals { price: self.price(country, channel, parts.max(1)), ..*signals };
        let charges = [limits, &self.budgets.charges(service, country, channel, parts)].concat();
        let assessed = self.guard.lock().assess(&signals, scope, is_known, &charges);
        let message = Message { service, number, channel, request_id };
        let (ticket, recorded) = assessed.map_err(|refused| self.count(message, refused))?;
        recorded.map(|finding| self.count(message, finding));
        Ok(ticket)
    }

    /// The price of a message, if it is known.
    fn price(&self, country: Option<Region>, channel: Channel, parts: u32) -> Option<u64> {
        Some(self.budgets.price(country, channel)?.saturating_mul(parts.into()))
    }

    /// Counts a refused message, and notes why the number got none, and for which client.
    pub fn refused(
        &self,
        key: NumberKey,
        channel: Channel,
        GuardRefusal { rule, until }: GuardRefusal,
        client: Option<ClientNet>,
    ) {
        let NumberKey { service, number, is_test, .. } = key;
        self.shards.metrics().count(&Fact::Refused(key, channel, rule));
        if !is_test {
            let last = self.now();
            let refused = RefusedNumber { service, number, rule, last, until, client, times: 1 };
            self.refused.lock().add(refused);
        }
    }

    /// Decides about a further message of a verification.
    pub fn assess_step(
        &self,
        signals: &Signals,
        is_known: bool,
        request_id: Option<&str>,
    ) -> Result<Ticket, GuardRefusal> {
        let (key, channel) = (NumberKey::new(signals.service, signals.number), signals.channel);
        // A text message to a landline is no message that a person misses: the next step may be a call.
        self.assess(signals, 1, &[], is_known, request_id).inspect_err(|refusal| {
            if refusal.rule != Rule::Landline {
                self.refused(key, channel, *refusal, signals.client);
            }
        })
    }

    /// Learns what became of a message that it let pass.
    pub fn learn(&self, key: NumberKey, news: GuardNews) {
        let scope = self.scope(key.service);
        match news {
            GuardNews::NotSent(ticket) => self.guard.lock().give_back(scope, key.number, &ticket),
            GuardNews::Refused(channel, refusal, client) => self.refused(key, channel, refusal, client),
            GuardNews::Verified(verified, tickets) => {
                self.guard.lock().verified(scope, key.number, &tickets, verified);
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
        let has_room = before.is_some() || self.verified.check_room(service).is_ok();
        let (after, verified) = has_room.then(|| VerifiedNumber::after(before, view.now())).unzip();
        view.put(key.id(), after.as_ref());
        Some(GuardNews::Verified(verified.unwrap_or_default(), tickets))
    }

    /// Charges a message to the budgets, as far as it costs more than its tickets say.
    pub fn charge(
        &self,
        message: Message<'_>,
        parts: u32,
        before: &[Ticket],
    ) -> Result<Option<Ticket>, GuardRefusal> {
        let Message { service, number, channel, .. } = message;
        let (country, scope) = (number.region(), self.scope(service));
        let refused = |refusal| self.refused(NumberKey::new(service, number), channel, refusal, None);
        // When it was permitted, its text or its channel may have been cheaper ones.
        if scope.rules.max_price.is_some() && scope.rules.is_too_dear(self.price(country, channel, parts)) {
            let refusal = GuardRefusal { rule: Rule::Price, until: None };
            refused(refusal);
            return Err(refusal);
        }
        let mut charges = self.budgets.charges(service, country, channel, parts);
        charges.retain_mut(|charge| {
            let counted = before.iter().flat_map(|ticket| &ticket.counted);
            let counted = counted.filter(|of| of.key == charge.key && scope.now < of.ends);
            charge.amount = charge.amount.saturating_sub(counted.map(|counted| counted.amount).sum());
            charge.amount > 0
        });
        if charges.is_empty() {
            return Ok(None);
        }
        let fitting = {
            let guard = &mut *self.guard.lock();
            guard.fit(&charges, scope.now).inspect(|ticket| guard.take(scope, number, ticket))
        };
        fitting
            .map(Some)
            .map_err(|finding| self.count(message, finding))
            .inspect_err(|refusal| refused(*refusal))
    }

    /// Ends the refusals of one number, and forgets its count. Returns whether there was something to end, here or, as
    /// `was_known` says, elsewhere.
    ///
    /// # Errors
    /// [`Refusal`], while the store does not confirm it.
    pub async fn unlock(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        was_known: bool,
    ) -> Result<bool, Refusal> {
        let is_known = self.guard.lock().unlock(service, number) || was_known;
        if is_known {
            self.refused.lock().remove(service, number);
        }
        self.write().await.map(|()| is_known)
    }

    /// Whether a number was verified in the last 30 days.
    ///
    /// # Errors
    /// [`Refusal`], while the store does not confirm it.
    pub async fn is_known(&self, service: ServiceId, number: PhoneNumber) -> Result<bool, Refusal> {
        let RecordKey { slot, id, .. } = self.verified_key(service, number);
        self.shards.read(slot, move |view| view.get::<VerifiedNumber>(id).is_some()).await
    }

    /// The key of the record of a verified number.
    pub fn verified_key(&self, service: ServiceId, number: PhoneNumber) -> RecordKey {
        let Subject { slot, id } = Subject::of(service, number.as_u64(), &self.digester.slots);
        RecordKey { slot, kind: VerifiedNumber::KIND, id }
    }

    /// Whether [`erase`](Self::erase) has something to forget in this service, beside that the number was verified.
    pub fn knows(&self, service: ServiceId, number: PhoneNumber) -> bool {
        let key = Key::new(Some(service), Dimension::Number(number));
        let of_guard =
            |guard: &Guard| guard.rows.get(&key).is_some() || guard.entries.get(&key, self.now()).is_some();
        of_guard(&self.guard.lock()) || self.refusal(service, number).is_some()
    }

    /// Forgets a number of a service: its messages, its verification, its manual entry and its refusals; of all services, its
    /// manual entry. Returns whether the guard knew it.
    ///
    /// # Errors
    /// [`Refusal`]. After an error a record may be left.
    pub async fn erase(&self, service: Option<ServiceId>, number: PhoneNumber) -> Result<bool, Refusal> {
        let key = Key::new(service, Dimension::Number(number));
        let mut is_known = self.guard.lock().entries.get(&key, self.now()).is_some();
        if is_known {
            let _writing = self.writing.lock().await;
            self.store_entry(key, None, None).await?;
        }
        let Some(service) = service else { return Ok(is_known) };
        is_known |= self.guard.lock().unlock(service, number);
        is_known |= self.refused.lock().remove(service, number);
        self.write().await?;
        let RecordKey { slot, id, .. } = self.verified_key(service, number);
        // Behind a verification that the shard has not decided yet.
        let removed = self.decide(Subject { slot, id }, move |view| {
            let is_verified = view.get::<VerifiedNumber>(id).is_some();
            view.put::<VerifiedNumber>(id, None);
            is_verified
        });
        Ok(removed.await? || is_known)
    }

    /// Writes all changes, at the end and before attempts with their tickets are erased.
    pub async fn flush(&self) {
        // The shard logs why it refuses.
        let _ = self.write().await;
    }

    /// The state for metrics: the tables, the rows that were dropped, and the budgets.
    pub fn reading(&self) -> (Vec<TableReading>, u64, Vec<BudgetView>) {
        let Self { verified, budgets, guard, .. } = self;
        let rows = &guard.lock().rows;
        let allowances = TableReading { name: "guard allowances", held: rows.buckets(), limit: MOST_BUCKETS };
        (vec![allowances, verified.reading()], rows.dropped, budgets.list(None, rows, self.now()))
    }

    fn now(&self) -> Timestamp {
        self.shards.clock().now()
    }

    fn rules(&self, service: ServiceId) -> &GuardRules {
        self.rules.get(&service).unwrap_or(&self.default_rules)
    }

    fn scope(&self, service: ServiceId) -> Scope<'_> {
        Scope { service, rules: self.rules(service), now: self.now() }
    }

    /// Writes the changed rows, and then which tickets they contain; each says so itself too. After a refusal, what was not
    /// written waits for the next time.
    async fn write(&self) -> Result<(), Refusal> {
        let mut written = self.writing.lock().await;
        self.write_refused().await?;
        loop {
            let (rows, now, writes) = {
                let rows = &mut self.guard.lock().rows;
                if !rows.has_changed() && rows.writes == *written {
                    return Ok(());
                }
                (rows.take_changed(AT_ONCE), self.now(), rows.writes)
            };
            // While many messages are sent, there may always be further changes.
            let is_rest = rows.len() < AT_ONCE;
            self.write_rows(rows).await?;
            if is_rest {
                let subject = Subject::of_name(&"guard rows", &self.digester.slots);
                let row = GuardRow::Written(now.minus(2 * INTERVAL), writes);
                self.decide(subject, move |view| view.put(subject.id, Some(&row))).await?;
                *written = writes;
                return Ok(());
            }
        }
    }

    /// Writes the refused numbers that have changed, each beside its number's records.
    async fn write_refused(&self) -> Result<(), Refusal> {
        while self.refused.lock().has_changed() {
            let changed = self.refused.lock().take_changed(AT_ONCE);
            let written = join_all(changed.iter().map(|&((service, number), refused)| {
                let subject = Subject::of(service, number.as_u64(), &self.digester.slots);
                self.decide(subject, move |view| view.put(subject.id, refused.as_ref()))
            }));
            written.await.into_iter().collect::<Result<(), _>>().inspect_err(|_| {
                self.refused.lock().mark_changed(changed.into_iter().map(|(key, _)| key));
            })?;
        }
        Ok(())
    }

    /// Writes rows, which are changed again after a refusal.
    async fn write_rows(&self, rows: Vec<(Key, Option<Row>)>) -> Result<(), Refusal> {
        // A decision is about one slot.
        let mut slots = BTreeMap::<u8, Vec<_>>::new();
        for &(key, row) in &rows {
            let Subject { slot, id } = Subject::of_name(&(key, false), &self.digester.slots);
            slots.entry(slot).or_default().push((id, row.map(|row| GuardRow::Row(key, row))));
        }
        let written = join_all(slots.into_iter().map(|(slot, rows)| {
            let subject = Subject { slot, id: rows[0].0 };
            self.decide(subject, move |view| rows.iter().for_each(|(id, row)| view.put(*id, row.as_ref())))
        }));
        written.await.into_iter().collect::<Result<(), _>>().inspect_err(|_| {
            let changed = &mut self.guard.lock().rows;
            for (key, _) in &rows {
                changed.mark_changed(*key);
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
        let (subject, row) = (
            Subject::of_name(&(key, true), &self.digester.slots),
            entry.map(|entry| GuardRow::Entry(key, entry)),
        );
        let stored = self.decide(subject, move |view| {
            view.put(subject.id, row.as_ref());
            if let Some(line) = &audited {
                line.record(view);
            }
        });
        stored.await?;
        self.guard.lock().entries.set(key, entry);
        Ok(())
    }

    /// Changes records of one slot. The answer comes when the change is durable.
    async fn decide<T: Send + 'static>(
        &self,
        subject: Subject,
        change: impl FnOnce(&mut Transaction<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let decided = self.shards.decide(subject, move |view| Ok(change(view)));
        decided.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Counts and logs a broken rule, but for a rate limit.
    fn count(&self, message: Message<'_>, finding: Finding) -> GuardRefusal {
        let Message { service, number, request_id, .. } = message;
        let Finding { rule, key, is_refused, until } = finding;
        if rule != Rule::RateLimit {
            let (name, effect) = (rule.as_str(), if is_refused { REFUSED } else { "recorded" });
            let (subject, metrics) = (key.dimension, self.shards.metrics());
            metrics.guard_finding(name, effect);
            let service = metrics.service_names().of(service);
            let until = until.map(|until| until.rfc3339_seconds().to_string());
            let request_id = request_id.map(str::to_owned);
            self.findings[rule as usize].note(move |count| {
                tracing::info!(
                    request_id, %number, rule = name, effect, %subject, service, until, count, "guard rule broken"
                );
            });
        }
        GuardRefusal { rule, until }
    }
}

/// Writes the changes until the last handle is gone.
async fn run(guard: Weak<ServerGuard>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(all) = guard.upgrade() else { return };
        let _ = all.write().await;
        let (now, rows) = (all.now(), &mut all.guard.lock().rows);
        rows.sweep([LOOKS.max(rows.held() / SWEPT); 2], now);
    }
}

/// What follows from a broken rule, as metrics name it.
const REFUSED: &str = "refused";

//! The pumping guard of the server: asks the decisions of `onceward_core::guard` about every send of a real number, and
//! stores their records.
//!
//! The state is in memory, behind one lock. Every 250 ms its changes are written to records of the shards, lazily: with the
//! shard's next commit. A crash may give back what the last half second took. Manual entries are durable before they are
//! answered.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod decisions;
pub mod operator;
mod verified;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::audit::{Author, Change};
use crate::budgets::Budgets;
pub use crate::budgets::{Charge, ChargeError, SpentBudget};
use crate::clock::Clock;
use crate::config::{GuardSettings, Pricing};
use crate::domain::{Channel, PhoneNumber, ServerKey, ServiceId, Sid, Timestamp, record_id};
use crate::engine::{SlotHash, hash_seed};
use crate::log_limit::OncePerSecond;
use crate::metrics::{
    BudgetView, FactConsumer, FailedAttemptFacts, Metrics, Recipient, SendFacts, TableReading,
    VerificationFacts, VerificationStep,
};
use crate::registry::Registry;
use crate::shard::{Durability, Id, Record, Refusal, Router, Shards, Subject};

use self::decisions::Decisions;
pub use self::decisions::{DecisionName, DecisionQuery, GuardDecision};
pub use self::verified::{VerifiedNumbers, VerifiedRecord};
pub use onceward_core::guard::{
    ClientNet, Dimension, Effect, Entry, EntryAction, Figures, Finding, GuardRules, Key, Mode, Rule, Signals,
    Ticket, TooManyEntries, replay,
};
use onceward_core::guard::{Guard, GuardRow, MOST_ALLOWANCES, RowName, VerifiedNumber};

/// Interval between writes of the changes.
const INTERVAL: Duration = Duration::from_millis(250);

/// Intervals between writes of the decisions.
const DECISION_INTERVALS: u32 = 40;

/// Rows that are looked at in each interval, to free those that say nothing.
const LOOKS: usize = 64;

/// Notices that a receiver may leave unread.
const NOTICES: usize = 256;

/// Records that are taken under one lock: some 100 us.
const AT_ONCE: usize = 512;

/// Records of a slot that one decision writes.
const PER_DECISION: usize = 32;

/// Records per page. Reading one blocks a shard for some 50 us.
const PAGE: usize = 64;

/// Rows that were dropped are logged once in this time.
const DROPS_LOGGED: Duration = Duration::from_secs(3_600);

/// A row of the guard: an allowance, a number with messages, or a manual entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardRecord(pub GuardRow);

impl Record for GuardRecord {
    const KIND: u8 = 11;
    const PLURAL: &'static str = "guard records";

    fn expires(&self) -> Timestamp {
        self.0.expires()
    }
}

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

impl ClientSignals {
    /// With the country and the type of the number, which cost some microseconds.
    pub fn about(self, service: ServiceId, number: PhoneNumber, channel: Channel) -> Signals {
        let (country, number_type) = number.region_and_type();
        let (address, is_trusted) = (self.address.map(ClientNet::from), self.is_trusted);
        Signals { service, number, country, number_type, channel, address, is_trusted }
    }
}

/// Why the guard refuses a send, as far as the caller may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardRefusal {
    /// By a rule, or by an entry of the operator.
    Blocked {
        rule: Rule,
        /// When a message can pass; `None` for a number that gets none.
        until: Option<Timestamp>,
    },
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
    /// Only a country can be announced.
    #[error("only messages to a country can be announced")]
    NotACountry,
    /// After `StoreUnavailable` or `Stopping` the entry may be stored.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The dependencies of [`PumpingGuard`].
pub struct GuardDeps<'a> {
    pub shards: &'a Shards,
    pub server_key: &'a ServerKey,
    /// The table that the shards keep [`VerifiedRecord`]s in.
    pub verified: VerifiedNumbers,
    /// Rules and budgets of the server.
    pub settings: GuardSettings,
    /// What services change of them.
    pub services: HashMap<ServiceId, GuardSettings>,
    pub pricing: Pricing,
    /// Names the services in lists; `None` for no names.
    pub registry: Option<Registry>,
    /// Whether messages cost money: a gateway beside the simulator is in use. Otherwise there are no allowances.
    pub pays: bool,
}

impl<'a> GuardDeps<'a> {
    /// The default rules, without budgets.
    pub fn new(shards: &'a Shards, server_key: &'a ServerKey, verified: VerifiedNumbers) -> Self {
        let (settings, pricing) = (GuardSettings::default(), Pricing::default());
        let (services, registry) = (HashMap::new(), None);
        Self { shards, server_key, verified, settings, services, pricing, registry, pays: true }
    }
}

/// An allowance that became empty, or a budget that is spent, and the message that led to it.
#[derive(Debug, Clone, Copy)]
pub struct GuardNotice {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub channel: Channel,
    pub finding: Finding,
    /// The key of the budget in the settings, and its limit.
    pub budget: Option<(&'static str, u64)>,
}

/// A cheap handle.
#[derive(Clone)]
pub struct PumpingGuard {
    inner: Arc<Inner>,
}

struct Inner {
    guard: Mutex<Guard>,
    verified: VerifiedNumbers,
    /// Verified numbers on their way to the shards.
    newly_verified: Mutex<HashMap<(ServiceId, PhoneNumber), VerifiedNumber>>,
    default_rules: GuardRules,
    /// Of services that have their own.
    rules: HashMap<ServiceId, GuardRules>,
    budgets: Budgets,
    registry: Option<Registry>,
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
        let GuardDeps { shards, server_key, verified, settings, services, pricing, registry, pays } = deps;
        let (router, clock) = (Arc::clone(shards.router()), Arc::clone(shards.clock()));
        let rules_of = |own: &GuardSettings, base: &GuardRules| {
            let rules = own.rules(base);
            GuardRules { mode: if pays { rules.mode } else { Mode::Off }, ..rules }
        };
        let default_rules = rules_of(&settings, &GuardRules::default());
        let rules = services.iter().map(|(service, own)| (*service, rules_of(own, &default_rules))).collect();
        let slots = SlotHash::new(server_key);
        let settings =
            services.into_iter().map(|(service, own)| (Some(service), own)).chain([(None, settings)]);
        let names = shards.metrics().service_names().clone();
        let (known_router, known_clock) = (Arc::clone(&router), Arc::clone(&clock));
        let budgets =
            Budgets::start(known_router, known_clock, slots.clone(), pricing, names, settings).await?;
        let inner = Arc::new(Inner {
            guard: Mutex::new(Guard::new(MOST_ALLOWANCES, hash_seed(server_key))),
            verified,
            newly_verified: Mutex::default(),
            default_rules,
            rules,
            budgets,
            registry,
            router,
            clock,
            slots,
            metrics: Arc::clone(shards.metrics()),
            decisions: Decisions::follow(shards, SlotHash::new(server_key)),
            notices: broadcast::Sender::new(NOTICES),
            refusals: OncePerSecond::default(),
            writing: tokio::sync::Mutex::default(),
        });
        shards.metrics().create_guard_refusals_at_zero(&Rule::NAMES, Effect::Refused.as_str());
        inner.restore().await?;
        shards.metrics().pass_on_to(Arc::new(Facts(Arc::downgrade(&inner))));
        tokio::spawn(run(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Returns `true` if the rule for landlines refuses the message, which may then be a call.
    pub fn refuses_landline(&self, signals: &Signals) -> bool {
        let Signals { service, country, number_type, channel, is_trusted, .. } = *signals;
        let mut broken = self.inner.rules(service).fixed(country, number_type, channel);
        !is_trusted && broken.any(|broken| broken == (Rule::Landline, Effect::Refused))
    }

    /// Decides about a send, and takes its allowances if it may pass. The ticket says which.
    pub fn assess(&self, signals: &Signals, request_id: Option<&str>) -> Result<Ticket, GuardRefusal> {
        let Signals { service, number, channel, .. } = *signals;
        let now = self.inner.clock.now();
        if let Some(spent) = self.inner.budgets.spent(service) {
            self.inner.report(&spent, service, number, channel, request_id);
            return Err(GuardRefusal::BudgetSpent { until: spent.until });
        }
        let rules = self.inner.rules(service);
        let verified = self.inner.known(service, number, now);
        let assessment = self.inner.guard().assess(signals, rules, verified, now);
        for finding in &assessment.findings {
            let is_first = self.inner.record(service, number, finding, request_id);
            if is_first && finding.effect == Effect::Refused && finding.figures.is_some() {
                let (finding, budget) = (*finding, None);
                let _ = self.inner.notices.send(GuardNotice { service, number, channel, finding, budget });
            }
        }
        assessment.verdict.map(|()| assessment.ticket).map_err(|refused| {
            if refused.rule != Rule::Landline {
                self.inner.metrics.refused_by_guard(Recipient { service, number, is_test: false }, channel);
            }
            match refused.rule {
                Rule::CountryList => GuardRefusal::Country,
                Rule::Landline => GuardRefusal::Landline,
                Rule::Entry
                | Rule::NumberType
                | Rule::Number
                | Rule::Prefix
                | Rule::Address
                | Rule::Network
                | Rule::Country
                | Rule::Unproven
                | Rule::Budget => GuardRefusal::Blocked { rule: refused.rule, until: refused.until },
            }
        })
    }

    /// Decides about a further message of a verification, from the client of the number's last request.
    pub fn assess_step(&self, signals: Signals, request_id: Option<&str>) -> Result<Ticket, GuardRefusal> {
        let address = self.inner.guard().address(signals.service, signals.number);
        self.assess(&Signals { address, ..signals }, request_id)
    }

    /// Charges one message to the budgets, durably, before a gateway may get it. A free one costs no money.
    pub async fn charge(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
        is_free: bool,
        request_id: Option<&str>,
    ) -> Result<Charge, ChargeError> {
        let charged = self.inner.budgets.charge(service, number, channel, is_free).await;
        if let Err(ChargeError::Spent(spent)) = &charged {
            self.inner.report(spent, service, number, channel, request_id);
        }
        charged
    }

    /// The slots of numbers.
    pub fn slots(&self) -> &SlotHash {
        &self.inner.slots
    }

    /// Empty allowances, once an hour for each, and spent budgets from now on.
    pub fn notices(&self) -> broadcast::Receiver<GuardNotice> {
        self.inner.notices.subscribe()
    }

    /// What the guard refused, or would have refused: the newest first, and whether more follow.
    pub async fn decisions(&self, query: &DecisionQuery) -> Result<(Vec<GuardDecision>, bool), Refusal> {
        self.inner.decisions.list(query).await
    }

    /// Ends the refusals of one number.
    pub fn unlock(&self, service: ServiceId, number: PhoneNumber) {
        self.inner.guard().unlock(service, number);
    }

    /// Forgets a number of a service: its messages, its verification, its manual entry and the decisions about it; of all
    /// services, its manual entry. Returns whether the guard knew it.
    ///
    /// # Errors
    /// [`Refusal`]. After an error a record may be left.
    pub async fn erase(&self, service: Option<ServiceId>, number: PhoneNumber) -> Result<bool, Refusal> {
        let mut is_known = self.inner.guard().forget(service, number, self.inner.clock.now());
        self.inner.write(Durability::Durable).await?;
        let Some(service) = service else { return Ok(is_known) };
        let subject = self.inner.verified_subject(service, number);
        if self.inner.verified.get(subject.slot, service, number).is_some() {
            is_known = true;
            let removed = self.inner.router.decide(subject, move |view| {
                view.put::<VerifiedRecord>(subject.id, None, Durability::Durable);
                Ok::<_, Refusal>(())
            });
            removed.await.unwrap_or(Err(Refusal::Stopping))?;
        }
        Ok(self.inner.decisions.erase(service, number).await? || is_known)
    }

    /// Hands all changes to the shards. Those that a shard refuses are handed again later.
    pub async fn flush(&self) {
        self.inner.decisions.flush().await;
        self.inner.flush().await;
    }

    /// The state for metrics: the tables, the rows that were dropped, and the budgets.
    pub fn reading(&self) -> (Vec<TableReading>, u64, Vec<BudgetView>) {
        let guard = self.inner.guard();
        let table = |name, held, limit| TableReading { name, held, limit };
        let tables = vec![
            table("guard allowances", guard.held(), MOST_ALLOWANCES),
            table("verified numbers", self.inner.verified.held(), self.inner.verified.limit()),
        ];
        let dropped = guard.dropped();
        drop(guard);
        (tables, dropped, self.inner.budgets.list(None))
    }
}

/// Writes the changes until the last handle is gone.
async fn run(inner: Weak<Inner>) {
    let (mut dropped, mut logged) = (0, None::<Timestamp>);
    for turn in 1_u32.. {
        tokio::time::sleep(INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.flush().await;
        inner.guard().sweep(LOOKS, inner.clock.now());
        if !turn.is_multiple_of(DECISION_INTERVALS) {
            continue;
        }
        inner.decisions.flush().await;
        let now = inner.clock.now();
        let all = inner.guard().dropped();
        if all > dropped && logged.is_none_or(|at| now >= at.plus(DROPS_LOGGED)) {
            tracing::warn!(
                dropped = all - dropped,
                "guard tables full; allowances of services with more than their share were dropped"
            );
            (dropped, logged) = (all, Some(now));
        }
    }
}

/// Records of one slot that are written together.
#[derive(Default)]
struct SlotWrites {
    rows: Vec<(RowName, Id, Option<GuardRecord>)>,
    verified: Vec<(Newly, Id)>,
    audited: Option<(Author, Change)>,
}

/// A number that was verified, on its way to its shard.
type Newly = ((ServiceId, PhoneNumber), VerifiedNumber);

/// A write on its way, and what it writes.
struct Written {
    rows: Vec<RowName>,
    verified: Vec<Newly>,
    answer: tokio::sync::oneshot::Receiver<Result<(), Refusal>>,
}

impl Inner {
    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newly_verified(&self) -> MutexGuard<'_, HashMap<(ServiceId, PhoneNumber), VerifiedNumber>> {
        self.newly_verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` for a deleted service.
    fn sid(&self, service: ServiceId) -> Option<Sid> {
        self.registry.as_ref()?.service_by_id(service).map(|service| service.sid)
    }

    fn rules(&self, service: ServiceId) -> &GuardRules {
        self.rules.get(&service).unwrap_or(&self.default_rules)
    }

    /// A number that was verified in the last 30 days.
    fn known(&self, service: ServiceId, number: PhoneNumber, now: Timestamp) -> Option<VerifiedNumber> {
        if self.rules(service).mode == Mode::Off {
            return None;
        }
        let newly = self.newly_verified().get(&(service, number)).copied();
        let stored = || self.verified.get(self.verified_subject(service, number).slot, service, number);
        newly.or_else(stored).filter(|verified| now < verified.expires())
    }

    fn verified_subject(&self, service: ServiceId, number: PhoneNumber) -> Subject {
        let id = record_id(service, number.as_u64());
        Subject { slot: self.slots.of(id), id }
    }

    fn give_back(&self, Recipient { service, number, .. }: Recipient, ticket: &Ticket) {
        self.guard().give_back(service, number, ticket, self.rules(service), self.clock.now());
    }

    async fn flush(&self) {
        // The shard logs why it refuses.
        let _ = self.write(Durability::Lazy).await;
    }

    async fn restore(&self) -> Result<(), Refusal> {
        let now = self.clock.now();
        let visit = |GuardRecord(row): GuardRecord| {
            if now < row.expires() {
                self.guard().restore(row);
            }
        };
        self.router.for_each(PAGE, visit).await
    }

    async fn write(&self, durability: Durability) -> Result<(), Refusal> {
        let _writing = self.writing.lock().await;
        self.write_locked(durability, None).await
    }

    /// Writes the changes, with `writing` held. `audited` goes with the first of them, which is that of an entry. After a
    /// refusal, what was not written waits for the next time.
    async fn write_locked(
        &self,
        durability: Durability,
        mut audited: Option<(Author, Change)>,
    ) -> Result<(), Refusal> {
        let mut result = Ok(());
        let newly: Vec<_> = self.newly_verified().iter().map(|(key, verified)| (*key, *verified)).collect();
        let mut verified = newly.into_iter();
        while result.is_ok() {
            let rows = self.guard().take_changed(AT_ONCE);
            let mut slots = BTreeMap::<u8, SlotWrites>::new();
            for (name, row) in rows {
                let Subject { slot, id } = Subject::of_name(&name, &self.slots);
                let writes = slots.entry(slot).or_default();
                writes.rows.push((name, id, row.map(GuardRecord)));
                if let Some(audited) = audited.take() {
                    writes.audited = Some(audited);
                }
            }
            for newly in verified.by_ref().take(AT_ONCE) {
                let (service, number) = newly.0;
                let Subject { slot, id } = self.verified_subject(service, number);
                slots.entry(slot).or_default().verified.push((newly, id));
            }
            if slots.is_empty() {
                break;
            }
            let written =
                slots.into_iter().flat_map(|(slot, writes)| self.write_slot(slot, writes, durability));
            for Written { rows, verified, answer } in written.collect::<Vec<_>>() {
                let answer = answer.await.unwrap_or(Err(Refusal::Stopping));
                if answer.is_ok() {
                    let mut waiting = self.newly_verified();
                    for (key, verified) in verified {
                        if waiting.get(&key) == Some(&verified) {
                            waiting.remove(&key);
                        }
                    }
                } else {
                    let mut guard = self.guard();
                    for name in rows {
                        guard.mark_changed(name);
                    }
                }
                result = result.and(answer);
            }
        }
        result
    }

    fn write_slot(
        &self,
        slot: u8,
        SlotWrites { mut rows, mut verified, mut audited }: SlotWrites,
        durability: Durability,
    ) -> Vec<Written> {
        let mut written = Vec::new();
        while !rows.is_empty() || !verified.is_empty() {
            let rows: Vec<_> = rows.drain(..rows.len().min(PER_DECISION)).collect();
            let verified: Vec<_> = verified.drain(..verified.len().min(PER_DECISION)).collect();
            let ids = rows.iter().map(|(_, id, _)| *id).chain(verified.iter().map(|(_, id)| *id));
            let Some(id) = ids.take(1).next() else { break };
            let audited = audited.take();
            let names = rows.iter().map(|(name, ..)| *name).collect();
            let newly = verified.iter().map(|(newly, _)| *newly).collect();
            let answer = self.router.decide(Subject { slot, id }, move |view| {
                let now = view.now();
                for (_, id, row) in &rows {
                    let row = row.as_ref().filter(|row| now < row.0.expires());
                    view.put(*id, row, durability);
                }
                for ((_, verified), id) in &verified {
                    view.put(*id, Some(&VerifiedRecord(*verified)), Durability::Lazy);
                }
                if let Some((author, change)) = audited {
                    author.record(change, view);
                }
                Ok(())
            });
            written.push(Written { rows: names, verified: newly, answer });
        }
        written
    }

    /// Counts and logs that a budget has nothing left for a message.
    fn report(
        &self,
        spent: &SpentBudget,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
        request_id: Option<&str>,
    ) {
        let SpentBudget { service: scope, until, newly_spent } = *spent;
        let finding = Finding {
            rule: Rule::Budget,
            key: Key::new(scope, Dimension::Total),
            effect: Effect::Refused,
            figures: None,
            until: Some(until),
        };
        if let Some((budget, limit)) = newly_spent {
            let scope = scope.and_then(|scope| self.metrics.service_names().of(scope));
            tracing::warn!(budget, limit, service = scope, until = %until.rfc3339_seconds(), "budget spent");
            let budget = Some((budget, limit));
            let _ = self.notices.send(GuardNotice { service, number, channel, finding, budget });
        }
        self.record(service, number, &finding, request_id);
    }

    /// Counts and logs a broken rule. Returns whether it is the first one of its kind in the hour.
    fn record(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        finding: &Finding,
        request_id: Option<&str>,
    ) -> bool {
        let (rule, effect) = (finding.rule.as_str(), finding.effect.as_str());
        self.metrics.guard_finding(rule, effect);
        let is_first = self.decisions.note(service, finding, self.clock.now());
        let service = self.metrics.service_names().of(service);
        let key = finding.key.dimension;
        let figure = |of: fn(&Figures) -> u32| finding.figures.as_ref().map(of);
        let (level, most) = (figure(|figures| figures.level), figure(|figures| figures.most));
        let usual = figure(|figures| figures.usual);
        let until = finding.until.map(|until| until.rfc3339_seconds().to_string());
        if is_first && finding.figures.is_some() {
            tracing::warn!(rule, effect, %key, service, until, level, most, usual, "guard allowance empty");
        }
        if finding.effect == Effect::Refused {
            let request_id = request_id.map(str::to_owned);
            self.refusals.note(move |count| {
                tracing::info!(
                    request_id, %number, rule, %key, service, until, level, most, usual, count, "send refused by guard"
                );
            });
        }
        is_first
    }
}

pub const fn scope_name(service: Option<ServiceId>) -> &'static str {
    if service.is_some() { "service" } else { "all_services" }
}

/// Takes over the ends of sends and verifications.
struct Facts(Weak<Inner>);

impl FactConsumer for Facts {
    fn verification(&self, facts: &VerificationFacts) {
        let Some(inner) = self.0.upgrade().filter(|_| !facts.recipient.is_test) else { return };
        let Recipient { service, number, .. } = facts.recipient;
        let rules = inner.rules(service);
        if facts.step != VerificationStep::Approved || rules.mode == Mode::Off {
            return;
        }
        let now = inner.clock.now();
        let earlier = inner.known(service, number, now);
        let has_room = earlier.is_some() || inner.verified.has_room(service);
        let verified = inner.guard().verified(service, number, rules, earlier, has_room, now);
        let verified = verified.filter(|verified| earlier != Some(*verified));
        inner.newly_verified().extend(verified.map(|verified| ((service, number), verified)));
    }

    fn failed_attempt(&self, _: &FailedAttemptFacts) {}

    fn send(&self, _: &SendFacts) {}

    fn not_sent(&self, recipient: Recipient, ticket: &Ticket) {
        if let Some(inner) = self.0.upgrade() {
            inner.give_back(recipient, ticket);
        }
    }
}

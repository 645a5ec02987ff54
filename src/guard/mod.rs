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
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::audit::{Author, Change};
use crate::clock::Clock;
use crate::config::{GuardSettings, Pricing};
use crate::domain::{Channel, PhoneNumber, ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::{SlotHash, hash_seed};
use crate::log_limit::OncePerSecond;
use crate::metrics::{
    FactConsumer, FailedAttemptFacts, Metrics, SendEnd, SendFacts, VerificationFacts, VerificationStep,
};
use crate::registry::Registry;
use crate::shard::{Durability, Record as _, RecordKey, Refusal, Router, Shards, Tables};

use self::budgets::Budgets;
pub use self::budgets::{BudgetRecord, Charge, ChargeError, SpentBudget};
use self::decisions::Decisions;
pub use self::decisions::{DecisionName, DecisionQuery, GuardDecision};
pub use self::record::GuardRecord;
use onceward_core::guard::{Bounds, Guard, GuardRow};
pub use onceward_core::guard::{
    ClientNet, Dimension, Effect, Entry, EntryAction, Figures, Finding, GuardRules, Key, Mode, Rule, Signals,
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
    pub pricing: Pricing,
    /// Names the services in lists; `None` for no names.
    pub registry: Option<Registry>,
    /// Whether messages cost money: a gateway beside the simulator is in use.
    pub pays: bool,
    /// Kinds of record that a data directory has once messages were sent.
    pub traffic: &'a [u8],
}

impl<'a> GuardDeps<'a> {
    /// The default rules, without budgets.
    pub fn new(shards: &'a Shards, server_key: &'a ServerKey) -> Self {
        let (settings, pricing) = (GuardSettings::default(), Pricing::default());
        let (services, registry) = (HashMap::new(), None);
        Self { shards, server_key, settings, services, pricing, registry, pays: false, traffic: &[] }
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

/// A cheap handle.
#[derive(Clone)]
pub struct PumpingGuard {
    inner: Arc<Inner>,
}

struct Inner {
    guard: Mutex<Guard>,
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
        let GuardDeps { shards, server_key, mut settings, services, pricing, registry, pays, traffic } = deps;
        let (router, clock) = (Arc::clone(shards.router()), Arc::clone(shards.clock()));
        let default_rules = settings.rules(&GuardRules::default());
        let rules = services.iter().map(|(service, own)| (*service, own.rules(&default_rules))).collect();
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
        let settings =
            services.into_iter().map(|(service, own)| (Some(service), own)).chain([(None, settings)]);
        let budgets =
            Budgets::new(Arc::clone(&router), Arc::clone(&clock), slots.clone(), pricing, pays, settings);
        let inner = Arc::new(Inner {
            guard: Mutex::new(Guard::new(Bounds::default(), hash_seed(server_key))),
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
        shards
            .metrics()
            .create_guard_refusals_at_zero(&Rule::NAMES.map(|(_, name)| name), Effect::Refused.as_str());
        inner.restore().await?;
        shards.metrics().pass_on_to(Arc::new(Facts(Arc::downgrade(&inner))));
        tokio::spawn(run(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Returns `true` if the rule for landlines refuses the message, which may then be a call.
    pub fn refuses_landline(&self, signals: &Signals) -> bool {
        let Signals { service, country, number_type, channel, is_trusted, .. } = *signals;
        let mut broken = self.inner.rules(Some(service)).fixed(country, number_type, channel);
        !is_trusted && broken.any(|broken| broken == (Rule::Landline, Effect::Refused))
    }

    /// Decides about a send, and counts it if it may pass. Its code lives for `life`.
    pub fn assess(
        &self,
        signals: &Signals,
        life: Duration,
        request_id: Option<&str>,
    ) -> Result<(), GuardRefusal> {
        let Signals { service, number, channel, .. } = *signals;
        let now = self.inner.clock.now();
        if let Some(spent) = self.inner.budgets.spent(service) {
            self.inner.report(&spent, service, number, channel, request_id);
            return Err(GuardRefusal::BudgetSpent { until: spent.until });
        }
        let rules = self.inner.rules(Some(service));
        let assessment = self.inner.guard().assess(signals, rules, now.plus(life), now);
        for finding in &assessment.findings {
            self.inner.record(service, number, finding, request_id);
            if finding.begins_block {
                let (finding, budget) = (*finding, None);
                let _ = self.inner.notices.send(GuardNotice { service, number, channel, finding, budget });
            }
        }
        assessment.verdict.map_err(|rule| match rule {
            Rule::CountryList => GuardRefusal::Country,
            Rule::Landline => GuardRefusal::Landline,
            Rule::Entry
            | Rule::NumberType
            | Rule::Number
            | Rule::Prefix
            | Rule::Country
            | Rule::Address
            | Rule::Budget => GuardRefusal::Blocked,
        })
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

    /// Blocks and spent budgets from now on.
    pub fn notices(&self) -> broadcast::Receiver<GuardNotice> {
        self.inner.notices.subscribe()
    }

    /// A send that was counted led to no message.
    pub fn withdraw(&self, service: ServiceId, number: PhoneNumber) {
        self.inner.guard().withdraw(service, number, self.inner.clock.now());
    }

    /// What the guard refused, or would have refused: the newest first, and whether more follow.
    pub async fn decisions(&self, query: &DecisionQuery) -> Result<(Vec<GuardDecision>, bool), Refusal> {
        self.inner.decisions.list(query).await
    }

    /// Forgets a number of a service: its counter, its manual entry and the decisions about it; of all services, its
    /// manual entry. Returns whether the guard knew it.
    ///
    /// # Errors
    /// [`Refusal`]. After an error a record may be left.
    pub async fn erase(&self, service: Option<ServiceId>, number: PhoneNumber) -> Result<bool, Refusal> {
        let key = Key::new(service, Dimension::Number(number));
        let is_known = self.entry(&key).is_some() || !self.figures(key).is_empty();
        self.inner.guard().forget(service, number, self.inner.clock.now());
        self.inner.write(Durability::Durable, None).await?;
        let Some(service) = service else { return Ok(is_known) };
        Ok(self.inner.decisions.erase(service, number).await? || is_known)
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
        view.put(mark.id, Some(&BudgetRecord::default()), Durability::Durable);
        Ok::<_, Refusal>(true)
    });
    marked.await.unwrap_or(Err(Refusal::Stopping))
}

/// Writes the changes until the last handle is gone.
async fn run(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.flush().await;
    }
}

impl Inner {
    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` for a deleted service.
    fn sid(&self, service: ServiceId) -> Option<Sid> {
        self.registry.as_ref()?.service_by_id(service).map(|service| service.sid)
    }

    fn rules(&self, service: Option<ServiceId>) -> &GuardRules {
        service.and_then(|service| self.rules.get(&service)).unwrap_or(&self.default_rules)
    }

    async fn flush(&self) {
        self.decisions.flush().await;
        // The shard logs why it refuses.
        let _ = self.write(Durability::Lazy, None).await;
    }

    async fn restore(&self) -> Result<(), Refusal> {
        let mut rows = Vec::new();
        self.router.for_each(PAGE, |GuardRecord(row)| rows.push(row)).await?;
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
            begins_block: false,
        };
        if let Some((budget, limit)) = newly_spent {
            let scope = scope.and_then(|scope| self.metrics.service_names().of(scope));
            tracing::warn!(budget, limit, service = scope, until = %until.rfc3339_seconds(), "budget spent");
            let budget = Some((budget, limit));
            let _ = self.notices.send(GuardNotice { service, number, channel, finding, budget });
        }
        self.record(service, number, &finding, request_id);
    }

    /// Counts and logs a broken rule.
    fn record(&self, service: ServiceId, number: PhoneNumber, finding: &Finding, request_id: Option<&str>) {
        let (rule, effect) = (finding.rule.as_str(), finding.effect.as_str());
        self.metrics.guard_finding(rule, effect);
        self.decisions.note(service, finding, self.clock.now());
        let service = self.metrics.service_names().of(service);
        let key = finding.key.dimension;
        let figure = |of: fn(&Figures) -> u32| finding.figures.as_ref().map(of);
        let (sends, limit) = (figure(|figures| figures.tally.sends), figure(|figures| figures.limit));
        let verified = figure(|figures| figures.tally.verified);
        let (unverified, pending) =
            (figure(|figures| figures.tally.unverified), figure(|figures| figures.pending));
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
                    request_id, %number, rule, %key, service, sends, verified, unverified, pending, limit,
                    count, "send refused by guard"
                );
            });
        }
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

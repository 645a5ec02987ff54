//! Budgets of messages and money, which an operator sets. Each message is charged durably before a gateway gets it, and
//! given back if it was certainly not sent. A crash between the two leaves it charged.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use onceward_core::budget::{Budget, BudgetState, Period};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot::Receiver;

use crate::clock::Clock;
use crate::config::{GuardSettings, Pricing};
use crate::domain::{Channel, PhoneNumber, Region, ServiceId, Timestamp};
use crate::engine::SlotHash;
use crate::observe::metrics::{BudgetView, ServiceNames};
use crate::shard::{Id, Index, Record, RecordKey, Refusal, Router, Shards, Stored, Subject};

/// The record of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRecord {
    period: Period,
    state: BudgetState,
}

impl Record for BudgetRecord {
    const KIND: u8 = 13;
    const PLURAL: &'static str = "guard budgets";

    fn expires(&self) -> Timestamp {
        self.state.end(self.period)
    }
}

/// The budget of money. It counts millionths of the currency, the others messages.
const MONEY: &str = "money-per-day";

/// The part of a budget, in per cent, at which the log says so.
const NEARLY_SPENT: u64 = 80;

struct Account {
    /// `None` for all services.
    service: Option<ServiceId>,
    /// Its key in the settings.
    key: &'static str,
    budget: Budget,
    router: Arc<Router>,
    subject: Subject,
    memory: Mutex<InMemory>,
}

#[derive(Default)]
struct InMemory {
    /// As the shard has it.
    state: BudgetState,
    /// The last end of a period in which a message was refused, and in which the budget was nearly spent.
    reported: Timestamp,
    warned: Timestamp,
}

/// Why a message was not charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeError {
    Spent(SpentBudget),
    /// The parts of the message cost more than `max-price`.
    TooDear,
    /// The store did not take the record of the budget.
    Unavailable,
}

/// A budget that has nothing left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpentBudget {
    /// `None` for all services.
    pub service: Option<ServiceId>,
    pub until: Timestamp,
    /// Whether it is spent for the first time in its hour or day: its key in the settings, and its limit.
    pub newly_spent: Option<(&'static str, u64)>,
}

/// What a message costs. Given back when it is dropped, unless it is spent.
#[derive(Default)]
pub struct Charge {
    /// What was charged, and the state of the budget after that.
    parts: Vec<(Arc<Account>, u64, BudgetState)>,
    is_spent: bool,
}

impl Charge {
    /// The message may leave from now on.
    pub const fn spend(&mut self) {
        self.is_spent = true;
    }

    /// The message was certainly not sent, although the charge was spent.
    pub fn give_back(mut self) {
        self.is_spent = false;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for (account, amount, charged) in self.parts.drain(..).filter(|_| !self.is_spent) {
            drop(account.decide(move |_, state, _| Ok(state.give_back(charged, amount))));
        }
    }
}

impl fmt::Display for BudgetView {
    /// `12 of 500`, or `9.30 of 50.00 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spent, limit, currency, .. } = self;
        match currency {
            Some(currency) => write!(f, "{} of {} {currency}", amount(*spent), amount(*limit)),
            None => write!(f, "{spent} of {limit}"),
        }
    }
}

/// An amount of millionths, to the cent; below one unit to a hundredth of a cent if it has such a part.
fn amount(micros: u64) -> String {
    if micros < 1_000_000 && micros % 10_000 >= 100 {
        return format!("0.{:04}", micros / 100);
    }
    format!("{}.{:02}", micros / 1_000_000, micros / 10_000 % 100)
}

/// Keeps the accounts as their records are: a charge counts from its commit on.
struct BudgetIndex(Arc<HashMap<Id, Arc<Account>>>);

impl Index for BudgetIndex {
    fn changed(&mut self, key: &RecordKey, _: Option<&Stored>, after: Option<&Stored>) {
        if let Some(account) = self.0.get(&key.id) {
            let record = after.and_then(Stored::record::<BudgetRecord>);
            account.memory.lock().state = record.map(|record| record.state).unwrap_or_default();
        }
    }
}

pub struct Budgets {
    clock: Arc<dyn Clock>,
    pricing: Pricing,
    names: ServiceNames,
    accounts: HashMap<Option<ServiceId>, Vec<Arc<Account>>>,
}

impl Budgets {
    /// Follows the records of these shards.
    pub fn new(
        shards: &Shards,
        slots: &SlotHash,
        pricing: Pricing,
        settings: impl IntoIterator<Item = (Option<ServiceId>, GuardSettings)>,
    ) -> Self {
        let mut accounts = HashMap::<_, Vec<_>>::new();
        for (service, settings) in settings {
            for (key, period, limit) in [
                ("messages-per-hour", Period::Hour, settings.messages_per_hour),
                ("messages-per-day", Period::Day, settings.messages_per_day),
                (MONEY, Period::Day, settings.money_per_day),
            ] {
                // `off` in a service's settings means none, as no limit does.
                let Some(limit) = limit.filter(|limit| *limit != u64::MAX) else { continue };
                let account = Account::new(service, key, Budget { limit, period }, shards.router(), slots);
                accounts.entry(service).or_default().push(account);
            }
        }
        let by_id = accounts.values().flatten().map(|account| (account.subject.id, Arc::clone(account)));
        let by_id: Arc<HashMap<_, _>> = Arc::new(by_id.collect());
        shards.follow::<BudgetRecord>(Arc::new(move |_| Box::new(BudgetIndex(Arc::clone(&by_id)))));
        let (clock, names) = (Arc::clone(shards.clock()), shards.metrics().service_names().clone());
        Self { clock, pricing, names, accounts }
    }

    /// Every budget with a limit, of a service or of all; those of all services first.
    pub fn list(&self, service: Option<ServiceId>) -> Vec<BudgetView> {
        let accounts = self.accounts.values().flatten();
        let accounts = accounts.filter(|account| service.is_none() || account.service == service);
        let mut budgets: Vec<_> = accounts.map(|account| self.usage(account)).collect();
        budgets.sort_by(|a, b| (a.service_id, &a.name).cmp(&(b.service_id, &b.name)));
        budgets
    }

    /// A budget that has too little left for a text message of a service to a country, and the end of its hour or day.
    pub fn used_up(&self, service: ServiceId, country: Option<Region>) -> Option<(BudgetView, Timestamp)> {
        let (usage, account) = self.of(service).map(|account| (self.usage(account), account)).find(
            |(BudgetView { spent, limit, .. }, account)| {
                spent.saturating_add(self.cost(account, country, Channel::Sms, 1)) > *limit
            },
        )?;
        Some((usage, account.budget.period.end_at(self.clock.now())))
    }

    /// What a message takes from a budget.
    fn cost(&self, account: &Account, country: Option<Region>, channel: Channel, parts: u32) -> u64 {
        match account.key {
            MONEY if parts == 0 => 0,
            MONEY => self.pricing.list().of(country, channel).saturating_mul(parts.into()),
            _ => 1,
        }
    }

    /// The price of a message, if the operator has given one for its country.
    pub fn price(&self, country: Option<Region>, channel: Channel) -> Option<u64> {
        self.pricing.prices.as_ref()?.known(country, channel)
    }

    fn usage(&self, account: &Account) -> BudgetView {
        let Account { service, key, budget: Budget { limit, period }, .. } = *account;
        let (now, memory) = (self.clock.now(), account.memory.lock());
        let spent = memory.state.spent(period, now);
        BudgetView {
            service_id: service,
            service_sid: None,
            service: service.and_then(|service| self.names.of(service)).unwrap_or_else(|| "all".to_owned()),
            name: key.to_owned(),
            spent,
            limit,
            // The rest of the money may be too little for any message.
            is_spent: spent >= limit || (key == MONEY && now < memory.reported),
            currency: (key == MONEY).then(|| self.pricing.currency.clone()),
        }
    }

    fn of(&self, service: ServiceId) -> impl Iterator<Item = &Arc<Account>> {
        [None, Some(service)].into_iter().filter_map(|scope| self.accounts.get(&scope)).flatten()
    }

    /// Whether a budget limits messages of the service, or of all services.
    pub fn hold(&self, service: Option<ServiceId>) -> bool {
        [None, service].iter().any(|scope| self.accounts.contains_key(scope))
    }

    /// A budget of the service that has nothing left. Cheap, so that a flood is refused before anything is written.
    pub fn spent(&self, service: ServiceId) -> Option<SpentBudget> {
        let now = self.clock.now();
        // With too little money, a cheaper message may still be sent.
        self.of(service).filter(|account| account.key != MONEY).find_map(|account| {
            let InMemory { state, reported, .. } = *account.memory.lock();
            // The shard refuses the first one, which is reported.
            let until = account.budget.charge(state, 1, now).err().filter(|until| *until <= reported)?;
            Some(SpentBudget { service: account.service, until, newly_spent: None })
        })
    }

    /// Charges one message to every budget of its service and of all services, or to none. `parts` are those that the
    /// provider asks money for: none by the simulator.
    pub async fn charge(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
        parts: u32,
    ) -> Result<Charge, ChargeError> {
        let mut charge = Charge::default();
        for account in self.of(service) {
            let cost = self.cost(account, number.region(), channel, parts);
            if cost == 0 {
                continue;
            }
            // In a task of its own: a charge whose caller went away is dropped, and thereby given back.
            let charged = tokio::spawn(Arc::clone(account).charge(cost)).await;
            // Where this budget refuses, dropping `charge` gives back what the ones before it took.
            let mut charged = charged.map_err(|_| ChargeError::Unavailable)??;
            charged.parts.iter().for_each(|(.., charged)| self.warn_if_nearly_spent(account, *charged));
            charge.parts.append(&mut charged.parts);
        }
        Ok(charge)
    }

    fn warn_if_nearly_spent(&self, account: &Account, charged: BudgetState) {
        let Account { service, key: budget, budget: Budget { limit, period }, .. } = *account;
        let (now, mut memory) = (self.clock.now(), account.memory.lock());
        let (spent, end) = (charged.spent(period, now), period.end_at(now));
        if u128::from(spent) * 100 >= u128::from(limit) * u128::from(NEARLY_SPENT) && memory.warned < end {
            memory.warned = end;
            let service = service.and_then(|service| self.names.of(service));
            tracing::warn!(budget, spent, limit, service, until = %end.rfc3339_seconds(), "budget nearly spent");
        }
    }
}

impl Account {
    fn new(
        service: Option<ServiceId>,
        key: &'static str,
        budget: Budget,
        router: &Arc<Router>,
        slots: &SlotHash,
    ) -> Arc<Self> {
        let (router, memory) = (Arc::clone(router), Mutex::default());
        let subject = Subject::of_name(&(service, key), slots);
        Arc::new(Self { service, key, budget, router, subject, memory })
    }

    async fn charge(self: Arc<Self>, amount: u64) -> Result<Charge, ChargeError> {
        let decided = self.decide(move |budget, state, now| budget.charge(state, amount, now)).await;
        match decided.unwrap_or(Err(Refusal::Stopping)) {
            Ok(Ok(charged)) => Ok(Charge { parts: vec![(self, amount, charged)], is_spent: false }),
            Ok(Err(until)) => {
                let is_new = std::mem::replace(&mut self.memory.lock().reported, until) < until;
                let newly_spent = is_new.then_some((self.key, self.budget.limit));
                Err(ChargeError::Spent(SpentBudget { service: self.service, until, newly_spent }))
            }
            Err(_) => Err(ChargeError::Unavailable),
        }
    }

    /// Changes the record. The inner error is the end of the period, if too little is left.
    fn decide(
        &self,
        change: impl Fn(Budget, BudgetState, Timestamp) -> Result<BudgetState, Timestamp> + Send + 'static,
    ) -> Receiver<Result<Result<BudgetState, Timestamp>, Refusal>> {
        let (Subject { id, .. }, budget) = (self.subject, self.budget);
        // The permits of gateways limit them.
        self.router.decide_unbounded(self.subject, move |view| {
            let state = view.get(id).map(|BudgetRecord { state, .. }| state).unwrap_or_default();
            let changed = change(budget, state, view.now());
            if let Ok(state) = changed {
                let record = BudgetRecord { period: budget.period, state };
                view.put(id, Some(&record));
            }
            Ok(changed)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::ServerKey;
    use crate::registry::world::start;
    use crate::shard::tests::{FaultyStore, StoreFault};

    async fn budgets(store: &FaultyStore, messages_per_hour: u64) -> Budgets {
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let shards = start(store, &clock, 1).await.expect("shards");
        let settings =
            GuardSettings { messages_per_hour: Some(messages_per_hour), ..GuardSettings::default() };
        let pricing = Pricing { prices: None, currency: "USD".to_owned() };
        let slots = SlotHash::new(&ServerKey::from_bytes([7; 32]));
        Budgets::new(&shards, &slots, pricing, [(None, settings)])
    }

    async fn charge(budgets: &Budgets) -> Result<Charge, ChargeError> {
        let number = PhoneNumber::parse("+14155550123", None).expect("a number");
        budgets.charge(ServiceId::DEFAULT, number, Channel::Sms, 1).await
    }

    #[tokio::test]
    async fn a_charge_that_the_store_refuses_is_not_spent() {
        let store = FaultyStore::new();
        let budgets = budgets(&store, 2).await;
        let spent =
            |budgets: &Budgets| budgets.list(None).iter().map(|budget| budget.spent).collect::<Vec<_>>();
        charge(&budgets).await.expect("the first").spend();
        store.fail_next([StoreFault::Unavailable]);
        assert_eq!(charge(&budgets).await.err(), Some(ChargeError::Unavailable));
        assert_eq!(spent(&budgets), [1]);
        charge(&budgets).await.expect("the second").spend();
        assert!(charge(&budgets).await.is_err(), "a third");
        let refuses = budgets.spent(ServiceId::DEFAULT).is_some();
        assert_eq!((spent(&budgets), refuses), (vec![2], true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_before_the_charge_is_durable_loses_nothing() {
        let store = FaultyStore::new();
        let budgets = budgets(&store, 1).await;
        store.hold();
        assert!(tokio::time::timeout(Duration::from_millis(50), charge(&budgets)).await.is_err());
        store.release();
        for _ in 0..1_000 {
            if charge(&budgets).await.is_ok() {
                return;
            }
        }
        panic!("the charge is lost");
    }
}

//! Budgets of messages and money, which an operator sets. A share is drawn durably from the record of a budget before its
//! first message is sent; a crash loses the rest of it, and never leads to more than the limit.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use onceward_core::budget::{Budget, BudgetState, Period, Share};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::{GuardSettings, Prices, Pricing};
use crate::domain::{Channel, PhoneNumber, Region, ServiceId, Timestamp};
use crate::engine::SlotHash;
use crate::metrics::{BudgetView, ServiceNames};
use crate::shard::{Durability, Record, RecordKey, Refusal, Router, Subject};

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

    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, _: Timestamp) -> Option<Self> {
        before.into_iter().chain(after).max_by_key(|record| record.state)
    }
}

/// The name of a budget's record.
#[derive(Debug, Clone, Copy, Serialize)]
struct BudgetName {
    /// `None` for all services.
    service: Option<ServiceId>,
    /// Its key in the settings.
    key: &'static str,
}

/// The budget of money. It counts millionths of the currency, the others messages.
const MONEY: &str = "money-per-day";

/// The part of a budget, in per cent, at which the log says so.
const NEARLY_SPENT: u64 = 80;

/// A budget with what is in memory of it.
struct Account {
    name: BudgetName,
    budget: Budget,
    memory: Mutex<InMemory>,
    /// Held while a share is drawn.
    drawing: tokio::sync::Mutex<()>,
    /// While it is in the future, the budget has nothing left.
    spent_until: AtomicU64,
    /// The last end of a period in which the budget was spent.
    reported: AtomicU64,
    /// The same in which it was nearly spent.
    warned: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct InMemory {
    /// The record, as this process read or wrote it last.
    state: BudgetState,
    share: Option<Share>,
}

/// Why a message was not charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeError {
    Spent(SpentBudget),
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
    parts: Vec<(Arc<Account>, Share)>,
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
        let parts = std::mem::take(&mut self.parts);
        parts.into_iter().filter(|_| !self.is_spent).for_each(|(account, part)| account.give(part));
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

/// An amount of millionths: `9.30`.
fn money(micros: u64) -> String {
    format!("{}.{:02}", micros / 1_000_000, micros / 10_000 % 100)
}

/// An amount of millionths, to the cent; below one unit to a hundredth of a cent if it has such a part.
fn amount(micros: u64) -> String {
    if micros < 1_000_000 && micros % 10_000 >= 100 {
        return format!("0.{:04}", micros / 100);
    }
    money(micros)
}

pub struct Budgets {
    router: Arc<Router>,
    clock: Arc<dyn Clock>,
    slots: SlotHash,
    /// The built-in ones are made when the first message is charged with money.
    prices: OnceLock<Prices>,
    currency: String,
    names: ServiceNames,
    accounts: HashMap<Option<ServiceId>, Vec<Arc<Account>>>,
}

impl Budgets {
    /// Reads the records.
    pub async fn start(
        router: Arc<Router>,
        clock: Arc<dyn Clock>,
        slots: SlotHash,
        Pricing { prices, currency }: Pricing,
        names: ServiceNames,
        settings: impl IntoIterator<Item = (Option<ServiceId>, GuardSettings)>,
    ) -> Result<Self, Refusal> {
        let mut accounts = HashMap::new();
        for (service, settings) in settings {
            let GuardSettings { messages_per_hour, messages_per_day, money_per_day, .. } = settings;
            let limits = [
                ("messages-per-hour", Period::Hour, messages_per_hour),
                ("messages-per-day", Period::Day, messages_per_day),
                (MONEY, Period::Day, money_per_day),
            ];
            let mut of_service = Vec::new();
            for (key, period, limit) in limits {
                // `off` in a service's settings means none, as no limit does.
                let Some(limit) = limit.filter(|limit| *limit != u64::MAX) else { continue };
                let name = BudgetName { service, key };
                let subject = Subject::of_name(&name, &slots);
                let key = RecordKey { slot: subject.slot, kind: BudgetRecord::KIND, id: subject.id };
                let state = router.get::<BudgetRecord>(key).await?.map(|record| record.state);
                let memory = InMemory { state: state.unwrap_or_default(), share: None };
                of_service.push(Arc::new(Account {
                    name,
                    budget: Budget { limit, period },
                    memory: Mutex::new(memory),
                    drawing: tokio::sync::Mutex::default(),
                    spent_until: AtomicU64::new(0),
                    reported: AtomicU64::new(0),
                    warned: AtomicU64::new(0),
                }));
            }
            accounts.insert(service, of_service);
        }
        let prices = prices.map(OnceLock::from).unwrap_or_default();
        Ok(Self { router, clock, slots, prices, currency, names, accounts })
    }

    /// Every budget with a limit, of a service or of all; those of all services first.
    pub fn list(&self, service: Option<ServiceId>) -> Vec<BudgetView> {
        let now = self.clock.now();
        let accounts = self.accounts.values().flatten();
        let accounts = accounts.filter(|account| service.is_none() || account.name.service == service);
        let mut budgets: Vec<_> = accounts.map(|account| self.usage(account, now)).collect();
        budgets.sort_by(|a, b| (a.service_id, &a.name).cmp(&(b.service_id, &b.name)));
        budgets
    }

    /// A budget that has too little left for a text message of a service to a country, and the end of its hour or day.
    pub fn used_up(&self, service: ServiceId, country: Option<Region>) -> Option<(BudgetView, Timestamp)> {
        let now = self.clock.now();
        self.of(service).find_map(|account| {
            let (usage, period) = (self.usage(account, now), account.budget.period);
            let amount = self.amount(account, country, Channel::Sms, false);
            let is_used_up = usage.spent.saturating_add(amount) > usage.limit;
            is_used_up.then(|| (usage, period.end(period.index(now))))
        })
    }

    fn prices(&self) -> &Prices {
        self.prices.get_or_init(Prices::default)
    }

    /// What a message takes from a budget.
    fn amount(&self, account: &Account, country: Option<Region>, channel: Channel, is_free: bool) -> u64 {
        match account.name.key {
            MONEY if is_free => 0,
            MONEY => self.prices().of(country, channel),
            _ => 1,
        }
    }

    fn usage(&self, account: &Account, now: Timestamp) -> BudgetView {
        let (BudgetName { service, key }, limit) = (account.name, account.budget.limit);
        let spent = account.spent(now);
        let has_refused = now.as_millis() < account.reported.load(Ordering::Relaxed);
        BudgetView {
            service_id: service,
            service_sid: None,
            service: service.and_then(|service| self.names.of(service)).unwrap_or_else(|| "all".to_owned()),
            name: key.to_owned(),
            spent,
            limit,
            // The rest of the money may be too little for any message.
            is_spent: spent >= limit || (key == MONEY && has_refused),
            currency: (key == MONEY).then(|| self.currency.clone()),
        }
    }

    fn of(&self, service: ServiceId) -> impl Iterator<Item = &Arc<Account>> {
        [None, Some(service)].into_iter().filter_map(|scope| self.accounts.get(&scope)).flatten()
    }

    /// A budget of the service that has nothing left. Cheap, so that a flood is refused before anything is written.
    pub fn spent(&self, service: ServiceId) -> Option<SpentBudget> {
        let now = self.clock.now();
        self.of(service).find_map(|account| {
            let until = Timestamp::from_millis(account.spent_until.load(Ordering::Relaxed));
            (now < until).then_some(SpentBudget { service: account.name.service, until, newly_spent: None })
        })
    }

    /// Charges one message to every budget of its service and of all services, or to none. A free one costs no money.
    pub async fn charge(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
        is_free: bool,
    ) -> Result<Charge, ChargeError> {
        let mut charge = Charge::default();
        for account in self.of(service) {
            let amount = self.amount(account, number.region(), channel, is_free);
            let part = self.take(account, amount).await?;
            charge.parts.push((Arc::clone(account), part));
        }
        Ok(charge)
    }

    /// A share is at most a 64th of the limit: the line comes that much too early at most.
    fn warn_if_nearly_spent(&self, account: &Account) {
        let (now, Budget { limit, period }) = (self.clock.now(), account.budget);
        let drawn = account.lock().state.drawn(period, now);
        if drawn < limit / 100 * NEARLY_SPENT + limit % 100 * NEARLY_SPENT / 100 {
            return;
        }
        let end = period.end(period.index(now));
        if account.warned.swap(end.as_millis(), Ordering::Relaxed) < end.as_millis() {
            let (budget, spent) = (account.name.key, account.spent(now));
            let service = account.name.service.and_then(|service| self.names.of(service));
            tracing::warn!(budget, spent, limit, service, until = %end.rfc3339_seconds(), "budget nearly spent");
        }
    }

    async fn take(&self, account: &Arc<Account>, amount: u64) -> Result<Share, ChargeError> {
        if let Some(part) = account.take(amount, self.clock.now()) {
            return Ok(part);
        }
        let _drawing = account.drawing.lock().await;
        if let Some(part) = account.take(amount, self.clock.now()) {
            return Ok(part);
        }
        let BudgetName { service, key } = account.name;
        let (budget, period) = (account.budget, account.budget.period);
        let subject = Subject::of_name(&account.name, &self.slots);
        let drawn =
            self.router.decide::<Result<(BudgetState, Share), Timestamp>, Refusal>(subject, move |view| {
                let state =
                    view.get::<BudgetRecord>(subject.id).map(|record| record.state).unwrap_or_default();
                Ok(budget.draw(state, amount, view.now()).inspect(|(state, _)| {
                    let record = BudgetRecord { period, state: *state };
                    view.put(subject.id, Some(&record), Durability::Durable);
                }))
            });
        // In a task of its own: a caller that goes away loses no share.
        let drawn = {
            let account = Arc::clone(account);
            tokio::spawn(async move {
                let drawn = drawn.await.ok()?.ok()?;
                Some(drawn.map(|(state, share)| {
                    account.lock().state = state;
                    Charge { parts: vec![(account, share)], is_spent: false }
                }))
            })
        };
        match drawn.await {
            Ok(Some(Ok(mut charge))) => {
                let part = charge.parts.first_mut().map(|(_, share)| share.split(amount));
                drop(charge);
                self.warn_if_nearly_spent(account);
                part.ok_or(ChargeError::Unavailable)
            }
            Ok(Some(Err(until))) => {
                // With too little money, a cheaper message may still be sent.
                if key != MONEY {
                    account.spent_until.store(until.as_millis(), Ordering::Relaxed);
                }
                let newly_spent =
                    account.reported.swap(until.as_millis(), Ordering::Relaxed) < until.as_millis();
                let newly_spent = newly_spent.then_some((key, budget.limit));
                Err(ChargeError::Spent(SpentBudget { service, until, newly_spent }))
            }
            Ok(None) | Err(_) => Err(ChargeError::Unavailable),
        }
    }
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, InMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spent(&self, now: Timestamp) -> u64 {
        let InMemory { state, share } = *self.lock();
        let left = share.map_or(0, |share| share.left(now));
        state.drawn(self.budget.period, now).saturating_sub(left)
    }

    fn take(&self, amount: u64, now: Timestamp) -> Option<Share> {
        self.lock().share.as_mut()?.take(amount, now)
    }

    /// Adds to the share, unless the part is of a period that has ended.
    fn give(&self, part: Share) {
        let mut memory = self.lock();
        memory.share = Some(memory.share.map_or(part, |known| known.joined(part)));
        self.spent_until.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::ServerKey;
    use crate::registry::tests::world::start;
    use crate::shard::tests::FaultyStore;

    async fn budgets(store: &FaultyStore, messages_per_hour: u64) -> Budgets {
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let shards = start(store, &clock, 1).await.expect("shards");
        let settings =
            GuardSettings { messages_per_hour: Some(messages_per_hour), ..GuardSettings::default() };
        let pricing = Pricing { prices: None, currency: "USD".to_owned() };
        let slots = SlotHash::new(&ServerKey::from_bytes([7; 32]));
        let (router, names) = (Arc::clone(shards.router()), ServiceNames::default());
        Budgets::start(router, clock, slots, pricing, names, [(None, settings)]).await.expect("budgets")
    }

    async fn charge(budgets: &Budgets) -> Result<Charge, ChargeError> {
        let number = PhoneNumber::parse("+14155550123", None).expect("a number");
        budgets.charge(ServiceId::DEFAULT, number, Channel::Sms, false).await
    }

    #[tokio::test]
    async fn a_charge_is_given_back_unless_it_is_spent() {
        let budgets = budgets(&FaultyStore::new(), 2).await;
        for _ in 0..5 {
            drop(charge(&budgets).await.expect("a charge"));
        }
        for _ in 0..2 {
            charge(&budgets).await.expect("a charge").spend();
        }
        assert!(matches!(charge(&budgets).await, Err(ChargeError::Spent(_))));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_while_a_share_is_drawn_loses_nothing() {
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
        panic!("the share is lost");
    }
}

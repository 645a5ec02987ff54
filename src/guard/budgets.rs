//! Budgets of messages and money. An allowance is drawn durably from the record of a budget before its first message is
//! sent; a crash loses the rest of it, and never leads to more than the limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use onceward_core::guard::{Allowance, Budget, BudgetState, Period};
use serde::{Deserialize, Serialize};

use super::record::subject;
use crate::clock::Clock;
use crate::config::{GuardSettings, Prices, Pricing};
use crate::domain::{Channel, PhoneNumber, Region, ServiceId, Timestamp};
use crate::engine::SlotHash;
use crate::shard::{Durability, Record, RecordKey, Refusal, Router};

/// The record of a budget. The default is the mark of a data directory that had a guard before its first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// `None` for the mark.
    period: Option<Period>,
    state: BudgetState,
}

impl Record for BudgetRecord {
    const KIND: u8 = 13;
    const PLURAL: &'static str = "guard budgets";

    fn expires(&self) -> Timestamp {
        self.period.map_or(Timestamp::MAX, |period| self.state.end(period))
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

/// A budget with the allowance that is in memory.
struct Account {
    name: BudgetName,
    budget: Budget,
    allowance: Mutex<Option<Allowance>>,
    /// Held while an allowance is drawn.
    drawing: tokio::sync::Mutex<()>,
    /// While it is in the future, the budget has nothing left.
    spent_until: AtomicU64,
    /// The last end of a period in which the budget was spent.
    reported: AtomicU64,
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

/// What a message cost.
#[derive(Default)]
pub struct Charge(Vec<(Arc<Account>, Allowance)>);

impl Charge {
    /// The message was certainly not sent.
    pub fn give_back(self) {
        for (account, part) in self.0 {
            account.give(part);
        }
    }
}

/// What is spent of a budget in the present hour or day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetUsage {
    /// `None` for all services.
    pub service: Option<ServiceId>,
    /// Its key in the settings.
    pub key: &'static str,
    /// Messages, or millionths of the currency.
    pub spent: u64,
    pub limit: u64,
    pub is_spent: bool,
    /// `None` for a budget of messages.
    pub currency: Option<String>,
}

pub struct Budgets {
    router: Arc<Router>,
    clock: Arc<dyn Clock>,
    slots: SlotHash,
    /// The built-in ones are made when the first message is charged with money.
    prices: OnceLock<Prices>,
    currency: String,
    /// Whether messages cost money.
    pays: bool,
    accounts: HashMap<Option<ServiceId>, Vec<Arc<Account>>>,
}

impl Budgets {
    pub fn new(
        router: Arc<Router>,
        clock: Arc<dyn Clock>,
        slots: SlotHash,
        Pricing { prices, currency }: Pricing,
        pays: bool,
        settings: impl IntoIterator<Item = (Option<ServiceId>, GuardSettings)>,
    ) -> Self {
        let accounts = settings.into_iter().map(|(service, settings)| {
            let GuardSettings { messages_per_hour, messages_per_day, money_per_day, .. } = settings;
            let limits = [
                ("messages-per-hour", Period::Hour, messages_per_hour),
                ("messages-per-day", Period::Day, messages_per_day),
                (MONEY, Period::Day, money_per_day),
            ];
            let accounts = limits.into_iter().filter_map(|(key, period, limit)| {
                // `off` means that no default applies.
                let limit = limit.filter(|limit| *limit != u64::MAX);
                Some(Arc::new(Account {
                    name: BudgetName { service, key },
                    budget: Budget { limit: limit?, period },
                    allowance: Mutex::default(),
                    drawing: tokio::sync::Mutex::default(),
                    spent_until: AtomicU64::new(0),
                    reported: AtomicU64::new(0),
                }))
            });
            (service, accounts.collect())
        });
        let accounts = accounts.collect();
        let prices = prices.map(OnceLock::from).unwrap_or_default();
        Self { router, clock, slots, prices, currency, pays, accounts }
    }

    /// Every budget with a limit, of a service or of all; those of all services first.
    pub async fn list(&self, service: Option<ServiceId>) -> Result<Vec<BudgetUsage>, Refusal> {
        let (mut budgets, now) = (Vec::new(), self.clock.now());
        for account in self.accounts.values().flatten() {
            let name = &account.name;
            if service.is_some() && name.service != service {
                continue;
            }
            budgets.push(self.usage(account, now).await?);
        }
        budgets.sort_by_key(|budget| (budget.service, budget.key));
        Ok(budgets)
    }

    /// A budget that has too little left for a text message of a service to a country, and the end of its hour or day.
    /// With both the simulator and paid gateways, the message counts as paid.
    pub async fn used_up(
        &self,
        service: ServiceId,
        country: Option<Region>,
    ) -> Result<Option<(BudgetUsage, Timestamp)>, Refusal> {
        let now = self.clock.now();
        for account in self.of(service) {
            let (usage, period) = (self.usage(account, now).await?, account.budget.period);
            let amount = self.amount(account, country, Channel::Sms, !self.pays);
            if usage.spent.saturating_add(amount) > usage.limit {
                return Ok(Some((usage, period.end(period.index(now)))));
            }
        }
        Ok(None)
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

    async fn usage(&self, account: &Account, now: Timestamp) -> Result<BudgetUsage, Refusal> {
        let (BudgetName { service, key }, limit) = (account.name, account.budget.limit);
        let spent = self.spent_of(account, now).await?;
        let has_refused = now.as_millis() < account.reported.load(Ordering::Relaxed);
        Ok(BudgetUsage {
            service,
            key,
            spent,
            limit,
            // The rest of the money may be too little for any message.
            is_spent: spent >= limit || (key == MONEY && has_refused),
            currency: (key == MONEY).then(|| self.currency.clone()),
        })
    }

    async fn spent_of(&self, account: &Account, now: Timestamp) -> Result<u64, Refusal> {
        let subject = subject(&account.name, &self.slots);
        let key = RecordKey { slot: subject.slot, kind: BudgetRecord::KIND, id: subject.id };
        let state = self.router.get::<BudgetRecord>(key).await?.map(|record| record.state);
        let left = lock(&account.allowance).map_or(0, |allowance| allowance.left(now));
        Ok(state.unwrap_or_default().drawn(account.budget.period, now).saturating_sub(left))
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
            match self.take(account, amount).await {
                Ok(part) => charge.0.push((Arc::clone(account), part)),
                Err(error) => {
                    charge.give_back();
                    return Err(error);
                }
            }
        }
        Ok(charge)
    }

    async fn take(&self, account: &Account, amount: u64) -> Result<Allowance, ChargeError> {
        if let Some(part) = account.take(amount, self.clock.now()) {
            return Ok(part);
        }
        let _drawing = account.drawing.lock().await;
        if let Some(part) = account.take(amount, self.clock.now()) {
            return Ok(part);
        }
        let BudgetName { service, key } = account.name;
        let (budget, period) = (account.budget, account.budget.period);
        let subject = subject(&account.name, &self.slots);
        let drawn = self.router.decide::<Result<Allowance, Timestamp>, Refusal>(subject, move |view| {
            let state = view.get::<BudgetRecord>(subject.id).map(|record| record.state).unwrap_or_default();
            Ok(budget.draw(state, amount, view.now()).map(|(state, allowance)| {
                view.put(
                    subject.id,
                    Some(&BudgetRecord { period: Some(period), state }),
                    Durability::Durable,
                );
                allowance
            }))
        });
        match drawn.await {
            Ok(Ok(Ok(mut allowance))) => {
                let part = allowance.split(amount);
                account.give(allowance);
                Ok(part)
            }
            Ok(Ok(Err(until))) => {
                // With too little money, a cheaper message may still be sent.
                if key != MONEY {
                    account.spent_until.store(until.as_millis(), Ordering::Relaxed);
                }
                let newly_spent =
                    account.reported.swap(until.as_millis(), Ordering::Relaxed) < until.as_millis();
                let newly_spent = newly_spent.then_some((key, budget.limit));
                Err(ChargeError::Spent(SpentBudget { service, until, newly_spent }))
            }
            Ok(Err(_)) | Err(_) => Err(ChargeError::Unavailable),
        }
    }
}

fn lock(allowance: &Mutex<Option<Allowance>>) -> MutexGuard<'_, Option<Allowance>> {
    allowance.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Account {
    fn take(&self, amount: u64, now: Timestamp) -> Option<Allowance> {
        lock(&self.allowance).as_mut()?.take(amount, now)
    }

    /// Adds to the allowance, unless the part is of a period that has ended.
    fn give(&self, part: Allowance) {
        let mut allowance = lock(&self.allowance);
        *allowance = Some(allowance.map_or(part, |known| known.joined(part)));
        self.spent_until.store(0, Ordering::Relaxed);
    }
}

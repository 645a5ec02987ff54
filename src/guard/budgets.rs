//! Budgets of messages and money. An allowance is drawn durably from the record of a budget before its first message is
//! sent; a crash loses the rest of it, and never leads to more than the limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use onceward_core::guard::{Allowance, Budget, BudgetState, Period, Spent};
use serde::{Deserialize, Serialize};

use super::record::subject;
use crate::clock::Clock;
use crate::config::{GuardSettings, Prices};
use crate::domain::{Channel, PhoneNumber, ServiceId, Timestamp};
use crate::engine::SlotHash;
use crate::shard::{Durability, Record, RecordKey, Refusal, Router};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Unit {
    Messages,
    /// Millionths of the currency.
    Money,
}

/// The record of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetRecord {
    Drawn {
        period: Period,
        state: BudgetState,
    },
    /// The mark of a data directory that had a guard before its first message.
    New,
}

impl Record for BudgetRecord {
    const KIND: u8 = 13;
    const PLURAL: &'static str = "guard budgets";

    fn expires(&self) -> Timestamp {
        match self {
            Self::Drawn { period, state } => state.end(*period),
            Self::New => Timestamp::MAX,
        }
    }

    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, _: Timestamp) -> Option<Self> {
        before.into_iter().chain(after).max_by_key(Self::state)
    }
}

impl BudgetRecord {
    fn state(&self) -> BudgetState {
        match self {
            Self::Drawn { state, .. } => *state,
            Self::New => BudgetState::default(),
        }
    }
}

/// The name of a budget's record. `None` is the installation.
#[derive(Debug, Clone, Copy, Serialize)]
struct BudgetName {
    service: Option<ServiceId>,
    period: Period,
    unit: Unit,
}

impl BudgetName {
    /// Its key in the settings.
    const fn key(&self) -> &'static str {
        match (self.unit, self.period) {
            (Unit::Messages, Period::Hour) => "messages-per-hour",
            (Unit::Messages, Period::Day) => "messages-per-day",
            (Unit::Money, _) => "money-per-day",
        }
    }
}

/// The state of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetUsage {
    /// `None` is the installation.
    pub service: Option<ServiceId>,
    /// Its key in the settings.
    pub name: &'static str,
    /// Whether it counts millionths of the currency, and not messages.
    pub is_money: bool,
    pub limit: u64,
    pub spent: u64,
}

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

/// Why a message may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCharged {
    Spent {
        /// `None` for the installation.
        service: Option<ServiceId>,
        until: Timestamp,
        /// Whether the budget is spent for the first time in its hour or day: its key in the settings, and its limit.
        is_new: Option<(&'static str, u64)>,
    },
    /// The store did not take the record.
    Unavailable,
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

pub struct Budgets {
    router: Arc<Router>,
    clock: Arc<dyn Clock>,
    slots: SlotHash,
    /// The built-in ones are made when the first message is charged with money.
    prices: OnceLock<Prices>,
    accounts: HashMap<Option<ServiceId>, Vec<Arc<Account>>>,
}

impl Budgets {
    pub fn new(
        router: Arc<Router>,
        clock: Arc<dyn Clock>,
        slots: SlotHash,
        prices: Option<Prices>,
        settings: impl IntoIterator<Item = (Option<ServiceId>, GuardSettings)>,
    ) -> Self {
        let accounts = settings.into_iter().map(|(service, settings)| {
            let GuardSettings { messages_per_hour, messages_per_day, money_per_day, .. } = settings;
            let limits = [
                (Unit::Messages, Period::Hour, messages_per_hour),
                (Unit::Messages, Period::Day, messages_per_day),
                (Unit::Money, Period::Day, money_per_day),
            ];
            let accounts = limits.into_iter().filter_map(|(unit, period, limit)| {
                Some(Arc::new(Account {
                    name: BudgetName { service, period, unit },
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
        Self { router, clock, slots, prices: prices.map(OnceLock::from).unwrap_or_default(), accounts }
    }

    /// Every budget with a limit, the installation's first.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn usage(&self) -> Result<Vec<BudgetUsage>, Refusal> {
        let (mut usage, now) = (Vec::new(), self.clock.now());
        for account in self.accounts.values().flatten().filter(|account| account.budget.limit < u64::MAX) {
            let subject = subject(&account.name, &self.slots);
            let key = RecordKey { slot: subject.slot, kind: BudgetRecord::KIND, id: subject.id };
            let state = self.router.get::<BudgetRecord>(key).await?.map(|record| record.state());
            let left = account.allowance().map_or(0, |allowance| allowance.left(now));
            let drawn = state.unwrap_or_default().drawn(account.name.period, now);
            let BudgetName { service, unit, .. } = account.name;
            usage.push(BudgetUsage {
                service,
                name: account.name.key(),
                is_money: unit == Unit::Money,
                limit: account.budget.limit,
                spent: drawn.saturating_sub(left),
            });
        }
        usage.sort_by_key(|budget| (budget.service, budget.name));
        Ok(usage)
    }

    fn of(&self, service: ServiceId) -> impl Iterator<Item = &Arc<Account>> {
        [None, Some(service)].into_iter().filter_map(|scope| self.accounts.get(&scope)).flatten()
    }

    /// A budget of the service that has nothing left. Cheap, so that a flood is refused before anything is written.
    pub fn spent(&self, service: ServiceId) -> Option<NotCharged> {
        let now = self.clock.now();
        self.of(service).find_map(|account| {
            let until = Timestamp::from_millis(account.spent_until.load(Ordering::Relaxed));
            let spent = NotCharged::Spent { service: account.name.service, until, is_new: None };
            (now < until).then_some(spent)
        })
    }

    /// Charges one message to every budget of its service and of the installation, or to none. A free one costs no money.
    ///
    /// # Errors
    /// [`NotCharged`].
    pub async fn charge(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        channel: Channel,
        is_free: bool,
    ) -> Result<Charge, NotCharged> {
        let mut charge = Charge::default();
        for account in self.of(service) {
            let amount = match account.name.unit {
                Unit::Messages => 1,
                Unit::Money if is_free => 0,
                Unit::Money => self.prices.get_or_init(Prices::default).of(number.region(), channel),
            };
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

    async fn take(&self, account: &Account, amount: u64) -> Result<Allowance, NotCharged> {
        if let Some(part) = account.take(amount, self.clock.now()) {
            return Ok(part);
        }
        let _drawing = account.drawing.lock().await;
        if let Some(part) = account.take(amount, self.clock.now()) {
            return Ok(part);
        }
        let (budget, period) = (account.budget, account.name.period);
        let subject = subject(&account.name, &self.slots);
        let drawn = self.router.decide::<Result<Allowance, Spent>, Refusal>(subject, move |view| {
            let state = view.get::<BudgetRecord>(subject.id).map(|record| record.state()).unwrap_or_default();
            Ok(budget.draw(state, amount, view.now()).map(|(state, allowance)| {
                view.put(subject.id, Some(&BudgetRecord::Drawn { period, state }), Durability::Durable);
                allowance
            }))
        });
        match drawn.await {
            Ok(Ok(Ok(mut allowance))) => {
                let part = allowance.split(amount);
                account.give(allowance);
                Ok(part)
            }
            Ok(Ok(Err(Spent { until }))) => {
                // With too little money, a cheaper message may still be sent.
                if account.name.unit == Unit::Messages {
                    account.spent_until.store(until.as_millis(), Ordering::Relaxed);
                }
                let is_new = account.reported.swap(until.as_millis(), Ordering::Relaxed) < until.as_millis();
                let is_new = is_new.then(|| (account.name.key(), budget.limit));
                Err(NotCharged::Spent { service: account.name.service, until, is_new })
            }
            Ok(Err(_)) | Err(_) => Err(NotCharged::Unavailable),
        }
    }
}

impl Account {
    fn allowance(&self) -> MutexGuard<'_, Option<Allowance>> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, amount: u64, now: Timestamp) -> Option<Allowance> {
        self.allowance().as_mut()?.take(amount, now)
    }

    /// Adds to the allowance, unless the part is of a period that has ended.
    fn give(&self, part: Allowance) {
        let mut allowance = self.allowance();
        *allowance = Some(allowance.map_or(part, |known| known.joined(part)));
        self.spent_until.store(0, Ordering::Relaxed);
    }
}

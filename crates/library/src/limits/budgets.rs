//! Budgets of messages and money, which an operator sets. Each message is charged in the decision that permits it, and
//! given back if it was certainly not sent.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use onceward_core::guard::{Budget, Charge, Dimension, Key, Rows};

use crate::config::{GuardSettings, Pricing, money_text};
use crate::domain::{Channel, Region, ServiceId, Timestamp};
use crate::observe::metrics::{BudgetView, ServiceNames};

const MONEY: Dimension = Dimension::Budget(Budget::MoneyPerDay);

impl fmt::Display for BudgetView {
    /// `12 of 500`, or `9.3 of 50 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spent, limit, currency, .. } = self;
        match currency {
            Some(currency) => write!(f, "{} of {} {currency}", money_text(*spent), money_text(*limit)),
            None => write!(f, "{spent} of {limit}"),
        }
    }
}

pub struct Budgets {
    pricing: Pricing,
    names: ServiceNames,
    /// Those of each service, and of all, with one message or no money.
    limits: HashMap<Option<ServiceId>, Vec<Charge>>,
}

impl Budgets {
    pub fn new(
        pricing: Pricing,
        names: ServiceNames,
        settings: impl IntoIterator<Item = (Option<ServiceId>, GuardSettings)>,
    ) -> Self {
        let [hour, day] = [3_600, 86_400].map(Duration::from_secs);
        let mut limits = HashMap::<_, Vec<_>>::new();
        for (service, settings) in settings {
            for (budget, amount, length, limit) in [
                (Budget::MessagesPerHour, 1, hour, settings.messages_per_hour),
                (Budget::MessagesPerDay, 1, day, settings.messages_per_day),
                (Budget::MoneyPerDay, 0, day, settings.money_per_day),
            ] {
                // `off` in a service's settings means none, as no limit does.
                let Some(most) = limit.filter(|limit| *limit != u64::MAX) else { continue };
                let key = Key::new(service, Dimension::Budget(budget));
                limits.entry(service).or_default().push(Charge { key, amount, most, length });
            }
        }
        Self { pricing, names, limits }
    }

    /// Every budget with a limit, of a service or of all; those of all services first.
    pub fn list(&self, service: Option<ServiceId>, rows: &Rows, now: Timestamp) -> Vec<BudgetView> {
        let limits = self.limits.values().flatten();
        let limits = limits.filter(|limit| service.is_none() || limit.key.service == service);
        let mut budgets: Vec<_> = limits.map(|limit| self.usage(limit, rows, now)).collect();
        budgets.sort_by(|a, b| (a.service_id, &a.name).cmp(&(b.service_id, &b.name)));
        budgets
    }

    /// What a message is charged. `parts` are those that the provider asks money for: none by the simulator.
    pub fn charges(
        &self,
        service: ServiceId,
        country: Option<Region>,
        channel: Channel,
        parts: u32,
    ) -> Vec<Charge> {
        let cost = || self.pricing.list().of(country, channel).saturating_mul(parts.into());
        let charge = |limit: &Charge| Charge {
            amount: if limit.key.dimension == MONEY && parts > 0 { cost() } else { limit.amount },
            ..limit.clone()
        };
        let limits = [None, Some(service)].into_iter().filter_map(|scope| self.limits.get(&scope));
        limits.flatten().map(charge).collect()
    }

    /// The price of a message, if the operator has given one for its country.
    pub fn price(&self, country: Option<Region>, channel: Channel) -> Option<u64> {
        self.pricing.prices.as_ref()?.known(country, channel)
    }

    fn usage(&self, limit: &Charge, rows: &Rows, now: Timestamp) -> BudgetView {
        let Key { service, dimension } = limit.key;
        let (spent, is_money) = (rows.window(limit, now).amount, dimension == MONEY);
        BudgetView {
            service_id: service,
            service: service.and_then(|service| self.names.of(service)).unwrap_or_else(|| "all".to_owned()),
            name: dimension.to_string(),
            spent,
            limit: limit.most,
            currency: is_money.then(|| self.pricing.currency.clone()),
        }
    }

    /// Whether a budget limits messages of the service, or of all services.
    pub fn hold(&self, service: Option<ServiceId>) -> bool {
        [None, service].iter().any(|scope| self.limits.contains_key(scope))
    }
}

//! Budgets of messages and money, which an operator sets. Each message is charged in the decision that permits it, and
//! given back if it was certainly not sent.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::HashMap;
use std::fmt;

use onceward_core::guard::{Dimension, Finding, Key, Rule};

use super::counts::{Charge, Charged, Counts, Full, Window};
use crate::config::{GuardSettings, Pricing};
use crate::domain::{Channel, Region, ServiceId, Timestamp, record_id};
use crate::observe::metrics::{BudgetView, ServiceNames};
use crate::shard::name_digest;

/// The budget of money. It counts millionths of the currency, the others messages.
const MONEY: &str = "money-per-day";

/// Positions in what the operator was told.
const SPENT: usize = 0;
const NEARLY: usize = 1;

/// The part of a budget, in per cent, at which the log says so.
const NEARLY_SPENT: u64 = 80;

struct Account {
    /// `None` for all services.
    service: Option<ServiceId>,
    /// Its key in the settings.
    key: &'static str,
    /// One message, or no money.
    charge: Charge,
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

pub struct Budgets {
    pricing: Pricing,
    names: ServiceNames,
    accounts: HashMap<Option<ServiceId>, Vec<Account>>,
}

impl Budgets {
    pub fn new(
        pricing: Pricing,
        names: ServiceNames,
        settings: impl IntoIterator<Item = (Option<ServiceId>, GuardSettings)>,
    ) -> Self {
        let mut accounts = HashMap::<_, Vec<_>>::new();
        for (service, settings) in settings {
            for (key, window, limit) in [
                ("messages-per-hour", Window::Hour, settings.messages_per_hour),
                ("messages-per-day", Window::Day, settings.messages_per_day),
                (MONEY, Window::Day, settings.money_per_day),
            ] {
                // `off` in a service's settings means none, as no limit does.
                let Some(most) = limit.filter(|limit| *limit != u64::MAX) else { continue };
                let id = record_id(ServiceId::DEFAULT, name_digest(&(service, key)));
                let charge = Charge { id, amount: u64::from(key != MONEY), most, window };
                accounts.entry(service).or_default().push(Account { service, key, charge });
            }
        }
        Self { pricing, names, accounts }
    }

    /// Every budget with a limit, of a service or of all; those of all services first.
    pub fn list(&self, service: Option<ServiceId>, counts: &Counts, now: Timestamp) -> Vec<BudgetView> {
        let accounts = self.accounts.values().flatten();
        let accounts = accounts.filter(|account| service.is_none() || account.service == service);
        let mut budgets: Vec<_> = accounts.map(|account| self.usage(account, counts, now)).collect();
        budgets.sort_by(|a, b| (a.service_id, &a.name).cmp(&(b.service_id, &b.name)));
        budgets
    }

    /// A budget that has too little left for a text message of a service to a country, and the end of its hour or day.
    pub fn used_up(
        &self,
        service: ServiceId,
        country: Option<Region>,
        counts: &Counts,
        now: Timestamp,
    ) -> Option<(String, Timestamp)> {
        let Full { id, until } = counts.fit(&self.charges(service, country, Channel::Sms, 1), now).err()?;
        Some((self.of(service).find(|account| account.charge.id == id)?.key.to_owned(), until))
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
        let charge = |Account { key, charge, .. }: &Account| Charge {
            amount: if *key == MONEY && parts > 0 { cost() } else { charge.amount },
            ..charge.clone()
        };
        self.of(service).map(charge).collect()
    }

    /// The price of a message, if the operator has given one for its country.
    pub fn price(&self, country: Option<Region>, channel: Channel) -> Option<u64> {
        self.pricing.prices.as_ref()?.known(country, channel)
    }

    fn usage(
        &self,
        Account { service, key, charge }: &Account,
        counts: &Counts,
        now: Timestamp,
    ) -> BudgetView {
        let spent = counts.spent(charge, now);
        BudgetView {
            service_id: *service,
            service_sid: None,
            service: service.and_then(|service| self.names.of(service)).unwrap_or_else(|| "all".to_owned()),
            name: (*key).to_owned(),
            spent,
            limit: charge.most,
            // The rest of the money may be too little for any message.
            is_spent: spent >= charge.most || (*key == MONEY && counts.told(charge, SPENT, now)),
            currency: (*key == MONEY).then(|| self.pricing.currency.clone()),
        }
    }

    fn of(&self, service: ServiceId) -> impl Iterator<Item = &Account> {
        [None, Some(service)].into_iter().filter_map(|scope| self.accounts.get(&scope)).flatten()
    }

    /// Whether a budget limits messages of the service, or of all services.
    pub fn hold(&self, service: Option<ServiceId>) -> bool {
        [None, service].iter().any(|scope| self.accounts.contains_key(scope))
    }

    /// What a message is charged, if all of it fits. Else the budget that has too little left is told.
    pub fn fit(
        &self,
        service: ServiceId,
        charges: &[Charge],
        counts: &mut Counts,
        now: Timestamp,
    ) -> Result<Vec<Charged>, Finding> {
        counts.fit(charges, now).map_err(|Full { id, until }| {
            let account = self.of(service).find(|account| account.charge.id == id);
            let newly_spent = account.and_then(|Account { key, charge, .. }| {
                counts.tell(charge, SPENT, now).then_some((*key, charge.most))
            });
            let key = Key::new(account.and_then(|account| account.service), Dimension::Total);
            let (rule, is_refused, until) = (Rule::Budget, true, Some(until));
            Finding { rule, key, is_refused, figures: None, until, newly_spent }
        })
    }

    /// Charges a message, and logs the budgets that are nearly spent.
    pub fn take(&self, service: ServiceId, charged: &[Charged], counts: &mut Counts, now: Timestamp) {
        counts.take(charged);
        for Account { service, key: budget, charge } in self.of(service) {
            let Some(Charged { ends, .. }) = charged.iter().find(|of| of.id == charge.id) else { continue };
            let (spent, limit) = (counts.spent(charge, now), charge.most);
            if u128::from(spent) * 100 >= u128::from(limit) * u128::from(NEARLY_SPENT)
                && counts.tell(charge, NEARLY, now)
            {
                let service = service.and_then(|service| self.names.of(service));
                let (spent, limit) = (self.shown(budget, spent), self.shown(budget, limit));
                tracing::warn!(budget, spent, limit, service, until = %ends.rfc3339_seconds(), "budget nearly spent");
            }
        }
    }

    /// An amount of a budget, for a person.
    pub fn shown(&self, key: &str, of: u64) -> String {
        if key == MONEY { format!("{} {}", amount(of), self.pricing.currency) } else { of.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shard::{Capacity, LimitedTable};

    #[test]
    fn a_spent_budget_is_told_of_the_window_of_its_decision() {
        let names = ServiceNames::default();
        let mut counts = Counts::new(Capacity::new(LimitedTable::Counters, 10, &names), 1);
        let limited = |most| {
            let settings = GuardSettings { messages_per_hour: Some(most), ..GuardSettings::default() };
            Budgets::new(Pricing::default(), ServiceNames::default(), [(None, settings)])
        };
        let (budgets, of, last) = (limited(1), ServiceId::DEFAULT, Timestamp::from_millis(7_199_999));
        let mut fit = |budgets: &Budgets, now| {
            let charges = budgets.charges(of, None, Channel::Sms, 1);
            let fitting = budgets.fit(of, &charges, &mut counts, now);
            fitting
                .map(|charged| budgets.take(of, &charged, &mut counts, now))
                .map_err(|refused| refused.newly_spent)
        };
        assert_eq!(fit(&budgets, last), Ok(()));
        assert_eq!(fit(&budgets, last), Err(Some(("messages-per-hour", 1))));
        assert_eq!(fit(&budgets, last), Err(None), "told before");
        let raised = limited(2);
        assert_eq!(fit(&raised, last), Ok(()));
        assert_eq!(fit(&raised, last), Err(Some(("messages-per-hour", 2))), "another limit");
        let next = last.plus(Duration::from_millis(1));
        assert_eq!(fit(&budgets, next), Ok(()));
        assert_eq!(fit(&budgets, next), Err(Some(("messages-per-hour", 1))));
    }
}

//! Budgets of messages and money: exact, and durable before a message.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// The length of a budget's period. Periods begin at whole hours and days of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Period {
    Hour,
    Day,
}

impl Period {
    const fn millis(self) -> u64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// The number of whole periods since the epoch.
    pub fn index(self, at: Timestamp) -> u32 {
        u32::try_from(at.as_millis() / self.millis()).unwrap_or(u32::MAX)
    }

    /// The end of the period at a moment.
    pub fn end_at(self, at: Timestamp) -> Timestamp {
        self.end(self.index(at))
    }

    pub fn end(self, index: u32) -> Timestamp {
        Timestamp::from_millis((u64::from(index) + 1) * self.millis())
    }
}

/// The most that may be spent in each hour or day of UTC: messages, or millionths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub limit: u64,
    pub period: Period,
}

/// The durable record of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct BudgetState {
    /// The hour or day, counted from the epoch.
    index: u32,
    #[serde(rename = "drawn")]
    spent: u64,
}

impl BudgetState {
    /// The end of its hour or day.
    pub fn end(&self, period: Period) -> Timestamp {
        period.end(self.index)
    }

    /// What was spent in the current hour or day.
    pub fn spent(&self, period: Period, now: Timestamp) -> u64 {
        if period.index(now) > self.index { 0 } else { self.spent }
    }

    /// Takes an amount back out of the hour or day to which it was charged.
    #[must_use]
    pub const fn give_back(self, charged: Self, amount: u64) -> Self {
        let amount = if self.index == charged.index { amount } else { 0 };
        Self { spent: self.spent.saturating_sub(amount), ..self }
    }
}

impl Budget {
    /// Charges an amount. The caller stores the state before the message leaves.
    ///
    /// # Errors
    /// The end of the hour or day, if less is left.
    pub fn charge(&self, state: BudgetState, amount: u64, now: Timestamp) -> Result<BudgetState, Timestamp> {
        // A clock that was set back stays in the later period.
        let index = self.period.index(now).max(state.index);
        let before = if index == state.index { state.spent } else { 0 };
        let spent = before.saturating_add(amount);
        if spent > self.limit { Err(self.period.end(index)) } else { Ok(BudgetState { index, spent }) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_budget_is_never_overspent_and_has_what_was_given_back(
            limit in 0_u64..3_000,
            steps in prop::collection::vec((0_u64..50, 0_u64..600_000, prop::bool::weighted(0.3)), 1..400),
        ) {
            let budget = Budget { limit, period: Period::Hour };
            let (mut state, mut now) = (BudgetState::default(), 7_200_000);
            let mut spent = BTreeMap::<u32, u64>::new();
            for (amount, later, is_given_back) in steps {
                now += later;
                let at = Timestamp::from_millis(now);
                let index = Period::Hour.index(at);
                let own = spent.entry(index).or_default();
                match budget.charge(state, amount, at) {
                    Ok(charged) if is_given_back => state = charged.give_back(charged, amount),
                    Ok(charged) => {
                        state = charged;
                        *own += amount;
                    }
                    Err(until) => {
                        prop_assert_eq!(until, Period::Hour.end(index));
                        prop_assert!(*own + amount > limit);
                    }
                }
                prop_assert!(*own <= limit);
                prop_assert_eq!(state.spent(Period::Hour, at), *own);
            }
        }
    }
}

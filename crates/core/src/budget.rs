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

    pub fn end(self, index: u32) -> Timestamp {
        Timestamp::from_millis((u64::from(index) + 1) * self.millis())
    }
}

/// The most that may be spent in each hour or day of UTC: messages, or millionths of the currency.
///
/// The owner of the record draws a [`Share`] from it and stores [`BudgetState`] before the first message. A crash
/// loses the rest of the share, and never leads to more than the limit.
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
    drawn: u64,
}

impl BudgetState {
    /// The end of its hour or day.
    pub fn end(&self, period: Period) -> Timestamp {
        period.end(self.index)
    }

    /// The amount that was drawn in the current hour or day.
    pub fn drawn(&self, period: Period, now: Timestamp) -> u64 {
        if period.index(now) > self.index { 0 } else { self.drawn }
    }
}

/// A part of a budget in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: u32,
    period: Period,
    left: u64,
}

/// A share is at most this part of the limit.
const PARTS: u64 = 64;

/// A share is at most what this many messages cost. A large limit that is lowered then has not spent the new one.
const MESSAGES: u64 = 100;

impl Budget {
    /// Draws a share of at least `amount`. The caller stores the state before it uses the share.
    ///
    /// # Errors
    /// The end of the hour or day, if less is left.
    pub fn draw(
        &self,
        state: BudgetState,
        amount: u64,
        now: Timestamp,
    ) -> Result<(BudgetState, Share), Timestamp> {
        // A clock that was set back stays in the later period.
        let index = self.period.index(now).max(state.index);
        let drawn = if index == state.index { state.drawn } else { 0 };
        let rest = self.limit.saturating_sub(drawn);
        if rest < amount {
            return Err(self.period.end(index));
        }
        let left = (self.limit / PARTS).min(amount.saturating_mul(MESSAGES)).max(amount).min(rest);
        Ok((BudgetState { index, drawn: drawn + left }, Share { index, period: self.period, left }))
    }
}

impl Share {
    /// Takes an amount. `None` if too little is left or the period has ended: draw another one.
    pub fn take(&mut self, amount: u64, now: Timestamp) -> Option<Self> {
        // With a clock that was set back, the later period goes on.
        let is_over = self.period.index(now) > self.index;
        (!is_over && amount <= self.left).then(|| self.split(amount))
    }

    /// The rest that may still be taken.
    pub fn left(&self, now: Timestamp) -> u64 {
        if self.period.index(now) > self.index { 0 } else { self.left }
    }

    /// Takes an amount, at most what is left, whatever the time is.
    #[must_use]
    pub fn split(&mut self, amount: u64) -> Self {
        let part = Self { left: amount.min(self.left), ..*self };
        self.left -= part.left;
        part
    }

    /// Both, or the later one if they are of different periods.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        match self.index.cmp(&other.index) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Equal => Self { left: self.left + other.left, ..self },
            std::cmp::Ordering::Greater => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The process crashes at random: the share is lost, the stored state is not.
        #[test]
        fn a_budget_is_never_overspent(
            limit in 0_u64..3_000,
            steps in prop::collection::vec((0_u64..50, 0_u64..600_000, prop::bool::weighted(0.05)), 1..400),
        ) {
            let budget = Budget { limit, period: Period::Hour };
            let (mut state, mut share, mut now) = (BudgetState::default(), None::<Share>, 7_200_000);
            let mut spent = std::collections::BTreeMap::<u32, u64>::new();
            for (amount, later, crashes) in steps {
                now += later;
                let at = Timestamp::from_millis(now);
                if crashes {
                    share = None;
                }
                if share.as_mut().is_none_or(|share| share.take(amount, at).is_none()) {
                    match budget.draw(state, amount, at) {
                        Ok((drawn, mut fresh)) => {
                            prop_assert!(fresh.take(amount, at).is_some());
                            (state, share) = (drawn, Some(fresh));
                        }
                        Err(until) => {
                            prop_assert_eq!(until, Period::Hour.end(Period::Hour.index(at)));
                            continue;
                        }
                    }
                }
                *spent.entry(Period::Hour.index(at)).or_default() += amount;
            }
            prop_assert!(spent.values().all(|spent| *spent <= limit), "{:?}", spent);
        }
    }
}

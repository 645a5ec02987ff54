//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! `docs/concepts/guard.md` has the rules. An [`Allowance`] is a token bucket of messages whose refill and capacity grow with the
//! numbers that are usually verified. Exact, durable [budgets](crate::budget) are the bound beside it, if the operator sets them.
//!
//! Pure: the caller passes the time and the seed of the tables' hashes, and stores [`GuardRow`]s.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod allowance;
mod decide;
pub mod replay;
mod rules;
mod signals;
mod table;
#[cfg(test)]
mod tests;

pub use allowance::{Allowance, Refusals, Ticket, VerifiedNumber};
pub use decide::{
    AllowanceNow, AssumedClient, Entry, EntryAction, Explained, Guard, GuardRow, MOST_ALLOWANCES, RowName,
    TooManyEntries,
};
pub use rules::{Assessment, Effect, Figures, Finding, GuardRules, Mode, Refused, Rule};
pub use signals::{ClientNet, Dimension, Exemption, Key, Signals};
pub use table::{Page, PageStart, Table};

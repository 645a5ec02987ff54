//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! `docs/concepts/guard.md` has the rules. An [`Allowance`] is a token bucket of messages whose refill and capacity grow with the
//! numbers that are usually verified. Exact, durable [budgets](crate::budget) are the bound beside it, if the operator sets them.
//!
//! Pure: the caller passes the time and the seed of the tables' hashes, and stores [`GuardRow`]s.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod allowance;
mod decide;
mod entries;
mod findings;
mod rules;
mod signals;
mod table;
#[cfg(test)]
mod tests;

pub use allowance::{Allowance, NumberState, Row, Ticket, VerifiedChange, VerifiedNumber};
pub use decide::{AllowanceNow, Explained, Guard, GuardRow, MOST_ALLOWANCES};
pub use entries::{Entries, Entry, EntryAction, TooManyEntries};
pub use findings::{Assessment, Figures, Finding, Refused};
pub use rules::{Floors, GuardRules, Mode, Rule};
pub use signals::{ClientNet, Dimension, Exemption, Key, Signals};
pub use table::Table;

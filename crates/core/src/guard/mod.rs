//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! `docs/concepts/guard.md` has the rules. A [`Bucket`] of messages empties with each one, and fills with time and with the numbers
//! that are verified. Budgets and rate limits are exact windows in the same table.
//!
//! Pure: the caller passes the time and the seed of the tables' hashes, and stores [`GuardRow`]s.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod decide;
mod rows;
mod rules;
#[cfg(test)]
mod tests;

pub use decide::{
    Charged, Explained, Finding, Guard, GuardRow, Refused, Scope, Ticket, Verified, VerifiedNumber,
};
pub use rows::{Bucket, Charge, Counted, MOST_BUCKETS, Row, Rows};
pub use rules::{
    Budget, ClientNet, Dimension, Entries, Entry, EntryAction, Floors, GuardRules, Key, Mode, Rule, Signals,
};

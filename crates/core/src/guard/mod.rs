//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! `docs/concepts/guard.md` has the rules. A [`Bucket`] of messages empties with each one, and fills with time and with the numbers
//! that are verified. Exact budgets are the bound beside it, if the operator sets them.
//!
//! Pure: the caller passes the time and the seed of the tables' hashes, and stores [`GuardRow`]s.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod bucket;
mod decide;
mod entries;
mod rows;
mod rules;
mod signals;
#[cfg(test)]
mod tests;
mod ticket;

pub use bucket::{Bucket, BucketNow, Figures};
pub use decide::{Explained, Finding, Guard, GuardRow, MOST_BUCKETS, Refused, Scope};
pub use entries::{Entries, Entry, EntryAction};
pub use rows::{Row, Rows};
pub use rules::{Floors, GuardRules, Mode, Rule};
pub use signals::{ClientNet, Dimension, Exemption, Key, Signals};
pub use ticket::{Charged, Count, CountId, Ticket, VerifiedChange, VerifiedNumber};

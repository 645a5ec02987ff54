//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! `docs/concepts/guard.md` has the rules. A [`Bucket`] of messages empties with each one, and fills with time and with the numbers
//! that are verified. Budgets and rate limits are exact windows in the same table.
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

pub use bucket::{Bucket, Figures};
pub use decide::{Explained, Finding, Guard, GuardRow, Refused, Scope};
pub use entries::{Entries, Entry, EntryAction};
pub use rows::{Charge, Counted, MOST_BUCKETS, NEARLY, Row, Rows, SPENT};
pub use rules::{Floors, GuardRules, Mode, Rule};
pub use signals::{Budget, ClientNet, Dimension, Exemption, Key, Signals};
pub use ticket::{Charged, Ticket, Verified, VerifiedNumber};

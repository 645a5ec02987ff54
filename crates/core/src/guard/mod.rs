//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! 1. The guard counts messages that were sent, verified and left unverified, in sliding windows of an hour and a day.
//! 2. It counts per number, prefix (the number without its last four digits), country, client address and in all. Rules
//!    compare the counts of the service only; those of all services are for explanations.
//! 3. A message is *pending* until its number is verified or its code expires; then it is *unverified*. Pending
//!    messages weigh a third, because those of honest users are soon verified.
//! 4. A country's *usual* unverified messages are learned: the share of its fourth best day of the last 14, times the
//!    verified messages of its best day or hour.
//! 5. The *limit* is one and a half times the usual figure, plus a floor or 3.6 standard deviations if they are more.
//! 6. A prefix, country or address above its limit is blocked for the service for 12 hours, and for longer while more attempts arrive
//!    than honest users would make. A country with users is blocked for half an hour at first, then twice as long.
//! 7. While a whole service is above its limit, a country without verified messages in the last 14 whole days is blocked
//!    after one message.
//! 8. A number that was verified in the last 30 days passes these blocks until four of its messages are unverified or
//!    pending.
//! 9. Before 14 days of history the guard only records what it would refuse; an exact, durable [`Budget`] is the bound.
//! 10. Memory is bounded: only a sent message adds a counter, and a full table forgets the one with least evidence.
//!
//! Pure: the caller passes the time and the seed of the tables' hashes, and stores [`GuardRow`]s.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod budget;
mod counters;
mod decide;
pub mod replay;
mod rows;
mod rules;
pub mod scenario;
mod signals;
#[cfg(test)]
mod tests;

pub use budget::{Allowance, Budget, BudgetState};
pub use counters::{Period, Tally};
pub use decide::{Block, Bounds, Entry, EntryAction, Guard, TooManyEntries};
pub use rows::{GuardRow, RowName};
pub use rules::{Assessment, Effect, Figures, Finding, GuardRules, Mode, Rule};
pub use signals::{ClientNet, Dimension, Key, Signals};

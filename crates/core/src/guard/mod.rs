//! The pumping guard: refuses messages that nobody verifies, so that a bot cannot spend the operator's money.
//!
//! 1. The guard counts messages that were sent, verified and left unverified, in windows of an hour and a day.
//! 2. It counts per number, per prefix (the number without its last four digits), per country, per client address and in
//!    all, once for the service and once for the installation.
//! 3. A message is *pending* until its number is verified or its code expires; then it is *unverified*. A pending message
//!    weighs a quarter of an unverified one, because most pending messages of honest users are verified soon.
//! 4. A country's *usual* unverified messages are learned: its share of unverified messages on a good day (the fourth best
//!    of the last 14), times the verified messages of its best day or hour.
//! 5. The *limit* is the usual figure plus 30 %, plus a floor or three standard deviations, whichever is larger.
//! 6. A prefix, country or address above its limit is blocked for 12 hours; the block is extended while more attempts
//!    arrive than honest users would make.
//! 7. When a whole service is above its limit, the floors shrink to a quarter, and a country without verified messages in
//!    the last 14 days has none.
//! 8. A number that was verified in the last 30 days passes these blocks. Its owner exists, and it has a limit of its own.
//! 9. Before 14 days of history the guard only records what it would refuse; an exact, durable [`Budget`] is the bound.
//! 10. Memory is bounded: only a sent message adds a counter, and a full table forgets the counter with the least evidence.
//!
//! Pure: the caller passes the time and the seed of the tables' hashes, and stores [`GuardRow`]s.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod budget;
mod counters;
mod decide;
pub mod replay;
mod rules;
pub mod scenario;
mod signals;
#[cfg(test)]
mod tests;

pub use budget::{Allowance, Budget, BudgetState, Spent};
pub use counters::{Period, Tally};
pub use decide::{
    Assessment, Bounds, Effect, Entry, EntryAction, Figures, Finding, Guard, GuardRow, TooManyEntries,
    Verdict,
};
pub use rules::{AdaptiveRule, GuardRules, Mode, Rule};
pub use signals::{ClientNet, Dimension, Key, Signals};

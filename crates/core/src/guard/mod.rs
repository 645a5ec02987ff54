//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! 1. A message takes one from the [allowances](Allowance) of its prefix (the number without its last four digits), client
//!    address, network and country, and of all unproven countries together. Without one it is refused.
//! 2. The last part of an allowance is kept for places where others have verified.
//! 3. A verification pays back what its attempt took; that of a new number pays `2 x tolerance` more.
//! 4. An allowance refills by itself: a fixed amount a day, and `tolerance` times the numbers that it usually verifies, a
//!    mean that decays over 7 days. A number counts once in 7 days.
//! 5. A number that was verified in the last 30 days needs no allowance for the first message since its last verification
//!    in a day. Further ones, up to four unverified and ten in all, take only of the client's address and network. Beyond
//!    them it takes allowances like any other.
//! 6. One number gets at most `sends_per_number` unverified messages. They come back over a day. Each message of rule 5's
//!    last sentence takes two and a half of them, verified or not.
//! 7. A refusal has no later effect.
//! 8. Allowances are of one service. A service with more than its equal share of a full table loses one of its own for each
//!    new one, and those without users before those with.
//! 9. Exact, durable [budgets](crate::budget) are the bound beside it, if the operator sets them.
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
    AllowanceNow, Entry, EntryAction, Explained, Guard, GuardRow, MOST_ALLOWANCES, RowName, TooManyEntries,
};
pub use rules::{Assessment, Effect, Figures, Finding, GuardRules, Mode, Refused, Rule};
pub use signals::{ClientNet, Dimension, Key, Signals};
pub use table::{Page, PageStart, Table};

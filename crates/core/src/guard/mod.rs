//! The pumping guard: refuses messages that lead to no verification, before a bot spends the operator's money.
//!
//! 1. A message takes one from the [allowances](Allowance) of its prefix (the number without its last four digits), client
//!    address, network and country, and of all unproven countries together. Without one it is refused.
//! 2. The last part of an allowance is kept for places where others have verified.
//! 3. The verification of a new number pays back what its attempt took, and `2 x tolerance` more.
//! 4. An allowance refills by itself: a fixed amount a day, and `tolerance` times the numbers that it usually verifies, a
//!    mean that decays over 7 days. A number counts once in 7 days.
//! 5. A number that was verified in the last 30 days needs no allowance for ten messages a day, of which four may be
//!    unverified. Beyond them it takes allowances like any other, and pays nothing back.
//! 6. One number gets at most `sends_per_number` unverified messages. They come back over a day. Each message of rule 5's
//!    second sentence takes two and a half of them, verified or not.
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

pub use allowance::{Allowance, NumberState, Refusals, Ticket, VerifiedNumber};
pub use decide::{
    AllowanceNow, Bounds, Entry, EntryAction, Explained, Guard, GuardRow, RowName, TooManyEntries,
};
pub use rules::{Assessment, Effect, Figures, Finding, GuardRules, Mode, Refused, Rule};
pub use signals::{ClientNet, Dimension, Key, Signals};
pub use table::PageStart;

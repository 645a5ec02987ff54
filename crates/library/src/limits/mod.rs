//! What may be sent: the guard, budgets, and exact counts.
//!
//! * [`guard`] refuses messages that cost money and lead to no verification.
//! * [`budgets`] holds the most messages or money of an hour or a day, if the operator sets it.
//! * [`counts`] has the exact counts behind budgets and rate limits.
//! * [`keys`] names the counts of rate limits, and keeps answers for idempotency keys.

pub mod budgets;
pub mod counts;
pub mod guard;
pub mod keys;

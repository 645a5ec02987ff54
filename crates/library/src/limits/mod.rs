//! What may be sent: the guard, budgets, and exact counts.
//!
//! * [`guard`] refuses messages that cost money and lead to no verification.
//! * [`budgets`] holds the most messages or money of an hour or a day, if the operator sets it.
//! * [`rate`] has the exact counts behind rate limits, and answers kept for idempotency keys.

pub mod budgets;
pub mod guard;
pub mod rate;

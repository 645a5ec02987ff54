//! What may be sent: the guard, budgets and rate limits.
//!
//! * [`guard`] refuses messages that cost money and lead to no verification, and keeps what was charged to budgets and rate
//!   limits.
//! * [`budgets`] holds the most messages or money of an hour or a day, if the operator sets it.
//! * [`keys`] names the values of rate limits, and keeps answers for idempotency keys.

pub mod budgets;
pub mod guard;
pub mod keys;

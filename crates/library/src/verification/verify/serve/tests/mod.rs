//! Promises about verifications beyond the engine's decisions: gateways, counters, idempotency keys, events.

mod events;
mod guard;
mod idempotency;
mod limits;
mod rules;
mod ways;

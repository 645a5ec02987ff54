//! What verifications promise beyond what the engine decides: gateways, counters, kept answers, events.

mod events;
mod idempotency;
mod limits;
mod rules;
mod ways;
mod world;

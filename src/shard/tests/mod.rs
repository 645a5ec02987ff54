//! The shard: what it answers, when, and in which order.

mod core_rules;
mod world;

//! The shard: what it answers, when, and in which order.

mod actors;
mod core_rules;
mod ends;
mod follow_ups;
mod gathering;
mod held_core;
mod holders;
mod planned_core;
mod prolonged;
mod replaced;
mod room;
mod world;

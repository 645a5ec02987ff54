//! Rules of a number's commands over a real shard, without its actor.

mod core_rules;
mod held_core;
mod planned_core;
mod world;

//! Rules of a number's commands over a real shard, without its actor.

mod core_rules;
mod ends;
mod held_core;
mod planned_core;
mod prolonged;
mod replaced;
mod world;

//! The engine's rules, one test each, and the whole engine against an independent model.

mod growing;
mod growing_any_order;
mod growing_attack;
mod growing_facts;
mod growing_model;
mod growing_steps;
mod held;
mod held_any_order;
mod held_model;
mod held_steps;
mod model;
mod per_verification;
mod replaced;
mod resumed;
mod rules;
mod world;
mod year;

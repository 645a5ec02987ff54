//! The engine's rules, one test each, and the whole engine against an independent model.

mod held;
mod per_verification;
mod replaced;
mod rules;
mod verification;
mod verification_facts;
mod verification_model;
mod verification_steps;
mod world;
mod year;

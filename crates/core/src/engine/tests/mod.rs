//! The engine's rules, one test each, and the whole engine against an independent model.

mod held;
mod per_verification;
mod rules;
mod verification_facts;
mod verification_model;
mod world;
mod year;

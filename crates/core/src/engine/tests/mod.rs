//! The engine against an independent model, rules that the models do not reach, and the best attacker of a year.

mod rules;
mod verification_model;
mod world;
mod year;

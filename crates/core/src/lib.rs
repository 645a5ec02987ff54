//! The decisions of onceward and the types they are made of: phone numbers, codes, policies, one number's life, the
//! pumping guard, budgets, results of gateways, and the texts of messages.
//!
//! This crate contains no I/O, reads no clock and draws no randomness: all three are parameters.

pub mod clock;
pub mod domain;
pub mod engine;
pub mod guard;
pub mod results;
pub mod template;

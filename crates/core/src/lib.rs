//! The decisions of onceward and the types they are made of: phone numbers, codes, policies, and one number's life.
//!
//! This crate contains no I/O, reads no clock and draws no randomness: all three are parameters.

pub mod clock;
pub mod domain;
pub mod engine;

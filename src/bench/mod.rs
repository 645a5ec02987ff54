//! Measuring the server beside others.

pub mod reference;

//! Verifications: a number proves that it belongs to the person who typed it.
//!
//! * [`numbers`] decides whether a code may be sent and whether a submitted code is right.
//! * [`verify`] knows verifications as Twilio Verify's API does: who may ask for what, and what is shown.
//! * [`hosted`] has the sessions of the hosted page.

pub mod hosted;
pub mod numbers;
pub mod verify;
#[cfg(test)]
#[path = "tests/world.rs"]
pub(crate) mod world;

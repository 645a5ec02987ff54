//! The library, as an embedding program uses it.

mod checking;
mod clock;
mod configured;
mod ending;
mod refused;
mod reports;
mod senders;
mod services;
mod texts;
mod world;

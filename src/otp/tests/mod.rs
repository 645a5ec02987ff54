//! The library, as a program that builds it in would use it.

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

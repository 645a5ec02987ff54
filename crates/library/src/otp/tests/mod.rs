//! The library, as an embedding program uses it.

mod checking;
mod clock;
mod ending;
mod world;

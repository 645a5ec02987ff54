//! The registry as its callers meet it.

mod durability;
mod services;
pub(crate) mod world;

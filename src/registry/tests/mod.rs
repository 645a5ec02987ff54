//! The registry as its callers meet it.

mod belongings;
mod configured;
mod credentials;
mod durability;
mod services;
mod texts;
pub(crate) mod world;

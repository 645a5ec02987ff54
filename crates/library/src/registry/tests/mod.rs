//! The registry as its callers use it.

mod audit;
mod belongings;
mod configured;
mod credentials;
mod durability;
mod services;
mod texts;

use super::world;

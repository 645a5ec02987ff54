//! The words of the field as types, parsed once at the edge.
//!
//! Nothing here does I/O, reads a clock or draws randomness. Personal data and secrets cannot be
//! printed by accident: their `Debug` and `Display` are masked.

mod channel;
mod code;
mod phone;
mod secret;
mod service;
mod time;

pub use channel::Channel;
pub use code::{Code, CodeLength};
pub use phone::{NumberError, PhoneNumber, Region};
pub use secret::{GatewayCredential, ServerKey};
pub use service::ServiceId;
pub use time::Timestamp;

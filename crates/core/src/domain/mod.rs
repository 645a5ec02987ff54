//! The words of the field as types, parsed once at the edge.
//!
//! Nothing here does I/O, reads a clock or draws randomness. Personal data and secrets cannot be
//! printed by accident: their `Debug` and `Display` are masked.

mod channel;
mod code;
mod gateway_name;
mod locale;
mod named;
mod number_pattern;
mod phone;
mod routing;
mod secret;
mod service;
mod sid;
mod time;
mod track;

pub use channel::Channel;
pub use code::{Code, CodeLength};
pub use gateway_name::{GatewayName, Held};
pub use locale::Locale;
pub use number_pattern::{NumberPattern, PatternError};
pub use phone::{NumberError, PhoneNumber, Region};
pub use routing::{ParsedEntry, ParsedRouting, ProviderName, Routing, RoutingEntry, RoutingError};
pub use secret::{ApiSecret, GatewayCredential, ServerKey};
pub use service::ServiceId;
pub use sid::{Sid, SidKind};
pub use time::Timestamp;
pub use track::{AttemptId, TrackKey};

//! The words of the field as types, parsed once at the edge.
//!
//! Nothing here does I/O, reads a clock or draws randomness. Personal data and secrets cannot be
//! printed by accident: their `Debug` and `Display` are masked.

mod code;
mod gateway;
mod ids;
mod locale;
mod lookup;
mod number_pattern;
mod phone;
mod routing;
mod secret;
mod time;

pub use code::{Code, CodeLength};
pub use gateway::{Channel, GatewayName, Held};
pub use ids::{AttemptId, AttemptLogKey, ServiceId, Sid, SidKind, record_id, record_id_parts};
pub use locale::Locale;
pub use lookup::{LineType, NumberLookup, NumberProblem};
pub use number_pattern::{NumberPattern, PatternError};
pub use phone::{NumberError, NumberType, PhoneNumber, Region, mask_number};
pub use routing::{ParsedEntry, ParsedRouting, ProviderName, Routing, RoutingEntry, RoutingError};
pub use secret::{ApiSecret, ServerKey};
pub use time::{DateTime, Timestamp, minutes_up, seconds_up};

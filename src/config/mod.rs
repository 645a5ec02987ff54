//! Settings: where they come from, what they may be, and what is said when they are wrong.

mod settings;

pub use settings::{AnswerSet, Bounds, GatewaySettings, ListenAddress, LogFormat, LogSettings, Settings};

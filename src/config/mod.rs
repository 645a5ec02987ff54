//! Settings: where they come from, what they may be, and what is said when they are wrong.
//!
//! Each source becomes a layer that knows where its values came from; figment stacks the layers:
//! command line, environment (`.env` below the variables of the process), config.json, default.
//! [`load`] reads every key, so that all errors are found at once, and checks the values against
//! each other. Nothing here reads the process: [`Sources`] hands everything in.

mod dotenv;
mod effective;
mod environment;
mod file;
mod gateways;
mod keys;
pub(crate) mod kind;
mod kinds;
mod layer;
pub mod limits;
mod listen;
mod load;
mod members;
mod message;
mod names;
mod nested;
mod object;
mod ranges;
mod reader;
mod report;
mod resolve;
mod schema;
pub mod services;
mod settings;
mod sources;
mod urls;
mod value;
mod workflow;

pub use effective::Effective;
pub use keys::default_shards;
pub use limits::SettingError;
pub use load::{KeysSettings, Loaded, load, load_keys, load_storage};
pub use report::{ConfigError, ConfigErrors};
pub use schema::json_schema;
pub use services::RegistrySettings;
pub use settings::{
    AnswerSet, Bounds, BreakerSettings, DeliverySettings, GatewaySettings, ListenAddress, LogFormat,
    LogSettings, RetrySettings, Settings, StorageSettings, TlsFiles, TrackerSettings, WorkflowStep,
};
pub use sources::{Overrides, Sources};
pub use workflow::workflow_steps;

#[cfg(test)]
mod tests;

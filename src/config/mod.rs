//! Settings: where they come from, what they may be, and what is said when they are wrong.
//!
//! The sources are merged into one object of JSON values, each with its origin; serde reads the settings from it, key by key,
//! so that all errors are found at once; then keys are checked against each other. A key is one field of a struct in
//! `settings`. Nothing here reads the process: [`Sources`] hands everything in.

#![expect(missing_docs, reason = "a field whose name says all needs no comment")]

mod checks;
mod cluster;
mod context;
mod dotenv;
mod gateways;
mod guard;
mod http_gateway;
mod load;
mod named_gateways;
mod prices;
mod schema;
pub mod services;
mod settings;
mod sources;
pub(crate) mod templates;
mod traces;

pub(crate) use crate::setting::{self as kind, values};

pub use cluster::ClusterSettings;
pub use context::{ConfigError, ConfigErrors, Effective};
pub use dotenv::is_denied as env_file_is_denied;
#[cfg(feature = "server")]
pub use gateways::{built_in_gateways, variable_prefixes};
pub use guard::GuardSettings;
pub use load::{
    KeysSettings, Loaded, default_shards, load, load_keys, load_listen, load_records, load_storage,
};
#[cfg(test)]
pub use named_gateways::unknown_members;
pub use prices::Prices;
pub use schema::json_schema;
pub use services::RegistrySettings;
pub use settings::{
    AnswerSet, AttemptLogSettings, Bounds, BreakerSettings, DeliverySettings, GatewaySettings, HookSettings,
    ListenAddress, ListenSettings, LogFormat, LogSettings, NumberRule, OnAmbiguous, Pricing, ProxySettings,
    RetrySettings, Settings, StorageSettings, TlsFiles, WorkflowStep,
};
#[cfg(feature = "server")]
pub(crate) use sources::json_members;
pub use sources::{
    NOT_THE_KEY, Overrides, OwnGateway, Program, Sources, is_readable_by_others, is_server_key,
};
pub use traces::TraceSettings;
pub use values::{HookKey, workflow_steps};

#[cfg(test)]
mod tests;

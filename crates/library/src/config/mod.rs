//! Settings: where they come from, what they may be, and what is said when they are wrong.
//!
//! The sources are merged, layer over layer, into one object of JSON values with their origins; a section is a struct that
//! serde reads from it; then sections are checked against each other. Nothing here reads the process: [`Sources`] hands
//! everything in.

#![expect(missing_docs, reason = "a field whose name says all needs no comment")]

mod dotenv;

mod read;

mod values;

mod sources;

mod guard;

mod sections;

pub(crate) mod templates;

pub mod services;

mod settings;

mod gateways;

mod checks;

mod load;

pub use dotenv::{SHARED_PREFIXES, is_readable_by_others};
pub use gateways::built_in_gateways;
pub use guard::{GuardSettings, Prices, Pricing, money_text};
pub use load::{ConfigErrors, Loaded, json_schema, load, load_beside, load_storage};
pub use read::{Pairs, Spelling, TWICE, Wrong, json, members, read_members, read_one, read_whole, twice_in};
pub use sections::{CaptchaSettings, ClusterSettings, HookKey, HookSettings};
pub use services::{RegistrySettings, Sender};
pub use settings::{
    AnswerSet, AttemptLogSettings, Bounds, BreakerSettings, DeliverySettings, GatewaySettings, LogFormat,
    LogLevel, LogSettings, NumberRule, ProxySettings, Settings, StorageSettings, TlsFiles,
};
pub use sources::{Given, LISTEN_FLAG, NOT_THE_KEY, OwnGateway, Sources, is_server_key};
pub use values::{ListenAddress, plain_url, template_sid};

pub(crate) use crate::domain::{friendly_name, note, one_line};

#[cfg(test)]
mod tests;

//! Services, templates and the account: how config.json spells them, and what they may be.
//!
//! The limits are here for the registry too, so that a service made over the API and one of config.json meet the same.

pub mod rules;
mod settings;
pub mod template;

pub use settings::{
    AccountSettings, DefaultService, RegistrySettings, ServiceSettings, TemplateSetting, TestNumberSettings,
};
pub use template::BUILT_IN_TEMPLATES;

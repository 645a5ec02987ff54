//! Services, templates and the account: how config.json spells them, and what they may be.
//!
//! The limits are here for the registry too, so that a service made over the API and one of config.json meet the same.

mod members;
mod objects;
mod read;
pub mod rules;
mod settings;
pub mod template;
mod texts;

pub use objects::{ServicesObject, TemplatesObject};
pub use read::services;
pub use settings::{
    AccountSettings, DefaultService, RegistrySettings, ServiceSettings, TemplateSetting, TestNumber,
};
pub use template::BUILT_IN_TEMPLATES;
pub use texts::templates;

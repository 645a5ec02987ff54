//! Services and templates: their types, and how config.json spells them.

mod read;
pub mod rules;
mod settings;
pub mod template;
mod values;

pub use read::{ServicesObject, TemplatesObject, services, templates};
pub use settings::{
    AccountSettings, ConfiguredService, RegistrySettings, ServiceParameter, ServiceSettings, SettingError,
    TestNumber, service_parameters,
};
pub use template::{Template, Translation, template_sid};
pub use values::{LockoutRule, Resend};

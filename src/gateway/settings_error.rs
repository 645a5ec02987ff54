//! Why a gateway cannot be used with the settings given.

use crate::domain::GatewayName;

/// A setting that cannot work. Names the setting and what is accepted, never the value: it may
/// contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{gateway}: {setting} {problem}")]
pub struct GatewaySettingsError {
    /// Whose setting.
    pub gateway: GatewayName,
    /// The setting as it is written in the configuration, such as `sms.mada.url`.
    pub setting: String,
    /// What is wrong with it and what is accepted: the rest of a sentence.
    pub problem: String,
}

impl GatewaySettingsError {
    pub(super) fn new(gateway: GatewayName, setting: impl Into<String>, problem: impl Into<String>) -> Self {
        // Both may repeat names that somebody wrote, and are printed as one line.
        let line = |text: String| text.replace(char::is_control, "\u{fffd}");
        Self { gateway, setting: line(setting.into()), problem: line(problem.into()) }
    }
}

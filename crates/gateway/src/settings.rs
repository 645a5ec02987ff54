//! Addresses and credentials in settings, and the error about one that cannot be used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::domain::GatewayName;

/// A setting that cannot work. Names the setting and what is accepted, never the value: it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{gateway}: {setting} {problem}")]
pub struct GatewaySettingsError {
    pub gateway: GatewayName,
    /// The setting as it is written in the configuration, such as `sms.mada.url (MADA_URL)`.
    pub setting: String,
    /// The problem and the accepted values: the rest of a sentence.
    pub problem: String,
}

impl GatewaySettingsError {
    pub(super) fn new(gateway: GatewayName, setting: impl Into<String>, problem: impl Into<String>) -> Self {
        // Both may repeat names from the configuration, and are printed as one line.
        let line = |text: String| text.replace(char::is_control, "\u{fffd}");
        Self { gateway, setting: line(setting.into()), problem: line(problem.into()) }
    }
}

/// The longest URL that the HTTP client sends, in bytes.
const LONGEST_URL: usize = 65_534;

/// An address with scheme and host. The error does not repeat it: it may contain a password.
pub(super) fn provider_url(
    gateway: GatewayName,
    setting: &str,
    text: &str,
) -> Result<Url, GatewaySettingsError> {
    let error = |problem: &str| GatewaySettingsError::new(gateway, setting, problem);
    let url = Url::parse(text).map_err(|_| error("must be a URL such as https://sms.example.com/send"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(error("must begin with https:// or http:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error("must not contain a user name or password: they have settings of their own"));
    }
    if url.fragment().is_some() {
        return Err(error("must not contain a # part, which is never sent"));
    }
    if url.as_str().len() > LONGEST_URL {
        return Err(error("is too long for a URL"));
    }
    Ok(url)
}

/// `base64(user:password)`.
pub(super) fn basic_credentials(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

#[cfg(test)]
mod tests;

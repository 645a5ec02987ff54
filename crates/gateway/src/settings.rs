//! Addresses and credentials in settings, and the error about one that cannot be used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use zeroize::Zeroizing;

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

/// An address that paths are added to; it has no query. Slashes at its end do not count.
pub(super) fn base_url(gateway: GatewayName, setting: &str, text: &str) -> Result<Url, GatewaySettingsError> {
    let url = provider_url(gateway, setting, text.trim_end_matches('/'))?;
    if url.query().is_some() {
        let problem = "must not contain a ? part: paths are added to it";
        return Err(GatewaySettingsError::new(gateway, setting, problem));
    }
    Ok(url)
}

/// The address of a path below such a one; the path is given without a slash in front.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// `base64(user:password)`.
pub(super) fn basic_credentials(user: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

/// The header of HTTP Basic authentication, which no `Debug` shows. `setting` is where both parts come from. A server would
/// read a user name with a colon as another name and password.
pub(super) fn basic_auth(
    gateway: GatewayName,
    setting: &str,
    user: &str,
    password: &SecretString,
) -> Result<HeaderValue, GatewaySettingsError> {
    let password = password.expose_secret();
    let is_usable = !user.is_empty() && !user.contains(':') && !password.is_empty();
    let header = Zeroizing::new(format!("Basic {}", *basic_credentials(user, password)));
    match HeaderValue::from_str(&header) {
        Ok(mut value) if is_usable => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => {
            let problem = "must both be given, the name or id without a colon";
            Err(GatewaySettingsError::new(gateway, setting, problem))
        }
    }
}

#[cfg(test)]
mod tests;

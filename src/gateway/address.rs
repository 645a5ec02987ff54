//! Addresses and credentials of providers, checked before anything is sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use reqwest::header::HeaderValue;
use url::Url;
use zeroize::Zeroizing;

use super::GatewaySettingsError;
use crate::domain::GatewayName;

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
    if url.as_str().parse::<Uri>().is_err() {
        return Err(error("is too long for a URL"));
    }
    Ok(url)
}

/// An address that paths are added to, so without a query. Slashes at its end do not count.
pub(super) fn base_url(gateway: GatewayName, setting: &str, text: &str) -> Result<Url, GatewaySettingsError> {
    let url = provider_url(gateway, setting, text.trim_end_matches('/'))?;
    if url.query().is_some() {
        let problem = "must not contain a ? part: paths are added to it";
        return Err(GatewaySettingsError::new(gateway, setting, problem));
    }
    Ok(url)
}

/// The address of a path below such a one; the path is given without a slash in front.
pub(super) fn below(base: &Url, path: &str) -> Option<Url> {
    Url::parse(&format!("{}/{path}", base.as_str().trim_end_matches('/'))).ok()
}

/// `base64(user:password)`.
pub(super) fn basic_credentials(user: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

/// The header, which no `Debug` shows. `None` for a user name with a colon, with which the server would read another
/// name and password, and for empty parts.
pub(super) fn basic_auth(user: &str, password: &str) -> Option<HeaderValue> {
    if user.is_empty() || user.contains(':') || password.is_empty() {
        return None;
    }
    let header = Zeroizing::new(format!("Basic {}", *basic_credentials(user, password)));
    let mut value = HeaderValue::from_str(&header).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;

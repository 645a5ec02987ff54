//! Addresses of providers, checked before anything is sent.

use hyper::Uri;
use url::Url;

use super::http_client::{HttpClient, is_this_machine};
use crate::domain::GatewayName;
use crate::gateway::GatewaySettingsError;

/// An address with scheme and host. The error does not repeat it: it may contain a password.
pub(in crate::gateway) fn provider_url(
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
    Ok(url)
}

/// An address that paths are added to, so without a query. Slashes at its end do not count.
pub(in crate::gateway) fn base_url(
    gateway: GatewayName,
    setting: &str,
    text: &str,
) -> Result<Url, GatewaySettingsError> {
    let url = provider_url(gateway, setting, text.trim_end_matches('/'))?;
    if url.query().is_some() {
        let problem = "must not contain a ? part: paths are added to it";
        return Err(GatewaySettingsError::new(gateway, setting, problem));
    }
    Ok(url)
}

/// The address of a path below such a one; the path is given without a slash in front.
pub(in crate::gateway) fn below(base: &Url, path: &str) -> Option<Url> {
    Url::parse(&format!("{}/{path}", base.as_str().trim_end_matches('/'))).ok()
}

/// An address in the form in which it is sent; `None` when it is too long for that.
pub(in crate::gateway) fn as_sent(url: &Url) -> Option<Uri> {
    url.as_str().parse().ok()
}

/// A client for that address. Warns when secrets would cross a network unprotected.
pub(in crate::gateway) fn client_for(
    gateway: GatewayName,
    setting: &str,
    url: &Url,
) -> Result<HttpClient, GatewaySettingsError> {
    if url.scheme() == "http" && !is_this_machine(url) {
        tracing::warn!(
            gateway = gateway.as_str(),
            host = url.host_str(),
            "the URL is not https: codes and credentials cross the network unprotected"
        );
    }
    HttpClient::for_target(url)
        .map_err(|error| GatewaySettingsError::new(gateway, setting, format!("cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_with_scheme_and_host_and_without_secrets_is_accepted() {
        for (text, problem) in [
            ("", "must be a URL"),
            ("sms.example.com/send", "must be a URL"),
            ("http://", "must be a URL"),
            ("ftp://sms.example.com", "must begin with"),
            ("mailto:a@example.com", "must begin with"),
            ("https://user:hunter2@sms.example.com", "must not contain a user name"),
            ("https://sms.example.com/#send", "must not contain a # part"),
        ] {
            let error = provider_url(GatewayName::Http, "http-gateway.url", text).expect_err(text);
            let words = error.to_string();
            assert!(words.starts_with(&format!("Http: http-gateway.url {problem}")), "{words}");
            assert!(!words.contains("hunter2"));
        }
        for text in ["https://sms.example.com", "http://127.0.0.1:8080/a/b?c=d"] {
            assert!(provider_url(GatewayName::Http, "http-gateway.url", text).is_ok(), "{text}");
        }
    }

    #[test]
    fn paths_are_added_to_an_address_whatever_its_end() {
        for (text, expected) in [
            ("https://sms.example.com", "https://sms.example.com/a/b"),
            ("https://sms.example.com/", "https://sms.example.com/a/b"),
            ("https://sms.example.com/v1//", "https://sms.example.com/v1/a/b"),
        ] {
            let base = base_url(GatewayName::Sinch, "url", text).expect(text);
            assert_eq!(below(&base, "a/b").expect("a URL").as_str(), expected);
        }
        let error = base_url(GatewayName::Sinch, "url", "https://sms.example.com?a=b").expect_err("a query");
        assert_eq!(error.problem, "must not contain a ? part: paths are added to it");
    }
}

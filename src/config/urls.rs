//! Addresses: of gateways, and the one under which they reach this server.

use schemars::{Schema, json_schema};
use url::Url;

use super::value::Setting;
use crate::net::is_loopback_host;

/// Where somebody answers: scheme, host and perhaps a path, without a slash at the end.
#[derive(Debug)]
pub struct BaseUrl(pub String);

impl BaseUrl {
    /// Whether it is Twilio itself that answers there.
    pub fn is_twilio(&self) -> bool {
        self.host().is_some_and(|host| host == "twilio.com" || host.ends_with(".twilio.com"))
    }

    /// Whether credentials would travel unencrypted beyond this machine.
    pub fn is_exposed(&self) -> bool {
        self.0.starts_with("http:") && !self.host().is_some_and(|host| is_loopback_host(&host))
    }

    fn host(&self) -> Option<String> {
        Url::parse(&self.0).ok()?.host_str().map(str::to_owned)
    }
}

impl Setting for BaseUrl {
    fn read(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let fits = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        fits.then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn is_secret(text: &str) -> bool {
        text.contains(['@', '?'])
    }

    fn shown(&self) -> String {
        self.0.clone()
    }

    fn accepted() -> String {
        "a URL that begins with http:// or https://, without a user name, a query or a fragment".to_owned()
    }

    fn placeholder() -> Self {
        Self("https://api.twilio.com".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "format": "uri" })
    }
}

/// The address of a gateway that is spelled without a scheme, as the Go framework does: `http://` is
/// meant. Kept as it was given.
#[derive(Debug)]
pub struct PlainUrl(pub String);

impl PlainUrl {
    /// Whether credentials would travel unencrypted beyond this machine.
    pub fn is_exposed(&self) -> bool {
        Self::whole(&self.0).is_some_and(|url| url.is_exposed())
    }

    fn whole(text: &str) -> Option<BaseUrl> {
        if text.contains("://") { BaseUrl::read(text) } else { BaseUrl::read(&format!("http://{text}")) }
    }
}

impl Setting for PlainUrl {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::whole(text).map(|_| Self(text.to_owned()))
    }

    fn is_secret(text: &str) -> bool {
        BaseUrl::is_secret(text)
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        format!(
            "host, port and path such as \"sms.example.com:8080/soap\" (http:// is added), or {}",
            BaseUrl::accepted()
        )
    }

    fn placeholder() -> Self {
        Self("localhost".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_loses_its_last_slash_and_keeps_its_path() {
        for (text, base) in [
            ("https://api.twilio.com/", "https://api.twilio.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://gateway.example/api/laml/", "https://gateway.example/api/laml"),
        ] {
            assert_eq!(BaseUrl::read(text).map(|url| url.0).as_deref(), Some(base), "{text}");
        }
        for text in
            ["", "api.twilio.com", "ftp://x", "https://u:p@x", "https://x?a=b", "https://x#a", "https://"]
        {
            assert!(BaseUrl::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_plain_base_url_is_exposed_unless_it_stays_on_this_machine() {
        for (text, exposed) in [
            ("http://gateway.example", true),
            ("https://gateway.example", false),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("http://localhost:8080", false),
        ] {
            assert_eq!(BaseUrl::read(text).map(|url| url.is_exposed()), Some(exposed), "{text}");
        }
    }

    #[test]
    fn only_twilios_own_hosts_are_twilio() {
        for (text, own) in [
            ("https://api.twilio.com", true),
            ("https://api.dublin.ie1.twilio.com", true),
            ("https://nottwilio.com", false),
            ("http://localhost:1", false),
        ] {
            assert_eq!(BaseUrl::read(text).map(|url| url.is_twilio()), Some(own), "{text}");
        }
    }

    #[test]
    fn an_address_without_a_scheme_is_kept_as_it_is() {
        for (text, exposed) in [
            ("sms.example.com:80/soap", true),
            ("127.0.0.1:80/soap", false),
            ("https://sms.example.com/", false),
        ] {
            let url = PlainUrl::read(text);
            assert_eq!(url.as_ref().map(|url| url.0.as_str()), Some(text));
            assert_eq!(url.map(|url| url.is_exposed()), Some(exposed), "{text}");
        }
        for text in ["", "ftp://x", "me:secret@x", "x?a=b", ":80"] {
            assert!(PlainUrl::read(text).is_none(), "{text}");
        }
    }
}

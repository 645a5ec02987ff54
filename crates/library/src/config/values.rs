//! The values of settings that the domain does not have: what each must be, how it is read from a text, and how it is shown.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use onceward_core::values;
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::domain::{PhoneNumber, Region, Sid, SidKind, is_name, optional, text};
use crate::net::is_loopback_host;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address; empty means every address.
    pub host: String,
    pub port: u16,
}

values! {
    ListenAddress: "host:port or :port (every address) with a port up to 65535, such as \"127.0.0.1:3000\", \"[::1]:3000\" or \
                    \":3000\", without a scheme", Self::parse, { "type": "string" };
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from)
    }
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }

    /// `host:port`, or `:port` for every address.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // Without brackets nothing says where an IPv6 address ends and the port begins.
        let is_split = !host.contains(':') || host.starts_with('[');
        let is_port = is_split && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        Some(Self { host: read_host(host)?, port: port.parse().ok().filter(|_| is_port)? })
    }
}

impl fmt::Display for ListenAddress {
    /// `host:port`, with brackets around an IPv6 address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// A name, an address, or nothing for every address, without brackets.
fn read_host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_address = bare.parse::<Ipv6Addr>().is_ok();
    let is_name = || text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (is_address || is_name()).then(|| bare.to_owned())
}

pub fn host<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let must_be = "a host name or an address such as \"localhost\", \"127.0.0.1\" or \"::1\", without a scheme or a port; \
                   empty means every address of the machine";
    optional(from, must_be, read_host).map(Option::unwrap_or_default)
}

/// The host, and perhaps the port, of the tutorial's `HOST`, which may be a URL such as `http://localhost:5000`. What is no host
/// stays, and is none in `test-hostname` either.
pub fn host_variable(text: &str) -> (String, Option<u16>) {
    let rest = text.trim().trim_start_matches("http://").trim_start_matches("https://");
    let rest = rest.split('/').next().unwrap_or_default();
    let is_host = |host: &String| !host.is_empty();
    match ListenAddress::parse(rest).filter(|address| is_host(&address.host)) {
        Some(address) => (address.host, Some(address.port)),
        None => (read_host(rest).filter(is_host).unwrap_or_else(|| text.to_owned()), None),
    }
}

pub fn header<'de, D: Deserializer<'de>>(from: D) -> Result<Option<HeaderName>, D::Error> {
    optional(from, "the name of a header, such as X-Forwarded-For", |text| text.parse().ok())
}

/// Networks. A single address is one too.
pub fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: &String| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let networks = Vec::<String>::deserialize(from)?.iter().map(network).collect::<Option<_>>();
    let must_be =
        "addresses and networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"] or \"127.0.0.1,10.0.0.0/8\"";
    networks.ok_or_else(|| D::Error::custom(format_args!("must be {must_be}")))
}

pub fn region<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Region>, D::Error> {
    optional(from, "the two letters of a country such as \"DE\" or \"US\" (ISO 3166-1)", Region::parse)
}

pub fn web_domain<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let must_be = "the host name of a web site such as \"example.com\", without a scheme, a port or a path (a name with other \
                   letters in its xn-- form)";
    optional(from, must_be, |text| {
        let text = text.to_ascii_lowercase();
        // A numeric address is no name, and a browser binds no code to it.
        let url = Url::parse(&format!("https://{text}/")).ok()?;
        (url.domain() == Some(text.as_str())).then_some(text)
    })
}

/// Origins as browsers spell them: scheme, host, and the port unless it is the scheme's.
pub fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let must_be = "origins, such as [\"https://app.example.com\"] or \"https://a.example,https://b.example\": scheme, host and \
                   perhaps a port, without a path and without wildcards. Name every host";
    let origins = Vec::<String>::deserialize(from)?;
    let are_origins = origins.iter().all(|origin| is_origin(origin));
    are_origins.then_some(origins).ok_or_else(|| D::Error::custom(format_args!("must be {must_be}")))
}

/// Scheme, host and perhaps a path, without a slash at the end.
pub fn base_url<'de, D: Deserializer<'de>, T: From<String>>(from: D) -> Result<Option<T>, D::Error> {
    let must_be = "a URL that begins with http:// or https://, without a user name, a query or a fragment";
    optional(from, must_be, |text| {
        let url = plain_url(text).filter(|url| url.query().is_none())?;
        Some(url.as_str().trim_end_matches('/').to_owned().into())
    })
}

pub fn page_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let must_be = "a URL that begins with https://, or with http:// for this machine";
    optional(from, must_be, read_page_url)
}

/// An id that becomes part of a URL, and must not be able to change the path. A private gateway may have any.
pub fn url_part<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    optional(from, "1 to 64 letters, digits, hyphens and underscores", |text| {
        is_name(text).then(|| text.to_owned())
    })
}

/// A number of ours. One in E.164 form is read without the metadata of all numbering plans, which takes 10 MiB of
/// memory that an idle server does without; whether its country has numbers of that length is for the provider to say.
pub fn read_number(text: &str) -> Option<PhoneNumber> {
    let plain = PhoneNumber::from_e164(text).filter(|number| number.as_u64() >= 1_000_000);
    plain.or_else(|| PhoneNumber::parse(text, None).ok())
}

pub fn own_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PhoneNumber>, D::Error> {
    let must_be = "a phone number with + and country code such as +14155552671, without \"whatsapp:\" or another prefix";
    optional(from, must_be, read_number)
}

/// No secret, but a token is easily pasted into the wrong place.
pub fn account_sid<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sid>, D::Error> {
    let must_be = "AC and 32 hexadecimal digits, such as `echo AC$(openssl rand -hex 16)` makes them";
    optional(from, must_be, |text| Sid::parse(SidKind::Account, text))
}

pub fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let must_be = "a token of at most 256 printable ASCII characters without spaces";
    optional(from, must_be, |text| is_word(text, 1, 256).then(|| text.into()))
}

/// The auth token of this server's own account.
pub fn account_token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let must_be = "16 to 128 visible ASCII characters without spaces, such as `openssl rand -hex 16` makes them; it is compared \
                   by a fast hash, so it must be random";
    optional(from, must_be, |text| is_word(text, 16, 128).then(|| text.into()))
}

fn is_word(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The id of a template of config.json, or of one that is built in.
pub fn template_sid(name: &str) -> Sid {
    Sid::of_name(SidKind::Template, "template", name)
}

/// Whether Twilio itself answers there.
pub fn is_twilio_host(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let below = url.as_ref().and_then(|url| url.host_str()?.strip_suffix("twilio.com"));
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// An address of http or https without a user name, a password or a fragment.
pub fn plain_url(text: &str) -> Option<Url> {
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(is_plain)
}

/// An address that a browser may be sent to: by TLS, or on its own machine.
/// Its host has no character that means something in a policy of browsers (CSP), where it is repeated.
pub fn read_page_url(text: &str) -> Option<Url> {
    let is_safe = |url: &Url| url.scheme() == "https" || url.host_str().is_some_and(is_loopback_host);
    plain_url(text).filter(|url| has_plain_host(url) && is_safe(url))
}

/// Whether this is an origin as browsers spell it, without wildcards.
pub fn is_origin(text: &str) -> bool {
    plain_url(text).is_some_and(|url| has_plain_host(&url) && url.origin().ascii_serialization() == text)
}

fn has_plain_host(url: &Url) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte);
    url.host_str().is_some_and(|host| host.bytes().all(is_plain))
}

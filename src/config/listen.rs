//! Where to listen: how it is spelled, which key decides, and who may reach it.

use std::fmt;
use std::net::Ipv6Addr;

use schemars::{Schema, json_schema};
use serde::Deserialize;
use url::{Host as UrlHost, Url};

use super::layer::LISTEN_FLAG;
use super::ranges::{Port, Whole};
use super::reader::{Reader, Taken};
use super::report::{ConfigErrors, Report};
use super::settings::ListenAddress;
use super::value::{Given, Setting};
use crate::net::is_loopback_host;

/// What to do about an address that strangers can reach.
const ALLOW: &str = "whoever reaches that address could send messages at your cost and try codes. Make an API key with \
     `onceward keys create`, or set ONCEWARD_ACCOUNT_SID and ONCEWARD_AUTH_TOKEN: callers then have to show a key. To serve \
     them without one all the same (behind a firewall or a proxy that checks who calls), add the line \
     \"allow-unauthenticated\": true to config.json or set ONCEWARD_ALLOW_UNAUTHENTICATED=true; else listen on localhost";

impl ListenAddress {
    /// Whether only this machine can reach the address: 127.0.0.0/8, `::1` or `localhost`.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }
}

impl fmt::Display for ListenAddress {
    /// `host:port`, with brackets around an IPv6 address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A host: a name, an address, or nothing for every address. Kept without brackets.
#[derive(Debug)]
pub struct Host(pub String);

impl Setting for Host {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Some(Self(String::new()));
        }
        let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if unbracketed.unwrap_or(text).parse::<Ipv6Addr>().is_ok() {
            return Some(Self(unbracketed.unwrap_or(text).to_owned()));
        }
        let name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        name.then(|| Self(text.to_owned()))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }

    fn accepted() -> String {
        "a host name or an address such as \"localhost\", \"127.0.0.1\" or \"::1\", without a scheme or a port; \
         empty means every address of the machine"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self("localhost".to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// `host:port`, or nothing.
#[derive(Debug)]
pub struct HostPort(pub Option<ListenAddress>);

impl Setting for HostPort {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Some(Self(None));
        }
        let (host, port) = text.rsplit_once(':')?;
        // Without brackets nobody can tell where an IPv6 address ends and the port begins.
        if host.contains(':') && !host.starts_with('[') {
            return None;
        }
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits)?;
        Some(Self(Some(ListenAddress { host: Host::read(host)?.0, port })))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    fn accepted() -> String {
        "host:port or :port (every address), such as \"127.0.0.1:3000\", \"[::1]:3000\" or \":3000\", without a \
         scheme"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self(None)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*(.*:[0-9]+)?\\s*$" })
    }
}

/// Reads the tutorial's `HOST`: a host, perhaps with a port, or a URL such as
/// `http://localhost:5000`. `None` when it is neither.
pub fn host_variable(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim();
    if !text.contains("://") {
        let text = text.strip_suffix('/').unwrap_or(text);
        if let Some(host) = Host::read(text) {
            return Some((host.0, None)).filter(|(host, _)| !host.is_empty());
        }
        let address = HostPort::read(text)?.0.filter(|address| !address.host.is_empty())?;
        return Some((address.host, Some(address.port)));
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let host = match url.host()? {
        UrlHost::Domain(name) => name.to_owned(),
        UrlHost::Ipv4(address) => address.to_string(),
        UrlHost::Ipv6(address) => address.to_string(),
    };
    Some((host, url.port()))
}

/// What only the command line can say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FlagKeys {
    /// [`LISTEN_FLAG`].
    #[serde(rename = "--listen")]
    pub listen: Given<HostPort>,
}

/// The keys that decide, highest first.
pub struct ListenKeys {
    /// `--listen`.
    pub flag: Given<HostPort>,
    /// `prod-domain`, in production.
    pub prod_domain: Given<HostPort>,
    /// `test-hostname`, else.
    pub test_hostname: Given<Host>,
    /// `test-port`, else.
    pub test_port: Given<Whole<Port>>,
}

/// The address to listen on. `None` after an error.
pub fn choose(
    keys: ListenKeys,
    production: Option<bool>,
    reader: &mut Reader<'_>,
) -> Option<Taken<ListenAddress>> {
    // All of them are read, also those that another overrules, so that no wrong value hides.
    let flag_given = !keys.flag.is_absent();
    let flag = reader.take(LISTEN_FLAG, keys.flag);
    let domain = reader.take("prod-domain", keys.prod_domain);
    let host = reader.take("test-hostname", keys.test_hostname);
    let port = reader.take("test-port", keys.test_port);
    if flag_given {
        required(LISTEN_FLAG, flag?, &format!("it must be {}", HostPort::accepted()), reader)
    } else if production? {
        let problem = "it is empty, but \"production\" is true and the server then listens there. Set it to \
                       host:port or :port";
        required("prod-domain", domain?, problem, reader)
    } else {
        let (host, port) = (host?, port?);
        let origin = if host.origin == port.origin {
            host.origin
        } else {
            format!("{} and {}", host.origin, port.origin)
        };
        let port = u16::try_from(port.value.get()).ok()?;
        Some(Taken { value: ListenAddress { host: host.value.0, port }, origin })
    }
}

/// What is wrong with an address that strangers can reach, as long as nobody has to show a key: it stops a start, but only
/// the data directory says whether there is a key. `None` for an address of this machine alone.
pub fn unless_keys(listen: &Taken<ListenAddress>) -> Option<ConfigErrors> {
    let Taken { value: listen, origin } = listen;
    if listen.is_loopback() {
        return None;
    }
    let reach =
        if listen.host.is_empty() { "it means every address of this machine" } else { "it is not loopback" };
    let mut report = Report::default();
    report.problem(format!("listen address {listen}"), format!("{reach}, and {ALLOW}"), origin.clone());
    report.finish::<()>(None).err()
}

fn required(
    key: &str,
    taken: Taken<HostPort>,
    problem: &str,
    reader: &mut Reader<'_>,
) -> Option<Taken<ListenAddress>> {
    let Taken { value: HostPort(address), origin } = taken;
    if address.is_none() {
        reader.report.problem(key, problem, origin.clone());
    }
    address.map(|value| Taken { value, origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_addresses_are_loopback() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(at(host).is_loopback(), "{host}");
        }
        for host in
            ["", "0.0.0.0", "::", "192.168.0.1", "example.com", "localhost.example.com", "::ffff:127.0.0.1"]
        {
            assert!(!at(host).is_loopback(), "{host:?}");
        }
    }

    #[test]
    fn host_and_port_are_split_where_they_should_be() {
        for (text, host, port) in [
            ("127.0.0.1:3000", "127.0.0.1", 3000),
            (":8080", "", 8080),
            ("[::1]:0", "::1", 0),
            (" example.com:443 ", "example.com", 443),
        ] {
            let expected = Some(ListenAddress { host: host.to_owned(), port });
            assert_eq!(HostPort::read(text).and_then(|read| read.0), expected, "{text}");
        }
        for text in
            ["localhost", "::1", "::1:3000", "localhost:", "a:70000", "a:+1", "http://a:1", "a b:1", "[x]:1"]
        {
            assert!(HostPort::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_tutorials_host_may_be_a_url() {
        for (text, host, port) in [
            ("http://localhost", "localhost", None),
            ("http://localhost:5000/", "localhost", Some(5000)),
            ("https://example.com", "example.com", None),
            ("http://[::1]:5000", "::1", Some(5000)),
            ("127.0.0.1", "127.0.0.1", None),
            ("[::1]", "::1", None),
            ("localhost/", "localhost", None),
            ("localhost:5000", "localhost", Some(5000)),
            ("127.0.0.1:5000/", "127.0.0.1", Some(5000)),
            ("[::1]:5000", "::1", Some(5000)),
            ("::1", "::1", None),
        ] {
            assert_eq!(host_variable(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in
            ["ftp://localhost", "http://", "local host", "localhost:", "localhost:x", ":3000", "/", " "]
        {
            assert_eq!(host_variable(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_prints_as_it_is_dialled() {
        assert_eq!(at("::1").to_string(), "[::1]:3000");
        assert_eq!(at("localhost").to_string(), "localhost:3000");
        assert_eq!(at("").to_string(), ":3000");
    }

    fn at(host: &str) -> ListenAddress {
        ListenAddress { host: host.to_owned(), port: 3000 }
    }
}

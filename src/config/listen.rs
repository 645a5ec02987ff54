//! Where to listen: which key decides, and who may reach it.

use std::fmt;
use std::net::Ipv6Addr;

use super::kind::{Kind, shown_json};
use super::load::Context;
use super::report::{ConfigErrors, Report};
use super::settings::{Inputs, ListenAddress};
use super::sources::LISTEN_FLAG;
use super::values::HostPort;
use crate::net::is_loopback_host;

/// What to do about an address that strangers can reach.
const ALLOW: &str = "whoever reaches that address could send messages at your cost and try codes. Make an API key with \
     `onceward keys create`, or set ONCEWARD_ACCOUNT_SID and ONCEWARD_AUTH_TOKEN: callers then have to show a key. To serve \
     them without one all the same (behind a firewall or a proxy that checks who calls), add the line \
     \"allow-unauthenticated\": true to config.json or set ONCEWARD_ALLOW_UNAUTHENTICATED=true; else listen on localhost";

impl ListenAddress {
    /// Whether only this machine can reach the address.
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

/// The address to listen on and where it came from. `None` after an error.
pub fn choose(production: bool, inputs: &Inputs, c: &mut Context) -> Option<(ListenAddress, String)> {
    if let Some(flag) = c.raw.values.get(LISTEN_FLAG) {
        let address = HostPort::of(flag).flatten();
        if address.is_none() {
            let given = shown_json(flag);
            c.wrong(LISTEN_FLAG, Some(given), format!("it must be {}", HostPort::accepted()));
        }
        return Some((address?, c.origin(LISTEN_FLAG)));
    }
    if c.is_wrong("production") {
        return None;
    }
    if production {
        if inputs.prod_domain.is_none() && !c.is_wrong("prod-domain") {
            let problem = "it is empty, but \"production\" is true and the server then listens there. Set it to host:port \
                           or :port";
            c.report.problem("prod-domain", problem, c.origin("prod-domain"));
        }
        return Some((inputs.prod_domain.clone()?, c.origin("prod-domain")));
    }
    let [host, port] = ["test-hostname", "test-port"].map(|key| c.origin(key));
    let origin = if host == port { host } else { format!("{host} and {port}") };
    Some((ListenAddress { host: inputs.test_hostname.clone(), port: inputs.test_port }, origin))
}

/// What is wrong with an address that strangers can reach, while no caller has to show a key: it stops a start, but only
/// the data directory says whether there is a key. `None` for an address of this machine alone.
pub fn unless_keys(listen: &ListenAddress, origin: &str) -> Option<ConfigErrors> {
    if listen.is_loopback() {
        return None;
    }
    let reach =
        if listen.host.is_empty() { "it means every address of this machine" } else { "it is not loopback" };
    let mut report = Report::default();
    let problem = format!("{reach}, and {ALLOW}");
    report.problem(format!("listen address {listen}"), problem, origin.to_owned());
    report.finish().err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_it_is_dialled() {
        for (host, text) in [("::1", "[::1]:3000"), ("localhost", "localhost:3000"), ("", ":3000")] {
            assert_eq!(ListenAddress { host: host.to_owned(), port: 3000 }.to_string(), text);
        }
    }
}

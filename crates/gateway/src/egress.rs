//! Decides which addresses a connection may go to, after the lookup: a name can lead anywhere, and to another address
//! at the next lookup.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use url::{Host, Url};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EgressPolicy {
    /// Anywhere: the operator has named the address.
    Anywhere,
    /// Private addresses too, but nothing that answers only to the machine itself, such as the metadata of a cloud.
    PrivateToo,
    PublicOnly,
}

/// Metadata services with addresses that are not link-local: of Alibaba Cloud, Azure and Oracle, and over IPv6 of
/// Amazon, its containers, Google, Oracle and Scaleway.
const METADATA: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

/// Names that are looked up at once. The system's resolver blocks a thread for each, for as long as it likes, and the
/// threads are those that files are read with. Further look-ups wait, and end with the connect time-out.
static LOOK_UPS: Semaphore = Semaphore::const_new(32);

/// Every address of a name is one that the policy refuses.
#[derive(Debug, thiserror::Error)]
#[error("the address is out of reach")]
pub(super) struct OutOfReach;

impl EgressPolicy {
    pub(super) fn allows(self, address: IpAddr) -> bool {
        let address = embedded_ipv4(address);
        match self {
            Self::Anywhere => true,
            Self::PrivateToo => !is_of_the_machine(address),
            Self::PublicOnly => !is_of_the_machine(address) && is_public(address) && !is_own(address),
        }
    }

    /// Whether `url` has a name as its host, or an address that may be connected to. Names are checked when they are
    /// resolved.
    pub(super) fn allows_host(self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(address)) => self.allows(address.into()),
            Some(Host::Ipv6(address)) => self.allows(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        }
    }
}

/// The system's resolver, without the addresses that the policy refuses.
impl Resolve for EgressPolicy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = *self;
        Box::pin(async move {
            let permit = LOOK_UPS.acquire().await?;
            // The permit is held until the thread is free, also when the caller has given up.
            let look_up = spawn_blocking(move || {
                let addresses = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), 0));
                drop(permit);
                addresses
            });
            let mut allowed = look_up.await??.filter(move |address| policy.allows(address.ip())).peekable();
            if allowed.peek().is_none() { Err(OutOfReach.into()) } else { Ok(Box::new(allowed) as Addrs) }
        })
    }
}

/// The IPv4 address that a connection to an IPv6 address reaches: IPv4-mapped (RFC 4291, 2.5.5), under the well-known
/// prefix of NAT64 (RFC 6052), or 6to4. Other addresses stay as they are.
fn embedded_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let halves = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => halves(high, low),
        _ => IpAddr::V6(v6),
    }
}

fn is_of_the_machine(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || contains_unroutable_ipv4(v6),
    };
    link_local || METADATA.contains(&address)
}

/// Whether an IPv6 address contains an IPv4 address in an obsolete form (IPv4-compatible, RFC 4291, 2.5.5.1;
/// IPv4-translated, RFC 2765), or under the local prefix of NAT64 (RFC 8215), which only the network can resolve.
fn contains_unroutable_ipv4(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Except the unspecified address and loopback.
        [0, 0, 0, 0, 0, 0, high, low] => high != 0 || low > 1,
        // The last one is Teredo (RFC 4380), which only a relay can resolve.
        [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => true,
        _ => false,
    }
}

/// Whether an interface of this machine has the address: the system lets a socket be bound to no other. Where it does
/// (`net.ipv4.ip_nonlocal_bind`), no address counts as its own.
fn is_own(address: IpAddr) -> bool {
    let binds = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    let of_documentation: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    binds(address) && !binds(of_documentation)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let special = matches!(
                v4.octets(),
                // This network, shared addresses of providers, protocols, AS112, AMT, relays of 6to4, measuring;
                // multicast and beyond (IANA's registry of special-purpose addresses).
                [0 | 224..=255, ..]
                    | [100, 64..=127, ..]
                    | [192, 0, 0, _]
                    | [192, 31, 196, _]
                    | [192, 52, 193, _]
                    | [192, 88, 99, _]
                    | [192, 175, 48, _]
                    | [198, 18 | 19, ..]
            );
            !(special || v4.is_loopback() || v4.is_private() || v4.is_documentation())
        }
        // All that is given out for the public, without addresses for protocols, AS112 (RFC 7534), the former 6bone (RFC
        // 3701) and documentation (RFC 3849, RFC 9637). SRv6 (5f00::/16, RFC 9602) is not part of it.
        IpAddr::V6(v6) => match v6.segments() {
            [0x2001, 0..=0x1ff | 0xdb8, ..]
            | [0x2620, 0x4f, 0x8000, ..]
            | [0x3ffe, ..]
            | [0x3fff, 0..=0xfff, ..] => false,
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

#[cfg(test)]
mod tests;

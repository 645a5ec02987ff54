//! The facts about a send that the guard looks at, and the keys of its counters.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId};

/// The facts about a send.
#[derive(Debug, Clone, Copy)]
pub struct Signals {
    pub service: ServiceId,
    pub number: PhoneNumber,
    /// `None` for a number of no country.
    pub country: Option<Region>,
    /// `Other` where no rule reads it.
    pub number_type: NumberType,
    pub channel: Channel,
    /// The client's network, if the caller passes an address.
    pub client: Option<ClientNet>,
    pub exemption: Exemption,
    /// The code is another system's. Unless that reported an outcome in the last days, nothing tells which messages of the
    /// service led to a verified number, and each takes one of its number only.
    pub is_carried: bool,
    /// Of the message, in millionths of the currency; `None` if it is not known.
    pub price: Option<u64>,
}

/// The rules that a message is exempt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Exemption {
    #[default]
    None,
    /// The request says `RiskCheck=disable`: the message takes one of its number only.
    Allowances,
    /// The operator sends: the number may also be of any type, as one with [`Entry::SAFE`](super::Entry::SAFE).
    AllowancesAndTypes,
}

/// The network of a client: the /24 of an IPv4 address, the /48 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientNet(u64);

/// Marks an IPv4 address. As an IPv6 prefix it is multicast, which is no client's.
const V4: u64 = 0xffff_ffff_0000_0000;

impl From<IpAddr> for ClientNet {
    fn from(address: IpAddr) -> Self {
        let v4 = |v4: Ipv4Addr| Self(V4 | u64::from(v4.to_bits() & !0xff));
        match address.to_canonical() {
            IpAddr::V4(address) => v4(address),
            // NAT64.
            IpAddr::V6(v6) if v6.to_bits() >> 32 == 0x64_ff9b << 64 => {
                let [.., a, b, c, d] = v6.octets();
                v4(Ipv4Addr::new(a, b, c, d))
            }
            // A header may name any address: one that looks like the mark counts as unspecified.
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments().map(u64::from);
                let prefix = a << 48 | b << 32 | c << 16;
                Self(if prefix & V4 == V4 { 0 } else { prefix })
            }
        }
    }
}

impl fmt::Display for ClientNet {
    /// `192.0.2.0/24` or `2001:db8::/48`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.0 ^ V4) {
            Ok(address) => write!(f, "{}/24", Ipv4Addr::from_bits(address)),
            Err(_) => write!(f, "{}/48", Ipv6Addr::from_bits(u128::from(self.0) << 64)),
        }
    }
}

/// What a bucket, an entry or a refusal is about. Records contain the position of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dimension {
    /// Of the entry for known numbers only, and of the outcomes of carried codes.
    Total,
    /// `None`: all countries without users together.
    Country(Option<Region>),
    /// A number without its last four digits.
    Prefix(u64),
    /// A client's network.
    Network(ClientNet),
    Number(PhoneNumber),
    /// What a number that was verified in the last 30 days gets without prefix, country and client.
    Known(PhoneNumber),
}

impl Dimension {
    pub const fn prefix_of(number: PhoneNumber) -> Self {
        Self::Prefix(number.as_u64() / 10_000)
    }
}

impl fmt::Display for Dimension {
    /// A number is masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total => f.write_str("all"),
            Self::Country(Some(country)) => write!(f, "{country}"),
            Self::Country(None) => f.write_str("countries without users"),
            Self::Prefix(digits) => write!(f, "+{digits}****"),
            Self::Network(net) => write!(f, "{net}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Known(number) => write!(f, "{number} as a known number"),
        }
    }
}

/// The key of an entry or a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// `None` for all services.
    pub service: Option<ServiceId>,
    pub dimension: Dimension,
}

impl Key {
    pub const fn new(service: Option<ServiceId>, dimension: Dimension) -> Self {
        Self { service, dimension }
    }
}

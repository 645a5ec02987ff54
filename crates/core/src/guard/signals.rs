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
    /// The client's address, if the caller passes one. Without it no rule about addresses applies.
    pub address: Option<ClientNet>,
    pub exemption: Exemption,
    /// Nothing tells which messages of the service led to a verified number: those of countries count for nothing, and those
    /// of prefixes and networks a fifth.
    pub without_outcomes: bool,
    /// Of the message, in millionths of the currency; `None` if it is not known.
    pub price: Option<u64>,
}

/// The rules that a message is exempt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exemption {
    #[default]
    None,
    /// The request says `RiskCheck=disable`: the message needs no allowance but the number's own.
    Allowances,
    /// The operator sends: the number may also be of any type, as one with [`Entry::SAFE`](super::Entry::SAFE).
    AllowancesAndTypes,
}

/// A client: an IPv4 address, or the /64 of an IPv6 address, which one client usually has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientNet(u64);

impl ClientNet {
    /// The network around it: the /24 of an IPv4 address, the /48 of an IPv6 one.
    #[must_use]
    pub const fn network(self) -> Self {
        let host = if self.0 & V4 == V4 { 0xff } else { 0xffff };
        Self(self.0 & !host)
    }

    /// A fingerprint of its network, which is not 0. Only who knows `key` can tell which networks share one.
    pub(super) fn fingerprint(self, key: u64) -> u16 {
        // Two rounds of a multiplication and a shift mix all bits.
        let mix = |x: u64| (x ^ x >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [.., high, low] = mix(mix(self.network().0 ^ key)).rotate_left(16).to_be_bytes();
        u16::from_be_bytes([high, low]).max(1)
    }

    /// The address with the length of its prefix, if it is one of IPv4 or of IPv6.
    fn named(self, v4: &str, v6: &str) -> String {
        match u32::try_from(self.0 ^ V4) {
            Ok(address) => format!("{}{v4}", Ipv4Addr::from_bits(address)),
            Err(_) => format!("{}{v6}", Ipv6Addr::from_bits(u128::from(self.0) << 64)),
        }
    }
}

/// Marks an IPv4 address. As an IPv6 prefix it is multicast, which is no client's.
const V4: u64 = 0xffff_ffff_0000_0000;

impl From<IpAddr> for ClientNet {
    fn from(address: IpAddr) -> Self {
        let v4 = |v4: Ipv4Addr| Self(V4 | u64::from(v4.to_bits()));
        match address.to_canonical() {
            IpAddr::V4(address) => v4(address),
            // NAT64.
            IpAddr::V6(v6) if v6.to_bits() >> 32 == 0x64_ff9b << 64 => {
                let [.., a, b, c, d] = v6.octets();
                v4(Ipv4Addr::new(a, b, c, d))
            }
            // A header may name any address: one that looks like the mark counts as unspecified.
            IpAddr::V6(v6) => {
                let prefix = (v6.to_bits() >> 64).try_into().unwrap_or(0);
                Self(if prefix & V4 == V4 { 0 } else { prefix })
            }
        }
    }
}

impl fmt::Display for ClientNet {
    /// `192.0.2.7` or `2001:db8::/64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named("", "/64"))
    }
}

/// What an allowance, an entry or a refusal is about. Records contain the position of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dimension {
    /// Of the entry for known numbers only.
    Total,
    Country(Option<Region>),
    /// A number without its last four digits.
    Prefix(u64),
    /// Of manual entries.
    Address(ClientNet),
    /// A [`ClientNet::network`].
    Network(ClientNet),
    /// All unproven countries together.
    Unproven,
    Number(PhoneNumber),
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
            Self::Country(None) => f.write_str("no country"),
            Self::Prefix(digits) => write!(f, "+{digits}****"),
            Self::Address(net) => write!(f, "{net}"),
            Self::Network(net) => f.write_str(&net.named("/24", "/48")),
            Self::Unproven => f.write_str("unproven"),
            Self::Number(number) => write!(f, "{number}"),
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

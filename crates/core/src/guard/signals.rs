//! The facts about a send that the guard looks at, and the keys of its counters.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId};
use crate::named;

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

/// The network of a client: the first address of the /24 of an IPv4 one, or of the /48 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientNet(IpAddr);

impl From<IpAddr> for ClientNet {
    fn from(address: IpAddr) -> Self {
        let v4 = |bits: u32| Self(Ipv4Addr::from_bits(bits & !0xff).into());
        match address.to_canonical() {
            IpAddr::V4(address) => v4(address.to_bits()),
            IpAddr::V6(address) => match address.octets() {
                // NAT64.
                [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, v4_octets @ ..] => {
                    v4(u32::from_be_bytes(v4_octets))
                }
                _ => Self(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into()),
            },
        }
    }
}

impl fmt::Display for ClientNet {
    /// `192.0.2.0/24` or `2001:db8::/48`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 24 } else { 48 })
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
    Budget(Budget),
    /// A value of a rate limit: its digest.
    Limit(u64),
}

named! {
    /// What an operator limits, by its key in the settings.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum Budget {
        MessagesPerHour = "messages-per-hour",
        MessagesPerDay = "messages-per-day",
        /// In millionths of the currency.
        MoneyPerDay = "money-per-day",
    }
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
            Self::Budget(budget) => write!(f, "{budget}"),
            Self::Limit(_) => f.write_str("a value of a rate limit"),
        }
    }
}

/// The key of a row, an entry or a finding.
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

    /// Whether its row is a window.
    pub const fn is_window(&self) -> bool {
        matches!(self.dimension, Dimension::Budget(_) | Dimension::Limit(_))
    }
}

//! The guard's rules for one service, and the names of the rules that refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::domain::{Channel, NumberType, PhoneNumber, Region, ServiceId, Timestamp};
use crate::{named, values};

named! {
    /// What a rule does when a send breaks it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Mode {
        Off = "off",
        /// The send passes, and the finding is recorded.
        Record = "record",
        #[default]
        Block = "block",
    }
}

values! {
    Mode: "one of \"off\", \"record\", \"block\"", |text| Self::ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(text)), {
        "type": "string",
        "enum": Self::ALL.map(Self::as_str),
    };
}

named! {
    /// Names a rule in findings. Records contain its position in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Rule {
        /// A manual entry of the operator.
        Entry = "entry",
        /// `allowed-countries` and `blocked-countries`.
        CountryList = "country_list",
        /// Numbers that are [`Special`](crate::domain::NumberType::Special).
        NumberType = "number_type",
        /// A landline, for a text message.
        Landline = "landline",
        /// `max-price`.
        Price = "price",
        /// Known numbers only.
        KnownOnly = "known_only",
        /// Unverified messages to one number.
        Number = "number",
        /// The buckets of places.
        Prefix = "prefix",
        Network = "network",
        Country = "country",
        /// A budget of messages or money. The server decides it, and those below, which are not of the guard.
        Budget = "budget",
        /// A rate limit of the service.
        RateLimit = "rate_limit",
        /// The number is locked out.
        Lockout = "lockout",
        /// The messages, the checks or the pauses of the verification.
        Verification = "verification",
    }
}

/// The rules of one service. The default is meant for every service.
#[derive(Debug, Clone, PartialEq, SmartDefault)]
pub struct GuardRules {
    /// What happens to a message that lacks one of a bucket.
    pub mode: Mode,
    /// [`Special`](crate::domain::NumberType::Special) numbers.
    pub number_types: Mode,
    /// Text messages to landlines.
    pub landlines: Mode,
    /// `None` for all countries.
    pub allowed_countries: Option<BTreeSet<Region>>,
    pub blocked_countries: BTreeSet<Region>,
    /// Of a message, in millionths of the currency. A message without a known price is refused.
    pub max_price: Option<u64>,
    /// Unverified messages in a day for each one that is usually verified.
    #[default = 1]
    pub tolerance: u32,
    pub floors: Floors,
}

/// Messages of the full buckets of subjects without users. Only tests replace them.
#[derive(Debug, Clone, Copy, PartialEq, SmartDefault)]
pub struct Floors {
    #[default = 20.0]
    pub number: f64,
    #[default = 10.0]
    pub prefix: f64,
    #[default = 20.0]
    pub network: f64,
    #[default = 25.0]
    pub country: f64,
    /// All countries without users together.
    #[default = 60.0]
    pub others: f64,
    /// What a new service is lent. With `others`, the most that an attacker gets on its first day.
    #[default = 270.0]
    pub loan: f64,
}

impl GuardRules {
    /// Whether the lists of countries permit messages to this country.
    pub fn permits(&self, country: Option<Region>) -> bool {
        let is_in = |list: &BTreeSet<Region>| country.is_some_and(|country| list.contains(&country));
        !is_in(&self.blocked_countries) && self.allowed_countries.as_ref().is_none_or(is_in)
    }

    /// Whether a message costs too much, or may.
    pub fn is_too_dear(&self, price: Option<u64>) -> bool {
        self.max_price.is_some_and(|most| price.is_none_or(|price| price > most))
    }

    /// Whether the type of a number matters.
    pub fn reads_types(&self) -> bool {
        self.number_types != Mode::Off || self.landlines != Mode::Off
    }

    /// The lists and types that a message breaks, and what follows.
    pub fn fixed(
        &self,
        country: Option<Region>,
        number_type: NumberType,
        channel: Channel,
        price: Option<u64>,
    ) -> impl Iterator<Item = (Rule, Mode)> {
        let is_text_to_landline = number_type == NumberType::Landline && channel != Channel::Call;
        let rules = [
            (Rule::CountryList, Mode::Block, !self.permits(country)),
            (Rule::Price, Mode::Block, self.is_too_dear(price)),
            (Rule::NumberType, self.number_types, number_type == NumberType::Special),
            (Rule::Landline, self.landlines, is_text_to_landline),
        ];
        let broken = rules.into_iter().filter(|(_, mode, is_broken)| *is_broken && *mode != Mode::Off);
        broken.map(|(rule, mode, _)| (rule, mode))
    }
}

// Manual entries of the operator: messages to or from a subject take no bucket, or are refused, for a time.

/// Manual entries, safe numbers included.
const MOST_ENTRIES: usize = 120_000;

/// Those of one service.
const MOST_OF_SERVICE: usize = 5_000;

named! {
    /// What a manual entry does. Records contain the position of the variant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum EntryAction {
        /// Messages take no bucket.
        Allow = "allow",
        Block = "block",
        /// Of all subjects: only numbers that were verified in the last 30 days get messages.
        KnownOnly = "known-only",
    }
}

/// A manual entry of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub action: EntryAction,
    pub until: Timestamp,
}

impl Entry {
    /// That of a number on the safe list, in all services: its type does not matter either, and it counts as known.
    pub const SAFE: Self = Self { action: EntryAction::Allow, until: Timestamp::MAX };
}

/// All manual entries, perhaps some that have ended.
#[derive(Debug, Clone, Default)]
pub struct Entries(BTreeMap<Key, Entry>);

impl Entries {
    pub fn get(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        self.0.get(key).copied().filter(|entry| now < entry.until)
    }

    /// Whether a number is on the safe list.
    pub fn is_safe(&self, number: PhoneNumber) -> bool {
        self.0.get(&Key::new(None, Dimension::Number(number))) == Some(&Entry::SAFE)
    }

    pub fn list(&self, now: Timestamp) -> impl Iterator<Item = (Key, Entry)> {
        self.0.iter().map(|(key, entry)| (*key, *entry)).filter(move |(_, entry)| now < entry.until)
    }

    /// Adds or replaces an entry, or removes it. The caller has stored it.
    pub fn set(&mut self, key: Key, entry: Option<Entry>) {
        match entry {
            Some(entry) => drop(self.0.insert(key, entry)),
            None => drop(self.0.remove(&key)),
        }
    }

    /// Drops those that have ended. Returns whether there is room for one under this key.
    pub fn make_room(&mut self, key: &Key, now: Timestamp) -> bool {
        self.0.retain(|_, old| now < old.until);
        let own = self.0.keys().filter(|of| of.service == key.service).count();
        let has_room = self.0.len() < MOST_ENTRIES && (key.service.is_none() || own < MOST_OF_SERVICE);
        has_room || self.0.contains_key(key)
    }
}

// The facts about a send that the guard looks at, and the keys of its counters.

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
    /// The request says `RiskCheck=disable`, the operator sends, or the code is another system's: the message takes one of
    /// its number only.
    pub is_exempt: bool,
    /// Of the message, in millionths of the currency; `None` if it is not known.
    pub price: Option<u64>,
}

/// The network of a client: the first address of the /24 of an IPv4 one, or of the /48 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientNet(IpAddr);

impl ClientNet {
    /// One in which no client can be, and therefore without users (0.0.0.0/24).
    pub const UNUSED: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
}

impl From<IpAddr> for ClientNet {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(Ipv4Addr::from_bits(address.to_bits() & !0xff).into()),
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into()),
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
    /// Of the entry for known numbers only.
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
    /// What a new service is lent beyond the allowances of its countries and its clients' networks.
    Loan,
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
            Self::Loan => f.write_str("the loan of a new service"),
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

//! The guard's rules for one service, and the names of the rules that refuse.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::domain::{Channel, NumberType, Region};
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

//! The rules and budgets of the pumping guard, as config.json has them.

use std::collections::BTreeSet;

use onceward_core::guard::{Floors, GuardRules, Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::prices::{micros, money_text};
use crate::domain::{Region, Whole, optional};

/// The guard's rules and budgets. A key that is not given leaves the rule as it is: a service has the rules of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct GuardSettings {
    /// What happens to messages without an allowance: they are refused (`block`), or pass and are recorded (`record`).
    /// `off` keeps no allowances.
    pub mode: Option<Mode>,
    /// Unverified messages a day for each number that is usually verified. 2 where fewer than 40 % verify: an attack
    /// then costs twice as much.
    #[serde(deserialize_with = "Whole::<0, 10>::option")]
    #[schemars(with = "Whole::<0, 10>")]
    pub tolerance: Option<u32>,
    /// Messages in an hour of UTC, or `off`.
    #[serde(with = "Limit::<MESSAGES>")]
    #[schemars(with = "Whole::<1, MOST_MESSAGES>")]
    pub messages_per_hour: Option<u64>,
    /// Messages in a day of UTC, or `off`.
    #[serde(with = "Limit::<MESSAGES>")]
    #[schemars(with = "Whole::<1, MOST_MESSAGES>")]
    pub messages_per_day: Option<u64>,
    /// Money in a day of UTC, by the key `prices`, with at most six decimals, or `off`.
    #[serde(with = "Limit::<MONEY>")]
    #[schemars(with = "Option<f64>", extend("type" = ["number", "string"]))]
    pub money_per_day: Option<u64>,
    /// Money for one message, by the key `prices`, which must be given, with at most six decimals, or `off`. A message to a
    /// country without a price is refused.
    #[serde(with = "Limit::<MONEY>")]
    #[schemars(with = "Option<f64>", extend("type" = ["number", "string"]))]
    pub max_price: Option<u64>,
    /// The only countries that get messages, by their two letters. By default all.
    #[serde(deserialize_with = "allowed_countries")]
    pub allowed_countries: Option<BTreeSet<Region>>,
    /// Countries that get no messages, by their two letters.
    pub blocked_countries: Option<BTreeSet<Region>>,
    /// Premium, shared-cost, personal (but +1 5xx), pager, universal-access, voicemail and satellite numbers, and those of no country (+800, +878).
    pub number_types: Option<Mode>,
    /// Text messages to landlines.
    ///
    /// A call takes their place where `voice-fallback` allows it.
    pub landlines: Option<Mode>,
    /// Bounds that only tests replace: the floors of a number, and of all countries without users.
    #[serde(skip)]
    pub sends_per_number: Option<u32>,
    #[serde(skip)]
    pub other_countries: Option<u32>,
}

impl GuardSettings {
    /// These rules, with what is given here.
    pub fn rules(&self, base: &GuardRules) -> GuardRules {
        GuardRules {
            mode: self.mode.unwrap_or(base.mode),
            tolerance: self.tolerance.unwrap_or(base.tolerance),
            number_types: self.number_types.unwrap_or(base.number_types),
            landlines: self.landlines.unwrap_or(base.landlines),
            allowed_countries: self.allowed_countries.clone().or_else(|| base.allowed_countries.clone()),
            max_price: self.max_price.or(base.max_price).filter(|price| *price != NO_LIMIT),
            blocked_countries: self.blocked_countries.as_ref().unwrap_or(&base.blocked_countries).clone(),
            floors: Floors {
                number: self.sends_per_number.map_or(base.floors.number, f64::from),
                others: self.other_countries.map_or(base.floors.others, f64::from),
                ..base.floors
            },
        }
    }
}

const NO_LIMIT: u64 = u64::MAX;

const MOST_MESSAGES: u64 = 1_000_000_000;

const MESSAGES: bool = false;
const MONEY: bool = true;

/// A number of messages, or money in millionths, or `off`: for `#[serde(with = "Limit::<MONEY>")]`.
struct Limit<const IS_MONEY: bool>;

impl<const IS_MONEY: bool> Limit<IS_MONEY> {
    fn read(text: &str) -> Option<u64> {
        if text.eq_ignore_ascii_case("off") {
            return Some(NO_LIMIT);
        }
        let limit =
            if IS_MONEY { micros(text) } else { text.parse().ok().filter(|number| *number <= MOST_MESSAGES) };
        limit.filter(|limit| *limit > 0)
    }

    fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        let messages = "a whole number from 1 to 1000000000, or \"off\"";
        let money = "an amount of money with at most six decimals, such as 50 or \"12.50\", or \"off\"";
        optional(from, if IS_MONEY { money } else { messages }, Self::read)
    }

    fn serialize<S: Serializer>(limit: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        let shown = |limit| match limit {
            NO_LIMIT => json!("off"),
            money if IS_MONEY => json!(money_text(money)),
            messages => json!(messages),
        };
        limit.map(shown).serialize(to)
    }
}

/// An empty list would refuse every message.
fn allowed_countries<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BTreeSet<Region>>, D::Error> {
    let countries = Option::<BTreeSet<Region>>::deserialize(from)?;
    let problem = "must be a list of at least one country; without the key, every country gets messages";
    let is_empty = countries.as_ref().is_some_and(BTreeSet::is_empty);
    if is_empty { Err(serde::de::Error::custom(problem)) } else { Ok(countries) }
}

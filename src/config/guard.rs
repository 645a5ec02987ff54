//! The rules and budgets of the pumping guard, as config.json has them.

use std::collections::BTreeSet;

use onceward_core::guard::{GuardRules, Mode};
use schemars::json_schema;
use serde_json::{Value, json};

use super::kind::{As, Choice, Spelled, Whole, kinds, settings, text_of};
use super::prices::micros;
use crate::domain::Region;

settings! {
    /// The guard's rules and budgets. A key that is not given leaves the rule as it is: a service has the rules of the server.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct GuardSettings {
        /// What happens to messages without an allowance: they are refused (`block`), or pass and are recorded (`record`).
        /// `off` keeps no allowances.
        pub mode: Option<Mode> as "As::<Option<Choice<Mode>>>",
        /// Unverified messages a day for each number that is usually verified. 2 where fewer than 40 % verify: an attack
        /// then costs twice as much.
        pub tolerance: Option<u32> as "As::<Option<Whole<0, 10, u32>>>",
        /// Floor of the allowance of all unproven countries together.
        ///
        /// They verify fewer than 10 numbers a day.
        pub unproven: Option<u32> as "As::<Option<Whole<1, 1_000_000, u32>>>",
        /// Unverified messages to one number. Refilled over a day.
        pub sends_per_number: Option<u32> as "As::<Option<Whole<1, 1_000_000, u32>>>",
        /// Messages in an hour of UTC.
        pub messages_per_hour: Option<u64> as "As::<Option<MessageLimit>>",
        /// Messages in a day of UTC.
        pub messages_per_day: Option<u64> as "As::<Option<MessageLimit>>",
        /// Money in a day of UTC, by the key `prices`, with at most six decimals.
        pub money_per_day: Option<u64> as "As::<Option<Money>>",
        /// The only countries that get messages, by their two letters. By default all.
        pub allowed_countries: Option<BTreeSet<Region>> as "As::<Option<AllowedCountries>>",
        /// Countries that get no messages, by their two letters.
        pub blocked_countries: Option<BTreeSet<Region>> as "As::<Option<Countries>>",
        /// Premium, shared-cost, personal, pager, universal-access, voicemail and satellite numbers.
        pub number_types: Option<Mode> as "As::<Option<Choice<Mode>>>",
        /// Text messages to landlines.
        ///
        /// A call takes their place where `voice-fallback` allows it.
        pub landlines: Option<Mode> as "As::<Option<Choice<Mode>>>",
    }
}

/// Settings of earlier versions, which have become constants.
pub(super) const FORMER_FLOORS: [&str; 4] = ["prefix", "address", "network", "country"];

impl GuardSettings {
    /// These rules, with what is given here.
    pub fn rules(&self, base: &GuardRules) -> GuardRules {
        macro_rules! rules {
            ($($key:ident)*) => {
                GuardRules {
                    floors: base.floors,
                    allowed_countries: self.allowed_countries.clone().or_else(|| base.allowed_countries.clone()),
                    $($key: self.$key.clone().unwrap_or_else(|| base.$key.clone())),*
                }
            };
        }
        rules!(mode number_types landlines blocked_countries sends_per_number tolerance unproven)
    }

    /// What the guard refuses and the Redis version sent, for an operator who comes from there.
    pub fn unlike_redis_version(&self) -> String {
        let rules = self.rules(&GuardRules::default());
        let number = format!("beyond {} unverified messages to one number", rules.sends_per_number);
        let has_budget = [self.messages_per_hour, self.messages_per_day, self.money_per_day]
            .into_iter()
            .flatten()
            .any(|limit| limit != NO_LIMIT);
        let budget = if has_budget { Mode::Block } else { Mode::Off };
        let rows = [
            (rules.number_types, "403", "to a premium, shared-cost, pager or similar number", "number-types"),
            (rules.landlines, "400", "a text message to a landline", "landlines"),
            (rules.mode, "403", "beyond an allowance of unverified messages", "mode"),
            (rules.mode, "403", number.as_str(), "sends-per-number"),
            (budget, "429", "beyond a budget", "messages-per-hour, messages-per-day, money-per-day"),
        ];
        let refused = rows.into_iter().filter(|(mode, ..)| *mode == Mode::Block);
        let lines = refused.map(|(_, status, message, key)| format!("  {status}  {message} ({key})\n"));
        format!(
            "the pumping guard refuses what the Redis version sent (keys of guard; docs/guides/older-servers.md):\n{}",
            lines.collect::<String>()
        )
    }
}

impl Spelled for Mode {
    const NAMES: &'static [(&'static str, Self)] = &[
        (Self::Off.as_str(), Self::Off),
        (Self::Record.as_str(), Self::Record),
        (Self::Block.as_str(), Self::Block),
    ];
}

const NO_LIMIT: u64 = u64::MAX;

/// The largest [`MessageLimit`].
const MAX_MESSAGES: u64 = 1_000_000_000;

kinds! {
    MessageLimit -> u64, "a whole number from 1 to 1000000000, or \"off\"", json_schema!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": MAX_MESSAGES },
        { "type": "string", "pattern": "^\\s*([0-9]+|[Oo][Ff][Ff])\\s*$" },
    ]});
        text |text| if text.eq_ignore_ascii_case("off") {
            Some(NO_LIMIT)
        } else {
            text.parse().ok().filter(|limit| (1..=MAX_MESSAGES).contains(limit))
        };
        |limit| if *limit == NO_LIMIT { json!("off") } else { json!(limit) };

    /// In millionths.
    Money -> u64, "an amount of money with at most six decimals, such as 50 or \"12.50\", or \"off\"", json_schema!({ "anyOf": [
        { "type": "number", "exclusiveMinimum": 0 },
        { "type": "string", "pattern": "^\\s*([0-9]{1,6}(\\.[0-9]{1,6})?|[Oo][Ff][Ff])\\s*$" },
    ]});
        text |text| if text.eq_ignore_ascii_case("off") { Some(NO_LIMIT) } else { micros(text).filter(|limit| *limit > 0) };
        |limit| if *limit == NO_LIMIT {
            "off".to_owned()
        } else {
            format!("{}.{:06}", limit / 1_000_000, limit % 1_000_000)
        };

    Countries -> BTreeSet<Region>,
        "a list of countries with two letters of ISO 3166-1, such as [\"DE\", \"GB\"] or \"DE,GB\" (GB, not UK)",
        json_schema!({ "anyOf": [
            { "type": "array", "items": { "type": "string", "pattern": "^\\s*[A-Za-z]{2}\\s*$" } },
            { "type": "string", "pattern": "^\\s*[A-Za-z]{2}\\s*(,\\s*[A-Za-z]{2}\\s*)*$" },
        ]});
        any |value| match value {
            Value::Array(items) => items.iter().map(|item| Region::parse(text_of(item)?.trim())).collect(),
            Value::String(text) => text.split(',').map(|item| Region::parse(item.trim())).collect(),
            _ => None,
        };
        |countries| countries.iter().map(Region::to_string).collect::<Vec<_>>().join(",");

    /// An empty list would refuse every message.
    AllowedCountries -> BTreeSet<Region>,
        "a list of at least one country with two letters of ISO 3166-1, such as [\"DE\", \"GB\"] or \"DE,GB\" (GB, not UK); without \
         the key, every country gets messages",
        {
            let mut schema = Countries::schema();
            if let Some(list) = schema.pointer_mut("/anyOf/0") {
                list["minItems"] = json!(1);
            }
            schema
        };
        any |value| Countries::of(value).filter(|countries| !countries.is_empty());
        |countries| Countries::shown(countries);
}

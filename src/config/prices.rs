//! Prices of messages, for the estimated cost.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::kind::text_of;
use crate::domain::{Channel, Region};

/// The price of a message by country and channel, in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices(BTreeMap<(Option<Region>, Channel), u64>);

/// Stands for every other country.
const OTHERS: &str = "*";

/// Rough prices of a message in US dollars, as an order of magnitude: country, channel, millionths.
const ESTIMATES: [(&str, Channel, u64); 36] = [
    (OTHERS, Channel::Sms, 100_000),
    (OTHERS, Channel::Call, 50_000),
    (OTHERS, Channel::WhatsApp, 25_000),
    ("AE", Channel::Sms, 110_000),
    ("AR", Channel::Sms, 80_000),
    ("AT", Channel::Sms, 100_000),
    ("AU", Channel::Sms, 50_000),
    ("BE", Channel::Sms, 100_000),
    ("BR", Channel::Sms, 50_000),
    ("CA", Channel::Sms, 10_000),
    ("CH", Channel::Sms, 75_000),
    ("CN", Channel::Sms, 40_000),
    ("DE", Channel::Sms, 100_000),
    ("DK", Channel::Sms, 60_000),
    ("ES", Channel::Sms, 80_000),
    ("FI", Channel::Sms, 90_000),
    ("FR", Channel::Sms, 80_000),
    ("GB", Channel::Sms, 50_000),
    ("ID", Channel::Sms, 350_000),
    ("IE", Channel::Sms, 90_000),
    ("IL", Channel::Sms, 200_000),
    ("IN", Channel::Sms, 80_000),
    ("IT", Channel::Sms, 90_000),
    ("JP", Channel::Sms, 80_000),
    ("KR", Channel::Sms, 40_000),
    ("MX", Channel::Sms, 60_000),
    ("NG", Channel::Sms, 300_000),
    ("NL", Channel::Sms, 100_000),
    ("NO", Channel::Sms, 70_000),
    ("NZ", Channel::Sms, 100_000),
    ("PK", Channel::Sms, 300_000),
    ("PL", Channel::Sms, 45_000),
    ("SE", Channel::Sms, 60_000),
    ("SG", Channel::Sms, 50_000),
    ("TR", Channel::Sms, 40_000),
    ("US", Channel::Sms, 10_000),
];

impl Default for Prices {
    fn default() -> Self {
        let price =
            |(country, channel, micros): (&str, Channel, u64)| ((Region::parse(country), channel), micros);
        Self(ESTIMATES.into_iter().map(price).collect())
    }
}

impl Prices {
    /// The price of a message. Without a price for the channel it is the highest of the table: a budget must bound
    /// messages to countries that the operator did not think of.
    pub fn of(&self, country: Option<Region>, channel: Channel) -> u64 {
        let price = self.0.get(&(country, channel)).or_else(|| self.0.get(&(None, channel)));
        price.or_else(|| self.0.values().max()).copied().unwrap_or(0)
    }
}

/// Reads `{"DE": {"sms": 0.08}, "*": {"sms": "0.05"}}`.
impl<'de> Deserialize<'de> for Prices {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = |why: &str| D::Error::custom(format_args!("must be {why}"));
        let mut prices = BTreeMap::new();
        for (name, channels) in BTreeMap::<String, BTreeMap<String, Value>>::deserialize(from)? {
            let country = Region::parse(&name);
            if country.is_none() && name != OTHERS {
                return Err(wrong("named by the two letters of a country (ISO 3166-1), or * for all others"));
            }
            for (channel, price) in channels {
                let channel = Channel::parse(&channel);
                let channel = channel.ok_or_else(|| wrong("named \"sms\", \"call\" or \"whatsapp\""))?;
                let price = text_of(&price).as_deref().and_then(micros);
                let price = price.ok_or_else(|| wrong("a number below 1000000 with at most six decimals"))?;
                prices.insert((country, channel), price);
            }
        }
        Ok(Self(prices))
    }
}

impl Serialize for Prices {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut shown = BTreeMap::<String, BTreeMap<&str, String>>::new();
        for ((country, channel), micros) in &self.0 {
            let country = country.map_or_else(|| OTHERS.to_owned(), |country| country.to_string());
            let price = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let price = price.trim_end_matches('0').trim_end_matches('.').to_owned();
            shown.entry(country).or_default().insert(channel.as_str(), price);
        }
        shown.serialize(to)
    }
}

impl JsonSchema for Prices {
    fn schema_name() -> Cow<'static, str> {
        "Prices".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let price = json_schema!({ "anyOf": [
            { "type": "number", "minimum": 0, "exclusiveMaximum": 1_000_000 },
            { "type": "string", "pattern": "^\\s*[0-9]{1,6}(\\.[0-9]{1,6})?\\s*$" },
        ]});
        json_schema!({ "type": "object", "additionalProperties": false, "patternProperties": {
            "^([A-Za-z]{2}|\\*)$": { "type": "object", "additionalProperties": false, "properties": {
                "sms": price, "call": price, "whatsapp": price,
            }},
        }})
    }
}

/// A decimal number with at most six decimals, in millionths.
pub(super) fn micros(text: &str) -> Option<u64> {
    let text = text.trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number =
        |digits: &str| (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) {
        return None;
    }
    Some(whole.parse::<u64>().ok()? * 1_000_000 + format!("{part:0<6}").parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_price_is_a_decimal_number_with_at_most_six_decimals() {
        for (text, price) in [
            ("0.0079", 7_900),
            ("1", 1_000_000),
            ("0", 0),
            ("12.5", 12_500_000),
            ("0.000001", 1),
            (" 0.1 ", 100_000),
        ] {
            assert_eq!(micros(text), Some(price), "{text}");
        }
        for text in ["", ".5", "1.", "-1", "1e3", "0.0000001", "1234567", "1,5", "+1", "0.1.2"] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn a_country_without_a_price_has_that_of_all_others_or_the_highest() {
        let given = json!({ "de": { "sms": 0.08 }, "*": { "sms": "0.05", "call": 1 } });
        let prices = Prices::deserialize(&given).expect("prices");
        let germany = Region::parse("DE");
        assert_eq!(prices.of(germany, Channel::Sms), 80_000);
        assert_eq!(prices.of(germany, Channel::Call), 1_000_000);
        assert_eq!(prices.of(Region::parse("FR"), Channel::Sms), 50_000);
        assert_eq!(prices.of(None, Channel::Sms), 50_000);
        assert_eq!(prices.of(germany, Channel::WhatsApp), 1_000_000, "the highest of the table");
        let shown = serde_json::to_value(&prices).expect("JSON");
        assert_eq!(shown, json!({ "DE": { "sms": "0.08" }, "*": { "sms": "0.05", "call": "1" } }));
        assert_eq!(Prices::deserialize(&shown).expect("prices"), prices);
    }

    #[test]
    fn the_estimates_have_a_price_for_every_country_and_channel() {
        let prices = Prices::default();
        assert_eq!(prices.0.len(), ESTIMATES.len(), "each country is known and named once");
        assert!(Channel::ALL.into_iter().all(|channel| prices.of(None, channel) > 0));
    }
}

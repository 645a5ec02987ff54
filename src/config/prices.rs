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

/// Rough prices of a text message in US dollars, as an order of magnitude.
const ESTIMATES: &str = "AE 0.11 AR 0.08 AT 0.1 AU 0.05 BE 0.1 BR 0.05 CA 0.01 CH 0.075 CN 0.04 DE 0.1 DK 0.06 ES 0.08 FI 0.09 \
     FR 0.08 GB 0.05 ID 0.35 IE 0.09 IL 0.2 IN 0.08 IT 0.09 JP 0.08 KR 0.04 MX 0.06 NG 0.3 NL 0.1 NO 0.07 NZ 0.1 PK 0.3 PL 0.045 \
     SE 0.06 SG 0.05 TR 0.04 US 0.01";

/// The same for every other country, in millionths.
const ESTIMATES_OF_OTHERS: [(Channel, u64); Channel::ALL.len()] = [
    (Channel::Sms, 100_000),
    (Channel::Call, 50_000),
    (Channel::WhatsApp, 25_000),
    (Channel::Telegram, 10_000),
];

impl Default for Prices {
    fn default() -> Self {
        let words: Vec<&str> = ESTIMATES.split(' ').collect();
        let of_country = words.chunks_exact(2).filter_map(|pair| {
            let country = Region::parse(pair[0])?;
            Some(((Some(country), Channel::Sms), micros(pair[1])?))
        });
        let of_others = ESTIMATES_OF_OTHERS.map(|(channel, price)| ((None, channel), price));
        Self(of_country.chain(of_others).collect())
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
        for (name, channels) in BTreeMap::<String, Value>::deserialize(from)? {
            let country = Region::parse(&name);
            if country.is_none() && name != OTHERS {
                return Err(wrong("named by the two letters of a country (ISO 3166-1), or * for all others"));
            }
            let Value::Object(channels) = channels else {
                return Err(wrong("an object such as {\"sms\": 0.08}"));
            };
            for (channel, price) in channels {
                let channel = Channel::parse(&channel);
                let channel =
                    channel.ok_or_else(|| wrong(&format!("named by a channel: {}", Channel::names(", "))))?;
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
        let prices: BTreeMap<_, _> = Channel::ALL.map(|channel| (channel.as_str(), &price)).into();
        json_schema!({ "type": "object", "additionalProperties": false, "patternProperties": {
            "^([A-Za-z]{2}|\\*)$": { "type": "object", "additionalProperties": false, "properties": prices },
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
        assert_eq!(prices.0.len(), 37, "33 countries are known and named once");
        assert!(Channel::ALL.into_iter().all(|channel| prices.of(None, channel) > 0));
    }
}

//! Prices of messages, for the estimated cost.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::kind::{object_of, shown_json, text_of};
use crate::domain::{Channel, Region};

/// The price of a message by country and channel, in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices(BTreeMap<(Option<Region>, Channel), u64>);

/// An entry that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongPrice {
    /// The path below `prices`, such as `DE.sms`; empty for the whole.
    pub path: String,
    pub given: Option<String>,
    pub problem: &'static str,
}

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

    /// Reads `{"DE": {"sms": 0.08}, "*": {"sms": "0.05"}}`.
    ///
    /// # Errors
    /// The entry that is wrong.
    pub(super) fn read(value: &Value) -> Result<Self, WrongPrice> {
        let wrong = |path: String, given: Option<&Value>, problem| WrongPrice {
            path,
            given: given.map(shown_json),
            problem,
        };
        let Some(countries) = object_of(value) else {
            return Err(wrong(String::new(), Some(value), "it must be an object with countries"));
        };
        let mut prices = BTreeMap::new();
        for (name, channels) in countries {
            let country = Region::parse(&name);
            if country.is_none() && name != OTHERS {
                return Err(wrong(
                    name,
                    None,
                    "a country is its two letters (ISO 3166), or * for all others",
                ));
            }
            let Some(channels) = channels.as_object() else {
                return Err(wrong(name, Some(&channels), "it must be an object such as {\"sms\": 0.08}"));
            };
            for (channel, price) in channels {
                let path = format!("{name}.{channel}");
                let Some(channel) = Channel::parse(channel) else {
                    return Err(wrong(path, None, "a channel is \"sms\", \"call\" or \"whatsapp\""));
                };
                let Some(micros) = text_of(price).as_deref().and_then(micros) else {
                    let problem = "a price is a number below 1000000 with at most six decimals";
                    return Err(wrong(path, Some(price), problem));
                };
                prices.insert((country, channel), micros);
            }
        }
        Ok(Self(prices))
    }

    pub(super) fn shown(&self) -> Value {
        let mut shown = Map::new();
        for ((country, channel), micros) in &self.0 {
            let country = country.map_or_else(|| OTHERS.to_owned(), |country| country.to_string());
            let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
            let price = format!("{whole}.{part:06}");
            shown.entry(country).or_insert_with(|| Map::new().into())[channel.as_str()] =
                price.trim_end_matches('0').trim_end_matches('.').into();
        }
        shown.into()
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
        let prices = Prices::read(&given).expect("prices");
        let germany = Region::parse("DE");
        assert_eq!(prices.of(germany, Channel::Sms), 80_000);
        assert_eq!(prices.of(germany, Channel::Call), 1_000_000);
        assert_eq!(prices.of(Region::parse("FR"), Channel::Sms), 50_000);
        assert_eq!(prices.of(None, Channel::Sms), 50_000);
        assert_eq!(prices.of(germany, Channel::WhatsApp), 1_000_000, "the highest of the table");
        let shown = prices.shown();
        assert_eq!(shown, json!({ "DE": { "sms": "0.08" }, "*": { "sms": "0.05", "call": "1" } }));
        assert_eq!(Prices::read(&shown), Ok(prices));
    }

    #[test]
    fn the_entry_that_cannot_be_used_is_named() {
        for (given, path, shown) in [
            (json!({ "US": { "sms": 1 }, "Germany": { "sms": 1 } }), "Germany", None),
            (json!({ "DE": { "sms": 1, "fax": 1 } }), "DE.fax", None),
            (json!({ "DE": { "sms": 0.1 }, "FR": { "sms": "free" } }), "FR.sms", Some("\"free\"")),
            (json!({ "*": { "call": -1 } }), "*.call", Some("-1")),
            (json!({ "DE": 1 }), "DE", Some("1")),
            (json!([]), "", Some("a list")),
        ] {
            let wrong = Prices::read(&given).expect_err("refused");
            assert_eq!((wrong.path.as_str(), wrong.given.as_deref()), (path, shown), "{given}");
        }
    }

    #[test]
    fn the_estimates_have_a_price_for_every_country_and_channel() {
        let prices = Prices::default();
        assert_eq!(prices.0.len(), ESTIMATES.len(), "each country is known and named once");
        assert!(Channel::ALL.into_iter().all(|channel| prices.of(None, channel) > 0));
    }
}

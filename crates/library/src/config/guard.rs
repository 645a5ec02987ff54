//! The rules and budgets of the pumping guard, as config.json has them.

use std::collections::{BTreeMap, BTreeSet};

use onceward_core::guard::{Floors, GuardRules, Mode};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use smart_default::SmartDefault;

use crate::domain::{Channel, GatewayName, Region, Whole, optional, text_of};

/// The guard's rules and budgets. A key that is not given leaves the rule as it is: a service has the rules of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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
    #[serde(deserialize_with = "limit::<MESSAGES, _>")]
    #[schemars(with = "Whole::<1, MOST_MESSAGES>")]
    pub messages_per_hour: Option<u64>,
    /// Messages in a day of UTC, or `off`.
    #[serde(deserialize_with = "limit::<MESSAGES, _>")]
    #[schemars(with = "Whole::<1, MOST_MESSAGES>")]
    pub messages_per_day: Option<u64>,
    /// Money in a day of UTC, by the key `prices`, with at most six decimals, or `off`.
    #[serde(deserialize_with = "limit::<MONEY, _>")]
    #[schemars(with = "Option<f64>", extend("type" = ["number", "string"]))]
    pub money_per_day: Option<u64>,
    /// Money for one message, by the key `prices`, which must be given, with at most six decimals, or `off`. A message to a
    /// country without a price is refused.
    #[serde(deserialize_with = "limit::<MONEY, _>")]
    #[schemars(with = "Option<f64>", extend("type" = ["number", "string"]))]
    pub max_price: Option<u64>,
    /// The only countries that get messages, by their two letters. By default all. GB is without Jersey (JE), Guernsey (GG) and Man (IM), US without Puerto Rico (PR).
    pub allowed_countries: Option<BTreeSet<Region>>,
    /// Countries that get no messages, by their two letters.
    pub blocked_countries: Option<BTreeSet<Region>>,
    /// Premium, shared-cost, personal (but +1 5xx), pager, universal-access, voicemail and satellite numbers, and those of no country (+800, +878).
    pub number_types: Option<Mode>,
    /// Text messages to landlines.
    ///
    /// A call takes their place where `voice` allows it.
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
                // A test that wants few messages wants no loan either.
                loan: self.other_countries.map_or(base.floors.loan, |_| 0.0),
                ..base.floors
            },
        }
    }
}

const NO_LIMIT: u64 = u64::MAX;

const MOST_MESSAGES: u64 = 1_000_000_000;

const MESSAGES: bool = false;
const MONEY: bool = true;

/// A number of messages, or money in millionths, or `off`.
fn limit<'de, const IS_MONEY: bool, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let messages = "a whole number from 1 to 1000000000, or \"off\"";
    let money = "an amount of money with at most six decimals, such as 50 or \"12.50\", or \"off\"";
    optional(from, if IS_MONEY { money } else { messages }, |text| {
        if text.eq_ignore_ascii_case("off") {
            return Some(NO_LIMIT);
        }
        let limit =
            if IS_MONEY { micros(text) } else { text.parse().ok().filter(|number| *number <= MOST_MESSAGES) };
        limit.filter(|limit| *limit > 0)
    })
}

// Prices of messages, for budgets of money and the estimated cost.

/// What messages cost, for budgets of money and the estimated cost in the history.
#[derive(SmartDefault, Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Pricing {
    /// Price of a message by country (`*` for all others) and channel, such as `sms`, or `sms:acme` by a gateway.
    ///
    /// Without it, list prices in US dollars; a country or channel without one has the highest.
    #[serde(skip_serializing)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, Value>>")]
    pub prices: Option<Prices>,
    /// Currency of `prices`, in three letters. Change both together.
    #[default = "USD"]
    pub currency: String,
    /// With `sender` `results`: points of conversion by which the dearest gateway must be better than one for nothing.
    #[serde(rename = "price-weight", with = "Whole::<0, 100>")]
    #[default = 25]
    pub price_weight: u8,
}

impl Pricing {
    /// The given prices, else the built-in ones. These are made when a price is first asked for: their countries need the
    /// numbering metadata, 7.5 MB.
    pub fn list(&self) -> &Prices {
        static BUILT_IN: std::sync::LazyLock<Prices> = std::sync::LazyLock::new(Prices::default);
        self.prices.as_ref().unwrap_or_else(|| &BUILT_IN)
    }
}

/// The price of a message by country, channel and perhaps gateway, in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices(BTreeMap<(Option<Region>, Channel, Option<GatewayName>), u64>);

const TWILIO: [GatewayName; 3] =
    [GatewayName::TwilioMessages, GatewayName::TwilioVoice, GatewayName::TwilioVerify];

/// Stands for every other country.
const OTHERS: &str = "*";

/// Telesign's list prices of a text message in US dollars, of 17 June 2026
/// (<https://github.com/WebDev-Telesign/api>, `4907979-tlsgn-pricing.json`). Telesign has none for the countries that are
/// missing here, and numbering plans none for Diego Garcia. Two codes of the list are corrected: CD for the Republic of the Congo is CG, and Réunion without a code is RE.
const TEXT_MESSAGES: &str = include_str!("prices.csv");

/// What a code costs in every country, in millionths of a US dollar. Calls have no sourced price, and get the highest.
///
/// * WhatsApp: Meta's highest rate for a code that was found, to Indonesia from abroad, of 1 June 2024
///   (<https://www.alibabacloud.com/help/en/chatapp/product-overview/announcement-about-whatsapp-message-introducing-authentication-international-rates>)
/// * Telegram: Telegram's price, of 14 October 2024 (<https://core.telegram.org/gateway>)
const OTHER_CHANNELS: [(Channel, u64); 2] = [(Channel::WhatsApp, 136_000), (Channel::Telegram, 10_000)];

impl Default for Prices {
    fn default() -> Self {
        let of_country = TEXT_MESSAGES.lines().filter_map(|line| {
            let (country, price) = line.split_once(',')?;
            Some(((Some(Region::parse(country)?), Channel::Sms, None), micros(price)?))
        });
        let other_channels = OTHER_CHANNELS.map(|(channel, price)| ((None, channel, None), price));
        Self(of_country.chain(other_channels).collect())
    }
}

impl Prices {
    /// The price of a message, by the dearest gateway. Without a price for every gateway it is the highest of the table: a
    /// budget must bound messages that the operator did not think of.
    pub fn of(&self, country: Option<Region>, channel: Channel) -> u64 {
        let price = self.by(None, country, channel).and_then(|_| self.known(country, channel));
        price.or_else(|| self.0.values().max().copied()).unwrap_or(0)
    }

    /// The price of a message, if the table has one for its country or for all others: the highest of all gateways.
    pub fn known(&self, country: Option<Region>, channel: Channel) -> Option<u64> {
        let own = self
            .0
            .iter()
            .filter(|((of, on, by), _)| by.is_some() && *on == channel && (of.is_none() || *of == country));
        self.by(None, country, channel).max(own.map(|(_, price)| *price).max())
    }

    /// The gateways with prices of their own.
    pub fn gateways(&self) -> impl Iterator<Item = GatewayName> {
        self.0.keys().filter_map(|(.., gateway)| *gateway)
    }

    /// The price of a message by a gateway, where it has its own.
    pub fn of_gateway(&self, gateway: Option<GatewayName>, country: Option<Region>, channel: Channel) -> u64 {
        let own = gateway.and_then(|_| self.by(gateway, country, channel));
        own.or_else(|| self.by(None, country, channel)).unwrap_or_else(|| self.of(country, channel))
    }

    fn by(&self, gateway: Option<GatewayName>, country: Option<Region>, channel: Channel) -> Option<u64> {
        let of = |country| self.0.get(&(country, channel, gateway));
        of(country).or_else(|| of(None)).copied()
    }
}

/// Reads `{"DE": {"sms": 0.08, "sms:acme": 0.06}, "*": {"sms": "0.05"}}`.
impl<'de> Deserialize<'de> for Prices {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut prices = BTreeMap::new();
        for (name, channels) in BTreeMap::<String, BTreeMap<String, Value>>::deserialize(from)? {
            let country = Region::parse(&name);
            for (channel, given) in channels {
                let (known, gateway) = channel.split_once(':').unwrap_or((&channel, ""));
                let by: Vec<_> = match gateway {
                    "" => vec![None],
                    // As `otp-sms-provider` calls each of them.
                    "Twilio" => TWILIO.map(Some).to_vec(),
                    name => GatewayName::of(name).map(Some).into_iter().collect(),
                };
                let is_named = (country.is_some() || name == OTHERS) && !by.is_empty();
                let known = Channel::parse(known).filter(|_| is_named);
                let Some((channel, price)) = known.zip(text_of(&given).as_deref().and_then(micros)) else {
                    return Err(D::Error::custom(format_args!(
                        "must have prices by the two letters of a country (ISO 3166-1), or * for all others, and by channel ({}): \
                         numbers below 1000000 with at most six decimals. {name}.{channel} is {given}",
                        Channel::names(", ")
                    )));
                };
                prices.extend(by.into_iter().map(|by| ((country, channel, by), price)));
            }
        }
        Ok(Self(prices))
    }
}

/// Millionths as a decimal number.
pub fn money_text(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
        assert_eq!(["12.5", "0.000001", " 0.1 "].map(micros), [12_500_000, 1, 100_000].map(Some));
        for text in ["", ".5", "1.", "-1", "1e3", "0.0000001", "1234567", "1,5", "+1", "0.1.2"] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn a_price_is_that_of_the_gateway_the_country_all_others_or_the_highest() {
        let given =
            json!({ "DE": { "sms": "0.08", "sms:acme": "0.05" }, "*": { "sms": "0.04", "call": "1" } });
        let prices = Prices::deserialize(&given).expect("prices");
        let of = |country, channel| prices.of(Region::parse(country), channel);
        assert_eq!([of("DE", Channel::Sms), of("FR", Channel::Sms)], [80_000, 40_000]);
        assert_eq!([of("DE", Channel::Call), of("DE", Channel::WhatsApp)], [1_000_000; 2], "the highest");
        let price =
            |name, country| prices.of_gateway(GatewayName::of(name), Region::parse(country), Channel::Sms);
        assert_eq!([price("acme", "DE"), price("Mada", "DE"), price("acme", "FR")], [50_000, 80_000, 40_000]);
        let dear = Prices::deserialize(&json!({ "*": { "sms": "0.01", "sms:acme": 1 } })).expect("prices");
        assert_eq!(dear.of(None, Channel::Sms), 1_000_000, "a budget counts the dearest gateway");
        let twilio = Prices::deserialize(&json!({ "*": { "sms": 1, "sms:Twilio": 0.5 } })).expect("prices");
        let of_verify = twilio.of_gateway(Some(GatewayName::TwilioVerify), None, Channel::Sms);
        assert_eq!((of_verify, GatewayName::known().any(|name| name.as_str() == "Twilio")), (500_000, false));
    }

    #[test]
    fn every_built_in_price_is_read_and_the_documented_ones_are_used() {
        let prices = Prices::default();
        let all = TEXT_MESSAGES.lines().count() + OTHER_CHANNELS.len();
        assert_eq!(prices.0.len(), all, "each country is known and named once");
        let document = include_str!("../../../../docs/reference/configuration.md");
        for (channel, words) in [
            (Channel::Sms, "its highest price, $"),
            (Channel::Call, "its highest price, $"),
            (Channel::WhatsApp, "for WhatsApp $"),
            (Channel::Telegram, "for Telegram [$"),
        ] {
            let of_france = format!("{words}{}", money_text(prices.of(Region::parse("FR"), channel)));
            assert!(document.contains(&of_france), "{of_france}");
        }
    }
}

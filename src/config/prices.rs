//! Prices of messages, for the estimated cost.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::report::text_of;
use crate::domain::{Channel, Region};

/// The price of a message by country and channel, in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices(BTreeMap<(Option<Region>, Channel), u64>);

/// Stands for every other country.
const OTHERS: &str = "*";

/// Telesign's list prices of a text message in US dollars, of 17 June 2026
/// (<https://github.com/WebDev-Telesign/api>, `4907979-tlsgn-pricing.json`). Telesign has none for the countries that are
/// missing here, and numbering plans none for Diego Garcia. Two codes of the list are corrected: CD for the Republic of the Congo is CG, and Réunion without a code is RE.
const TEXT_MESSAGES: &str = "AC 0.2858 AD 0.1493 AG 0.2421 AI 0.1932 AL 0.1393 AM 0.3175 AO 0.19 AR 0.1148 AS 0.784 AT 0.0588 AW 0.1495 \
     AZ 0.4445 BA 0.2826 BB 0.2799 BE 0.0912 BF 0.2414 BG 0.1936 BH 0.0454 BI 0.5166 BM 0.289 BN 0.2858 BO 0.4423 \
     BQ 0.3113 BS 0.2858 BT 0.5345 BW 0.0871 BZ 0.3083 CA 0.0158 CD 0.2077 CF 0.5718 CG 0.4086 CH 0.0609 CK 0.1819 \
     CL 0.0157 CN 0.01 CR 0.104 CV 0.2708 CW 0.4035 CY 0.0725 DE 0.0936 DJ 0.174 DM 0.2477 DO 0.1136 DZ 0.3055 \
     EC 0.3 EE 0.113 ER 0.1656 ES 0.0745 FI 0.0939 FJ 0.2271 FK 0.2858 FM 0.2858 FO 0.2858 GA 0.4046 GB 0.0616 \
     GD 0.2769 GE 0.1881 GF 0.29 GI 0.1388 GL 0.2858 GM 0.4467 GN 0.6044 GP 0.26 GQ 0.286 GR 0.072 GT 0.4075 \
     GU 0.1125 GW 0.7049 GY 0.245 HN 0.2607 HR 0.1175 HT 0.4037 HU 0.0919 IE 0.0766 IL 0.2739 IN 0.0582 IQ 0.3832 \
     IS 0.1029 IT 0.0993 JM 0.2963 JP 0.0709 KG 0.4684 KI 0.2 KM 0.5436 KN 0.2609 KR 0.0313 KY 0.306 LA 0.7729 \
     LB 0.5244 LC 0.5066 LI 0.2858 LR 0.2888 LS 0.5967 LT 0.0751 LU 0.0834 LV 0.0859 MC 0.3763 MD 0.1445 ME 0.1926 \
     MG 0.6357 MH 0.1819 MK 0.1171 ML 0.8388 MN 0.4749 MO 0.2858 MP 0.2858 MQ 0.26 MR 0.7856 MS 0.2858 MT 0.0833 \
     MU 0.2338 MV 0.4826 MW 1.3687 NA 0.158 NC 0.1273 NE 0.5838 NF 0.2858 NI 0.1669 NL 0.1487 NR 0.2814 NU 0.263 \
     PA 0.1836 PE 0.1986 PF 0.2858 PG 0.2893 PL 0.0402 PM 0.5827 PR 0.05 PS 0.6212 PT 0.0358 PW 0.2858 PY 0.1343 \
     RE 0.2858 RW 0.3507 SB 0.2858 SC 0.4869 SH 0.2858 SI 0.1853 SK 0.075 SL 0.5983 SM 0.2858 SN 0.6055 SO 0.404 \
     SR 0.2848 SS 0.4652 ST 0.2858 SV 0.3976 SX 0.35 SY 0.4975 SZ 0.3303 TC 0.2973 TD 0.4046 TG 0.5951 TJ 0.5504 \
     TK 0.2858 TM 0.2539 TN 0.6941 TO 0.1776 TT 0.3638 TV 0.2858 US 0.009 UY 0.1275 VA 0.2858 VC 0.2935 VE 0.1826 \
     VG 0.2613 VI 0.2858 VU 0.18 WF 0.1819 WS 0.2345 XK 0.3172 YT 0.595 ZM 0.6093 ZW 0.3293";

/// What a code costs in every country, in millionths of a US dollar. Calls have no sourced price, and get the highest.
///
/// * WhatsApp: Meta's highest rate for a code that was found, to Indonesia from abroad, of 1 June 2024
///   (<https://www.alibabacloud.com/help/en/chatapp/product-overview/announcement-about-whatsapp-message-introducing-authentication-international-rates>)
/// * Telegram: Telegram's price, of 14 October 2024 (<https://core.telegram.org/gateway>)
const OTHER_CHANNELS: [(Channel, u64); 2] = [(Channel::WhatsApp, 136_000), (Channel::Telegram, 10_000)];

impl Default for Prices {
    fn default() -> Self {
        let words: Vec<&str> = TEXT_MESSAGES.split(' ').collect();
        let of_country = words.chunks_exact(2).filter_map(|pair| {
            let country = Region::parse(pair[0])?;
            Some(((Some(country), Channel::Sms), micros(pair[1])?))
        });
        let other_channels = OTHER_CHANNELS.map(|(channel, price)| ((None, channel), price));
        Self(of_country.chain(other_channels).collect())
    }
}

impl super::Pricing {
    /// The given prices, else the built-in ones. These are made when a price is first asked for: their countries need the
    /// numbering metadata, 7.5 MB.
    pub fn list(&self) -> &Prices {
        static BUILT_IN: std::sync::LazyLock<Prices> = std::sync::LazyLock::new(Prices::default);
        self.prices.as_ref().unwrap_or_else(|| &BUILT_IN)
    }
}

impl Prices {
    /// The price of a message. Without a price for the channel it is the highest of the table: a budget must bound
    /// messages to countries that the operator did not think of.
    pub fn of(&self, country: Option<Region>, channel: Channel) -> u64 {
        let price = self.known(country, channel);
        price.or_else(|| self.0.values().max().copied()).unwrap_or(0)
    }

    /// The price of a message, if the table has one for its country or for all others.
    pub fn known(&self, country: Option<Region>, channel: Channel) -> Option<u64> {
        self.0.get(&(country, channel)).or_else(|| self.0.get(&(None, channel))).copied()
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
            shown.entry(country).or_default().insert(channel.as_str(), money_text(*micros));
        }
        shown.serialize(to)
    }
}

pub(super) fn money_text(micros: u64) -> String {
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
    fn every_price_of_the_built_in_table_is_read_and_the_rest_is_bounded() {
        let prices = Prices::default();
        assert_eq!(prices.0.len(), 174 + OTHER_CHANNELS.len(), "each country is known and named once");
        let price = |country, channel| prices.of(Region::parse(country), channel);
        assert_eq!(price("DE", Channel::Sms), 93_600);
        let dearest = price("MW", Channel::Sms);
        assert_eq!(prices.0.values().max(), Some(&dearest));
        assert_eq!(
            [price("FR", Channel::Sms), price("DE", Channel::Call)],
            [dearest; 2],
            "no source, the highest"
        );
        assert_eq!([price("FR", Channel::WhatsApp), price("FR", Channel::Telegram)], [136_000, 10_000]);
    }
}

//! One attempt to deliver a message, and how many of them led to a verified number.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ChannelName, Frame};
use crate::domain::Sid;
use crate::http::v2::date;
use crate::verify::{Attempt, Summary};

/// An attempt to deliver a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView {
    /// Its id.
    #[schema(pattern = "^VL[0-9a-f]{32}$")]
    sid: String,
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// The service; null when it has been deleted since.
    #[schema(required, pattern = "^VA[0-9a-f]{32}$")]
    service_sid: Option<String>,
    /// The verification.
    #[schema(pattern = "^VE[0-9a-f]{32}$")]
    verification_sid: String,
    /// When it was made.
    #[schema(format = DateTime)]
    date_created: String,
    /// Time of its last change.
    #[schema(format = DateTime)]
    date_updated: String,
    /// Whether the number was verified.
    conversion_status: Conversion,
    /// How it was to be delivered.
    channel: ChannelName,
    /// What it cost: not known here.
    price: Price,
    /// More about it.
    channel_data: ChannelData,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
}

/// Whether an attempt led to a verified number.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ConversionStatus)]
enum Conversion {
    Converted,
    Unconverted,
}

/// What a message cost.
#[derive(Debug, Serialize, ToSchema)]
struct Price {
    /// Always null: the provider's bill says it.
    #[schema(required)]
    value: Option<String>,
    /// Always null.
    #[schema(required)]
    currency: Option<String>,
}

/// What is known of an attempt.
#[derive(Debug, Serialize, ToSchema)]
struct ChannelData {
    /// The verification.
    #[schema(pattern = "^VE[0-9a-f]{32}$")]
    verification_sid: String,
    /// The number, in E.164 form.
    to: String,
    /// `confirmed` when the number was verified, else `unconfirmed`.
    status: Confirmation,
    /// What the provider reported last, in its words.
    #[schema(required)]
    message_status: Option<String>,
    /// The provider's error code.
    #[schema(required)]
    error_code: Option<String>,
    /// The number's country, two letters of ISO 3166-1.
    #[schema(required)]
    country: Option<String>,
    /// Digits of the code.
    #[schema(required, minimum = 4, maximum = 10)]
    code_length: Option<u8>,
    /// The language that was asked for.
    #[schema(required)]
    locale: Option<String>,
    /// Always null: the network is not looked up.
    #[schema(required)]
    mcc: Option<String>,
    /// Always null.
    #[schema(required)]
    mnc: Option<String>,
    /// Always null.
    #[schema(required)]
    carrier: Option<String>,
}

/// Whether the number was verified.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Confirmation {
    Confirmed,
    Unconfirmed,
}

impl AttemptView {
    /// An attempt; `service` is the `VA` of its service, if that is still there.
    pub fn new(frame: &Frame<'_>, service: Option<Sid>, attempt: &Attempt) -> Self {
        let Attempt { sid, verification, converted, channel, .. } = attempt;
        Self {
            sid: sid.to_string(),
            account_sid: frame.account.to_string(),
            service_sid: service.map(|sid| sid.to_string()),
            verification_sid: verification.to_string(),
            date_created: date::written(attempt.created),
            date_updated: date::written(attempt.updated),
            conversion_status: if *converted { Conversion::Converted } else { Conversion::Unconverted },
            channel: (*channel).into(),
            price: Price { value: None, currency: None },
            channel_data: ChannelData {
                verification_sid: verification.to_string(),
                to: attempt.to.e164(),
                status: if *converted { Confirmation::Confirmed } else { Confirmation::Unconfirmed },
                message_status: attempt.message_status.clone(),
                error_code: attempt.error_code.map(|code| code.to_string()),
                country: attempt.country.map(|country| country.to_string()),
                code_length: attempt.code_length,
                locale: attempt.locale.clone(),
                mcc: None,
                mnc: None,
                carrier: None,
            },
            url: frame.url(&format!("/Attempts/{sid}")),
        }
    }
}

/// How many attempts led to a verified number.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttemptsSummary)]
pub struct SummaryView {
    /// All.
    total_attempts: u64,
    /// Those that did.
    total_converted: u64,
    /// Those that did not.
    total_unconverted: u64,
    /// Those that did, in percent; `0` when there were none at all.
    #[schema(pattern = r"^[0-9]{1,3}(\.[0-9]{1,9})?$")]
    conversion_rate_percentage: String,
    /// Its address.
    #[schema(format = "uri")]
    url: String,
}

impl SummaryView {
    /// A summary.
    pub fn new(frame: &Frame<'_>, Summary { total, converted }: Summary) -> Self {
        Self {
            total_attempts: total,
            total_converted: converted,
            total_unconverted: total.saturating_sub(converted),
            conversion_rate_percentage: percentage(converted, total),
            url: frame.url("/Attempts/Summary"),
        }
    }
}

/// With up to nine places, rounded down: `81.818181818`.
fn percentage(part: u64, whole: u64) -> String {
    const PLACES: u128 = 1_000_000_000;
    let billionths = (u128::from(part) * 100 * PLACES).checked_div(u128::from(whole)).unwrap_or(0);
    let text = format!("{}.{:09}", billionths / PLACES, billionths % PLACES);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_up_to_nine_places() {
        for (part, whole, text) in
            [(9, 11, "81.818181818"), (0, 0, "0"), (0, 7, "0"), (7, 7, "100"), (1, 2, "50"), (1, 8, "12.5")]
        {
            assert_eq!(percentage(part, whole), text);
        }
    }
}

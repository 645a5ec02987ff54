//! A verification, the answer to a check, and the attempts to deliver messages.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Empty, Frame};
use crate::domain::{Channel, DateTime, Region, Sid};
use crate::http::v2::params::{AccountSid, AttemptSid, Id, ServiceSid, VerificationSid};
use crate::verify::{Attempt, Status, Summary, Verification};

/// Values of which answers have the word.
macro_rules! word {
    ($($name:ident($type:ty) $schema:literal: $as_str:expr, $all:expr;)+) => {$(
        #[derive(Debug)]
        struct $name($type);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str($as_str(self.0))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some($all.map($as_str)));
                Schema::from(words.build()).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                $schema.into()
            }
        }
    )+};
}

/// A verification.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verification)]
pub struct VerificationView {
    sid: VerificationSid,
    service_sid: ServiceSid,
    account_sid: AccountSid,
    /// The number, in E.164 form.
    to: String,
    /// The channel of the last request.
    channel: ChannelName,
    /// How far it is.
    status: StatusName,
    /// Whether it is approved.
    valid: bool,
    /// Empty: numbers are not looked up.
    lookup: Empty,
    /// Always null: transactions are not served.
    #[schema(required)]
    amount: Option<String>,
    /// Always null: transactions are not served.
    #[schema(required)]
    payee: Option<String>,
    /// Its messages so far, the oldest first.
    send_code_attempts: Vec<SendAttemptView>,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    /// Always null: silent network authentication is not served.
    #[schema(required)]
    sna: Option<Empty>,
    #[schema(format = "uri")]
    url: String,
}

/// One of a verification's messages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SendCodeAttempt)]
struct SendAttemptView {
    /// When a provider was asked to take it.
    #[schema(value_type = String, format = DateTime)]
    time: DateTime,
    /// Its channel, in Twilio's spelling.
    channel: AttemptChannelName,
    attempt_sid: AttemptSid,
}

word! {
    ChannelName(Channel) "Channel": Channel::as_str, Channel::ALL;
    AttemptChannelName(Channel) "AttemptChannel": in_attempts, Channel::ALL;
    StatusName(Status) "VerificationStatus": Status::as_str, Status::ALL;
}

/// A channel, as attempts of a verification spell it.
const fn in_attempts(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "SMS",
        Channel::Call => "CALL",
        Channel::WhatsApp => "whatsapp",
    }
}

impl VerificationView {
    pub fn new(frame: &Frame<'_>, service: Sid, verification: &Verification) -> Self {
        let sid = verification.sid;
        let attempts = verification.attempts.iter().map(|attempt| SendAttemptView {
            time: attempt.time.into(),
            channel: AttemptChannelName(attempt.channel),
            attempt_sid: Id(attempt.sid),
        });
        Self {
            sid: Id(sid),
            service_sid: Id(service),
            account_sid: Id(frame.account),
            to: verification.to.e164(),
            channel: ChannelName(verification.channel),
            status: StatusName(verification.status),
            valid: verification.status == Status::Approved,
            lookup: Empty {},
            amount: None,
            payee: None,
            send_code_attempts: attempts.collect(),
            date_created: verification.created.into(),
            date_updated: verification.updated.into(),
            sna: None,
            url: frame.url(&format!("/Services/{service}/Verifications/{sid}")),
        }
    }
}

/// The answer to a check of a code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerificationCheck)]
pub struct CheckView {
    sid: VerificationSid,
    service_sid: ServiceSid,
    account_sid: AccountSid,
    /// The number, in E.164 form.
    to: String,
    /// The channel of the last request.
    channel: ChannelName,
    /// `approved` when the code was right, else `pending`: a wrong code is no error.
    status: StatusName,
    /// Whether the code was right.
    valid: bool,
    /// Always null: transactions are not served.
    #[schema(required)]
    amount: Option<String>,
    /// Always null: transactions are not served.
    #[schema(required)]
    payee: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    /// Always empty: silent network authentication is not served.
    sna_attempts_error_codes: Vec<Empty>,
}

impl CheckView {
    pub fn new(frame: &Frame<'_>, service: Sid, verification: &Verification) -> Self {
        Self {
            sid: Id(verification.sid),
            service_sid: Id(service),
            account_sid: Id(frame.account),
            to: verification.to.e164(),
            channel: ChannelName(verification.channel),
            status: StatusName(verification.status),
            valid: verification.status == Status::Approved,
            amount: None,
            payee: None,
            date_created: verification.created.into(),
            date_updated: verification.updated.into(),
            sna_attempts_error_codes: Vec::new(),
        }
    }
}

/// An attempt to deliver a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView<'a> {
    sid: AttemptSid,
    account_sid: AccountSid,
    /// The service; null when it has been deleted since.
    #[schema(required)]
    service_sid: Option<ServiceSid>,
    verification_sid: VerificationSid,
    #[schema(value_type = String, format = DateTime)]
    date_created: DateTime,
    #[schema(value_type = String, format = DateTime)]
    date_updated: DateTime,
    /// Whether the number was verified.
    #[schema(pattern = "^(converted|unconverted)$")]
    conversion_status: &'static str,
    /// Its channel.
    channel: ChannelName,
    /// Its price: not known here.
    price: Price,
    /// More about it.
    channel_data: ChannelData<'a>,
    #[schema(format = "uri")]
    url: String,
}

/// The price of a message.
#[derive(Debug, Serialize, ToSchema)]
struct Price {
    /// Always null: the provider's bill says it.
    #[schema(required)]
    value: Option<String>,
    /// Always null.
    #[schema(required)]
    currency: Option<String>,
}

/// More about an attempt.
#[derive(Debug, Serialize, ToSchema)]
struct ChannelData<'a> {
    verification_sid: VerificationSid,
    /// The number, in E.164 form.
    to: String,
    /// `confirmed` when the number was verified, else `unconfirmed`.
    #[schema(pattern = "^(confirmed|unconfirmed)$")]
    status: &'static str,
    /// The provider's latest report, in its words.
    #[schema(required)]
    message_status: Option<&'a str>,
    /// The provider's error code.
    #[schema(required)]
    error_code: Option<String>,
    /// The number's country, two letters of ISO 3166-1.
    #[schema(required)]
    country: Option<String>,
    /// Digits of the code.
    #[schema(required, minimum = 4, maximum = 10)]
    code_length: Option<u8>,
    /// The requested language.
    #[schema(required)]
    locale: Option<&'a str>,
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

impl<'a> AttemptView<'a> {
    /// An attempt; `service` is the `VA` of its service, unless it has been deleted.
    pub fn new(frame: &Frame<'_>, service: Option<Sid>, attempt: &'a Attempt) -> Self {
        let Attempt { sid, verification, converted, .. } = *attempt;
        Self {
            sid: Id(sid),
            account_sid: Id(frame.account),
            service_sid: service.map(Id),
            verification_sid: Id(verification),
            date_created: attempt.created.into(),
            date_updated: attempt.updated.into(),
            conversion_status: if converted { "converted" } else { "unconverted" },
            channel: ChannelName(attempt.channel),
            price: Price { value: None, currency: None },
            channel_data: ChannelData {
                verification_sid: Id(verification),
                to: attempt.to.e164(),
                status: if converted { "confirmed" } else { "unconfirmed" },
                message_status: attempt.message_status.as_deref(),
                error_code: attempt.error_code.map(|code| code.to_string()),
                country: attempt.country.map(|country: Region| country.to_string()),
                code_length: attempt.code_length,
                locale: attempt.locale.as_deref(),
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
    #[schema(format = "uri")]
    url: String,
}

impl SummaryView {
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

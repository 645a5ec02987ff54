//! `/v2/Attempts`: attempts to deliver messages, one of them, and how many led to a verified number.

use super::account::{Template, TemplateFilters, list_templates};
use super::prelude::*;
use crate::delivery::SendStatus;
use crate::delivery::attempts::ListedAttempt;
use crate::gateway::ReceiptStatus;
use crate::verification::{AttemptQuery, SealedAttempt};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Filters {
    /// Created at or after this time.
    pub date_created_after: Option<values::Timestamp>,
    /// Created before this time.
    pub date_created_before: Option<values::Timestamp>,
    /// To this number.
    #[serde(rename = "ChannelData.To")]
    pub to: Option<values::PhoneNumber>,
    /// To this country, two letters of ISO 3166-1.
    pub country: Option<values::Region>,
    /// By this channel.
    pub channel: Option<values::Channel>,
    /// Of this service.
    pub verify_service_sid: Option<values::ServiceSid>,
    /// Of this verification.
    pub verification_sid: Option<values::VerificationSid>,
    /// Whether the attempt led to a verified number.
    pub status: Option<values::Converted>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SummaryFilters {
    /// Created at or after this time.
    pub date_created_after: Option<values::Timestamp>,
    /// Created before this time.
    pub date_created_before: Option<values::Timestamp>,
    /// To this country, two letters of ISO 3166-1.
    pub country: Option<values::Region>,
    /// By this channel.
    pub channel: Option<values::Channel>,
    /// Of this service.
    pub verify_service_sid: Option<values::ServiceSid>,
    /// To numbers with this prefix.
    pub destination_prefix: Option<values::NumberPrefix>,
}

/// An attempt to deliver a message. `service` is `None` if the service has been deleted.
#[derive(Serialize, JsonSchema)]
pub struct Attempt {
    pub sid: AttemptSid,
    pub account_sid: AccountSid,
    /// Null if the service has been deleted.
    pub service_sid: Option<ServiceSid>,
    pub verification_sid: VerificationSid,
    pub date_created: Date,
    pub date_updated: Date,
    /// Whether the number was verified.
    pub conversion_status: &'static str,
    pub channel: Channel,
    pub price: Price,
    pub channel_data: ChannelData,
    pub url: Url,
}

impl Attempt {
    fn new(caller: &Caller, SealedAttempt { sid, verification, listed }: &SealedAttempt) -> Self {
        let (verification_sid, is_converted) = (Id(*verification), listed.converted);
        Self {
            sid: Id(*sid),
            account_sid: caller.account(),
            service_sid: caller.service_sid(listed.id.key.service).map(Id),
            verification_sid,
            date_created: listed.attempt.at.into(),
            date_updated: listed.updated().into(),
            conversion_status: if is_converted { "converted" } else { "unconverted" },
            channel: listed.attempt.channel,
            price: Price::default(),
            channel_data: ChannelData {
                verification_sid,
                to: listed.number.e164(),
                status: if is_converted { "confirmed" } else { "unconfirmed" },
                message_status: Some(message_status(listed)),
                error_code: listed.attempt.error_code.map(|code| code.to_string()),
                country: listed.number.region().map(|country| country.to_string()),
                parts: listed.parts,
                code_length: (),
                locale: (),
                mcc: (),
                mnc: (),
                carrier: (),
            },
            url: caller.url(format_args!("/v2/Attempts/{sid}")),
        }
    }
}

/// Not served.
#[derive(Default, Serialize, JsonSchema)]
pub struct Price {
    value: (),
    currency: (),
}

#[derive(Serialize, JsonSchema)]
pub struct ChannelData {
    pub verification_sid: VerificationSid,
    /// The number, in E.164 form.
    pub to: String,
    /// `confirmed` if the number was verified.
    pub status: &'static str,
    /// The provider's latest report, in its words.
    pub message_status: Option<&'static str>,
    /// The provider's error code.
    pub error_code: Option<String>,
    /// The number's country, two letters of ISO 3166-1.
    pub country: Option<String>,
    /// The text messages that it counts as. Twilio does not have this field.
    pub parts: u8,
    /// The number of digits is not kept.
    pub code_length: (),
    /// The requested language is not kept.
    pub locale: (),
    /// The network is not looked up.
    pub mcc: (),
    /// The network is not looked up.
    pub mnc: (),
    /// The network is not looked up.
    pub carrier: (),
}

/// The number of attempts that led to a verified number.
#[derive(Serialize, JsonSchema)]
pub struct AttemptsSummary {
    pub total_attempts: u64,
    pub total_converted: u64,
    pub total_unconverted: u64,
    /// In percent; `0` if there were no attempts.
    pub conversion_rate_percentage: String,
    pub url: Url,
}

/// The provider's latest report, or what the gateway answered.
pub fn message_status(listed: &ListedAttempt) -> &'static str {
    let sent = match listed.attempt.status {
        SendStatus::Sent => "sent",
        SendStatus::New => "queued",
        SendStatus::GatewayError | SendStatus::Unsendable => "failed",
    };
    listed.attempt.receipt.map_or(sent, ReceiptStatus::as_str)
}

/// With up to nine places, rounded down: `81.818181818`.
fn percentage(part: u64, whole: u64) -> String {
    const PLACES: u128 = 1_000_000_000;
    let billionths = (u128::from(part) * 100 * PLACES).checked_div(u128::from(whole)).unwrap_or(0);
    let text = format!("{}.{:09}", billionths / PLACES, billionths % PLACES);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `GET /v2/Attempts`.
async fn list(caller: Caller, Listing(filters, page): Listing<Filters>) -> Result<Listed<Attempt>, Error> {
    let (before, skip) = page.place(filters.date_created_before.map(|before| before.0));
    let query = AttemptQuery {
        services: services(&caller, filters.verify_service_sid),
        after: filters.date_created_after.map(|after| after.0),
        before,
        to: filters.to.map(|number| number.0),
        country: filters.country.map(|country| country.0),
        channel: filters.channel.map(|channel| channel.0),
        verification: filters.verification_sid.map(|sid| sid.0),
        converted: filters.status.map(|status| status.0),
        skip,
        ..AttemptQuery::newest(page.limit())
    };
    let found = caller.running.verifier.messages(query).await?;
    let at = |attempt: &&SealedAttempt| attempt.listed.attempt.at;
    Ok(page.of_newest("attempts", &found, at, |attempt| Attempt::new(&caller, attempt)))
}

async fn fetch(caller: Caller, Segments(Id(sid)): Segments<AttemptSid>) -> Answer<Attempt> {
    let attempt = caller.done(caller.running.verifier.attempt(sid).await)?;
    if caller.who.service().is_some_and(|own| own != attempt.listed.id.key.service) {
        return Err(Error::NO_RESOURCE);
    }
    Ok(Json(Attempt::new(&caller, &attempt)))
}

async fn summary(
    caller: Caller,
    _turn: Turn,
    Params(filters): Params<SummaryFilters>,
) -> Answer<AttemptsSummary> {
    let query = AttemptQuery {
        services: services(&caller, filters.verify_service_sid),
        after: filters.date_created_after.map(|after| after.0),
        before: filters.date_created_before.map(|before| before.0),
        country: filters.country.map(|country| country.0),
        channel: filters.channel.map(|channel| channel.0),
        prefix: filters.destination_prefix.map(|prefix| prefix.0),
        ..AttemptQuery::newest(usize::MAX)
    };
    let [total, converted] = caller.done(caller.running.verifier.summary(query).await)?;
    Ok(Json(AttemptsSummary {
        total_attempts: total,
        total_converted: converted,
        total_unconverted: total.saturating_sub(converted),
        conversion_rate_percentage: percentage(converted, total),
        url: caller.url("/v2/Attempts/Summary"),
    }))
}

/// The requested services, without those that the caller may not see; `None` for all.
fn services(caller: &Caller, asked: Option<ServiceSid>) -> Option<Vec<ServiceId>> {
    let own = caller.who.service();
    let Some(Id(sid)) = asked else { return own.map(|own| vec![own]) };
    let asked = caller.running.registry.service(&sid).ok().map(|service| service.id);
    Some(asked.into_iter().filter(|asked| own.is_none_or(|own| own == *asked)).collect())
}

#[rustfmt::skip] // A table.
pub fn with_routes(verifications: Routes) -> Routes {
    verifications
        .get("/v2/Attempts", list, list_of::<Filters, Attempt>("attempts", "ListVerificationAttempt", "List attempts to deliver messages")
                .about("Newest first."))
        .get("/v2/Attempts/{Sid}", fetch, ok::<(), Attempt>("FetchVerificationAttempt", "Fetch an attempt"))
        .get("/v2/Templates", list_templates, list_of::<TemplateFilters, Template>("templates", "ListVerificationTemplate", "List templates")
                .about("Templates are built in or come from the configuration."))
        .get("/v2/Attempts/Summary", summary, ok::<SummaryFilters, AttemptsSummary>("FetchVerificationAttemptsSummary", "Summarize attempts"))
}

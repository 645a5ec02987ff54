//! `/v2/Attempts`: attempts to deliver messages, one of them, and how many led to a verified number.

use super::prelude::*;
use crate::delivery::SendStatus;
use crate::delivery::attempts::ListedAttempt;
use crate::gateway::ReceiptStatus;
use crate::verification::verify::{AttemptQuery, Refused, SealedAttempt, Summary};

parameters! {
    pub struct Filters {
        /// Created at or after this time.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// Created before this time.
        "DateCreatedBefore" = "2026-02-28T12:00:00Z" => before: Option<Timestamp>,
        /// To this number.
        "ChannelData.To" = "+14155552671" => to: Option<PhoneNumber>,
        /// To this country, two letters of ISO 3166-1.
        "Country" = "DE" => country: Option<Region>,
        /// By this channel.
        "Channel" = "sms" => channel: Option<Channel>,
        /// Of this service.
        "VerifyServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// Of this verification.
        "VerificationSid" = "VE0123456789abcdef0123456789abcdef" => verification: Option<VerificationSid>,
        /// Whether the attempt led to a verified number.
        "Status" = "converted" => converted: Option<Converted>,
    }
}

parameters! {
    pub struct SummaryFilters {
        /// Of this service.
        "VerifyServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// Created at or after this time.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// Created before this time.
        "DateCreatedBefore" = "2026-02-28T12:00:00Z" => before: Option<Timestamp>,
        /// To this country, two letters of ISO 3166-1.
        "Country" = "DE" => country: Option<Region>,
        /// By this channel.
        "Channel" = "sms" => channel: Option<Channel>,
        /// To numbers with this prefix.
        "DestinationPrefix" = "49" => prefix: Option<NumberPrefix>,
    }
}

view! {
    /// An attempt to deliver a message. `service` is `None` if the service has been deleted.
    AttemptView as "Attempt"(frame, service: Option<Sid>, attempt: &SealedAttempt) {
        sid: AttemptSid = Id(attempt.sid),
        account_sid: AccountSid = Id(frame.account),
        /// Null if the service has been deleted.
        service_sid: Option<ServiceSid> = service.map(Id),
        verification_sid: VerificationSid = Id(attempt.verification),
        date_created: Date = attempt.listed.attempt.at.into(),
        date_updated: Date = attempt.listed.updated().into(),
        /// Whether the number was verified.
        #[schemars(regex(pattern = "^(converted|unconverted)$"))]
        conversion_status: &'static str = if attempt.listed.converted { "converted" } else { "unconverted" },
        #[schemars(extend("enum" = Channel::ALL.map(Channel::as_str)))]
        channel: &'static str = attempt.listed.attempt.channel.as_str(),
        price: Price = Price::new(frame),
        channel_data: ChannelData = ChannelData::new(frame, attempt),
        url: Url = frame.url(format_args!("/Attempts/{}", attempt.sid)),
    }
}

nulls! {
    Price as "Price": value, currency;
}

view! {
    ChannelData as "ChannelData"(_frame, attempt: &SealedAttempt) {
        verification_sid: VerificationSid = Id(attempt.verification),
        /// The number, in E.164 form.
        to: String = attempt.listed.number.e164(),
        /// `confirmed` if the number was verified.
        #[schemars(regex(pattern = "^(confirmed|unconfirmed)$"))]
        status: &'static str = if attempt.listed.converted { "confirmed" } else { "unconfirmed" },
        /// The provider's latest report, in its words.
        message_status: Option<String> = Some(message_status(&attempt.listed).to_owned()),
        /// The provider's error code.
        error_code: Option<String> = attempt.listed.attempt.error_code.map(|code| code.to_string()),
        /// The number's country, two letters of ISO 3166-1.
        country: Option<String> = attempt.listed.number.region().map(|country: Region| country.to_string()),
        /// The text messages that it counts as. Twilio does not have this field.
        parts: u8 = attempt.listed.parts,
        /// The number of digits is not kept.
        code_length: Null = Null,
        /// The requested language is not kept.
        locale: Null = Null,
        /// The network is not looked up.
        mcc: Null = Null,
        /// The network is not looked up.
        mnc: Null = Null,
        /// The network is not looked up.
        carrier: Null = Null,
    }
}

view! {
    /// The number of attempts that led to a verified number.
    SummaryView as "AttemptsSummary"(frame, summary: Summary) {
        total_attempts: u64 = summary.total,
        total_converted: u64 = summary.converted,
        total_unconverted: u64 = summary.total.saturating_sub(summary.converted),
        /// In percent; `0` if there were no attempts.
        #[schemars(regex(pattern = r"^[0-9]{1,3}(\.[0-9]{1,9})?$"))]
        conversion_rate_percentage: String = percentage(summary.converted, summary.total),
        url: Url = frame.url("/Attempts/Summary"),
    }
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

/// `GET /v2/Attempts`. The pages go on from the moment at which the first one was asked for, so that attempts made since
/// do not move those on later pages.
pub async fn list(Given(request, filters): Given<Filters>) -> Answer<Listed<AttemptView>> {
    let mut page = request.page(Filters::NAMES)?;
    let wanted = AttemptQuery {
        services: services(&request, filters.service),
        after: filters.after,
        before: Some(page.until(filters.before)),
        to: filters.to,
        country: filters.country,
        channel: filters.channel,
        verification: filters.verification,
        converted: filters.converted,
        skip: page.skip(),
        limit: page.limit(),
        ..AttemptQuery::default()
    };
    let found = request.running.verifying.messages(wanted).await.map_err(Refused::from)?.records;
    let frame = request.frame();
    let view = |attempt: &SealedAttempt| {
        AttemptView::new(&frame, request.service_sid(attempt.listed.id.key.service), attempt)
    };
    Ok(Json(page.of("attempts", &found, view)))
}

pub async fn fetch(request: Request) -> Answer<AttemptView> {
    let sid = request.sid("Sid", SidKind::Attempt)?;
    let attempt = request.running.verifying.attempt(sid).await?;
    let service = attempt.listed.id.key.service;
    if request.caller.service().is_some_and(|own| own != service) {
        return Err(Error::NotFound);
    }
    Ok(Json(AttemptView::new(&request.frame(), request.service_sid(service), &attempt)))
}

pub async fn summary(Given(request, filters): Given<SummaryFilters>) -> Answer<SummaryView> {
    let wanted = AttemptQuery {
        services: services(&request, filters.service),
        after: filters.after,
        before: filters.before,
        country: filters.country,
        channel: filters.channel,
        prefix: filters.prefix,
        limit: usize::MAX,
        ..AttemptQuery::default()
    };
    let summary = request.running.verifying.summary(wanted).await?;
    Ok(Json(SummaryView::new(&request.frame(), summary)))
}

/// The requested services, without those that the caller may not see; `None` for all.
fn services(request: &Request, asked: Option<Sid>) -> Option<Vec<ServiceId>> {
    let own = request.caller.service();
    let Some(sid) = asked else { return own.map(|own| vec![own]) };
    let asked = request.running.registry.service(&sid).ok().map(|service| service.id);
    Some(asked.into_iter().filter(|asked| own.is_none_or(|own| own == *asked)).collect())
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(super::verifications::GROUP)
        .get("/v2/Attempts", list,
            listing(list, "attempts", "ListVerificationAttempt", "List attempts to deliver messages").about("Newest first."))
        .get("/v2/Attempts/{Sid}", fetch, operation(fetch, "FetchVerificationAttempt", "Fetch an attempt"))
        .get("/v2/Attempts/Summary", summary,
            operation(summary, "FetchVerificationAttemptsSummary", "Summarize attempts").long())
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

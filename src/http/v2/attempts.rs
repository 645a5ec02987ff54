//! `/v2/Attempts`: attempts to deliver messages, one of them, and how many led to a verified number.

use super::context::{Failure, Request, RequestContext};
use super::params::{Converted, Id, NumberPrefix, Parameters as _, ServiceSid, VerificationSid, parameters};
use super::view::{AttemptView, SummaryView};
use crate::domain::{Channel, PhoneNumber, Region, ServiceId, SidKind, Timestamp};
use crate::http::response::Response;
use crate::verify::AttemptQuery;

parameters! {
    /// The filters of the list.
    pub struct Filters {
        /// Made at this moment or later.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// Made before this moment.
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
        /// That led to a verified number, or did not.
        "Status" = "converted" => converted: Option<Converted>,
    }
}

parameters! {
    /// The filters of the summary.
    pub struct SummaryFilters {
        /// Of this service.
        "VerifyServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// Made at this moment or later.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// Made before this moment.
        "DateCreatedBefore" = "2026-02-28T12:00:00Z" => before: Option<Timestamp>,
        /// To this country, two letters of ISO 3166-1.
        "Country" = "DE" => country: Option<Region>,
        /// By this channel.
        "Channel" = "sms" => channel: Option<Channel>,
        /// To numbers that begin so.
        "DestinationPrefix" = "49" => prefix: Option<NumberPrefix>,
    }
}

/// `GET /v2/Attempts`. The pages go on from the moment at which the first one was asked for, so that attempts made since
/// do not move those on later pages.
pub async fn list(request: &Request<'_, Filters>) -> Result<Response, Failure> {
    let (page, began) = request.page()?.begun(request.end_of_now());
    let filters = request.read()?;
    let wanted = AttemptQuery {
        services: services(request, filters.service.as_ref()),
        after: filters.after,
        before: Some(filters.before.map_or(began, |before| before.min(began))),
        to: filters.to,
        country: filters.country,
        channel: filters.channel,
        verification: filters.verification.map(|Id(sid)| sid),
        converted: filters.converted.map(|Converted(converted)| converted),
        prefix: None,
        skip: page.skip(),
        limit: page.limit(),
    };
    let found = request.v2.verifications.attempts(wanted).await?;
    let frame = request.frame();
    let attempts = found.attempts.iter();
    let attempts: Vec<_> = attempts
        .map(|attempt| AttemptView::new(&frame, request.service_sid(attempt.service), attempt))
        .collect();
    Ok(request.listed("attempts", (page, attempts, found.has_more), Filters::NAMES))
}

pub async fn fetch(request: &Request<'_>) -> Result<Response, Failure> {
    let sid = request.sid_behind("Attempts", SidKind::Attempt)?;
    let attempt = request.v2.verifications.attempt(sid).await?;
    if request.own_service().is_some_and(|own| own != attempt.service) {
        return Err(Failure::NotFound);
    }
    let view = AttemptView::new(&request.frame(), request.service_sid(attempt.service), &attempt);
    Ok(Response::ok(&view))
}

pub async fn summary(request: &Request<'_, SummaryFilters>) -> Result<Response, Failure> {
    let filters = request.read()?;
    let wanted = AttemptQuery {
        services: services(request, filters.service.as_ref()),
        after: filters.after,
        before: filters.before,
        country: filters.country,
        channel: filters.channel,
        prefix: filters.prefix.map(|NumberPrefix(digits)| digits),
        limit: usize::MAX,
        ..AttemptQuery::default()
    };
    let summary = request.v2.verifications.summary(wanted).await?;
    Ok(Response::ok(&SummaryView::new(&request.frame(), summary)))
}

/// The requested services, without those that the caller may not see; `None` for all.
fn services(request: &RequestContext<'_>, asked: Option<&ServiceSid>) -> Option<Vec<ServiceId>> {
    let own = request.own_service();
    let Some(Id(sid)) = asked else { return own.map(|own| vec![own]) };
    let asked = request.service_id(sid).filter(|id| own.is_none_or(|own| own == *id));
    Some(asked.into_iter().collect())
}

//! `/v2/Attempts`: attempts to deliver messages, one of them, and how many led to a verified number.

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use super::view::{AttemptView, SummaryView};
use crate::domain::{Region, ServiceId, Sid, SidKind};
use crate::http::answer::Answer;
use crate::verify::{Attempt, AttemptQuery};

/// Longest prefix of a number, E.164's fifteen digits.
const LONGEST_PREFIX: usize = 15;

/// What the list can be asked, beside paging.
const FILTERS: [&str; 8] = [
    "DateCreatedAfter",
    "DateCreatedBefore",
    "ChannelData.To",
    "Country",
    "Channel",
    "VerifyServiceSid",
    "VerificationSid",
    "Status",
];

/// `GET /v2/Attempts`. The pages go on from the moment at which the first one was asked for, so that attempts made since
/// do not move those on later pages.
pub async fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let query = &ask.query;
    let page = Page::read(query)?;
    let page = page.begun(ask.now_and_a_bit());
    let conversions =
        [("converted", true), ("unconverted", false), ("CONVERTED", true), ("UNCONVERTED", false)];
    let wanted = AttemptQuery {
        before: value::moment(query, "DateCreatedBefore")?.into_iter().chain(page.since()).min(),
        to: value::number(query, "ChannelData.To")?,
        verification: value::sid(query, "VerificationSid", SidKind::Verification)?,
        converted: value::word(query, "Status", &conversions)?,
        skip: page.skip(),
        limit: page.limit(),
        ..common(ask)?
    };
    let found = ask.v2.verifications.attempts(wanted).await.map_err(|refused| ask.refused(refused))?;
    let frame = ask.frame();
    let view = |attempt: &Attempt| AttemptView::new(&frame, ask.service_sid(attempt.service), attempt);
    let attempts = found.attempts.iter().map(view).collect();
    let url = frame.url("/Attempts");
    Ok(Answer::json(
        StatusCode::OK,
        &page.listed("attempts", attempts, found.has_more, &url, (query, &FILTERS)),
    ))
}

/// `GET /v2/Attempts/{Sid}`.
pub async fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    let sid = Sid::parse(SidKind::Attempt, &ask.part(1)?).ok_or_else(|| ask.not_found())?;
    let attempt = ask.v2.verifications.attempt(sid).await.map_err(|refused| ask.refused(refused))?;
    if ask.own_service().is_some_and(|own| own != attempt.service) {
        return Err(ask.not_found());
    }
    let view = AttemptView::new(&ask.frame(), ask.service_sid(attempt.service), &attempt);
    Ok(Answer::json(StatusCode::OK, &view))
}

/// `GET /v2/Attempts/Summary`.
pub async fn summary(ask: &Ask<'_>) -> Result<Answer, Error> {
    let query = &ask.query;
    let wanted = AttemptQuery {
        before: value::moment(query, "DateCreatedBefore")?,
        prefix: prefix(query)?,
        skip: 0,
        limit: usize::MAX,
        ..common(ask)?
    };
    let summary = ask.v2.verifications.summary(wanted).await.map_err(|refused| ask.refused(refused))?;
    Ok(Answer::json(StatusCode::OK, &SummaryView::new(&ask.frame(), summary)))
}

/// What the list and the summary can both be asked.
fn common(ask: &Ask<'_>) -> Result<AttemptQuery, Error> {
    let query = &ask.query;
    Ok(AttemptQuery {
        services: services(ask)?,
        after: value::moment(query, "DateCreatedAfter")?,
        country: value::read(query, "Country", "two letters of ISO 3166-1", Region::parse)?,
        channel: value::channel(query, "Channel")?,
        ..AttemptQuery::default()
    })
}

/// The services that are asked about and may be. None that the caller may not see.
fn services(ask: &Ask<'_>) -> Result<Option<Vec<ServiceId>>, Error> {
    let own = ask.own_service();
    let Some(sid) = value::sid(&ask.query, "VerifyServiceSid", SidKind::Service)? else {
        return Ok(own.map(|own| vec![own]));
    };
    let asked = ask.service_id(&sid).filter(|id| own.is_none_or(|own| own == *id));
    Ok(Some(asked.into_iter().collect()))
}

fn prefix(query: &Fields) -> Result<Option<String>, Error> {
    let must_be = format_args!("1 to {LONGEST_PREFIX} digits, perhaps behind a +");
    value::read(query, "DestinationPrefix", must_be, |text| {
        let digits = text.strip_prefix(['+', ' ']).unwrap_or(text);
        let fits = (1..=LONGEST_PREFIX).contains(&digits.len());
        (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.to_owned())
    })
}

//! The list of numbers that were refused messages, and by what.

use askama::Template;

use super::list::{self, List};
use super::page::{AdminRequest, PageResult, moment};
use crate::domain::{Region, Timestamp};
use crate::http::api::params::{NumberEnding, ServiceSid, UtcTime, parameters};
use crate::limits::guard::operator::by;
use crate::limits::guard::{RefusedNumber, Rule};

const PATH: &str = "/admin/refusals";

parameters! {
    /// The filters of the list.
    pub struct Filters {
        /// Since, UTC
        "since" = "2026-01-31" => since: Option<UtcTime>,
        /// Before, UTC
        "until" = "2026-02-28T12:00:00Z" => until: Option<UtcTime>,
        /// Service
        "service" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// Country
        "country" = "DE" => country: Option<Region>,
        /// Rule
        "rule" = "budget" => rule: Option<Rule>,
        /// Number ends with
        "ending" = "71" => ending: Option<NumberEnding>,
    }
}

#[derive(Template)]
#[template(path = "refusals.html")]
struct RefusalsPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    rows: Vec<RefusedNumber>,
    oldest: Option<Timestamp>,
}

/// `GET /admin/refusals`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    let (mut rows, guard) = (Vec::new(), &request.running.guard);
    if let Some(Filters { since, until, service, country, rule, ending }) = filters
        && let Ok(service) = list.service(&request, service)
    {
        let fits = |refused: &RefusedNumber| {
            service.as_ref().is_none_or(|service| refused.service == service.id)
                && (country.is_none() || refused.number.region() == country)
                && rule.is_none_or(|rule| refused.by.iter().any(|by| by.rule == rule))
                && ending.as_ref().is_none_or(|ending| refused.number.e164().ends_with(ending.as_str()))
        };
        rows = list.take(guard.refused_numbers(list.range(since, until, fits)).await?);
    }
    let oldest = guard.oldest_refusal();
    Ok(list::html(&list, &RefusalsPage { request: &request, list: &list, rows, oldest }))
}

//! The list of numbers that were refused messages, and by what.

use askama::Template;
use axum::response::Response;

use super::list::{self, List};
use super::page::{AdminRequest, PageHeader, Unavailable, moment};
use crate::domain::{Region, Timestamp};
use crate::http::api::params::{ServiceSid, UtcTime, parameters};
use crate::http::pages::{Frame, GROUP};
use crate::http::route::{ApiRouter, Operation};
use crate::limits::guard::operator::by;
use crate::limits::guard::{RefusedNumber, Rule};
use crate::shard::LogRange;

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
    }
}

#[derive(Template)]
#[template(path = "refusals.html")]
struct RefusalsPage<'a> {
    frame: Frame,
    header: PageHeader,
    list: List,
    rows: Vec<RefusedNumber>,
    request: &'a AdminRequest,
    known_since: Timestamp,
}

/// `GET /admin/refusals`.
async fn page(request: AdminRequest) -> Result<Response, Unavailable> {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    let (mut rows, guard) = (Vec::new(), request.guard()?);
    if let Some(Filters { since, until, service, country, rule }) = filters
        && let Ok(service) = list.service(&request, service)
    {
        let fits = |refused: &RefusedNumber| {
            service.as_ref().is_none_or(|service| refused.service == service.id)
                && (country.is_none() || refused.number.region() == country)
                && rule.is_none_or(|rule| refused.by.iter().any(|by| by.rule == rule))
        };
        let (since, until, read) = (since.unwrap_or_default(), Some(list.until(until)), list::READ);
        let range = LogRange { since, until, fits, skip: list.skip(), limit: list.limit(), read };
        rows = list.take(guard.refused_numbers(range).await?);
    }
    let known_since = guard.refusals_known_since();
    let page =
        |frame, header, list| RefusalsPage { frame, header, list, rows, request: &request, known_since };
    Ok(request.render_list(PATH, list, page))
}

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP).get(PATH, page, Operation::page())
}

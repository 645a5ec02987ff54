//! The list of numbers that were refused messages, and by what.

use super::prelude::*;
use crate::limits::guard::RefusedNumber;
use crate::limits::guard::operator::by;

const PATH: &str = "/admin/refusals";

/// The filters of the list.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// Since, UTC
    pub since: Option<values::UtcTime>,
    /// Before, UTC
    pub until: Option<values::UtcTime>,
    /// Service
    pub service: Option<values::ServiceSid>,
    /// Country
    pub country: Option<values::Region>,
    /// Rule
    pub rule: Option<values::Rule>,
    /// Number ends with
    pub ending: Option<values::NumberEnding>,
}

#[derive(Template)]
#[template(path = "refusals.html")]
struct RefusalsPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    rows: Vec<RefusedNumber>,
}

/// `GET /admin/refusals`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    let Filters { since, until, service, country, rule, ending } = filters;
    let service = list.service(&request, service);
    let since = since.map_or(Timestamp::EPOCH, |since| since.0);
    let until = list.until(until.map(|until| until.0));
    let fits = |refused: &RefusedNumber| {
        refused.last >= since
            && until.is_none_or(|until| refused.last < until)
            && service.as_ref().is_none_or(|service| refused.service == service.id)
            && (country.as_ref().is_none_or(|country| refused.number.region() == Some(country.0)))
            && rule.as_ref().is_none_or(|rule| refused.rule == rule.0)
            && ending.as_ref().is_none_or(|ending| refused.number.e164().ends_with(&ending.0))
    };
    let rows = list.take_of_all(request.running.guard.refused_numbers().into_iter().filter(fits));
    Ok(list::html(&list, &RefusalsPage { request: &request, list: &list, rows }))
}

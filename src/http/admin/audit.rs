//! The audit log, the newest entries first.

use askama::Template;

use super::list::{self, List, Pager};
use super::{AdminRequest, PageHeader, moment};
use crate::audit::{Action, AuditEntry, AuditQuery};
use crate::domain::Timestamp;
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::http::v2::params::{ServiceSid, Text, UtcTime, parameters};
use crate::http::v2::{self, audit::AuditEntryView};
use crate::numbers::Refusal;
use crate::shard::LogPart;

const PATH: &str = "/admin/audit";

parameters! {
    /// The filters of the list.
    pub struct Filters {
        /// At or after this day or moment of UTC.
        "since" = "2026-01-31" => since: Option<UtcTime>,
        /// Before it.
        "until" = "2026-02-28T12:00:00Z" => until: Option<UtcTime>,
        /// Of this service.
        "service" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// This action.
        "action" = "key.created" => action: Option<Action>,
        /// By this kind of actor, id or name.
        "actor" = "anna" => actor: Option<Text<100>>,
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    header: PageHeader,
    list: List,
    /// The time, the service and the rest of each entry.
    entries: Vec<(Timestamp, String, AuditEntryView)>,
    pager: Pager,
}

/// `GET /admin/audit`.
pub async fn page(request: &AdminRequest<'_>) -> Result<Response, Refusal> {
    let (mut list, filters) = List::read::<Filters>(request, PATH.to_owned());
    let found = match filters {
        Some(filters) => read(request, &mut list, filters).await?,
        None => None,
    };
    let (has_more, stopped) =
        found.as_ref().map_or_else(Default::default, |found| (found.has_more, found.stopped));
    let entries = found.into_iter().flat_map(|found| found.records);
    let registry = &request.v2.registry;
    let views = v2::Frame { base: "", account: registry.account_sid() };
    let entries = entries.map(|entry| {
        let service = entry.change.service.map(|sid| {
            let known = registry.service(&sid).ok();
            known.map_or_else(|| sid.to_string(), |service| request.title(&service))
        });
        (entry.at, service.unwrap_or_default(), AuditEntryView::new(&views, &entry))
    });
    if list.is_csv && list.problem.is_none() {
        let columns = ["time", "action", "actor", "service", "target", "request"];
        let rows = entries.map(|(at, service, entry)| {
            let (who, target) = (entry.who(), entry.target().to_owned());
            let at = at.rfc3339_millis().to_string();
            [at, entry.action.to_owned(), who, service, target, entry.request_id.unwrap_or_default()]
        });
        return Ok(list::csv("attachment; filename=\"audit.csv\"", columns, rows));
    }
    let entries: Vec<_> = entries.collect();
    list.times();
    list.choice("service", "Service", request.services());
    list.choice("action", "Action", Action::ALL.map(|action| (action.as_str(), action.as_str())));
    list.text("actor", "Actor: kind, id or name");
    let (is_wrong, pager) = (list.problem.is_some(), list.pager(has_more, stopped));
    let page = |frame, header| AuditPage { frame, header, list, entries, pager };
    Ok(list::with_status(is_wrong, request.render(PATH, page)))
}

async fn read(
    request: &AdminRequest<'_>,
    list: &mut List,
    filters: Filters,
) -> Result<Option<LogPart<AuditEntry>>, Refusal> {
    let Filters { since, until, service, action, actor } = filters;
    // A deleted service has entries too.
    let query = AuditQuery {
        service,
        since: since.unwrap_or_default(),
        until: Some(list.until(until)),
        action,
        actor,
        skip: list.skip(),
        limit: list.limit(),
        read: Some(list::READ),
    };
    request.v2.registry.audit().entries(&query).await.map(Some)
}

//! The audit log, the newest entries first.

use askama::Template;
use axum::response::Response;

use super::list::{self, List};
use super::page::{AdminRequest, PageHeader, Unavailable, moment};
use crate::domain::Timestamp;
use crate::http::api::audit::AuditEntryView;
use crate::http::api::params::{Frame as ViewFrame, ServiceSid, Text, UtcTime, parameters};
use crate::http::pages::{Frame, GROUP};
use crate::http::route::{ApiRouter, Operation};
use crate::registry::audit::{Action, AuditQuery};

const PATH: &str = "/admin/audit";

parameters! {
    /// The filters of the list.
    pub struct Filters {
        /// Since, UTC
        "since" = "2026-01-31" => since: Option<UtcTime>,
        /// Before, UTC
        "until" = "2026-02-28T12:00:00Z" => until: Option<UtcTime>,
        /// Service
        "service" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// Action
        "action" = "key.created" => action: Option<Action>,
        /// Actor: kind, id or name
        "actor" = "anna" => actor: Option<Text<100>>,
        /// By or about the id
        "of" = "SK0123456789abcdef0123456789abcdef" => of: Option<Text<40>>,
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
}

/// `GET /admin/audit`.
async fn page(request: AdminRequest) -> Result<Response, Unavailable> {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    list.has_file = true;
    let mut entries = Vec::new();
    if let Some(Filters { since, until, service, action, actor, of }) = filters {
        let (until, skip, limit, read) =
            (Some(list.until(until)), list.skip(), list.limit(), Some(list::READ));
        // A deleted service has entries too.
        let query = AuditQuery {
            service,
            since: since.unwrap_or_default(),
            until,
            action,
            actor,
            of,
            skip,
            limit,
            read,
        };
        entries = list.take(request.v2.registry.audit().entries(&query).await?);
    }
    let registry = &request.v2.registry;
    let views = ViewFrame::without_addresses(registry.account_sid());
    let entries = entries.into_iter().map(|entry| {
        let service = entry.change.service.map(|sid| {
            let known = registry.service(&sid).ok();
            known.map_or_else(|| sid.to_string(), |service| registry.title(&service))
        });
        (entry.at, service.unwrap_or_default(), AuditEntryView::new(&views, &entry))
    });
    if list.is_file() {
        let columns = ["time", "action", "actor", "service", "target", "request"];
        let rows = entries.map(|(at, service, entry)| {
            let (who, target) = (entry.who(), entry.target().to_owned());
            let at = at.rfc3339_millis().to_string();
            [at, entry.what(), who, service, target, entry.request_id.unwrap_or_default()]
        });
        return Ok(list::csv("attachment; filename=\"audit.csv\"", columns, rows));
    }
    let entries = entries.collect();
    Ok(request.render_list(PATH, list, |frame, header, list| AuditPage { frame, header, list, entries }))
}

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP).get("/admin/audit", page, Operation::page())
}

//! The audit log, the newest entries first.

use askama::Template;

use super::list::{self, List};
use super::page::{AdminRequest, PageResult, moment};
use crate::domain::{Sid, SidKind, Timestamp};
use crate::http::api::audit::AuditEntryView;
use crate::http::api::params::{Frame as ViewFrame, ServiceSid, Text, UtcTime, parameters};
use crate::registry::audit::{Action, AuditEntry, AuditFilter};

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
struct AuditPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    entries: Vec<Row>,
}

/// An entry, in words and with the pages of what it is about.
struct Row {
    at: Timestamp,
    service: String,
    /// The page of its service, and that of its target.
    of_service: Option<String>,
    of_target: Option<String>,
    target: String,
    /// What is other now.
    values: String,
    view: AuditEntryView,
}

/// `GET /admin/audit`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    (list.has_file, list.rows) = (true, 30);
    let mut entries = Vec::new();
    if let Some(Filters { since, until, service, action, actor, of }) = filters {
        // A deleted service has entries too.
        let filter = AuditFilter { service, action, actor, of };
        let range = list.range(since, until, |entry: &AuditEntry| filter.fits(entry));
        entries = list.take(request.running.registry.audit().list(None, range).await?);
    }
    let registry = &request.running.registry;
    let keys = registry.keys(None);
    let views = ViewFrame::without_addresses(registry.account_sid());
    let entries = entries.into_iter().map(|entry| {
        let at = entry.at;
        let service = entry.change.service.map_or_else(String::new, |sid| {
            let known = registry.service(&sid).ok();
            known.map_or_else(|| sid.to_string(), |service| registry.title(&service))
        });
        let (view, change) = (AuditEntryView::new(&views, &entry), &entry.change);
        let is_there = |sid: &Sid| registry.service(sid).is_ok();
        let of_service = change.service.filter(is_there).map(|sid| format!("/admin/services/{sid}"));
        let of_target = change.resource.and_then(|sid| match sid.kind() {
            SidKind::Webhook => Some(format!("/admin/webhooks/{sid}")),
            SidKind::ApiKey => Some(format!("{PATH}?of={sid}")),
            _ => None,
        });
        let named = change.resource.and_then(|sid| keys.iter().find(|key| key.sid == sid)?.name.clone());
        let target = [view.target().to_owned()].into_iter().chain(named).collect::<Vec<_>>().join(" ");
        let values = change.values.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Row { at, service, of_service, of_target, target, values, view }
    });
    if list.is_file() {
        let columns = "time,action,actor,service,target,changes,request";
        let rows = entries.map(|Row { at, service, target, values, view, .. }| {
            let (at, who) = (at.rfc3339_millis().to_string(), view.who());
            [at, view.what(), who, service, target, values, view.request_id.unwrap_or_default()]
        });
        return Ok(list::csv("attachment; filename=\"audit.csv\"", columns, rows));
    }
    let entries = entries.collect();
    Ok(list::html(&list, &AuditPage { request: &request, list: &list, entries }))
}

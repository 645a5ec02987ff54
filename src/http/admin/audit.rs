//! The audit log, the newest entries first.

use super::prelude::*;
use crate::http::api::audit;
use crate::registry::audit::AuditEntry;

const PATH: &str = "/admin/audit";

/// The filters of the list.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// Since, UTC
    pub since: Option<values::UtcTime>,
    /// Before, UTC
    pub until: Option<values::UtcTime>,
    /// Service
    pub service: Option<values::ServiceSid>,
    /// Action
    pub action: Option<values::AuditAction>,
    /// By or about: kind, id or name
    pub of: Option<values::Unchecked<100>>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    entries: Vec<Row>,
}

/// An entry in words.
struct Row {
    at: Timestamp,
    service: String,
    target: String,
    /// What is other now.
    values: String,
    view: audit::AuditEntry,
}

/// `GET /admin/audit`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    let Filters { since, until, service, action, of } = filters;
    (list.has_file, list.rows) = (true, 30);
    // A deleted service has entries too.
    let fits = |entry: &AuditEntry| {
        service.is_none_or(|service| entry.service == Some(service.0))
            && action.as_ref().is_none_or(|action| entry.action == action.0)
            && of.as_ref().is_none_or(|of| entry.actor.is(&of.0) || entry.subject == of.0)
    };
    let registry = &request.running.registry;
    let entries = list.take(registry.audit(list.range(since, until, fits)).await?);
    let account = registry.account_sid();
    let entries = entries.into_iter().map(|entry| {
        let view = audit::AuditEntry::new(account, &entry);
        let AuditEntry { at, service, subject: target, changes: values, .. } = entry;
        let known = service.and_then(|sid| registry.service(&sid).ok());
        let title = known.map(|service| service.title());
        let service = title.or(service.map(|sid| sid.to_string())).unwrap_or_default();
        Row { at, service, target, values, view }
    });
    if list.is_file() {
        let columns = "time,action,actor,service,target,changes,request";
        let rows = entries.map(|Row { at, service, target, values, view, .. }| {
            let (at, who) = (at.rfc3339_millis().to_string(), view.who());
            [at, view.action.to_owned(), who, service, target, values, view.request_id.unwrap_or_default()]
        });
        return Ok(list::csv("attachment; filename=\"audit.csv\"", columns, rows));
    }
    let entries = entries.collect();
    Ok(list::html(&list, &AuditPage { request: &request, list: &list, entries }))
}

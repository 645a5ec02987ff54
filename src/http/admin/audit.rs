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
    /// Actor: kind, id or name
    pub actor: Option<values::Text<100>>,
    /// By or about the id
    pub of: Option<values::Text<40>>,
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
    view: audit::AuditEntry,
}

/// `GET /admin/audit`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    let Filters { since, until, service, action, actor, of } = filters;
    (list.has_file, list.rows) = (true, 30);
    // A deleted service has entries too.
    let fits = |entry: &AuditEntry| {
        service.is_none_or(|service| entry.service == Some(service.0))
            && action.as_ref().is_none_or(|action| entry.action == action.0)
            && actor.as_ref().is_none_or(|actor| entry.actor.is(&actor.0))
            && of.as_ref().is_none_or(|of| entry.actor.is(&of.0) || entry.subject == of.0)
    };
    let registry = &request.running.registry;
    let entries = list.take(registry.audit().list(None, list.range(since, until, fits)).await?);
    let keys = registry.keys(None);
    let account = registry.account_sid();
    let entries = entries.into_iter().map(|entry| {
        let (view, resource) = (audit::AuditEntry::new(account, &entry), entry.resource());
        let AuditEntry { at, service, subject, changes: values, .. } = entry;
        let known = service.and_then(|sid| registry.service(&sid).ok());
        let of_service = known.as_ref().map(|service| format!("/admin/services/{}", service.sid));
        let of_target = resource.and_then(|sid| match sid.kind() {
            SidKind::Webhook => Some(format!("/admin/webhooks/{sid}")),
            SidKind::ApiKey => Some(format!("{PATH}?of={sid}")),
            _ => None,
        });
        let named = resource.and_then(|sid| keys.iter().find(|key| key.sid == sid)?.name.clone());
        let target = [subject].into_iter().chain(named).collect::<Vec<_>>().join(" ");
        let title = known.map(|service| service.title());
        let service = title.or(service.map(|sid| sid.to_string())).unwrap_or_default();
        Row { at, service, of_service, of_target, target, values, view }
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

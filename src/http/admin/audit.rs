//! The audit log, the newest entries first.

use askama::Template;

use super::{AdminRequest, PageHeader, moment};
use crate::audit::{Actor, AuditEntry, AuditQuery};
use crate::domain::Timestamp;
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::numbers::Refusal;

/// Entries on a page.
const PAGE: usize = 50;

/// The last page that is shown: more entries are not kept.
const MAX_PAGE: usize = crate::audit::MOST / PAGE;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    header: PageHeader,
    entries: Vec<AuditRow>,
    newer: Option<usize>,
    older: Option<usize>,
}

struct AuditRow {
    at: String,
    action: &'static str,
    actor: String,
    service: String,
    target: String,
    request_id: String,
}

/// `GET /admin/audit?page=`.
pub async fn page(request: &AdminRequest<'_>) -> Result<Response, Refusal> {
    let page = request.query("page").and_then(|page| page.parse().ok()).unwrap_or(0).min(MAX_PAGE);
    let query =
        AuditQuery { since: Timestamp::EPOCH, skip: page * PAGE, limit: PAGE, ..AuditQuery::default() };
    let (entries, has_more) = request.v2.registry.audit().entries(&query).await?;
    let page = |frame, header| AuditPage {
        frame,
        header,
        entries: entries.iter().map(|entry| row(request, entry)).collect(),
        newer: page.checked_sub(1),
        older: has_more.then_some(page + 1),
    };
    Ok(request.render("/admin/audit", page))
}

fn row(request: &AdminRequest<'_>, entry: &AuditEntry) -> AuditRow {
    let (actor, change) = (&entry.actor, &entry.change);
    let id = match actor {
        Actor::User { uid, .. } => Some(uid.to_string()),
        Actor::Account | Actor::Key { .. } | Actor::Session { .. } => actor.key().map(|sid| sid.to_string()),
    };
    let who = actor.name().map(str::to_owned).or(id);
    let service = change.service.map(|sid| {
        let known = request.v2.registry.service(&sid).ok();
        known.map_or_else(|| sid.to_string(), |service| request.title(&service))
    });
    let target = change.number.clone().or_else(|| change.resource.map(|sid| sid.to_string()));
    AuditRow {
        at: moment(entry.at),
        action: change.action.as_str(),
        actor: [Some(actor.kind().to_owned()), who].into_iter().flatten().collect::<Vec<_>>().join(" "),
        service: service.unwrap_or_default(),
        target: target.unwrap_or_default(),
        request_id: entry.request_id.clone().unwrap_or_default(),
    }
}

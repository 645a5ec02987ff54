//! The audit log, the newest entries first.

use askama::Template;

use super::{AdminRequest, PageHeader, moment};
use crate::audit::{AuditEntry, AuditQuery};
use crate::domain::Timestamp;
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::http::v2::{self, audit::AuditEntryView};
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
    /// The time, the service and the rest of each entry.
    entries: Vec<(String, String, AuditEntryView)>,
    newer: Option<usize>,
    older: Option<usize>,
}

/// `GET /admin/audit?page=`.
pub async fn page(request: &AdminRequest<'_>) -> Result<Response, Refusal> {
    let page = request.query("page").and_then(|page| page.parse().ok()).unwrap_or(0).min(MAX_PAGE);
    let query =
        AuditQuery { since: Timestamp::EPOCH, skip: page * PAGE, limit: PAGE, ..AuditQuery::default() };
    let (entries, has_more) = request.v2.registry.audit().entries(&query).await?;
    let registry = &request.v2.registry;
    let views = v2::Frame { base: "", account: registry.account_sid() };
    let row = |entry: &AuditEntry| {
        let service = entry.change.service.map(|sid| {
            let known = registry.service(&sid).ok();
            known.map_or_else(|| sid.to_string(), |service| request.title(&service))
        });
        (moment(entry.at), service.unwrap_or_default(), AuditEntryView::new(&views, entry))
    };
    let page = |frame, header| AuditPage {
        frame,
        header,
        entries: entries.iter().map(row).collect(),
        newer: page.checked_sub(1),
        older: has_more.then_some(page + 1),
    };
    Ok(request.render("/admin/audit", page))
}

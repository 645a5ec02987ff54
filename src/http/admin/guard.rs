//! The pumping guard: its allowances and manual entries, and the forms that change them.

use std::time::Duration;

use askama::Template;

use super::session::Notice;
use super::{AdminRequest, Form, PageHeader, readable};
use crate::domain::{Sid, SidKind};
use crate::guard::operator::{
    self, AllowanceView, BudgetView, DecisionView, EntryView, Explanation, Item, USUAL_HOURS, exact, masked,
};
use crate::guard::{EntryAction, EntryError, Key, PumpingGuard};
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::numbers::Refusal;

/// Rows of each table.
const MOST_ROWS: usize = 100;

const PATH: &str = "/admin/guard";

const MOST_HOURS: u32 = 365 * 24;

#[derive(Template)]
#[template(path = "guard.html")]
struct GuardPage {
    frame: Frame,
    header: PageHeader,
    /// What the form asked for last.
    subject: String,
    explanation: Option<Explanation>,
    services: Vec<(Sid, String)>,
    budgets: Vec<BudgetView>,
    allowances: Vec<AllowanceView>,
    entries: Vec<EntryView>,
    decisions: Vec<DecisionView>,
}

/// Services to choose from, the newest.
const SERVICES: usize = 200;

/// A subject of a form with a masked number.
fn hidden(subject: &str) -> String {
    operator::subject(subject, None).map_or_else(|| subject.to_owned(), masked)
}

/// `GET /admin/guard`.
pub async fn page(request: &AdminRequest<'_>) -> Result<Response, Refusal> {
    shown(request, guard(request)?, None).await
}

async fn shown(
    request: &AdminRequest<'_>,
    guard: &PumpingGuard,
    explanation: Option<Explanation>,
) -> Result<Response, Refusal> {
    let items = guard.overview((None, None, MOST_ROWS), exact).await?;
    let services = request.v2.registry.services(0, SERVICES);
    let titles = request.v2.registry.titles(&services);
    let services = services.iter().map(|service| service.sid).zip(titles).collect();
    let subject = explanation.as_ref().map(|explained| explained.subject.clone()).unwrap_or_default();
    let (mut budgets, mut allowances, mut entries, mut decisions) = (vec![], vec![], vec![], vec![]);
    for item in items {
        match item {
            Item::Budget(budget) => budgets.push(budget),
            Item::Allowance(allowance) => allowances.push(allowance),
            Item::Entry(entry) => entries.push(entry),
            Item::Decision(decision) => decisions.push(decision),
        }
    }
    let page = |frame, header| GuardPage {
        frame,
        header,
        subject,
        explanation,
        services,
        budgets,
        allowances,
        entries,
        decisions,
    };
    Ok(request.render(PATH, page))
}

/// `POST /admin/guard`: explains, or changes an entry and leads to the page that shows the result.
pub async fn act(request: &AdminRequest<'_>, form: &Form) -> Result<Response, Refusal> {
    let (guard, registry) = (guard(request)?, &request.v2.registry);
    let field = |name| form.field(name).unwrap_or_default();
    let Some(dimension) = operator::subject(&field("subject"), None) else {
        return Ok(unchanged(request, &format!("the subject is none of these: {}", operator::SUBJECTS)));
    };
    let sid = Sid::parse(SidKind::Service, &field("service"));
    let Ok(service) = sid.map(|sid| registry.service(&sid)).transpose() else {
        return Ok(unchanged(request, "the service does not exist"));
    };
    let (action, done) = match field("action").as_str() {
        "explain" => {
            let explanation = guard.explain(service.as_deref(), dimension).await?;
            return shown(request, guard, Some(explanation)).await;
        }
        "allow" => (Some(EntryAction::Allow), "needs no allowance"),
        "block" => (Some(EntryAction::Block), "is blocked"),
        "remove" => (None, "has no manual entry any more"),
        _ => return Ok(unchanged(request, "the form names no action")),
    };
    let hours = field("hours").parse().unwrap_or(USUAL_HOURS).clamp(1, MOST_HOURS);
    let length = Duration::from_secs(u64::from(hours) * 3_600);
    let key = Key::new(service.as_ref().map(|service| service.id), dimension);
    match guard.set_entry(key, action, length, request.author()).await {
        Ok(Some(entry)) => {
            let replaced = entry.replaced.map(|action| format!(" It replaces its entry: {action}."));
            let replaced = replaced.unwrap_or_default();
            let whose = service.map_or("all services".to_owned(), |service| registry.title(&service));
            Ok(request.redirect_with_notice(
                PATH,
                Notice::success(format!("{} {done}, for {whose}.{replaced}", masked(dimension))),
            ))
        }
        Ok(None) => Ok(unchanged(request, "there is no such entry")),
        Err(error @ (EntryError::TooMany(_) | EntryError::NotACountry)) => {
            Ok(unchanged(request, &error.to_string()))
        }
        Err(EntryError::Refused(refusal)) => Err(refusal),
    }
}

fn guard<'a>(request: &AdminRequest<'a>) -> Result<&'a PumpingGuard, Refusal> {
    request.admin.verifying.guard().ok_or(Refusal::Starting)
}

fn unchanged(request: &AdminRequest<'_>, why: &str) -> Response {
    request.redirect_with_notice(PATH, Notice::failure(format!("Nothing was changed: {why}.")))
}

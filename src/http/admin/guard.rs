//! The pumping guard: its blocks and manual entries, and the forms that change them.

use std::time::Duration;

use askama::Template;

use super::session::Notice;
use super::{AdminRequest, Form, HEADERS, PageHeader, describe_token, moment};
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::guard::operator::{self, DecisionView, Explanation, FiguresView, exact};
use crate::guard::replay::money;
use crate::guard::{
    BudgetUsage, DecisionQuery, Entry, EntryAction, EntryError, GuardDecision, Key, Named, PumpingGuard,
};
use crate::http::pages::{self, Frame, home};
use crate::http::response::Response;
use crate::http::v2::params::{Param, Text};
use crate::numbers::Refusal;

/// Rows of each table.
const MOST_ROWS: usize = 100;

/// Decisions of the last day.
const DECISIONS_OF: Duration = Duration::from_secs(86_400);

const USUAL_HOURS: u64 = 12;

const MOST_HOURS: u64 = 365 * 24;

#[derive(Template)]
#[template(path = "guard.html")]
struct GuardPage {
    frame: Frame,
    header: PageHeader,
    notice: Option<Notice>,
    /// The sid and the title of each service.
    services: Vec<(String, String)>,
    explanation: Option<Explanation>,
    blocks: Vec<GuardRow>,
    entries: Vec<GuardRow>,
    budgets: Vec<BudgetRow>,
    decisions: Vec<DecisionRow>,
}

struct BudgetRow {
    service: String,
    name: &'static str,
    spent: String,
    limit: String,
    is_spent: bool,
}

struct DecisionRow {
    last: String,
    service: String,
    subject: String,
    rule: String,
    effect: String,
    messages: u64,
    figures: String,
}

/// A block or an entry.
struct GuardRow {
    /// With the whole number, for the form.
    subject: String,
    /// With a masked number.
    shown: String,
    /// Empty for all services.
    sid: String,
    service: String,
    until: String,
    detail: String,
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
    let Ok(place) = request.v2.reads.begin(None) else { return Err(Refusal::Overloaded) };
    let services = request.v2.registry.services(0, usize::MAX);
    let known = |id: ServiceId| services.iter().find(|service| service.id == id);
    let titles = request.v2.registry.titles(&services);
    let title = |service: Option<ServiceId>| {
        let Some(id) = service else { return "all".to_owned() };
        let place = services.iter().position(|service| service.id == id);
        place.map_or_else(|| "a deleted service".to_owned(), |place| titles[place].clone())
    };
    let row = |key: Key, until: Timestamp, detail: String| GuardRow {
        subject: exact(key.dimension),
        shown: Named(key.dimension).to_string(),
        sid: key.service.and_then(known).map(|service| service.sid.to_string()).unwrap_or_default(),
        service: title(key.service),
        until: moment(until),
        detail,
    };
    let query = DecisionQuery {
        since: guard.now().minus(DECISIONS_OF),
        limit: MOST_ROWS,
        ..DecisionQuery::default()
    };
    let (decisions, _) = guard.decisions(&query).await?;
    let decision = |decision: &GuardDecision| {
        let view = DecisionView::new(decision, true, |id| known(id).map(|service| service.sid));
        DecisionRow {
            last: moment(decision.last),
            service: title(Some(decision.name.service)),
            figures: view.figures.map(|figures| figures.to_string()).unwrap_or_default(),
            subject: view.subject,
            rule: view.rule,
            effect: view.effect.replace('_', " "),
            messages: view.messages,
        }
    };
    let currency = request.admin.history.currency();
    let budget = |budget: BudgetUsage| {
        let amount = |amount: u64| {
            if budget.is_money { format!("{} {currency}", money(amount)) } else { amount.to_string() }
        };
        BudgetRow {
            service: title(budget.service),
            name: budget.name,
            spent: amount(budget.spent),
            limit: amount(budget.limit),
            is_spent: budget.spent >= budget.limit,
        }
    };
    let budgets = guard.budgets().await?;
    let blocks = guard.blocks(None).into_iter().take(MOST_ROWS);
    let entries = guard.entries(None).into_iter().take(MOST_ROWS);
    let page = GuardPage {
        frame: request.frame(),
        header: request.header("/admin/guard"),
        notice: request.take_notice(),
        explanation,
        budgets: budgets.into_iter().map(budget).collect(),
        decisions: decisions.iter().map(decision).collect(),
        blocks: blocks
            .map(|(key, until, figures)| row(key, until, FiguresView::from(figures).to_string()))
            .collect(),
        entries: entries
            .map(|(key, entry)| row(key, entry.until, operator::action_name(entry.action).to_owned()))
            .collect(),
        services: services.iter().map(|service| service.sid.to_string()).zip(titles.clone()).collect(),
    };
    Ok(pages::html(&page, &HEADERS).holding(place))
}

/// `POST /admin/guard`: explains, or changes an entry and leads to the page that shows the result.
pub async fn act(request: &AdminRequest<'_>, form: &Form) -> Result<Response, Refusal> {
    let guard = guard(request)?;
    let field = |name| form.field(name).unwrap_or_default();
    let Some(dimension) = operator::subject(&field("subject"), None) else {
        return Ok(unchanged(request, &format!("the subject is none of these: {}", operator::SUBJECTS)));
    };
    let sid = Sid::parse(SidKind::Service, &field("service"));
    let service = match sid {
        Some(sid) => match request.v2.registry.service(&sid) {
            Ok(service) => Some(service),
            Err(_) => return Ok(unchanged(request, "the service does not exist")),
        },
        None => None,
    };
    let key = Key::new(service.as_ref().map(|service| service.id), dimension);
    let hours = field("hours").parse().unwrap_or(USUAL_HOURS).clamp(1, MOST_HOURS);
    let until = guard.now().plus(Duration::from_secs(hours * 3_600));
    let (entry, done) = match field("action").as_str() {
        "explain" => {
            let service = service.or_else(|| request.v2.registry.service_by_id(ServiceId::DEFAULT));
            let Some(service) = service else { return Ok(unchanged(request, "the service does not exist")) };
            let explanation = guard.explain((service.id, service.sid), dimension, true).await?;
            return shown(request, guard, Some(explanation)).await;
        }
        "allow" => (Entry { action: EntryAction::Allow, until }, "passes the adaptive rules"),
        "block" => (Entry { action: EntryAction::Block, until }, "is blocked"),
        "remove" => match guard.entry(&key) {
            Some(entry) => (Entry { until: guard.now(), ..entry }, "has no manual entry any more"),
            None => return Ok(unchanged(request, "there is no such entry")),
        },
        _ => return Ok(unchanged(request, "the form names no action")),
    };
    match guard.set_entry(key, entry, service.as_ref().map(|service| service.sid), request.author()).await {
        Ok(()) => {
            let whose =
                service.map_or("all services".to_owned(), |service| request.v2.registry.title(&service));
            request.notify(true, format!("{} {done}, for {whose}.", Named(dimension)));
            Ok(home::redirect("/admin/guard"))
        }
        Err(EntryError::TooMany(error)) => Ok(unchanged(request, &error.to_string())),
        Err(EntryError::Refused(refusal)) => Err(refusal),
    }
}

fn guard<'a>(request: &AdminRequest<'a>) -> Result<&'a PumpingGuard, Refusal> {
    request.admin.verifying.guard().ok_or(Refusal::Starting)
}

fn unchanged(request: &AdminRequest<'_>, why: &str) -> Response {
    request.notify(false, format!("Nothing was changed: {why}."));
    home::redirect("/admin/guard")
}

/// Describes the body of `POST /admin/guard`.
pub fn describe_entry() -> Vec<Param> {
    let action = Param::of::<Text<10>>("action", "allow, block, remove or explain.", "allow");
    let subject = "A number, prefix, country or client address.";
    let subject = Param::of::<Text<60>>("subject", subject, "+99290000****");
    let service = "The service; without it all services.";
    let service = Param::of::<Option<Text<40>>>("service", service, "VA0123456789abcdef0123456789abcdef");
    let hours = Param::of::<Option<Text<4>>>("hours", "How long; the default is 12.", "12");
    describe_token().into_iter().chain([action, subject, service, hours]).collect()
}

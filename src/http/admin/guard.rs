//! The pumping guard: its allowances and manual entries, and the forms that change them.

use askama::Template;

use super::session::Notice;
use super::{AdminRequest, Form, PageHeader, readable};
use crate::domain::{Sid, SidKind};
use crate::guard::operator::{
    Explanation, Item, MOST_MINUTES, SUBJECTS, USUAL_MINUTES, exact, masked, subject,
};
use crate::guard::{EntryAction, EntryError, Key, PumpingGuard};
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::numbers::Refusal;

/// Items of each type.
const MOST_ITEMS: usize = 100;

const PATH: &str = "/admin/guard";

#[derive(Template)]
#[template(path = "guard.html")]
struct GuardPage {
    frame: Frame,
    header: PageHeader,
    explanation: Option<Explanation>,
    services: Vec<(Sid, String)>,
    items: Vec<Item>,
}

/// A subject of a form with a masked number.
fn hidden(of: &str) -> String {
    subject(of, None).map_or_else(|| of.to_owned(), masked)
}

/// `GET /admin/guard`.
pub fn page(request: &AdminRequest<'_>) -> Result<Response, Refusal> {
    shown(request, None)
}

fn shown(request: &AdminRequest<'_>, explanation: Option<Explanation>) -> Result<Response, Refusal> {
    let items = guard(request)?.overview(None, MOST_ITEMS, exact);
    let services = request.services();
    Ok(request.render(PATH, |frame, header| GuardPage { frame, header, explanation, services, items }))
}

/// `POST /admin/guard`: explains, or changes an entry and leads to the page that shows the result.
pub async fn act(request: &AdminRequest<'_>, form: &Form) -> Result<Response, Refusal> {
    let field = |name| form.field(name).unwrap_or_default();
    let unchanged = |why: &str| {
        Ok(request.redirect_with_notice(PATH, Notice::failure(format!("Nothing was changed: {why}."))))
    };
    let Some(dimension) = subject(&field("subject"), None) else {
        return unchanged(&format!("the subject is none of these: {SUBJECTS}"));
    };
    let sid = Sid::parse(SidKind::Service, &field("service"));
    let Ok(service) = sid.map(|sid| request.v2.registry.service(&sid)).transpose() else {
        return unchanged("the service does not exist");
    };
    let (action, done) = match field("action").as_str() {
        "explain" => return shown(request, Some(guard(request)?.explain(service.as_deref(), dimension))),
        "allow" => (Some(EntryAction::Allow), "needs no allowance"),
        "block" => (Some(EntryAction::Block), "is blocked"),
        "remove" => (None, "has no manual entry any more"),
        _ => return unchanged("the form names no action"),
    };
    let minutes = field("minutes").parse().unwrap_or(USUAL_MINUTES).clamp(1, MOST_MINUTES);
    let key = Key::new(service.map(|service| service.id), dimension);
    match guard(request)?.set_entry(key, action, minutes, request.author()).await {
        Ok(Some(Item { service, .. })) => {
            let text = format!("{} {done}, in the service {service}.", masked(dimension));
            Ok(request.redirect_with_notice(PATH, Notice::success(text)))
        }
        Ok(None) => unchanged("there is no such entry"),
        Err(EntryError::Refused(refusal)) => Err(refusal),
        Err(error) => unchanged(&error.to_string()),
    }
}

fn guard<'a>(request: &AdminRequest<'a>) -> Result<&'a PumpingGuard, Refusal> {
    request.admin.verifying.guard().ok_or(Refusal::Starting)
}

//! The pumping guard: its allowances and manual entries, and the forms that change them.

use std::net::IpAddr;
use std::sync::Arc;

use super::prelude::*;
use crate::limits::guard::operator::{
    Explanation, Item, MOST_MINUTES, SUBJECTS, USUAL_MINUTES, readable, subject,
};
use crate::limits::guard::{EntryAction, EntryError, Key};

/// Items of each type: the page stays below 30 kB with all three full, and with fewer below an explanation.
const MOST_ITEMS: usize = 15;
const FEWER_ITEMS: usize = 4;

const PATH: &str = "/admin/guard";

#[derive(Template)]
#[template(path = "guard.html")]
struct GuardPage<'a> {
    request: &'a AdminRequest,
    entry: EntryForm,
    explanation: Option<Explanation>,
    /// At most so many of each type.
    most: usize,
    items: Vec<Item>,
}

/// What a person typed and chose.
struct EntryForm {
    action: String,
    subject: String,
    /// The id of the service; empty for all.
    service: String,
}

impl EntryForm {
    fn of(request: &AdminRequest) -> Self {
        // The button of a row says all in one value.
        let of_row: Vec<_> = request.field("change").splitn(3, ' ').collect();
        let [action, service, subject] = of_row
            .try_into()
            .unwrap_or_else(|_| ["action", "service", "subject"].map(|name| request.field(name)));
        let [action, subject, service] = [action, subject, service].map(str::to_owned);
        Self { action, subject, service }
    }

    /// The service; `None` for all of them, and an error for one that does not exist.
    fn service(&self, request: &AdminRequest) -> Result<Option<Arc<Service>>, ()> {
        let is_of_one = !self.service.is_empty();
        is_of_one.then(|| request.service(&self.service).ok_or(())).transpose()
    }
}

/// A subject of a form with a masked number.
fn hidden(of: &str) -> String {
    subject(of, None).map_or_else(|| of.to_owned(), |of| of.to_string())
}

/// Whether an entry can be about it.
fn is_subject(of: &str) -> bool {
    subject(of, None).is_some()
}

/// `GET /admin/guard`, and the page of a form that explains or failed.
pub async fn page(request: AdminRequest) -> PageResult {
    let (entry, guard) = (EntryForm::of(&request), &request.running.guard);
    let service = entry.service(&request).unwrap_or_default();
    let region = request.call.app.settings.storage.default_region;
    let explained = subject(&entry.subject, region).filter(|_| entry.action == "explain");
    let explanation = match explained {
        Some(dimension) => {
            let client = request.field("client").parse().ok().map(|address: IpAddr| address.into());
            Some(guard.explain(service.map(|service| service.id), dimension, client).await?)
        }
        None => None,
    };
    let most = if explanation.is_some() { FEWER_ITEMS } else { MOST_ITEMS };
    let items = guard.overview(None, most);
    Ok(html(&GuardPage { request: &request, entry, explanation, most, items }))
}

/// `POST /admin/guard`: changes an entry, and leads to the page that shows the result, or explains.
pub async fn act(request: AdminRequest) -> PageResult {
    let entry = EntryForm::of(&request);
    let Some(dimension) = subject(&entry.subject, request.call.app.settings.storage.default_region) else {
        return unchanged(request, &format!("the subject is none of these: {SUBJECTS}")).await;
    };
    let Ok(service) = entry.service(&request) else {
        return unchanged(request, "the service does not exist").await;
    };
    let (action, done) = match entry.action.as_str() {
        "explain" => return page(request).await,
        "allow" => (Some(EntryAction::Allow), "needs no allowance"),
        "block" => (Some(EntryAction::Block), "is blocked"),
        "known-only" => (Some(EntryAction::KnownOnly), "messages go to known numbers only"),
        "remove" => (None, "has no manual entry any more"),
        _ => return unchanged(request, "the form names no action").await,
    };
    let minutes = request.field("minutes").parse().unwrap_or(USUAL_MINUTES).clamp(1, MOST_MINUTES);
    let key = Key::new(service.map(|service| service.id), dimension);
    match request.running.guard.set_entry(key, action, minutes, request.author()).await {
        Ok(Some(Item { service, .. })) => {
            let of = if service == "all" { "all services" } else { &format!("the service {service}") };
            let text = format!("{dimension} {done}, in {of}.");
            request.tell(PATH, Ok(text))
        }
        Ok(None) => unchanged(request, "there is no such entry").await,
        Err(EntryError::Refused(refusal)) => Err(refusal.into()),
        Err(error) => unchanged(request, &error.to_string()).await,
    }
}

async fn unchanged(request: AdminRequest, why: &str) -> PageResult {
    page(request.failed(format!("Nothing was changed: {why}."))).await
}

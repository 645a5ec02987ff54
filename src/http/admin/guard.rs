//! The pumping guard: its allowances and manual entries, and the forms that change them.

use std::sync::Arc;

use super::prelude::*;
use crate::limits::guard::operator::{
    Explanation, Item, MOST_MINUTES, SUBJECTS, USUAL_MINUTES, readable, subject,
};
use crate::limits::guard::{Dimension, EntryAction, EntryError, Key};
use crate::node::history::{Resolution, totals};

/// Items of each type: the page stays below 30 kB with all three full, and with fewer below an explanation.
const MOST_ITEMS: usize = 15;
const FEWER_ITEMS: usize = 4;

const PATH: &str = "/admin/guard";

/// The lengths of entries to choose from, in minutes.
const LENGTHS: [(u32, &str); 5] =
    [(60, "1 hour"), (USUAL_MINUTES, "12 hours"), (1_440, "1 day"), (10_080, "7 days"), (43_200, "30 days")];

#[derive(Template)]
#[template(path = "guard.html")]
struct GuardPage<'a> {
    request: &'a AdminRequest,
    entry: EntryForm,
    question: Option<Question>,
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
    minutes: u32,
}

/// Asks before a country is blocked.
struct Question {
    country: String,
    /// What the block would have ended.
    figures: String,
}

impl EntryForm {
    fn of(request: &AdminRequest) -> Self {
        let minutes = request.field("minutes").parse().unwrap_or(USUAL_MINUTES).clamp(1, MOST_MINUTES);
        // The button of a row says all in one value.
        let of_row: Vec<_> = request.field("change").splitn(3, ' ').collect();
        let [action, service, subject] = of_row
            .try_into()
            .unwrap_or_else(|_| ["action", "service", "subject"].map(|name| request.field(name)));
        let [action, subject, service] = [action, subject, service].map(str::to_owned);
        Self { action, subject, service, minutes }
    }

    /// The service; `None` for all of them, and an error for one that does not exist.
    fn service(&self, request: &AdminRequest) -> Result<Option<Arc<Service>>, ()> {
        let is_of_one = !self.service.is_empty();
        is_of_one.then(|| request.service(&self.service).ok_or(())).transpose()
    }

    /// Minutes, words, and whether they are chosen. Another length chooses the usual one.
    fn lengths(&self) -> impl Iterator<Item = (u32, &'static str, bool)> {
        let is_known = LENGTHS.iter().any(|(minutes, _)| *minutes == self.minutes);
        let chosen = if is_known { self.minutes } else { USUAL_MINUTES };
        LENGTHS.iter().map(move |(minutes, words)| (*minutes, *words, *minutes == chosen))
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

/// `GET /admin/guard`: after a form, with what it asked for.
pub async fn page(request: AdminRequest) -> PageResult {
    let (entry, guard) = (EntryForm::of(&request), &request.running.guard);
    let service = entry.service(&request).unwrap_or_default();
    let (mut question, mut explanation) = (None, None);
    let region = request.call.app.settings.storage.default_region;
    match (entry.action.as_str(), subject(&entry.subject, region)) {
        ("explain", Some(dimension)) => {
            let service = service.map_or(ServiceId::DEFAULT, |service| service.id);
            explanation = Some(guard.explain(service, dimension).await?);
        }
        ("block", Some(Dimension::Country(Some(country)))) => {
            question = Some(self::question(&request, country, service.map(|service| service.id)).await?);
        }
        _ => {}
    }
    let most = if explanation.is_some() { FEWER_ITEMS } else { MOST_ITEMS };
    let items = guard.overview(None, most);
    Ok(html(&GuardPage { request: &request, entry, question, explanation, most, items }))
}

/// `POST /admin/guard`: changes an entry, and leads to the page that shows the result, or that explains. A country is
/// blocked after a second request, with `confirmed`.
pub async fn act(request: AdminRequest) -> PageResult {
    let entry = EntryForm::of(&request);
    let unchanged = |why: &str| request.ask_again(PATH, Some(format!("Nothing was changed: {why}.")));
    let Some(dimension) = subject(&entry.subject, request.call.app.settings.storage.default_region) else {
        return unchanged(&format!("the subject is none of these: {SUBJECTS}"));
    };
    let Ok(service) = entry.service(&request) else {
        return unchanged("the service does not exist");
    };
    let is_country = matches!(dimension, Dimension::Country(Some(_)));
    let (action, done) = match entry.action.as_str() {
        "explain" => return request.ask_again(PATH, None),
        "block" if is_country && request.field("confirmed").is_empty() => {
            return request.ask_again(PATH, None);
        }
        "allow" => (Some(EntryAction::Allow), "needs no allowance"),
        "block" => (Some(EntryAction::Block), "is blocked"),
        "known-only" => (Some(EntryAction::KnownOnly), "messages go to known numbers only"),
        "remove" => (None, "has no manual entry any more"),
        _ => return request.ask_again(PATH, Some(NO_ACTION.to_owned())),
    };
    let key = Key::new(service.map(|service| service.id), dimension);
    match request.running.guard.set_entry(key, action, entry.minutes, request.author()).await {
        Ok(Some(Item { service, .. })) => {
            let of = if service == "all" { "all services" } else { &format!("the service {service}") };
            let text = format!("{dimension} {done}, in {of}.");
            request.tell(PATH, Ok(text))
        }
        Ok(None) => unchanged("there is no such entry"),
        Err(EntryError::Refused(refusal)) => Err(refusal.into()),
        Err(error) => unchanged(&error.to_string()),
    }
}

/// Says what a country verified in the last day, which a block would end.
async fn question(
    request: &AdminRequest,
    country: Region,
    service: Option<ServiceId>,
) -> Result<Question, Refusal> {
    let (hour, now) = (Resolution::Hour, request.now());
    let from = hour.bucket(now).minus(hour.length() * 23);
    let mut rows = request.running.history.between(hour, from, now.plus(hour.length())).await?;
    rows.retain(|row| {
        row.series.group.country == Some(country)
            && service.is_none_or(|service| row.series.service == service)
    });
    let counts = totals(&rows, |_| ()).remove(&()).unwrap_or_default();
    let [verified, sent] = [counts.verified, counts.accepted].map(grouped);
    let of = if service.is_some() { "the service" } else { "all services" };
    let figures =
        format!("In the last 24 hours it had, in {of}: numbers verified {verified}, messages sent {sent}.");
    Ok(Question { country: country.to_string(), figures })
}

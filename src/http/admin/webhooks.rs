//! Webhooks: each with its state, its deliveries, and what can be done about them.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;

use super::list::{self, List, Pager, ROWS};
use super::overview::time_left;
use super::session::Notice;
use super::{AdminRequest, Form, PageHeader, moment, words_of};
use crate::domain::{Sid, SidKind};
use crate::http::pages::Frame;
use crate::http::response::Response;
use crate::http::v2::params::{Parameters as _, ServiceSid, UtcTime, parameters};
use crate::http::v2::webhooks::{Changed, New};
use crate::numbers::Refusal;
use crate::registry::{Service, Webhook, WebhookFields, WebhookStatus};
use crate::webhook::{
    Delivery, DeliveryQuery, DeliveryState, EventId, EventType, Replay, ReplayError, WebhookLoad,
};

const PATH: &str = "/admin/webhooks";

/// The events and the word for all of them, for the forms.
fn events() -> impl Iterator<Item = &'static str> {
    [EventType::EVERY].into_iter().chain(EventType::ALL.map(EventType::as_str))
}

parameters! {
    /// The filters of the list of webhooks.
    pub struct Filters {
        /// Of this service.
        "service" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

parameters! {
    /// The filters of the deliveries.
    pub struct DeliveryFilters {
        /// At or after this day or moment of UTC.
        "since" = "2026-01-31" => since: Option<UtcTime>,
        /// Before it.
        "until" = "2026-02-28T12:00:00Z" => until: Option<UtcTime>,
        /// With this state.
        "state" = "failed" => state: Option<DeliveryState>,
        /// Of this event.
        "event" = "verification.approved" => event: Option<EventType>,
    }
}

/// The pause before failed events may be replayed from: hours, and words.
const REPLAYS: [(u64, &str); 4] = [(1, "1 hour"), (24, "1 day"), (72, "3 days"), (168, "7 days")];

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage<'a> {
    frame: Frame,
    header: PageHeader,
    list: List,
    rows: Vec<Row>,
    pager: Pager,
    services: Vec<(Sid, String)>,
    /// What a person typed.
    form: &'a Form,
    /// The webhook that was just made, with its secret.
    made: Option<(Sid, String)>,
}

/// A webhook and how it answers.
struct Row {
    service: String,
    webhook: Webhook,
    load: WebhookLoad,
    dropped: u64,
    /// The time until the next attempt of one that fails.
    next: String,
}

impl Row {
    fn new(request: &AdminRequest<'_>, service: &Service, webhook: &Webhook, load: WebhookLoad) -> Self {
        Self {
            service: request.title(service),
            webhook: webhook.clone(),
            dropped: request.v2.outbox.dropped(service.id, webhook.sid).0,
            next: time_left(load.not_before.since(request.now())),
            load,
        }
    }

    fn is_disabled(&self) -> bool {
        self.webhook.status == WebhookStatus::Disabled
    }

    fn has_event(&self, event: &str) -> bool {
        self.webhook.event_types.iter().any(|known| known == event)
    }

    /// Its class in the style sheet, and a word.
    fn state(&self) -> (&'static str, &'static str) {
        match self.load.failures {
            _ if self.is_disabled() => ("", "disabled"),
            0 => ("good", "working"),
            _ => ("problem", "failing"),
        }
    }
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct WebhookPage {
    frame: Frame,
    header: PageHeader,
    list: List,
    row: Row,
    deliveries: Vec<Delivery>,
    pager: Pager,
}

/// The answer to the last attempt, in words.
fn answer_of(delivery: &Delivery) -> String {
    let Some(last) = delivery.attempts.last() else { return String::new() };
    let status = last.status.map(|status| format!("status {status}"));
    let said = status.or_else(|| last.detail.clone()).unwrap_or_default();
    format!("{said}, {} ms, {}", last.took.as_millis(), moment(last.at))
}

/// Its class in the style sheet, and a word.
const fn state_of(delivery: &Delivery) -> (&'static str, &'static str) {
    match delivery.state {
        DeliveryState::Pending => ("", "pending"),
        DeliveryState::Delivered => ("good", "delivered"),
        DeliveryState::Failed => ("problem", "failed"),
    }
}

/// `GET /admin/webhooks`.
pub fn page(request: &AdminRequest<'_>) -> Response {
    shown(request, &Form::default(), None)
}

/// Those that fail come first. Reads no record: webhooks and their states are in memory.
fn shown(request: &AdminRequest<'_>, form: &Form, made: Option<(Sid, String)>) -> Response {
    let (mut list, filters) = List::read::<Filters>(request, PATH.to_owned());
    let only = filters.map(|filters| list.service(request, filters.service));
    let services = match only {
        Some(Ok(Some(only))) => vec![only],
        Some(Ok(None)) => request.v2.registry.services(0, usize::MAX),
        Some(Err(_)) | None => Vec::new(),
    };
    let outbox = &request.v2.outbox;
    let of = |service: &Arc<Service>| {
        let loaded =
            |webhook: &Webhook| (Arc::clone(service), webhook.sid, outbox.load(service.id, webhook.sid));
        service.webhooks.iter().map(loaded).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = services.iter().flat_map(of).collect();
    all.sort_by_key(|(_, _, load)| Reverse((load.failures > 0, load.pending)));
    let has_more = all.len() > list.skip() + ROWS;
    let rows = all.into_iter().skip(list.skip()).take(ROWS).filter_map(|(service, sid, load)| {
        Some(Row::new(request, &service, service.webhook(&sid).ok()?, load))
    });
    let rows = rows.collect();
    list.choice("service", "Service", request.services());
    let (is_wrong, pager) = (list.problem.is_some(), list.pager(has_more, None).without_csv());
    let services = request.services();
    let page = |frame, header| WebhooksPage { frame, header, list, rows, pager, services, form, made };
    list::with_status(is_wrong, request.render(PATH, page))
}

/// `POST /admin/webhooks`: makes a webhook. The answer is the only one with its secret.
pub async fn create(request: &AdminRequest<'_>, form: &Form) -> Response {
    let service = Sid::parse(SidKind::Service, &form.field("service").unwrap_or_default());
    let made = match (service, New::read(&form.fields())) {
        (None, _) => Err("Choose the service.".to_owned()),
        (_, Err(error)) => Err(words_of(request, error)),
        (Some(service), Ok(New { friendly_name, event_types, url, status })) => {
            let (friendly_name, event_types, url) = (Some(friendly_name), Some(event_types), Some(url));
            let wanted = WebhookFields { friendly_name, event_types, url, status };
            request.registry().create_webhook(service, wanted).await.map_err(|error| error.to_string())
        }
    };
    match made {
        Ok(webhook) => shown(request, &Form::default(), Some((webhook.sid, webhook.secret_text()))),
        Err(why) => {
            request.notify(Notice::failure(format!("No webhook was made. {why}")));
            list::with_status(true, shown(request, form, None))
        }
    }
}

/// The webhook that the path names.
fn named(request: &AdminRequest<'_>) -> Option<(Arc<Service>, Webhook)> {
    let sid = Sid::parse(SidKind::Webhook, request.head.uri.path().rsplit('/').next()?)?;
    let mut services = request.v2.registry.services(0, usize::MAX).into_iter();
    services.find_map(|service| {
        let webhook = service.webhook(&sid).ok()?.clone();
        Some((service, webhook))
    })
}

/// `GET /admin/webhooks/{Sid}`.
pub async fn one(request: &AdminRequest<'_>) -> Result<Response, Refusal> {
    let Some((service, webhook)) = named(request) else { return Ok(unknown(request)) };
    let path = format!("{PATH}/{}", webhook.sid);
    let (mut list, filters) = List::read::<DeliveryFilters>(request, path);
    let found = match filters {
        Some(DeliveryFilters { since, until, state, event }) => {
            let (before, read) = (Some(list.until(until)), Some(list::READ));
            let (skip, limit) = (list.skip(), ROWS);
            let query = DeliveryQuery { state, kind: event, after: since, before, skip, limit, read };
            Some(request.v2.outbox.deliveries_read(service.id, webhook.sid, &query).await?)
        }
        None => None,
    };
    let (has_more, stopped) =
        found.as_ref().map_or_else(Default::default, |found| (found.has_more, found.stopped));
    let deliveries = found.map(|found| found.records).unwrap_or_default();
    list.times();
    list.choice("state", "State", ["pending", "delivered", "failed"].map(|state| (state, state)));
    list.choice("event", "Event", EventType::ALL.map(|event| (event.as_str(), event.as_str())));
    let (is_wrong, pager) = (list.problem.is_some(), list.pager(has_more, stopped).without_csv());
    let load = request.v2.outbox.load(service.id, webhook.sid);
    let row = Row::new(request, &service, &webhook, load);
    let page = |frame, header| WebhookPage { frame, header, list, row, deliveries, pager };
    Ok(list::with_status(is_wrong, request.render(PATH, page)))
}

/// `POST /admin/webhooks/{Sid}`: changes or deletes it, or delivers events again.
pub async fn act(request: &AdminRequest<'_>, form: &Form) -> Result<Response, Refusal> {
    let Some((service, webhook)) = named(request) else { return Ok(unknown(request)) };
    let path = format!("{PATH}/{}", webhook.sid);
    let to = |notice| Ok(request.redirect_with_notice(&path, notice));
    let what = match form.field("action").unwrap_or_default().as_str() {
        "update" => {
            let changed = match Changed::read(&form.fields()) {
                Ok(Changed { friendly_name, event_types, url, status }) => {
                    let status = status.flatten();
                    let wanted = WebhookFields { friendly_name, event_types, url, status };
                    let changed = request.registry().update_webhook(service.sid, webhook.sid, wanted).await;
                    changed.map_err(|error| error.to_string())
                }
                Err(error) => Err(words_of(request, error)),
            };
            return to(match changed {
                Ok(_) => Notice::success("The webhook is changed.".to_owned()),
                Err(why) => Notice::failure(format!("Nothing was changed. {why}")),
            });
        }
        "delete" => {
            return match request.registry().delete_webhook(service.sid, webhook.sid).await {
                Ok(()) => {
                    let text = format!("The webhook {} is deleted.", webhook.friendly_name);
                    Ok(request.redirect_with_notice(PATH, Notice::success(text)))
                }
                Err(error) => to(Notice::failure(format!("Nothing was changed: {error}."))),
            };
        }
        "replay" => form.field("event").and_then(|id| EventId::parse(&id)).map(Replay::Event),
        "replay-failed" => {
            let hours = form.field("hours").and_then(|hours| hours.parse::<u64>().ok());
            let hours = hours.filter(|hours| REPLAYS.iter().any(|(known, _)| known == hours));
            hours.map(|hours| Replay::FailedSince(request.now().minus(Duration::from_secs(hours * 3_600))))
        }
        _ => None,
    };
    let Some(what) = what else {
        return to(Notice::failure("Nothing was done: the form names nothing to do.".to_owned()));
    };
    match request.v2.outbox.replay(service.id, webhook.sid, what).await {
        Ok(count) => to(Notice::success(format!("Events that are delivered again: {count}."))),
        Err(ReplayError::Refused(refusal)) => Err(refusal),
        Err(error) => to(Notice::failure(format!("Not delivered again: {error}."))),
    }
}

fn unknown(request: &AdminRequest<'_>) -> Response {
    request.redirect_with_notice(PATH, Notice::failure("There is no such webhook.".to_owned()))
}

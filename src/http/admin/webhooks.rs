//! Webhooks: each with its state, its deliveries, and what can be done about them.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::prelude::*;
use crate::http::api::webhooks::Fields;
use crate::registry::{Webhook, WebhookStatus};
use crate::webhook::{Delivery, DeliveryState, EventId, EventType, Posted, Replay, ReplayError, WebhookLoad};

const PATH: &str = "/admin/webhooks";

/// The events and the word for all of them, for the forms.
fn events() -> impl Iterator<Item = &'static str> {
    [EventType::EVERY].into_iter().chain(EventType::ALL.map(EventType::as_str))
}

/// The filters of the list of webhooks.
#[derive(Deserialize, JsonSchema)]
pub struct Filters {
    /// Service
    pub service: Option<values::ServiceSid>,
}

/// The filters of the deliveries.
#[derive(Deserialize, JsonSchema)]
pub struct DeliveryFilters {
    /// Since, UTC
    pub since: Option<values::UtcTime>,
    /// Before, UTC
    pub until: Option<values::UtcTime>,
    /// State
    pub state: Option<values::DeliveryState>,
    /// Event
    pub event: Option<values::EventType>,
    /// Id of the event
    pub id: Option<values::Text<40>>,
}

/// The pause before failed events may be replayed from: hours, and words.
const REPLAYS: [(u64, &str); 4] = [(1, "1 hour"), (24, "1 day"), (72, "3 days"), (168, "7 days")];

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    rows: Vec<Row>,
}

/// A webhook and how it answers.
struct Row {
    service: String,
    webhook: Webhook,
    load: WebhookLoad,
    /// The time until the next attempt of one that fails.
    next: String,
}

impl Row {
    fn new(request: &AdminRequest, service: &Service, webhook: &Webhook, load: WebhookLoad) -> Self {
        Self {
            service: request.running.registry.title(service),
            webhook: webhook.clone(),
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
struct WebhookPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    row: Row,
    /// With what is posted, if the address names the event. A number is masked.
    deliveries: Vec<(Delivery, Option<String>)>,
}

/// Its class in the style sheet, and a word.
pub const fn state_of(delivery: &Delivery) -> (&'static str, &'static str) {
    match delivery.state {
        DeliveryState::Pending => ("", "pending"),
        DeliveryState::Delivered => ("good", "delivered"),
        DeliveryState::Failed => ("problem", "failed"),
    }
}

/// `GET /admin/webhooks`. Those that fail come first. Reads no record: webhooks and their states are in memory.
pub async fn page(request: AdminRequest) -> Response {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    let outbox = &request.running.outbox;
    // Each may have a long address.
    list.rows = 20;
    let mut all = Vec::new();
    if let Some(Filters { service }) = filters
        && let Ok(only) = list.service(&request, service)
    {
        let services =
            only.map_or_else(|| request.running.registry.services(0, usize::MAX), |only| vec![only]);
        for service in services {
            let load =
                |webhook: &Webhook| (Arc::clone(&service), webhook.sid, outbox.load(service.id, webhook.sid));
            all.extend(service.webhooks.iter().map(load));
        }
    }
    all.sort_by_key(|(_, _, load)| Reverse((load.failures > 0, load.pending)));
    let rows = list.take_of_all(all).into_iter().filter_map(|(service, sid, load)| {
        Some(Row::new(&request, &service, service.webhook(&sid).ok()?, load))
    });
    let rows = rows.collect();
    list::html(&list, &WebhooksPage { request: &request, list: &list, rows })
}

/// `POST /admin/webhooks`: makes a webhook. The page after it is the only one with its secret.
pub async fn create(request: AdminRequest) -> PageResult {
    let made = match (request.service(request.field("service")), request.form.read::<Fields>()) {
        (None, _) => Err(Error::invalid("Choose the service.")),
        (_, Err(error)) => Err(error),
        (Some(service), Ok(new)) => {
            request.registry().create_webhook(service.sid, new.into()).await.map_err(Error::from)
        }
    };
    Ok(match made {
        Ok(webhook) => request.redirect_with_secret(PATH, webhook.sid, webhook.secret_text()),
        Err(error) => request.redirect_with_error(PATH, "No webhook was created.", error),
    })
}

/// The webhook that the path names.
fn named(request: &AdminRequest) -> Option<(Arc<Service>, Webhook)> {
    let sid = Sid::parse(SidKind::Webhook, request.call.param("Sid")?)?;
    let mut services = request.running.registry.services(0, usize::MAX).into_iter();
    services.find_map(|service| {
        let webhook = service.webhook(&sid).ok()?.clone();
        Some((service, webhook))
    })
}

/// `GET /admin/webhooks/{Sid}`.
pub async fn one(request: AdminRequest) -> PageResult {
    let Some((service, webhook)) = named(&request) else { return Ok(unknown(&request)) };
    let (mut list, filters) = List::read::<DeliveryFilters>(&request, format!("{PATH}/{}", webhook.sid));
    let (outbox, mut deliveries) = (&request.running.outbox, Vec::new());
    // Each has a form.
    list.rows = 15;
    let mut is_one = false;
    if let Some(DeliveryFilters { since, until, state, event: kind, id }) = filters {
        is_one = id.is_some();
        let fits = |delivery: &Delivery| {
            delivery.webhook == webhook.sid
                && state.as_ref().is_none_or(|state| state.0 == delivery.state)
                && kind.as_ref().is_none_or(|kind| kind.0 == delivery.event.kind)
        };
        deliveries = match id.map(|id| EventId::parse(&id.0)) {
            None => list.take(outbox.list(Some(&[service.id]), list.range(since, until, fits)).await?),
            Some(id) => {
                let is_it = |of: &Delivery| of.webhook == webhook.sid && Some(of.event.id) == id;
                outbox.deliveries_that(is_it, 1).await?
            }
        };
    }
    // The search and the rows lead to it.
    list.filters.retain(|field| field.name != "id" || is_one);
    let shown = |delivery: Delivery| {
        let to = delivery.event.to;
        let payload = is_one.then(|| delivery.event.body.replace(&to.e164(), &to.to_string()));
        (delivery, payload)
    };
    let deliveries = deliveries.into_iter().map(shown).collect();
    let row = Row::new(&request, &service, &webhook, outbox.load(service.id, webhook.sid));
    Ok(list::html(&list, &WebhookPage { request: &request, list: &list, row, deliveries }))
}

/// `POST /admin/webhooks/{Sid}`: changes or deletes it, or delivers events again.
pub async fn act(request: AdminRequest) -> PageResult {
    let Some((service, webhook)) = named(&request) else { return Ok(unknown(&request)) };
    let path = format!("{PATH}/{}", webhook.sid);
    let to = |notice| Ok(request.redirect_with_notice(&path, notice));
    let what = match request.field("action") {
        "update" => {
            return to(match update(&request, service.sid, webhook.sid).await {
                Ok(()) => Notice::success("The webhook is changed."),
                Err(error) => Notice::failure(format!("Nothing was changed. {}", words_of(error))),
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
        "test" => return to(tested(&request.running.outbox.test(&service, &webhook).await)),
        "replay" => EventId::parse(request.field("event")).map(Replay::Event),
        "replay-failed" => {
            let hours = request.field("hours").parse::<u64>().ok();
            let hours = hours.filter(|hours| REPLAYS.iter().any(|(known, _)| known == hours));
            hours.map(|hours| Replay::FailedSince(request.now().minus(Duration::from_secs(hours * 3_600))))
        }
        _ => None,
    };
    let Some(what) = what else {
        return to(Notice::failure(NO_ACTION));
    };
    match request.running.outbox.replay(service.id, webhook.sid, what).await {
        Ok(count) => to(Notice::success(format!("Events that are delivered again: {count}."))),
        Err(ReplayError::Refused(refusal)) => Err(refusal.into()),
        Err(error) => to(Notice::failure(format!("Not delivered again: {error}."))),
    }
}

async fn update(request: &AdminRequest, service: Sid, webhook: Sid) -> Result<(), Error> {
    let changed = request.form.read::<Fields>()?;
    request.registry().update_webhook(service, webhook, changed.into()).await?;
    Ok(())
}

/// How a test was answered.
fn tested(posted: &Posted) -> Notice {
    match posted.answer {
        Ok(status) => {
            let text = format!("The test was answered with status {status}. {}", posted.detail);
            if posted.is_taken() { Notice::success(text) } else { Notice::failure(text) }
        }
        Err(_) => Notice::failure(format!("The test had no answer: {}.", posted.detail)),
    }
}

fn unknown(request: &AdminRequest) -> Response {
    request.redirect_with_notice(PATH, Notice::failure("There is no such webhook."))
}

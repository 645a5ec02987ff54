//! Webhooks: each with its state, its deliveries, and what can be done about them.

use std::cmp::Reverse;
use std::sync::Arc;

use super::prelude::*;
use crate::http::api::webhooks::Fields;
use crate::registry::{Webhook, WebhookStatus};
use crate::webhook::{Delivery, DeliveryState, EventId, EventType, Posted, WebhookLoad};

const PATH: &str = "/admin/webhooks";

/// The events and the word for all of them, for the forms.
fn events() -> impl Iterator<Item = &'static str> {
    [EventType::EVERY].into_iter().chain(EventType::ALL.map(EventType::as_str))
}

/// The filters of the list of webhooks.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// Service
    pub service: Option<values::ServiceSid>,
}

/// The filters of the deliveries.
#[derive(Default, Deserialize, JsonSchema)]
pub struct DeliveryFilters {
    /// Since, UTC
    pub since: Option<values::UtcTime>,
    /// Before, UTC
    pub until: Option<values::UtcTime>,
    /// State
    pub state: Option<values::DeliveryState>,
    /// Event
    pub event: Option<values::EventType>,
}

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
}

impl Row {
    fn new(service: &Service, webhook: &Webhook, load: WebhookLoad) -> Self {
        Self { service: service.title(), webhook: webhook.clone(), load }
    }

    fn is_disabled(&self) -> bool {
        self.webhook.status == WebhookStatus::Disabled
    }

    fn has_event(&self, event: &str) -> bool {
        self.webhook.event_types.iter().any(|known| known == event)
    }
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct WebhookPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    row: Row,
    deliveries: Vec<Delivery>,
}

/// Its class in the style sheet, and a word.
pub const fn state_of(delivery: &Delivery) -> (&'static str, &'static str) {
    match delivery.state {
        DeliveryState::Pending => ("", "pending"),
        DeliveryState::Delivered => ("good", "delivered"),
        DeliveryState::Failed => ("problem", "failed"),
    }
}

/// What is posted, with a masked number.
fn payload(delivery: &Delivery) -> String {
    let to = delivery.event.to;
    delivery.event.body.replace(&to.e164(), &to.to_string())
}

/// `GET /admin/webhooks`. Those with most to be told come first. Reads no record: webhooks and their states are in memory.
pub async fn page(request: AdminRequest) -> Response {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    let outbox = &request.running.outbox;
    // Each may have a long address.
    list.rows = 20;
    let mut all = Vec::new();
    let only = list.service(&request, filters.service);
    for service in only.map_or_else(|| request.running.registry.services(0, usize::MAX), |only| vec![only]) {
        let row = |webhook: &Webhook| Row::new(&service, webhook, outbox.load(webhook.sid));
        all.extend(service.webhooks.iter().map(row));
    }
    all.sort_by_key(|row| Reverse(row.load.pending));
    let rows = list.take_of_all(all);
    list::html(&list, &WebhooksPage { request: &request, list: &list, rows })
}

/// `POST /admin/webhooks`: makes a webhook. The page after it is the only one with its secret.
pub async fn create(request: AdminRequest) -> PageResult {
    let made = async {
        let service = request.service(request.field("service"));
        let service = service.ok_or_else(|| Error::invalid("Choose the service."))?;
        let new = request.form.read::<Fields>()?;
        Ok::<_, Error>(request.registry().create_webhook(service.sid, new.into()).await?)
    };
    match made.await {
        Ok(webhook) => request.show_made(PATH, webhook.sid, webhook.secret_text()),
        Err(error) => Ok(page(request.failed(format!("No webhook was created. {error}"))).await),
    }
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
    let Some((service, webhook)) = named(&request) else { return unknown(&request) };
    let (mut list, filters) = List::read::<DeliveryFilters>(&request, format!("{PATH}/{}", webhook.sid));
    let DeliveryFilters { since, until, state, event: kind } = filters;
    // Each has a form, a payload and an answer.
    list.rows = 8;
    let outbox = &request.running.outbox;
    let fits = |delivery: &Delivery| {
        delivery.webhook == webhook.sid
            && state.as_ref().is_none_or(|state| state.0 == delivery.state)
            && kind.as_ref().is_none_or(|kind| kind.0 == delivery.event.kind)
    };
    let deliveries = list.take(outbox.list(Some(&[service.id]), list.range(since, until, fits)).await?);
    let row = Row::new(&service, &webhook, outbox.load(webhook.sid));
    Ok(list::html(&list, &WebhookPage { request: &request, list: &list, row, deliveries }))
}

/// `POST /admin/webhooks/{Sid}`: changes, deletes or tests it, or delivers an event again.
pub async fn act(request: AdminRequest) -> PageResult {
    let Some((service, webhook)) = named(&request) else { return unknown(&request) };
    let (path, outbox) = (format!("{PATH}/{}", webhook.sid), &request.running.outbox);
    let to = |notice| request.tell(&path, notice);
    match request.field("action") {
        "update" => {
            let changed = update(&request, service.sid, webhook.sid).await;
            to(changed.map_err(|error| format!("Nothing was changed. {error}")))
        }
        "delete" => match request.registry().delete_webhook(service.sid, webhook.sid).await {
            Ok(()) => request.tell(PATH, Ok(format!("The webhook {} is deleted.", webhook.friendly_name))),
            Err(error) => to(Err(format!("Nothing was changed: {error}."))),
        },
        "test" => to(tested(&outbox.test(&service, &webhook).await)),
        "replay" => to(match EventId::parse(request.field("event")) {
            Some(event) if outbox.replay(service.id, webhook.sid, event).await? => {
                Ok("The event is delivered again.".to_owned())
            }
            _ => Err("This webhook has no such event, or it is older than what is kept.".to_owned()),
        }),
        _ => to(Err(NO_ACTION.to_owned())),
    }
}

async fn update(request: &AdminRequest, service: Sid, webhook: Sid) -> Result<String, Error> {
    let changed = request.form.read::<Fields>()?;
    request.registry().update_webhook(service, webhook, changed.into()).await?;
    Ok("The webhook is changed.".to_owned())
}

/// How a test was answered.
fn tested(posted: &Posted) -> Notice {
    let Some(status) = posted.status else {
        return Err(format!("The test had no answer: {}.", posted.detail));
    };
    let text = format!("The test was answered with status {status}. {}", posted.detail);
    if posted.is_taken() { Ok(text) } else { Err(text) }
}

fn unknown(request: &AdminRequest) -> PageResult {
    request.tell(PATH, Err("There is no such webhook.".to_owned()))
}

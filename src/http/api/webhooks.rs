//! `/v2/Services/{ServiceSid}/Webhooks`: the receivers of events; below them `Deliveries`, the delivery log, and `Replay`,
//! which delivers an event again. The last two are not in Twilio's API; its console does this.

use super::prelude::*;
use crate::http::openapi::Doc;
use crate::registry::WebhookFields;
use crate::webhook::{self, DeliveryState, WebhookAttempt};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Fields {
    /// For people.
    pub friendly_name: Option<values::Note<64>>,
    /// The events, or * for all. May be repeated.
    pub event_types: Option<values::Events>,
    /// Where the server sends the events: http or https.
    pub webhook_url: Option<values::Unchecked<2_048>>,
    /// Whether the server sends events.
    pub status: Option<values::WebhookStatus>,
    /// The form of the events.
    pub version: Option<values::WebhookVersion>,
}

impl From<Fields> for WebhookFields {
    fn from(Fields { friendly_name, event_types, webhook_url, status, .. }: Fields) -> Self {
        Self {
            friendly_name: friendly_name.map(|name| name.0),
            event_types: event_types.map(|events| events.0),
            url: webhook_url.map(|url| url.0),
            status: status.map(|status| status.0),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeliveryFilters {
    /// With this status.
    pub status: Option<values::DeliveryState>,
    /// Of this event.
    pub event_type: Option<values::EventType>,
    /// Created at or after this time.
    pub date_created_after: Option<values::Timestamp>,
    /// Created before this time.
    pub date_created_before: Option<values::Timestamp>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Replay {
    /// The event to deliver again.
    pub event_id: values::EventId,
}

/// The receiver of a service's events.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
pub struct WebhookView {
    pub sid: WebhookSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// For people.
    pub friendly_name: String,
    /// The events: names, or `*` for all.
    pub event_types: Vec<String>,
    /// Whether the server sends events.
    pub status: &'static str,
    /// The form of the events.
    pub version: &'static str,
    /// Where the server sends the events.
    pub webhook_url: String,
    pub webhook_method: &'static str,
    pub date_created: Date,
    pub date_updated: Date,
    pub url: Url,
    /// The key of the events' signatures (Standard Webhooks). Only in the response to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub secret: Option<String>,
}

impl WebhookView {
    pub fn new(caller: &Caller, service: Sid, webhook: &registry::Webhook) -> Self {
        Self {
            sid: Id(webhook.sid),
            service_sid: Id(service),
            account_sid: caller.account(),
            friendly_name: webhook.friendly_name.clone(),
            event_types: webhook.event_types.clone(),
            status: webhook.status.as_str(),
            version: "v2",
            webhook_url: webhook.url.clone(),
            webhook_method: "POST",
            date_created: webhook.created.into(),
            date_updated: webhook.updated.into(),
            url: caller.url(format_args!("/v2/Services/{service}/Webhooks/{}", webhook.sid)),
            secret: None,
        }
    }
}

/// The key that signs the events of a webhook.
#[derive(Serialize, JsonSchema)]
pub struct WebhookSecret {
    pub webhook_sid: WebhookSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    pub secret: String,
    pub url: Url,
}

/// A delivery of an event to a webhook.
#[derive(Serialize, JsonSchema)]
pub struct Delivery {
    pub account_sid: AccountSid,
    pub service_sid: ServiceSid,
    pub webhook_sid: WebhookSid,
    /// The event's id, which receivers see as `webhook-id`.
    pub event_id: String,
    /// The event's name.
    pub event_type: &'static str,
    /// The verification; null for an event of a gateway.
    pub verification_sid: Option<VerificationSid>,
    /// `pending`, `delivered` or `failed`.
    #[schemars(with = "String")]
    pub status: DeliveryState,
    /// When the event happened.
    pub date_created: Date,
    /// When it is tried next; null when it is not.
    pub next_attempt: Option<Date>,
    /// Since the event or its last replay, the oldest first.
    pub attempts: Vec<DeliveryAttempt>,
}

impl Delivery {
    fn new(of: &InService<impl Sized>, delivery: &webhook::Delivery) -> Self {
        Self {
            account_sid: of.account(),
            service_sid: Id(of.service.sid),
            webhook_sid: Id(delivery.webhook),
            event_id: delivery.event.id.to_string(),
            event_type: delivery.event.kind.as_str(),
            verification_sid: delivery.event.verification.map(Id),
            status: delivery.state,
            date_created: delivery.event.at.into(),
            next_attempt: (delivery.state == DeliveryState::Pending).then(|| delivery.due.into()),
            attempts: delivery.attempts.iter().map(DeliveryAttempt::new).collect(),
        }
    }
}

/// An attempt to deliver an event.
#[derive(Serialize, JsonSchema)]
pub struct DeliveryAttempt {
    /// When it began.
    pub date: Date,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// The HTTP status of the answer.
    pub status_code: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
}

impl DeliveryAttempt {
    pub fn new(attempt: &WebhookAttempt) -> Self {
        Self {
            date: attempt.at.into(),
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            status_code: attempt.posted.status,
            error: attempt.posted.status.is_none().then(|| attempt.posted.detail.clone()),
        }
    }
}

async fn list(of: InService, Listing((), page): Listing) -> Result<Listed<WebhookView>, Error> {
    page.of_all("webhooks", &of.service.webhooks, |webhook| WebhookView::new(&of, of.service.sid, webhook))
}

/// `POST`: the response has the secret.
async fn create(of: InService, Params(new): Params<Fields>) -> Made<WebhookView> {
    let webhook = of.registry().create_webhook(of.service.sid, new.into()).await?;
    let secret = Some(webhook.secret_text());
    created(WebhookView { secret, ..WebhookView::new(&of, of.service.sid, &webhook) })
}

async fn fetch(of: InService<WebhookSid>) -> Answer<WebhookView> {
    Ok(Json(WebhookView::new(&of, of.service.sid, of.service.webhook(&of.path.0)?)))
}

/// `GET .../Secret`. Twilio's libraries drop the field of the response to the creation.
async fn secret(of: InService<WebhookSid>) -> Answer<WebhookSecret> {
    let (service, Id(sid)) = (&of.service, of.path);
    Ok(Json(WebhookSecret {
        webhook_sid: of.path,
        service_sid: Id(service.sid),
        account_sid: of.account(),
        secret: service.webhook(&sid)?.secret_text(),
        url: of.url(format_args!("/v2/Services/{}/Webhooks/{sid}/Secret", service.sid)),
    }))
}

async fn update(of: InService<WebhookSid>, Params(changed): Params<Fields>) -> Answer<WebhookView> {
    let changed = of.registry().update_webhook(of.service.sid, of.path.0, changed.into()).await?;
    Ok(Json(WebhookView::new(&of, of.service.sid, &changed)))
}

async fn delete_webhook(of: InService<WebhookSid>) -> Gone {
    of.registry().delete_webhook(of.service.sid, of.path.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET .../Deliveries`: the newest event first.
async fn deliveries(
    of: InService<WebhookSid>,
    Listing(filters, page): Listing<DeliveryFilters>,
) -> Result<Listed<Delivery>, Error> {
    let DeliveryFilters { status, event_type, date_created_after, date_created_before } = filters;
    let webhook = of.service.webhook(&of.path.0)?.sid;
    let fits = |delivery: &webhook::Delivery| {
        delivery.webhook == webhook
            && status.as_ref().is_none_or(|status| status.0 == delivery.state)
            && event_type.as_ref().is_none_or(|kind| kind.0 == delivery.event.kind)
    };
    let since = date_created_after.map(|after| after.0).unwrap_or_default();
    let (until, skip) = page.place(date_created_before.map(|before| before.0));
    let range = LogRange { since, until, fits, skip, limit: page.limit() };
    let found = of.running.outbox.list(Some(&[of.service.id]), range).await?;
    let at = |delivery: &&webhook::Delivery| delivery.event.at;
    Ok(page.of_newest("deliveries", &found, at, |delivery| Delivery::new(&of, delivery)))
}

/// `POST .../Replay`.
async fn replay(of: InService<WebhookSid>, Params(Replay { event_id }): Params<Replay>) -> Gone {
    let webhook = of.service.webhook(&of.path.0)?.sid;
    let is_there = of.running.outbox.replay(of.service.id, webhook, event_id.0).await?;
    if is_there { Ok(StatusCode::NO_CONTENT) } else { Err(Error::NO_RESOURCE) }
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Webhooks", "Receivers of events, which are signed according to Standard Webhooks.", Group::twilio(Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/Webhooks", create, Doc { requires: &["FriendlyName", "EventTypes", "WebhookUrl"],
                ..made::<Fields, WebhookView>("CreateWebhook", "Create a webhook") }
                .about("The response has one more field than Twilio's: the secret that signs events."))
        .get("/v2/Services/{ServiceSid}/Webhooks", list, list_of::<(), WebhookView>("webhooks", "ListWebhook", "List webhooks"))
        .get("/v2/Services/{ServiceSid}/Webhooks/{Sid}", fetch, ok::<(), WebhookView>("FetchWebhook", "Fetch a webhook"))
        .post("/v2/Services/{ServiceSid}/Webhooks/{Sid}", update, ok::<Fields, WebhookView>("UpdateWebhook", "Update a webhook"))
        .delete("/v2/Services/{ServiceSid}/Webhooks/{Sid}", delete_webhook, gone::<()>("DeleteWebhook", "Delete a webhook"))
}

#[rustfmt::skip] // A table.
pub fn delivery_routes() -> Routes {
    Routes::new("Deliveries", "The secret of a webhook, the delivery log of events, and the replay of one. Not in Twilio's API: its \
            console does this.", Group::twilio(Access::Scope(Scope::Admin)))
        .get("/v2/Services/{ServiceSid}/Webhooks/{Sid}/Secret", secret, ok::<(), WebhookSecret>("FetchWebhookSecret", "Fetch the secret of a webhook")
                .about("Twilio's libraries drop the secret of the response that creates a webhook."))
        .get("/v2/Services/{ServiceSid}/Webhooks/{Sid}/Deliveries", deliveries, list_of::<DeliveryFilters, Delivery>("deliveries", "ListDelivery", "List deliveries of events to a webhook")
                .about("Newest event first."))
        .post("/v2/Services/{ServiceSid}/Webhooks/{Sid}/Replay", replay, Doc { success: "The event is due again.", ..gone::<Replay>("CreateReplay", "Deliver an event again") }
                .about("The event keeps its id. It goes behind those of its verification that are pending."))
}

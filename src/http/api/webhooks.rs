//! `/v2/Services/{ServiceSid}/Webhooks`: the receivers of events; below them `Deliveries`, the delivery log, and `Replay`,
//! which delivers events again. The last two are not in Twilio's API; its console does this.

use serde::Serialize;
use tracing::error;

use super::prelude::*;
use crate::http::route::{Content, Operation, Success, schema};
use crate::registry::{Webhook, WebhookFields, WebhookStatus};
use crate::verification::numbers::Refusal;
use crate::webhook::{
    AttemptError, Delivery, DeliveryQuery, DeliveryState, EventId, EventType, Replay, ReplayError,
    WebhookAttempt,
};

parameters! {
    pub struct New {
        /// For people.
        "FriendlyName" = "billing" => friendly_name: Note<64>,
        /// The events, or * for all. May be repeated.
        "EventTypes" = "verification.approved" => event_types: Events,
        /// Where the server sends the events: http or https.
        "WebhookUrl" = "https://shop.example/hooks" => url: Text<2_048>,
        /// Whether the server sends events.
        "Status" = "enabled" => status: Option<WebhookStatus>,
        /// The form of the events.
        "Version" = "v2" => version: Option<WebhookVersion>,
    }
}

parameters! {
    pub struct Changed {
        /// For people.
        "FriendlyName" = "billing" => friendly_name: Option<Note<64>>,
        /// The events, or * for all. May be repeated.
        "EventTypes" = "verification.approved" => event_types: Option<Events>,
        /// Where the server sends the events: http or https.
        "WebhookUrl" = "https://shop.example/hooks" => url: Option<Text<2_048>>,
        /// Whether the server sends events.
        "Status" = "enabled" => status: Option<WebhookStatus>,
        /// The form of the events.
        "Version" = "v2" => version: Option<WebhookVersion>,
    }
}

impl From<New> for WebhookFields {
    fn from(New { friendly_name, event_types, url, status, .. }: New) -> Self {
        let (friendly_name, event_types, url) = (Some(friendly_name), Some(event_types), Some(url));
        Self { friendly_name, event_types, url, status }
    }
}

impl From<Changed> for WebhookFields {
    fn from(Changed { friendly_name, event_types, url, status, .. }: Changed) -> Self {
        Self { friendly_name, event_types, url, status }
    }
}

parameters! {
    pub struct DeliveryFilters {
        /// With this status.
        "Status" = "failed" => state: Option<DeliveryState>,
        /// Of this event.
        "EventType" = "verification.approved" => kind: Option<EventType>,
        /// Created at or after this time.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// Created before this time.
        "DateCreatedBefore" = "2026-02-28T12:00:00Z" => before: Option<Timestamp>,
    }
}

parameters! {
    /// The events to deliver again.
    pub struct Replayed {
        /// Events at or after this time. Either this or EventId must be given.
        "Since" = "2026-01-31T12:00:00Z" => since: Option<Timestamp>,
        /// This event.
        "EventId" = "evt_0123456789abcdef0123456789abcdef" => event: Option<EventId>,
        /// With Since: whether to leave out delivered events.
        "FailedOnly" = "true" => failed_only: Option<bool>,
    }
}

view! {
    /// The response to a replay.
    ReplayView as "Replay"(_frame, replayed: usize) {
        /// Deliveries that are due again.
        replayed: usize = replayed,
    }
}

view! {
    /// The receiver of a service's events.
    WebhookView as "Webhook"(frame, service: Sid, webhook: &Webhook) {
        sid: WebhookSid = Id(webhook.sid),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// For people.
        friendly_name: String = webhook.friendly_name.clone(),
        /// The events: names, or `*` for all.
        event_types: Vec<String> = webhook.event_types.clone(),
        /// Whether the server sends events.
        #[schemars(regex(pattern = "^(enabled|disabled)$"))]
        status: &'static str = webhook.status.as_str(),
        /// The form of the events.
        #[schemars(regex(pattern = "^v2$"))]
        version: &'static str = "v2",
        /// Where the server sends the events.
        webhook_url: String = webhook.url.clone(),
        #[schemars(regex(pattern = "^POST$"))]
        webhook_method: &'static str = "POST",
        date_created: Date = webhook.created.into(),
        date_updated: Date = webhook.updated.into(),
        url: Url = frame.url(format_args!("/Services/{service}/Webhooks/{}", webhook.sid)),
        /// The key of the events' signatures (Standard Webhooks). Only in the response to its creation.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String", regex(pattern = "^whsec_[A-Za-z0-9+/]+=*$"))]
        secret: Option<String> = None,
    }
}

view! {
    /// The key that signs the events of a webhook.
    WebhookSecretView as "WebhookSecret"(frame, service: Sid, webhook: &Webhook) {
        webhook_sid: WebhookSid = Id(webhook.sid),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        #[schemars(regex(pattern = "^whsec_[A-Za-z0-9+/]+=*$"))]
        secret: String = webhook.secret_text(),
        url: Url = frame.url(format_args!("/Services/{service}/Webhooks/{}/Secret", webhook.sid)),
    }
}

view! {
    /// A delivery of an event to a webhook.
    DeliveryView as "Delivery"(frame, service: Sid, delivery: &Delivery) {
        account_sid: AccountSid = Id(frame.account),
        service_sid: ServiceSid = Id(service),
        webhook_sid: WebhookSid = Id(delivery.webhook),
        /// The event's id, which receivers see as `webhook-id`.
        #[schemars(regex(pattern = "^evt_[0-9a-f]{32}$"))]
        event_id: String = delivery.id.to_string(),
        /// The event's name.
        #[schemars(example = &"verification.approved")]
        event_type: &'static str = delivery.event.kind.as_str(),
        /// The verification; null for an event of the pumping guard.
        verification_sid: Option<VerificationSid> =
            Some(delivery.event.verification).filter(|sid| sid.kind() == SidKind::Verification).map(Id),
        /// `pending`, `delivered` or `failed`.
        #[schemars(with = "String", example = &"delivered")]
        status: DeliveryState = delivery.state,
        /// When the event happened.
        date_created: Date = delivery.event.at.into(),
        /// When it is tried next; null when it is not.
        next_attempt: Option<Date> =
            Some(delivery.due).filter(|_| delivery.state == DeliveryState::Pending).map(Date::from),
        /// The latest attempts, the oldest first.
        attempts: Vec<DeliveryAttemptView> =
            delivery.attempts.iter().map(|attempt| DeliveryAttemptView::new(frame, attempt)).collect(),
    }
}

view! {
    /// An attempt to deliver an event.
    DeliveryAttemptView as "DeliveryAttempt"(_frame, attempt: &WebhookAttempt) {
        /// When it began.
        date: Date = attempt.at.into(),
        /// Duration in milliseconds.
        duration_ms: u64 = u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
        /// The HTTP status of the answer.
        status_code: Option<u16> = attempt.status,
        /// Why there was no answer, or no attempt: `timed_out`.
        #[schemars(with = "Option<String>")]
        error: Option<AttemptError> = attempt.error,
        /// The same in words.
        error_message: Option<String> = attempt.detail.clone().filter(|_| attempt.status.is_none()),
    }
}

view! {
    /// Events that the webhook did not get, because too many deliveries were pending.
    DroppedView as "DroppedEvents"(_frame, count: u64, last: Option<Timestamp>) {
        /// Since the start of the server.
        count: u64 = count,
        /// When the last one was dropped.
        date_last: Option<Date> = last.map(Date::from),
    }
}

#[derive(Serialize)]
pub struct Deliveries {
    #[serde(flatten)]
    page: Listed<DeliveryView>,
    dropped_events: DroppedView,
}

pub async fn list(InService(request, service, ()): InService) -> Answer<Listed<WebhookView>> {
    request.list("webhooks", service.webhooks.iter(), |frame, webhook| {
        WebhookView::new(frame, service.sid, webhook)
    })
}

/// `POST`: the response has the secret.
pub async fn create(InService(request, service, new): InService<New>) -> Made<WebhookView> {
    let webhook = request.registry().create_webhook(service.sid, new.into()).await?;
    let secret = Some(webhook.secret_text());
    created(WebhookView { secret, ..WebhookView::new(&request.frame(), service.sid, &webhook) })
}

pub async fn fetch(InService(request, service, ()): InService) -> Answer<WebhookView> {
    Ok(Json(WebhookView::new(&request.frame(), service.sid, webhook(&request, &service)?)))
}

/// `GET .../Secret`. Twilio's libraries drop the field of the response to the creation.
pub async fn secret(InService(request, service, ()): InService) -> Answer<WebhookSecretView> {
    Ok(Json(WebhookSecretView::new(&request.frame(), service.sid, webhook(&request, &service)?)))
}

pub async fn update(InService(request, service, changed): InService<Changed>) -> Answer<WebhookView> {
    let webhook = request.sid("Sid", SidKind::Webhook)?;
    let changed = request.registry().update_webhook(service.sid, webhook, changed.into()).await?;
    Ok(Json(WebhookView::new(&request.frame(), service.sid, &changed)))
}

pub async fn delete(InService(request, service, ()): InService) -> Gone {
    request.registry().delete_webhook(service.sid, request.sid("Sid", SidKind::Webhook)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET .../Deliveries`: the newest event first.
pub async fn deliveries(
    InService(request, service, filters): InService<DeliveryFilters>,
) -> Answer<Deliveries> {
    let webhook = webhook(&request, &service)?;
    let mut page = request.page(DeliveryFilters::NAMES)?;
    let DeliveryFilters { state, kind, after, before } = filters;
    let (before, skip, limit) = (Some(page.until(before)), page.skip(), page.limit());
    let wanted = DeliveryQuery { state, kind, after, before, skip, limit, read: None };
    let found = request.running.outbox.deliveries(service.id, webhook.sid, &wanted).await;
    let found = found.map_err(|refusal| unavailable(&request, refusal))?;
    let frame = request.frame();
    let load = request.running.outbox.load(service.id, webhook.sid);
    Ok(Json(Deliveries {
        page: page.of("deliveries", &found.records, |one| DeliveryView::new(&frame, service.sid, one)),
        dropped_events: DroppedView::new(&frame, load.dropped, load.last_dropped),
    }))
}

/// `POST .../Replay`: one event, or all since a moment whose delivery has failed, or all of them.
pub async fn replay(InService(request, service, params): InService<Replayed>) -> Answer<ReplayView> {
    let Replayed { since, event, failed_only } = params;
    let webhook = webhook(&request, &service)?;
    let what = match (event, since) {
        (Some(event), None) => Replay::Event(event),
        (None, Some(since)) if failed_only.unwrap_or(true) => Replay::FailedSince(since),
        (None, Some(since)) => Replay::AllSince(since),
        _ => return Err(Error::invalid("Invalid parameters: either `EventId` or `Since` must be given")),
    };
    match request.running.outbox.replay(service.id, webhook.sid, what).await {
        Ok(replayed) => Ok(Json(ReplayView::new(&request.frame(), replayed))),
        Err(ReplayError::NotFound) => Err(Error::NotFound),
        Err(error @ ReplayError::NoRoom(_)) => Err(Error::too_many(error.to_string())),
        Err(ReplayError::Refused(refusal)) => Err(unavailable(&request, refusal)),
    }
}

const DELIVERIES: Success = Success::ok(
    "A page of the list.",
    Content::List(schema::<DeliveryView>, "deliveries", Some(("dropped_events", schema::<DroppedView>))),
);

/// The webhook in the path.
fn webhook<'a>(request: &Request, service: &'a Service) -> Result<&'a Webhook, Error> {
    Ok(service.webhook(&request.sid("Sid", SidKind::Webhook)?)?)
}

fn unavailable(request: &Request, refusal: Refusal) -> Error {
    error!(request_id = request.call.request_id(), %refusal, "webhook deliveries unavailable");
    refusal.into()
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Webhooks",
            "Receivers of events, which are signed according to Standard Webhooks.", Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/Webhooks", create,
            operation(create, "CreateWebhook", "Create a webhook")
                .about("The response has one more field than Twilio's: the secret that signs events."))
        .get("/v2/Services/{ServiceSid}/Webhooks", list, listing(list, "webhooks", "ListWebhook", "List webhooks"))
        .get("/v2/Services/{ServiceSid}/Webhooks/{Sid}", fetch, operation(fetch, "FetchWebhook", "Fetch a webhook"))
        .post("/v2/Services/{ServiceSid}/Webhooks/{Sid}", update,
            operation(update, "UpdateWebhook", "Update a webhook"))
        .delete("/v2/Services/{ServiceSid}/Webhooks/{Sid}", delete,
            operation(delete, "DeleteWebhook", "Delete a webhook"))
        .merge(ApiRouter::of(ApiGroup::twilio("Deliveries",
            "The secret of a webhook, the delivery log of events, and their replay. Not in Twilio's API: its \
            console does this.",
            Access::Scope(Scope::Admin)))
        .get("/v2/Services/{ServiceSid}/Webhooks/{Sid}/Secret", secret,
            operation(secret, "FetchWebhookSecret", "Fetch the secret of a webhook")
                .about("Twilio's libraries drop the secret of the response that creates a webhook."))
        .get("/v2/Services/{ServiceSid}/Webhooks/{Sid}/Deliveries", deliveries,
            Operation::new("ListDelivery", "List deliveries of events to a webhook", DELIVERIES).reads(DeliveryFilters::describe)
                .about("Newest event first."))
        .post("/v2/Services/{ServiceSid}/Webhooks/{Sid}/Replay", replay,
            operation(replay, "CreateReplay", "Deliver events again")
                .about("The events keep their ids and the order of their verification.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{Channel, ServiceId};
    use crate::webhook::{About, Detail, Event};

    #[test]
    fn a_delivery_is_shown_with_its_attempts() {
        let sid = |kind, byte| Sid::new(kind, [byte; 16]);
        let at = Timestamp::from_millis(1_700_000_000_000);
        let about = About {
            to: PhoneNumber::parse("+14155550123", None).expect("a number"),
            channel: Channel::Sms,
            status: "pending".to_owned(),
            detail: Detail::None,
            locked_until: None,
            tags: std::collections::BTreeMap::new(),
        };
        let verification = sid(SidKind::Verification, 1);
        let event = Event { kind: EventType::Created, service: ServiceId::DEFAULT, verification, at, about };
        let took = std::time::Duration::from_secs(15);
        let (error, detail) = (Some(AttemptError::TimedOut), Some("no answer in time".to_owned()));
        let delivery = Delivery {
            id: EventId::new([0xa7; 16]),
            event,
            webhook: sid(SidKind::Webhook, 2),
            state: DeliveryState::Pending,
            due: at,
            since: at,
            tries: 1,
            attempts: vec![WebhookAttempt { at, took, status: None, error, detail }],
        };
        let frame = Frame::without_addresses(sid(SidKind::Account, 3));
        let shown = json!(DeliveryView::new(&frame, sid(SidKind::Service, 4), &delivery));
        let expected = json!({
            "account_sid": "AC03030303030303030303030303030303",
            "service_sid": "VA04040404040404040404040404040404",
            "webhook_sid": "YW02020202020202020202020202020202",
            "event_id": "evt_a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7",
            "event_type": "verification.created",
            "verification_sid": "VE01010101010101010101010101010101",
            "status": "pending",
            "date_created": "2023-11-14T22:13:20Z",
            "next_attempt": "2023-11-14T22:13:20Z",
            "attempts": [{
                "date": "2023-11-14T22:13:20Z",
                "duration_ms": 15_000,
                "status_code": null,
                "error": "timed_out",
                "error_message": "no answer in time",
            }],
        });
        assert_eq!(shown, expected);
    }
}

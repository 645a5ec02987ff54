//! `/v2/Services/{ServiceSid}/Webhooks`: who is told of events; below them `Deliveries` and `Replay`: what became of
//! events, and once more. The last two are not Twilio's: there its console does this.

use std::sync::Arc;

use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::context::{Failure, Request, RequestContext};
use super::error::Error;
use super::params::{Events, Note, Parameters as _, Text, WebhookVersion, parameters};
use super::view::WebhookView;
use crate::domain::{Sid, SidKind, Timestamp};
use crate::http::response::Response;
use crate::numbers::Refusal;
use crate::registry::{Service, WebhookFields, WebhookStatus};
use crate::webhook::{DeliveryQuery, DeliveryState, DeliveryView, EventId, EventType, Replay, ReplayError};

parameters! {
    /// A new webhook.
    pub struct New {
        /// What people call it.
        "FriendlyName" = "billing" => friendly_name: Note<64>,
        /// Which events, or * for all. May be repeated.
        "EventTypes" = "verification.approved" => event_types: Events,
        /// Where they go: http or https.
        "WebhookUrl" = "https://shop.example/hooks" => url: Text<2_048>,
        /// Whether they go at all.
        "Status" = "enabled" => status: Option<WebhookStatus>,
    } checked {
        /// The form of the events.
        "Version" = "v2" => Option<WebhookVersion>,
    }
}

parameters! {
    /// A change of one.
    pub struct Changed {
        /// What people call it.
        "FriendlyName" = "billing" => friendly_name: Option<Note<64>>,
        /// Which events, or * for all. May be repeated.
        "EventTypes" = "verification.approved" => event_types: Option<Events>,
        /// Where they go: http or https.
        "WebhookUrl" = "https://shop.example/hooks" => url: Option<Text<2_048>>,
        /// Whether they go at all.
        "Status" = "enabled" => status: Option<WebhookStatus>,
    } checked {
        /// The form of the events.
        "Version" = "v2" => Option<WebhookVersion>,
    }
}

parameters! {
    /// The filters of the deliveries.
    pub struct DeliveryFilters {
        /// That are so far.
        "Status" = "failed" => state: Option<DeliveryState>,
        /// Of this event.
        "EventType" = "verification.approved" => kind: Option<EventType>,
        /// Made at this moment or later.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// Made before this moment.
        "DateCreatedBefore" = "2026-02-28T12:00:00Z" => before: Option<Timestamp>,
    }
}

parameters! {
    /// What is to be delivered again.
    pub struct Replayed {
        /// Events at this moment or later. Either this or EventId must be given.
        "Since" = "2026-01-31T12:00:00Z" => since: Option<Timestamp>,
        /// This event.
        "EventId" = "evt_0123456789abcdef0123456789abcdef" => event: Option<EventId>,
        /// With Since: false for those too that were delivered.
        "FailedOnly" = "true" => failed_only: Option<bool>,
    }
}

/// The answer to a replay.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub struct ReplayView {
    /// Deliveries that are due again.
    pub replayed: usize,
}

pub fn list(request: &Request<'_>) -> Result<Response, Failure> {
    let service = request.service()?;
    request.list("webhooks", service.webhooks.iter(), |frame, webhook| {
        WebhookView::new(frame, service.sid, webhook)
    })
}

/// `POST`: the one answer that shows the secret.
pub async fn create(request: &Request<'_, New>) -> Result<Response, Failure> {
    let service = request.service()?.sid;
    let New { friendly_name: Note(name), event_types: Events(events), url: Text(url), status } =
        request.read()?;
    let wanted =
        WebhookFields { friendly_name: Some(name), event_types: Some(events), url: Some(url), status };
    let made = request.v2.registry.create_webhook(service, wanted).await?;
    Ok(Response::created(&WebhookView::with_secret(&request.frame(), service, &made)))
}

pub fn fetch(request: &Request<'_>) -> Result<Response, Failure> {
    let (service, sid) = webhook(request)?;
    let webhook = service.webhook(&sid)?;
    Ok(Response::ok(&WebhookView::new(&request.frame(), service.sid, webhook)))
}

pub async fn update(request: &Request<'_, Changed>) -> Result<Response, Failure> {
    let service = request.service()?.sid;
    let webhook = request.sid_behind("Webhooks", SidKind::Webhook)?;
    let changed = request.read()?;
    let wanted = WebhookFields {
        friendly_name: changed.friendly_name.map(|Note(name)| name),
        event_types: changed.event_types.map(|Events(events)| events),
        url: changed.url.map(|Text(url)| url),
        status: changed.status,
    };
    let changed = request.v2.registry.update_webhook(service, webhook, wanted).await?;
    Ok(Response::ok(&WebhookView::new(&request.frame(), service, &changed)))
}

pub async fn delete(request: &Request<'_>) -> Result<Response, Failure> {
    let service = request.service()?.sid;
    let webhook = request.sid_behind("Webhooks", SidKind::Webhook)?;
    request.v2.registry.delete_webhook(service, webhook).await?;
    Ok(Response::empty())
}

/// `GET .../Deliveries`: the newest event first.
pub async fn deliveries(request: &Request<'_, DeliveryFilters>) -> Result<Response, Failure> {
    let (service, webhook) = webhook(request)?;
    let (page, began) = request.page()?.begun(request.end_of_now());
    let DeliveryFilters { state, kind, after, before } = request.read()?;
    let before = Some(before.map_or(began, |before| before.min(began)));
    let wanted = DeliveryQuery { state, kind, after, before, skip: page.skip(), limit: page.limit() };
    let found = request.v2.outbox.deliveries(service.id, webhook, &wanted).await;
    let found = found.map_err(|refusal| unavailable(request, refusal))?;
    let account = request.frame().account;
    let view = |delivery| DeliveryView::of(delivery, account, service.sid);
    let views: Vec<_> = found.deliveries.iter().map(view).collect();
    Ok(request.listed("deliveries", (page, views, found.has_more), DeliveryFilters::NAMES))
}

/// `POST .../Replay`: one event, or all since a moment whose delivery has failed, or all of them.
pub async fn replay(request: &Request<'_, Replayed>) -> Result<Response, Failure> {
    let (service, webhook) = webhook(request)?;
    let Replayed { since, event, failed_only } = request.read()?;
    let what = match (event, since) {
        (Some(event), None) => Replay::Event(event),
        (None, Some(since)) if failed_only.unwrap_or(true) => Replay::FailedSince(since),
        (None, Some(since)) => Replay::AllSince(since),
        _ => {
            let problem = "Invalid parameters: either `EventId` or `Since` must be given";
            return Err(Error::invalid(problem).into());
        }
    };
    match request.v2.outbox.replay(service.id, webhook, what).await {
        Ok(replayed) => Ok(Response::ok(&ReplayView { replayed })),
        Err(ReplayError::NotFound) => Err(Failure::NotFound),
        Err(error @ ReplayError::NoRoom(_)) => Err(Error::too_many(error.to_string()).into()),
        Err(ReplayError::Refused(refusal)) => Err(unavailable(request, refusal).into()),
    }
}

/// The webhook in the path, which exists.
fn webhook(request: &RequestContext<'_>) -> Result<(Arc<Service>, Sid), Failure> {
    let service = request.service()?;
    let sid = request.sid_behind("Webhooks", SidKind::Webhook)?;
    service.webhook(&sid)?;
    Ok((service, sid))
}

fn unavailable(request: &RequestContext<'_>, refusal: Refusal) -> Error {
    error!(request_id = request.request_id, %refusal, "webhook deliveries unavailable");
    Error::unavailable(refusal)
}

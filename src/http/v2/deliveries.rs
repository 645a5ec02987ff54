//! `/v2/Services/{ServiceSid}/Webhooks/{Sid}/Deliveries` and `.../Replay`: what became of events, and once more. Not
//! Twilio's: there its console does this.

use hyper::StatusCode;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use crate::domain::{Sid, SidKind};
use crate::http::answer::Answer;
use crate::numbers::Refusal;
use crate::registry::Service;
use crate::webhook::{DeliveryQuery, DeliveryState, DeliveryView, EventId, EventType, Replay, ReplayError};

/// What the list can be asked, beside paging.
const FILTERS: [&str; 4] = ["Status", "EventType", "DateCreatedAfter", "DateCreatedBefore"];

/// What a replay is answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub struct ReplayView {
    /// Deliveries that are due again.
    pub replayed: usize,
}

/// `GET .../Deliveries`: the newest event first.
pub async fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let (service, webhook) = webhook(ask)?;
    let (query, page) = (&ask.query, Page::read(&ask.query)?);
    let states = [
        ("pending", DeliveryState::Pending),
        ("delivered", DeliveryState::Delivered),
        ("failed", DeliveryState::Failed),
    ];
    let page = page.begun(ask.now_and_a_bit());
    let wanted = DeliveryQuery {
        state: value::word(query, "Status", &states)?,
        kind: value::read(query, "EventType", "the name of an event", EventType::parse)?,
        after: value::moment(query, "DateCreatedAfter")?,
        before: value::moment(query, "DateCreatedBefore")?.into_iter().chain(page.since()).min(),
        skip: page.skip(),
        limit: page.limit(),
    };
    let found = ask.v2.outbox.deliveries(service.id, webhook, &wanted).await;
    let found = found.map_err(|refusal| unreadable(ask, refusal))?;
    let frame = ask.frame();
    let view = |delivery| DeliveryView::of(delivery, frame.account, service.sid);
    let views = found.deliveries.iter().map(view).collect();
    let url = frame.url(&format!("/Services/{}/Webhooks/{webhook}/Deliveries", service.sid));
    Ok(Answer::json(
        StatusCode::OK,
        &page.listed("deliveries", views, found.has_more, &url, (query, &FILTERS)),
    ))
}

/// `POST .../Replay`: one event, or all since a moment whose delivery has failed, or all of them.
pub async fn replay(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let (service, webhook) = webhook(ask)?;
    let event = value::read(fields, "EventId", "evt_ and 32 hexadecimal digits", EventId::parse)?;
    let since = value::moment(fields, "Since")?;
    let failed_only = value::boolean(fields, "FailedOnly")?.unwrap_or(true);
    let what = match (event, since) {
        (Some(event), None) => Replay::Event(event),
        (None, Some(since)) if failed_only => Replay::FailedSince(since),
        (None, Some(since)) => Replay::AllSince(since),
        _ => return Err(Error::invalid("Invalid parameters: either `EventId` or `Since` must be given")),
    };
    match ask.v2.outbox.replay(service.id, webhook, what).await {
        Ok(replayed) => Ok(Answer::json(StatusCode::OK, &ReplayView { replayed })),
        Err(ReplayError::NotFound) => Err(ask.not_found()),
        Err(error @ ReplayError::NoRoom(_)) => Err(Error::too_many(error.to_string())),
        Err(ReplayError::Refused(refusal)) => Err(unreadable(ask, refusal)),
    }
}

/// The webhook in the path.
fn webhook(ask: &Ask<'_>) -> Result<(std::sync::Arc<Service>, Sid), Error> {
    let service = ask.service()?;
    let sid = ask.sid(3, SidKind::Webhook)?;
    service.webhook(&sid).map_err(|error| ask.failed(error))?;
    Ok((service, sid))
}

fn unreadable(ask: &Ask<'_>, refusal: Refusal) -> Error {
    error!(request_id = ask.request_id, %refusal, "webhook deliveries unavailable");
    Error::unavailable(refusal)
}

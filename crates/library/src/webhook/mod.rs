//! Webhooks: an event for each thing that happens to a verification, posted in the form of Standard Webhooks.
//!
//! `recorder` writes events in the commits of the decisions, into one record for each verification, in the slot of its
//! number. Its shard wakes a record that is due, and `outbox` posts: up to eight events at once for each webhook, one for
//! each verification. An event is delivered at least once, and those of a verification in order.

mod outbox;
mod record;
mod recorder;
mod request;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::outbox::{Outbox, OutboxBounds, WebhookLoad};
pub use self::record::{Delivery, DeliveryState, Event, EventId, EventRecord, WebhookAttempt};
pub use self::recorder::NumberEvents;
pub use self::request::{Posted, Transport, network_transport};
pub use crate::registry::EventType;

/// Time for a receiver to answer: see [`network_transport`].
pub const ATTEMPT_TIME: Duration = Duration::from_secs(15);

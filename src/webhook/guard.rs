//! The events of the pumping guard.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{About, Detail, Event, EventType, Outbox};
use crate::limits::guard::PumpingGuard;

impl Outbox {
    /// Hands empty allowances and spent budgets to the webhooks of the service whose message led to them, from now on.
    /// Needs a tokio runtime.
    pub fn follow_guard(&self, guard: &PumpingGuard) {
        let (slots, outbox, clock) = (guard.slots().clone(), self.clone(), Arc::clone(self.inner.clock()));
        guard.on_alert(move |message, about| {
            let (service, number) = (message.service, message.number);
            let Some(verification) = outbox.subscriber(service) else { return };
            let is_budget = about.subject.is_none();
            let kind = if is_budget { EventType::GuardBudgetSpent } else { EventType::GuardBlocked };
            let about = About {
                to: number,
                channel: message.channel,
                status: "blocked".to_owned(),
                detail: Detail::Guard(about),
                locked_until: None,
                tags: BTreeMap::new(),
            };
            let event = Event { kind, service, verification, at: clock.now(), about };
            let (outbox, slot) = (outbox.clone(), slots.of_number(service, number));
            tokio::spawn(async move {
                if let Err(error) = outbox.announce(event, slot).await {
                    tracing::warn!(%error, event = kind.as_str(), "event of the guard lost");
                }
            });
        });
    }
}

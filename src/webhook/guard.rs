//! The events of the pumping guard.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::{About, Detail, Event, EventType, GuardAbout, Outbox};
use crate::domain::Timestamp;
use crate::guard::{GuardNotice, PumpingGuard, scope_name};

impl Outbox {
    /// Hands empty allowances and spent budgets to the webhooks of the service whose message led to them, from now on.
    /// Needs a tokio runtime.
    pub fn follow_guard(&self, guard: &PumpingGuard) {
        let (mut notices, slots, outbox) = (guard.notices(), guard.slots().clone(), self.clone());
        let clock = Arc::clone(self.inner.clock());
        tokio::spawn(async move {
            loop {
                let notice = match notices.recv().await {
                    Ok(notice) => notice,
                    Err(RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "events of the guard lost; too many at once");
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                };
                let service = notice.service;
                let Some(sid) = outbox.subscriber(service) else { continue };
                let (kind, about) = described(&notice);
                let event = Event { kind, service, verification: sid, at: clock.now(), about };
                let slot = slots.of_number(service, notice.number);
                if let Err(error) = outbox.announce(event, slot).await {
                    tracing::warn!(%error, event = kind.as_str(), "event of the guard lost");
                }
            }
        });
    }
}

fn described(notice: &GuardNotice) -> (EventType, About) {
    let GuardNotice { number, channel, finding, budget, .. } = *notice;
    let (scope, until) =
        (scope_name(finding.key.service).to_owned(), finding.until.unwrap_or(Timestamp::EPOCH));
    let (kind, guard) = if let Some((key, limit)) = budget {
        let about = GuardAbout { rule: key.to_owned(), scope, subject: None, until, limit, usual: None };
        (EventType::GuardBudgetSpent, about)
    } else {
        let about = GuardAbout {
            rule: finding.rule.as_str().to_owned(),
            scope,
            subject: Some(finding.key.dimension.to_string()),
            until,
            limit: finding.figures.map_or(0, |figures| figures.most.into()),
            usual: finding.figures.map(|figures| figures.usual),
        };
        (EventType::GuardBlocked, about)
    };
    let (status, detail) = ("blocked".to_owned(), Detail::Guard(guard));
    (kind, About { to: number, channel, status, detail, locked_until: None, tags: BTreeMap::new() })
}

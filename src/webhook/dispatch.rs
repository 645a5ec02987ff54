//! Makes attempts: whose turn it is, until when there is nothing to do, what came of each.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::Inner;
use super::delivery::{Delivery, DeliveryState, Standing};
use super::lanes::Turn;
use super::payload;
use super::seq::Seq;
use super::signature;
use super::state::Concluded;
use super::transport::{Post, Posted, Trouble};
use crate::domain::Timestamp;
use crate::registry::WebhookStatus;

/// The longest time without a look at the clock while something is to be done: it may have been set.
const LOOK: Duration = Duration::from_secs(10);

/// What is done before others have their turn.
const AT_ONCE: usize = 256;

pub(super) async fn run(outbox: Weak<Inner>, wake: Arc<Notify>) {
    loop {
        let Some(inner) = outbox.upgrade() else { return };
        let pause = inner.go_on();
        drop(inner);
        match pause {
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            Some(pause) => drop(tokio::time::timeout(pause.min(LOOK), wake.notified()).await),
            None => wake.notified().await,
        }
    }
}

impl Inner {
    /// Does what can be done now. Says how long there will be nothing to do, if nobody comes with something.
    fn go_on(self: &Arc<Self>) -> Option<Duration> {
        for _ in 0..AT_ONCE {
            let now = self.clock.now();
            let expired = self.state().take_expired(now);
            if let Some((seq, id, event)) = expired {
                self.tell(Some(id), &event);
                self.state().remove(seq);
                continue;
            }
            let taken = self.state().take(now);
            let Some((seq, delivery)) = taken else {
                let state = self.state();
                let next = [state.lanes.next_at(), state.timers.next_at()].into_iter().flatten().min();
                let is_blocked = state.closing || state.unwritten.len() >= state.bounds.unwritten;
                return next
                    .map(|at| if is_blocked { LOOK } else { at.since(now).max(Duration::from_millis(1)) });
            };
            match self.request(&delivery, now) {
                Ok(post) => {
                    tokio::spawn(attempt(Arc::clone(self), seq, now, post));
                }
                Err(trouble) => {
                    let words = match trouble {
                        Trouble::Disabled => "the webhook is disabled",
                        Trouble::TooOld => "its turn did not come in time",
                        _ => "the webhook was removed",
                    };
                    let _ = self.conclude(seq, now, Posted::NotAnswered(trouble, words.to_owned()));
                }
            }
        }
        Some(Duration::ZERO)
    }

    /// The request that is to be made now, or why none is.
    fn request(&self, delivery: &Delivery, now: Timestamp) -> Result<Post, Trouble> {
        let service = self.subscribers.service(delivery.event.service).ok_or(Trouble::Removed)?;
        let webhook = service.webhooks.iter().find(|webhook| webhook.sid == delivery.webhook);
        let webhook = webhook.ok_or(Trouble::Removed)?;
        if webhook.status != WebhookStatus::Enabled {
            return Err(Trouble::Disabled);
        }
        if delivery.is_too_old(now) {
            return Err(Trouble::TooOld);
        }
        let body = payload::body(self.subscribers.account(), service.sid, &delivery.event);
        let headers = signature::headers(&webhook.secret, delivery.id, self.clock.wall(), &body);
        Ok(Post { url: webhook.url.clone(), headers, body })
    }

    fn conclude(&self, seq: Seq, at: Timestamp, posted: Posted) -> Option<Concluded> {
        let what = said(&posted);
        let concluded = self.state().conclude(seq, at, self.clock.now(), posted);
        if let Some(concluded) = &concluded {
            log(concluded, &what);
        }
        self.write.notify_one();
        self.go.notify_one();
        self.idle.notify_one();
        concluded
    }
}

async fn attempt(outbox: Arc<Inner>, seq: Seq, at: Timestamp, post: Post) {
    let transport = Arc::clone(&outbox.transport);
    // In a task of its own, so that its place is free again even if it panics.
    let posted = tokio::spawn(async move { transport.post(post).await }).await;
    let posted = posted
        .unwrap_or_else(|_| Posted::NotAnswered(Trouble::Broken, "the attempt was interrupted".to_owned()));
    let Some(Concluded { lane, standing: Standing::Gone, .. }) = outbox.conclude(seq, at, posted) else {
        return;
    };
    let disabled = outbox.subscribers.gone(lane.service, lane.webhook).await;
    tracing::warn!(webhook = %lane.webhook, disabled, "a webhook has answered 410: it wants no events any more");
}

/// An answer for the log: neither addresses nor what receivers say.
fn said(posted: &Posted) -> String {
    match posted {
        Posted::Answered { status, .. } => format!("status {status}"),
        Posted::NotAnswered(_, words) => words.clone(),
    }
}

fn log(concluded: &Concluded, what: &str) {
    let Concluded { id, lane, state, standing: _, turn } = concluded;
    let webhook = lane.webhook;
    match turn {
        Some(Turn::Worse) => {
            tracing::warn!(%webhook, what, "a webhook does not take events; they are tried again");
        }
        Some(Turn::Better) => tracing::info!(%webhook, "a webhook takes events again"),
        None => {}
    }
    match state {
        DeliveryState::Failed => {
            tracing::warn!(%webhook, event = %id, what, "an event is not tried any more");
        }
        DeliveryState::Delivered => tracing::debug!(%webhook, event = %id, "an event was taken"),
        DeliveryState::Pending => {
            tracing::debug!(%webhook, event = %id, what, "an event is tried again later");
        }
    }
}

//! The receivers of events, and the types of events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::{Result, check_room};
use super::service::{found, remove};
use super::{Item, Registry, RegistryError, Webhook, WebhookStatus};
use crate::config::note;
use crate::domain::{Sid, SidKind};
use crate::registry::audit::Action;

/// Webhooks of a service: each event is sent to each.
const MOST: usize = 10;

const NAME_LONGEST: usize = 64;

const URL_LONGEST: usize = 2_048;

/// The fields of a webhook in a request; `None` leaves a value as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookFields {
    /// The name for people: 1 to 64 characters.
    pub friendly_name: Option<String>,
    /// Names of [`EventType`], or `*`.
    pub event_types: Option<Vec<String>>,
    /// http or https, without a user name or password.
    pub url: Option<String>,
    pub status: Option<WebhookStatus>,
}

impl Registry {
    /// Creates a webhook with its own secret. Name, event types and address are required; it is enabled unless `fields`
    /// say otherwise.
    pub async fn create_webhook(&self, service: Sid, fields: WebhookFields) -> Result<Webhook> {
        self.change(service, move |service, draft| {
            let missing = [
                (fields.friendly_name.is_none(), "friendly_name"),
                (fields.event_types.is_none(), "event_types"),
                (fields.url.is_none(), "webhook_url"),
            ];
            if let Some((_, field)) = missing.into_iter().find(|(missing, _)| *missing) {
                return Err(RegistryError::missing(field));
            }
            check_room(service.webhooks.len(), MOST, Item::Webhook)?;
            let now = draft.now;
            let mut webhook = Webhook {
                sid: draft.sid(SidKind::Webhook),
                friendly_name: String::new(),
                event_types: Vec::new(),
                url: String::new(),
                status: WebhookStatus::Enabled,
                secret: draft.bytes::<32>().to_vec(),
                created: now,
                updated: now,
            };
            fields.apply(&mut webhook)?;
            service.webhooks.push(webhook.clone());
            draft.audited = (Action::WebhookCreated, webhook.sid.to_string());
            Ok(webhook)
        })
        .await
    }

    /// Changes a webhook. Its secret stays.
    pub async fn update_webhook(&self, service: Sid, webhook: Sid, fields: WebhookFields) -> Result<Webhook> {
        self.change(service, move |service, draft| {
            let kept = found(service.webhooks.iter_mut(), Item::Webhook, |kept| kept.sid == webhook)?;
            let before = kept.clone();
            draft.audited = (Action::WebhookChanged, webhook.to_string());
            fields.apply(kept)?;
            if *kept != before {
                kept.updated = draft.now;
            }
            Ok(kept.clone())
        })
        .await
    }

    pub async fn delete_webhook(&self, service: Sid, webhook: Sid) -> Result<()> {
        self.change(service, move |service, draft| {
            draft.audited = (Action::WebhookDeleted, webhook.to_string());
            remove(&mut service.webhooks, Item::Webhook, |kept| kept.sid == webhook)
        })
        .await
    }
}

impl WebhookFields {
    fn apply(self, webhook: &mut Webhook) -> Result<()> {
        let invalid = RegistryError::invalid;
        if let Some(name) = self.friendly_name {
            webhook.friendly_name = note(&name, NAME_LONGEST).map_err(invalid("friendly_name"))?;
        }
        if let Some(events) = self.event_types {
            webhook.event_types = event_types(events).map_err(invalid("event_types"))?;
        }
        if let Some(url) = self.url {
            webhook.url = address(&url).map_err(invalid("webhook_url"))?;
        }
        if let Some(status) = self.status {
            webhook.status = status;
        }
        Ok(())
    }
}

/// At least one, each once.
fn event_types(names: Vec<String>) -> Result<Vec<String>, String> {
    let mut events: Vec<String> = Vec::new();
    for name in names {
        if name != EventType::EVERY && EventType::parse(&name).is_none() {
            let known: Vec<&str> = EventType::ALL.into_iter().map(EventType::as_str).collect();
            return Err(format!("must be *, or some of: {}", known.join(", ")));
        }
        if !events.contains(&name) {
            events.push(name);
        }
    }
    if events.is_empty() { Err("must have at least one, or be *".to_owned()) } else { Ok(events) }
}

fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    let url = Url::parse(text).ok().filter(fits).filter(|url| url.as_str().len() <= URL_LONGEST);
    url.map(|url| url.as_str().to_owned()).ok_or_else(|| {
        format!(
            "must be an address of at most {URL_LONGEST} characters that begins with http:// or https://, without a user \
             name, a password or a fragment"
        )
    })
}

crate::named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum EventType {
        Created = "verification.created",
        Sent = "verification.sent",
        /// The code was right, or the caller approved it.
        Approved = "verification.approved",
        Canceled = "verification.canceled",
        /// No check of it is left.
        MaxAttemptsReached = "verification.max_attempts_reached",
        /// A fixed lockout or a hard stop begins.
        NumberLocked = "number.locked",
        Failed = "verification.failed",
        Expired = "verification.expired",
        MessageDelivered = "message.delivered",
        MessageFailed = "message.failed",
        /// The pumping guard has begun a block.
        GuardBlocked = "guard.blocked",
        /// A budget of the pumping guard is spent.
        GuardBudgetSpent = "guard.budget_spent",
    }
}

impl EventType {
    /// The name that stands for all types.
    pub const EVERY: &'static str = "*";

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

impl Webhook {
    /// The key of its signatures, as Standard Webhooks spells it.
    pub fn secret_text(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.secret))
    }

    /// Returns `true` if the webhook is enabled and subscribes to this type.
    pub fn subscribes_to(&self, event: EventType) -> bool {
        self.status == WebhookStatus::Enabled
            && self.event_types.iter().any(|name| name == EventType::EVERY || name == event.as_str())
    }
}

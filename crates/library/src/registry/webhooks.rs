//! The receivers of events, and the types of events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::belongings::{add, remove};
use super::handle::Result;
use super::services::found;
use super::{Item, Registry, RegistryError, Webhook, WebhookStatus};
use crate::config::{note, plain_url};
use crate::domain::{Sid, SidKind};
use crate::registry::audit::Action;

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
    pub async fn create_webhook(&self, service: Sid, mut fields: WebhookFields) -> Result<Webhook> {
        // An empty value is refused.
        fields.friendly_name.get_or_insert_default();
        fields.event_types.get_or_insert_default();
        fields.url.get_or_insert_default();
        self.change(service, move |service, draft| {
            let mut webhook = Webhook {
                sid: draft.sid(SidKind::Webhook),
                friendly_name: String::new(),
                event_types: Vec::new(),
                url: String::new(),
                status: WebhookStatus::Enabled,
                secret: draft.bytes::<32>().to_vec(),
                created: draft.now,
                updated: draft.now,
            };
            fields.apply(&mut webhook)?;
            draft.audited = (Action::WebhookCreated, webhook.sid.to_string());
            add(&mut service.webhooks, Item::Webhook, webhook.clone(), |_| false)?;
            Ok(webhook)
        })
        .await
    }

    /// Changes a webhook. Its secret stays.
    pub async fn update_webhook(&self, service: Sid, webhook: Sid, fields: WebhookFields) -> Result<Webhook> {
        self.change(service, move |service, draft| {
            draft.audited = (Action::WebhookChanged, webhook.to_string());
            let kept = found(service.webhooks.iter_mut(), Item::Webhook, |kept| kept.sid == webhook)?;
            fields.apply(kept)?;
            kept.updated = draft.now;
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

/// At least one.
fn event_types(names: Vec<String>) -> Result<Vec<String>, String> {
    let is_known = |name: &String| name == EventType::EVERY || EventType::parse(name).is_some();
    if names.is_empty() || !names.iter().all(is_known) {
        let known = EventType::ALL.map(EventType::as_str).join(", ");
        return Err(format!("must be *, or some of: {known}"));
    }
    Ok(names)
}

fn address(text: &str) -> Result<String, String> {
    let why = || {
        format!(
            "must be an address of at most {URL_LONGEST} characters that begins with http:// or https://, without a user \
             name, a password or a fragment"
        )
    };
    let url = plain_url(text.trim()).filter(|url| url.as_str().len() <= URL_LONGEST);
    url.map(String::from).ok_or_else(why)
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
        /// The conversion of a gateway in a country is less than half of what it was.
        ConversionFell = "gateway.conversion_fell",
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

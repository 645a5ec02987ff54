//! Requests about webhooks, and their answers.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::keys::service_of;
use crate::domain::{Sid, SidKind};
use crate::registry::{Registry, Service, Webhook, WebhookStatus};

/// A request of `onceward webhooks`, as it is written on the command line and sent over the socket. Answered with
/// [`WebhookLine`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Subcommand)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WebhooksRequest {
    /// List webhooks, without their secrets.
    List {
        /// Only the webhooks of this service.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,
    },

    /// Show the secret that signs the events of a webhook.
    Secret {
        /// The id of the webhook.
        #[arg(value_name = "YW..")]
        sid: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookLine {
    pub sid: String,
    pub service_sid: String,
    pub service_name: String,
    pub name: String,
    pub url: String,
    pub event_types: Vec<String>,
    /// `enabled`, `disabled`.
    pub status: String,
    /// The key that signs its events, in the answer to `secret` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl WebhooksRequest {
    /// Returns the lines of the answer, or the reason in words for a person.
    pub fn carry_out(self, registry: &Registry) -> Result<Vec<serde_json::Value>, String> {
        let services = registry.services(0, usize::MAX);
        let webhooks =
            || services.iter().flat_map(|service| service.webhooks.iter().map(move |one| (service, one)));
        let lines: Vec<WebhookLine> = match self {
            Self::List { service } => {
                let only = service_of(registry, service)?;
                let wanted = webhooks().filter(|(service, _)| only.is_none_or(|only| service.id == only));
                wanted.map(|(service, webhook)| line(service, webhook)).collect()
            }
            Self::Secret { sid } => {
                let sid = Sid::parse(SidKind::Webhook, &sid).ok_or("a webhook is named by its id, YW...")?;
                let found = webhooks().find(|(_, webhook)| webhook.sid == sid);
                let (service, webhook) = found.ok_or("there is no such webhook")?;
                vec![WebhookLine { secret: Some(webhook.secret_text()), ..line(service, webhook) }]
            }
        };
        // The serialization of these lines cannot fail.
        lines.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

fn line(service: &Service, webhook: &Webhook) -> WebhookLine {
    WebhookLine {
        sid: webhook.sid.to_string(),
        service_sid: service.sid.to_string(),
        service_name: service.settings.friendly_name.clone(),
        name: webhook.friendly_name.clone(),
        url: webhook.url.clone(),
        event_types: webhook.event_types.clone(),
        status: match webhook.status {
            WebhookStatus::Enabled => "enabled",
            WebhookStatus::Disabled => "disabled",
        }
        .to_owned(),
        secret: None,
    }
}

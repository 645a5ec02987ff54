//! `onceward webhooks`: lists webhooks and shows their secrets.

use clap::Subcommand;
use serde_json::Value;

use super::answer::{CommandOutput, list, one, text};
use super::context::Context;
use super::error::CommandError;

#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
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

/// Rows are those of `/v2`, with the names of services.
const COLUMNS: &str = "sid service_name status friendly_name event_types webhook_url";

pub fn run(request: WebhooksCommand, cx: &Context) -> Result<CommandOutput, CommandError> {
    let client = cx.client()?;
    let webhooks = |service| client.get::<Vec<Value>>("/local/Webhooks", &[("Service", service)]);
    match request {
        WebhooksCommand::List { service } => {
            let none = "no webhooks; POST /v2/Services/{Sid}/Webhooks creates one";
            Ok(list(&webhooks(service)?, cx.json, none, COLUMNS))
        }
        WebhooksCommand::Secret { sid } => {
            let webhooks = webhooks(None)?;
            let found = webhooks.iter().find(|webhook| text(webhook, "sid") == sid).ok_or_else(|| {
                CommandError::Failed(format!("there is no webhook {sid}; `onceward webhooks list` lists all"))
            })?;
            let path = format!("/v2/Services/{}/Webhooks/{sid}/Secret", text(found, "service_sid"));
            let secret: Value = client.get(&path, &[])?;
            Ok(one(&secret, cx.json, |secret| format!("{}\n", text(secret, "secret"))))
        }
    }
}
